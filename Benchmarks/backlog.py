"""What waits in the store while its readers are slow: a million retained messages, and a log that
sessions lag behind."""

from __future__ import annotations

import concurrent.futures
import contextlib
import pathlib
import select
import socket
import tempfile
import threading
import time

from . import machine, stored, tables, wire
from .brokers import Broker, Failure
from .context import Context
from .figures import HIGHER, LOWER, Section
from .load import shown
from .parked import FLAGS

RETAINED, QUICK_RETAINED = 1_000_000, 20_000
PAYLOAD = 64
# Others meanwhile: 2,000 QoS 1 messages a second through 10 pairs.
OTHERS = ("pair", "--pairs", 10, "--payload", 64, "--qos", 1, "--rate", 2000)
LATENCY = 10_000
# Bytes by which the broker may grow for one reader, or for some that lag: pages, windows, caches.
BOUND = 96 << 20
READERS = 10
RATE, QUICK_RATE = 50_000, 2_000
SECONDS, QUICK_SECONDS = 20, 2
# Of the stream's rate, what a reader that lags takes meanwhile.
SHARE = 0.01


def measure(context: Context, section: Section) -> None:
    _retained(context, section)
    _lagging(context, section)


# MARK: Retained messages


def _retained(context: Context, section: Section) -> None:
    count = QUICK_RETAINED if context.quick else RETAINED
    context.say(f"durability: {count:,} retained messages to one reader")
    with tempfile.TemporaryDirectory(prefix="bifrost-bench-") as folder:
        data = pathlib.Path(folder)
        with context.bifrost(1, data=data):
            pass
        stored.fill(data, retained=count, payload=PAYLOAD)
        with context.bifrost(1, data=data) as broker:
            section.command(broker.command)
            found = _read_while_others(context, section, broker, count)
    section.data["wide"] = {"count": count, **found}


def _read_while_others(
    context: Context, section: Section, broker: Broker, count: int
) -> dict[str, float]:
    pause = 0.3 if context.quick else 3
    seconds = 2 if context.quick else 12
    words = [*OTHERS, "--warm-up", "500ms", "--duration", f"{seconds}s"]
    section.command(shown(words))
    quiet = context.bench(broker, *words)["latency_us"]
    before = broker.resident()
    with (
        machine.Sampler(lambda: {"resident": broker.resident()}) as sampler,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        others = pool.submit(context.bench, broker, *words)
        time.sleep(0.5)
        taken = _read_all(broker.port, count, pause)
        latency = others.result()["latency_us"]
    highest = max([broker.resident(), *(each["resident"] for each in sampler.samples)])
    section.add(
        "retained.p99", f"latency of others while a client reads {count:,} retained messages, p99",
        [latency["p99"]], "us", LOWER, shown(words), target=LATENCY,
    )  # fmt: skip
    section.add(
        "retained.rate", f"retained messages to one reader in a second, of {count:,}",
        [count / taken], "/s", HIGHER, shown(words),
    )  # fmt: skip
    section.add(
        "retained.growth", f"memory for a reader of {count:,} retained messages",
        [(highest - before) / 2**20], "MiB", LOWER, shown(words), target=BOUND / 2**20,
        resolution=8,
    )  # fmt: skip
    return {"pause": pause, "taken": taken, "quiet": quiet["p99"], "median": latency["p50"]}


def _read_all(port: int, count: int, pause: float) -> float:
    """Subscribes, reads half, pauses, reads the rest. Gives the seconds but for the pause."""
    # All of one size: a header of two bytes, the topic with its length, the payload.
    size = 2 + 2 + len(stored.retained_topic(0)) + PAYLOAD
    wanted = count * size
    with wire.client(port, b"reader") as one:
        one.settimeout(60)
        begun = time.monotonic()
        one.sendall(wire.subscribe([b"state/#"], 0))
        # The SUBACK has five bytes.
        got = -5
        has_paused = False
        while got < wanted:
            part = one.recv(1 << 20)
            if not part:
                raise Failure("the broker closed the connection of a reader")
            got += len(part)
            if got >= wanted // 2 and not has_paused:
                has_paused = True
                time.sleep(pause)
        if got != wanted:
            raise Failure("a reader got more than is retained")
        return time.monotonic() - begun - pause


# MARK: Sessions that lag


class Reader:
    """A client with a persistent session, whose messages all have one size."""

    def __init__(self, port: int, name: bytes, topic: bytes):
        self.socket = wire.client(port, name, clean=False)
        self.socket.sendall(wire.subscribe([topic], 1))
        wire.read_exactly(self.socket, 5)
        self.rest = b""
        self.next = 0
        self.disorder = 0

    def take(self, most: int) -> int:
        """Reads, checks and acknowledges what is there, up to some messages; gives how many."""
        if len(self.rest) < 4 or len(self.rest) < self._size:
            part = self.socket.recv(1 << 20)
            if not part:
                raise Failure("the broker closed the connection of a reader")
            self.rest += part
            if len(self.rest) < 4:
                return 0
        size = self._size
        count = min(most, len(self.rest) // size)
        data, self.rest = self.rest[: count * size], self.rest[count * size :]
        # Behind the topic: the packet identifier, the time, the publisher and the number.
        at = 4 + int.from_bytes(data[2:4], "big") if count else 0
        answers = bytearray(4 * count)
        answers[0::4] = bytes([wire.PUBACK << 4]) * count
        answers[1::4] = b"\x02" * count
        answers[2::4] = data[at::size]
        answers[3::4] = data[at + 1 :: size]
        for start in range(at + 10, len(data), size):
            number = int.from_bytes(data[start + 3 : start + 8], "big")
            if number != self.next:
                self.disorder += 1
            self.next = number + 1
        if count:
            self.socket.sendall(answers)
        return count

    @property
    def _size(self) -> int:
        if self.rest[0] >> 4 != wire.PUBLISH or self.rest[1] >= 128:
            raise Failure("a reader got something else than the messages of the stream")
        return 2 + self.rest[1]


def _lagging(context: Context, section: Section) -> None:
    rate = QUICK_RATE if context.quick else RATE
    seconds = QUICK_SECONDS if context.quick else SECONDS
    words = [
        "pair", "--pairs", 1, "--payload", 64, "--qos", 1, "--persistent", "--rate", rate,
        "--warm-up", "0s", "--messages", rate * seconds,
    ]  # fmt: skip
    section.command(shown(words))
    context.say(f"durability: {READERS} readers lag behind {rate:,} messages a second")
    with context.bifrost(1, *FLAGS, data="FOLDER/data") as broker:
        readers = [
            Reader(broker.port, b"lagging%02d" % number, b"bench/+/pair/0")
            for number in range(READERS)
        ]
        # What the caches of the store and the first messages take, once.
        context.bench(broker, *words[:-1], rate)
        _catch_up(readers, rate)
        for reader in readers:
            reader.next = 0
        before = broker.resident()
        with machine.Sampler(lambda: {"resident": broker.resident()}) as sampler:
            with _slowly(readers, max(1, int(rate * SHARE / 10))):
                result = context.bench(broker, *words)
            lag = rate * seconds - max(reader.next for reader in readers)
            begun = time.monotonic()
            _catch_up(readers, rate * seconds)
            taken = time.monotonic() - begun
        highest = max([broker.resident(), *(each["resident"] for each in sampler.samples)])
        disorder = sum(reader.disorder for reader in readers)
        for reader in readers:
            reader.socket.close()
    if disorder:
        raise Failure(f"{disorder} messages came out of order")
    section.data["lagging"] = {
        "rate": rate, "seconds": seconds, "lag": lag, "taken": taken,
        "p99": result["latency_us"]["p99"],
    }  # fmt: skip
    for name, title, value, unit, better, more in (
        ("rate", "messages a second beside readers that lag", result["deliveries_per_second"],
         "/s", HIGHER, {"target": 0.98 * rate}),
        ("growth", "memory while readers lag and catch up", (highest - before) / 2**20, "MiB",
         LOWER, {"target": BOUND / 2**20, "resolution": 8}),
        ("catch-up", "deliveries a second while readers catch up",
         READERS * lag / taken if taken else 0, "/s", HIGHER, {}),
    ):  # fmt: skip
        section.add(f"lagging.{name}", title, [value], unit, better, shown(words), **more)


@contextlib.contextmanager
def _slowly(readers: list[Reader], count: int):
    """Lets each reader take so many messages ten times a second, until the block ends."""
    done = threading.Event()
    failures: list[Exception] = []

    def run() -> None:
        try:
            while not done.wait(0.1):
                ready, _, _ = select.select([each.socket for each in readers], [], [], 0)
                for reader in readers:
                    if reader.rest or reader.socket in ready:
                        reader.take(count)
        except (OSError, Failure) as failure:
            failures.append(failure)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    if failures:
        raise failures[0]


def _catch_up(readers: list[Reader], count: int, patience: float = 60) -> None:
    """Reads until each reader has the last of so many messages."""
    sockets: dict[socket.socket, Reader] = {each.socket: each for each in readers}
    for reader in readers:
        while reader.next < count and len(reader.rest) >= 4 and reader.take(1 << 20):
            pass
    while left := [each.socket for each in readers if each.next < count]:
        ready, _, _ = select.select(left, [], [], patience)
        if not ready:
            raise Failure("a reader that lagged did not get all messages")
        for one in ready:
            sockets[one].take(1 << 20)


def render(section: Section, page: tables.Page) -> None:
    wide, lagging = section.data["wide"], section.data["lagging"]
    page.heading("Retained messages to a slow reader", 3)
    page.text(
        f"{wide['count']:,} retained messages of {PAYLOAD} bytes. A client subscribes to all of "
        f"them, reads half, stops reading for {tables.number(wide['pause'])} s, and reads the "
        "rest. Meanwhile ten other pairs exchange 2,000 QoS 1 messages a second."
    )
    rows = [
        ["retained messages a second to the reader", section.get("retained.rate"), ""],
        ["latency of the others, p99, µs", section.get("retained.p99"),
         f"without the reader: {tables.number(wide['quiet'])}"],
        ["growth of the broker's memory, MiB", section.get("retained.growth"), ""],
    ]  # fmt: skip
    _table(page, rows)
    page.heading("Sessions that lag", 3)
    page.text(
        f"A publisher sends {lagging['rate']:,} messages a second for {lagging['seconds']} s at "
        "QoS 1 to a subscriber that keeps up and "
        f"{READERS} with stored sessions, which take {SHARE:.0%} of them: {lagging['lag']:,} "
        f"messages behind at the end. Then they read on, and have all in order after "
        f"{tables.number(lagging['taken'])} s."
    )
    rows = [
        ["messages a second meanwhile", section.get("lagging.rate"), ""],
        ["deliveries a second while they catch up", section.get("lagging.catch-up"), ""],
        ["growth of the broker's memory, MiB", section.get("lagging.growth"), ""],
    ]  # fmt: skip
    _table(page, rows)


def _table(page: tables.Page, rows: list) -> None:
    page.table(
        ["", "", "target", "met", ""],
        [[title, page.cell(one), tables.number(one.target), page.target(one), more]
         for title, one, more in rows],
    )  # fmt: skip
