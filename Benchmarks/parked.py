"""Parked sessions: how long a broadcast to them takes, what they cost, and how soon a broker with a
million of them serves again."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import socket
import statistics
import tempfile
import time

from . import brokers, stored, tables, wire
from .brokers import Failure
from .context import Context
from .figures import HIGHER, LOWER, Section
from .load import shown

COUNTS, QUICK_COUNTS = (1_000, 100_000, 1_000_000), (100, 1_000, 5_000)
RETAINED, QUICK_RETAINED = 100_000, 1_000
# Sessions made by clients of their own, to say how long that takes.
REAL, QUICK_REAL = 15_000, 500
# Publishes of each kind, and sessions that come back to see whether the broadcasts are there.
PUBLISHES, QUICK_PUBLISHES = 200, 20
SAMPLE = 200
# Loops that wait a little for others, and noise: what still counts as independent of the number.
GROWTH = 1.5
BYTES, SECONDS = 32, 2
FLAGS = ("--session-park-after", "1s")
# Seconds that a client which stops and begins anew may take for its memory to settle.
SETTLED = 3


def measure(context: Context, section: Section) -> None:
    counts = QUICK_COUNTS if context.quick else COUNTS
    retained = QUICK_RETAINED if context.quick else RETAINED
    section.data["retained"] = retained
    _real(context, section)
    with tempfile.TemporaryDirectory(prefix="bifrost-bench-") as folder:
        for count in counts:
            data = pathlib.Path(folder) / str(count)
            context.say(f"durability: a store with {count:,} parked sessions")
            begun = time.monotonic()
            _make(context, data, count, retained if count == counts[-1] else 0)
            section.data["fill_seconds"] = time.monotonic() - begun
            _broadcast(context, section, data, count)
            if count == counts[-1]:
                _restart(context, section, data, count)
            shutil.rmtree(data)
    _growth(section, counts)


def _make(context: Context, data: pathlib.Path, sessions: int, retained: int) -> None:
    with context.bifrost(1, data=data):
        pass
    stored.fill(data, sessions, retained)


def _real(context: Context, section: Section) -> None:
    """Sessions of clients that connect, subscribe and go: the rate, and what stays in memory."""
    count = context.clients(QUICK_REAL if context.quick else REAL)
    words = ["idle", "--clients", count, "--persistent", "--keep-sessions", "--hold", "1s"]
    section.command(shown(words))
    context.say(f"durability: {count:,} sessions made by clients")
    with context.bifrost(1, *FLAGS, data="FOLDER/data") as broker:
        result = context.bench(broker, *words)
    section.data["real"] = count
    section.add(
        "real.connects", "connects with a stored session and its subscription in a second",
        [result["connects_per_second"]], "/s", HIGHER, shown(words),
    )  # fmt: skip


def _acknowledged(one: socket.socket, topic: str, publishes: int) -> list[float]:
    """Seconds from a QoS 1 PUBLISH to its PUBACK, one at a time."""
    packet = wire.publish(topic.encode(), b"x" * 64, qos=1)
    times = []
    for _ in range(publishes):
        begun = time.perf_counter()
        one.sendall(packet)
        wire.read_exactly(one, 4)
        times.append(time.perf_counter() - begun)
    return times


def _broadcast(context: Context, section: Section, data: pathlib.Path, count: int) -> None:
    publishes = QUICK_PUBLISHES if context.quick else PUBLISHES
    with context.bifrost(1, *FLAGS, data=data) as broker:
        section.command(broker.command)
        one = wire.client(broker.port, b"publisher")
        # All sessions are known by then, so what has nobody to go to is not looked up.
        time.sleep(0.5 if context.quick else SETTLED)
        _acknowledged(one, stored.BROADCAST, 5)
        times = _acknowledged(one, stored.BROADCAST, publishes)
        one.close()
        step = max(1, count // SAMPLE)
        for number in range(1, count + 1, step):
            _has_all(broker, number, 5 + publishes)
    for name, value in (
        ("median", statistics.median(times)), ("p99", statistics.quantiles(times, n=100)[98]),
    ):  # fmt: skip
        section.add(
            f"broadcast.{count}.{name}",
            f"PUBLISH to PUBACK of a broadcast to {count:,} parked sessions, {name}",
            [value * 1e3], "ms", LOWER, broker.command, resolution=0.5,
        )  # fmt: skip


def _has_all(broker: brokers.Broker, number: int, wanted: int) -> None:
    """A session's client comes back, and gets every broadcast."""
    one = wire.opened(broker.port)
    one.sendall(wire.connect(stored.client(number).encode(), clean=False))
    with one:
        data = wire.read_exactly(one, 4)
        if data[2:4] != b"\x01\x00":
            raise Failure("the session of a client was not there")
        rest, got = data[4:], 0
        while got < wanted:
            end = 0
            for first, body, end in wire.frames(rest):
                if first >> 4 == wire.PUBLISH:
                    got += 1
                    at = body + 2 + len(stored.BROADCAST)
                    one.sendall(bytes([wire.PUBACK << 4, 2]) + rest[at : at + 2])
            rest = rest[end:]
            if got < wanted:
                rest += wire.read_exactly(one, 1)


def _growth(section: Section, counts: tuple) -> None:
    first, last = (section.get(f"broadcast.{count}.median").value for count in counts[::2])
    section.add(
        "broadcast.growth",
        f"PUBLISH to PUBACK, {counts[-1]:,} parked sessions as a multiple of {counts[0]:,}",
        [last / first], "x", LOWER, section.commands[-1], target=GROWTH, resolution=0.2,
    )  # fmt: skip
    section.data["counts"] = list(counts)


def _restart(context: Context, section: Section, data: pathlib.Path, count: int) -> None:
    found: dict[str, list[float]] = {}
    for turn in range(context.rounds):
        for cache in ("warm", "cold"):
            context.say(f"durability: restart, {cache}, round {turn + 1}")
            if cache == "cold":
                _forget(data)
            for name, value in _started(context, data, number=turn + 7).items():
                found.setdefault(f"{cache}.{name}", []).append(value)
    titles = {
        "accept": "until a connection is accepted",
        "clean": "until a CONNECT without a session is answered",
        "stored": "until a CONNECT of a stored session is answered",
    }
    for cache in ("warm", "cold"):
        for name, title in titles.items():
            section.add(
                f"restart.{cache}.{name}", f"restart with {count:,} sessions, {cache}: {title}",
                found[f"{cache}.{name}"], "s", LOWER, section.commands[-1],
                target=SECONDS, resolution=0.05,
            )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="bifrost-bench-") as empty:
        base = _started(context, pathlib.Path(empty), None)["resident"]
    resident = statistics.median(found["warm.resident"])
    section.data["resident"], section.data["resident_empty"] = resident, base
    section.add(
        "parked.bytes", f"bytes for a parked session, of {count:,}", [(resident - base) / count],
        "bytes", LOWER, section.commands[-1], target=BYTES,
    )  # fmt: skip


def _forget(data: pathlib.Path) -> None:
    """Has the system forget what it has of the files in memory."""
    for path in data.iterdir():
        file = os.open(path, os.O_RDONLY)
        with contextlib.suppress(OSError):
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def _started(context: Context, data: pathlib.Path, number: int | None) -> dict[str, float]:
    """Starts a broker, and looks from outside at what it does when."""
    port = brokers.free_port()
    command = [
        context.binary, "serve", "--grpc-listen", "off", "--mqtt-tcp-listen", f"127.0.0.1:{port}",
        "--net-loops", 1,
        "--sys-interval", "0s", "--log-level", "warning", "--data-dir", data, *FLAGS,
    ]  # fmt: skip
    begun = time.monotonic()
    process = brokers.start(command)
    try:
        clean = _accepted(process, port)
        found = {"accept": time.monotonic() - begun}
        clean.sendall(wire.connect(b"anybody"))
        kept = wire.opened(port)
        if number is not None:
            kept.sendall(wire.connect(stored.client(number).encode(), clean=False))
        wire.read_exactly(clean, 4)
        found["clean"] = time.monotonic() - begun
        if number is not None:
            if wire.read_exactly(kept, 4)[2:4] != b"\x01\x00":
                raise Failure("the session of a client was not there")
            found["stored"] = time.monotonic() - begun
        clean.close()
        kept.close()
        time.sleep(1 if context.quick else SETTLED)
        found["resident"] = brokers.machine.resident(process.pid)
        return found
    finally:
        brokers.end(process)


def _accepted(process, port: int) -> socket.socket:
    limit = time.monotonic() + brokers.DEADLINE
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            return wire.opened(port)
        if process.poll() is not None or time.monotonic() > limit:
            raise Failure("the broker did not start again")
        time.sleep(0.001)


def render(section: Section, page: tables.Page) -> None:
    counts = section.data["counts"]
    rate = section.get("real.connects")
    page.heading("Parked sessions", 3)
    page.text(
        f"{section.data['real']:,} clients that connect with a session to be stored and subscribe "
        f"come at {tables.number(rate.value)} a second, so a million take "
        f"{tables.number(1e6 / rate.value / 60)} minutes. The sessions here were written into the "
        "tables of the store by a script instead, while no broker ran: two subscriptions at QoS 1 "
        "each, one to a topic of its own (17 bytes), one to a topic of all. A QoS 1 message to "
        "that is published again and again, each after the PUBACK of the one before. Then "
        f"{SAMPLE} of the sessions, or all where there are fewer, have their clients come back: "
        "each gets every message."
    )
    rows = []
    for count in counts:
        cells = [section.get(f"broadcast.{count}.{name}") for name in ("median", "p99")]
        rows.append([f"{count:,}", *[page.cell(one) for one in cells]])
    page.table(["parked sessions", "PUBLISH to PUBACK, median, ms", "99th percentile, ms"], rows)
    growth = section.get("broadcast.growth")
    page.text(
        f"With {counts[-1]:,} it takes {page.cell(growth)} times what it takes with "
        f"{counts[0]:,} (target: {tables.number(growth.target)} at most, which is noise; "
        f"{page.target(growth)})."
    )
    page.heading("Restart", 3)
    page.text(
        f"A store with {counts[-1]:,} parked sessions and {section.data['retained']:,} retained "
        "messages, from the start of the process. Warm is with the file in the system's memory, "
        "cold without."
    )
    rows = []
    for name, title in (
        ("accept", "a connection is accepted"), ("clean", "CONNACK without a stored session"),
        ("stored", "CONNACK of a stored session"),
    ):  # fmt: skip
        warm, cold = (section.get(f"restart.{cache}.{name}") for cache in ("warm", "cold"))
        rows.append([title, page.spread(warm), page.spread(cold), tables.number(warm.target),
                     page.target(warm)])  # fmt: skip
    page.table(["until", "s, warm", "s, cold", "target", "warm"], rows)
    one = section.get("parked.bytes")
    page.text(
        f"Memory: {page.cell(one)} bytes for each parked session (target: {one.target} at most; "
        f"{page.target(one)}): the resident set {SETTLED} s after the start, "
        f"{tables.size(section.data['resident'])}, less that with an empty store."
    )
