"""Memory comes back: what the broker holds after a broadcast, a storm, and a long stream."""

from __future__ import annotations

import os
import sys
import time

from . import brokers, machine, plots, tables, wire
from .context import Context, ROOT
from .figures import LOWER, Section

TITLE = "Memory comes back"
CLIENTS = 15_000
DEAF = 1_000
BROADCASTS = 16
BROADCAST_BYTES = 16 << 10
STREAM_PACKETS, STREAM_BYTES = 200, 1_000_000
TARGET = 1.15
WAIT = 30.0

EVENTS = {
    "broadcast": f"{BROADCASTS} broadcasts of 16 KiB, {DEAF:,} clients do not read",
    "storm": "as many clients again connect, subscribe and disconnect",
    "stream": "one client sends 200 MB in packets of 1 MB",
}


def measure(context: Context) -> Section:
    section = context.section("back")
    count = context.clients(2_000 if context.quick else CLIENTS)
    deaf = min(DEAF, count // 4)
    # Tables of open files for each loop: the storm doubles the number of clients.
    flags = ["--net-private-descriptors", "on", "--mqtt-max-connections", str(2 * count + 500)]
    with brokers.bifrost(context.binary, 2, *flags) as broker:
        section.command(broker.command)
        section.data.update(clients=count, deaf=deaf)
        crowd = wire.Crowd(broker.port, b"push/everyone", 1)
        watch = _Watch(broker, 6.0 if context.quick else WAIT)
        try:
            crowd.add(range(count - deaf))
            crowd.add(range(count - deaf, count), slow=True)
            sender = wire.client(broker.port, b"sender")
            time.sleep(2)
            before = broker.resident()
            section.data["before"] = before
            events = {
                "broadcast": lambda: _broadcast(crowd, sender, count, deaf, watch),
                "storm": lambda: _storm(broker.port, count),
                "stream": lambda: _stream(broker.port),
            }
            for name, event in events.items():
                context.say(f"back: {EVENTS[name]}")
                _one(section, watch, name, event, before)
            sender.close()
        finally:
            watch.stop()
            crowd.close_all()
    return section


class _Watch:
    """The broker's memory over time, for a plot and for its peak."""

    def __init__(self, broker: brokers.Broker, wait: float):
        self.broker, self.wait = broker, wait
        # How long it is watched after it is back.
        self.rest = min(5.0, wait / 5)
        self.sampler = machine.Sampler(lambda: {"resident": broker.resident()})
        self.sampler.start()

    def peak(self, begun: float) -> int:
        samples = [each["resident"] for each in self.sampler.samples if each["time"] >= begun]
        return max([*samples, self.broker.resident()])

    def stop(self) -> None:
        self.sampler.__exit__()


def _one(section: Section, watch: _Watch, name: str, event, before: int) -> None:
    begun = time.monotonic()
    event()
    ended = time.monotonic()
    peak = watch.peak(begun)
    # It may take its time, but it is back when it is back: the wait ends early.
    back_after = None
    while True:
        ratio = watch.broker.resident() / before
        passed = time.monotonic() - ended
        if ratio <= TARGET and back_after is None:
            back_after = passed
        if passed >= watch.wait or (back_after is not None and passed >= back_after + watch.rest):
            break
        time.sleep(0.25)
    section.add(
        name, f"Rss afterwards, of what it was: {EVENTS[name]}", [ratio], "x", LOWER,
        section.commands[0], target=TARGET, resolution=0.02,
    )  # fmt: skip
    section.data[name] = {
        "peak": peak,
        "after": round(ratio * before),
        "seconds": back_after,
        "samples": watch.sampler.series("resident", begun),
    }


def _broadcast(crowd: wire.Crowd, sender, count: int, deaf: int, watch: _Watch) -> None:
    """Broadcasts at QoS 1 and QoS 0; those who do not read are closed and connected anew, so that
    afterwards there are as many idle clients as before."""
    silent = crowd.stop_reading(deaf)
    payload = os.urandom(BROADCAST_BYTES)
    for number in range(BROADCASTS):
        qos = 1 - number % 2
        sender.sendall(wire.publish(crowd.common, payload, qos, number + 1))
        if qos:
            wire.read_exactly(sender, 4)
        crowd.receive(1)
    # So that the peak is seen.
    time.sleep(1)
    crowd.close(silent)
    crowd.add(range(count - deaf, count), slow=True)


def _storm(port: int, count: int) -> None:
    process = brokers.start([sys.executable, "-m", "Benchmarks.wire", port, count], cwd=ROOT)
    try:
        if process.wait(120) != 0:
            raise brokers.Failure("the storm of connections failed")
    finally:
        brokers.end(process, 5)


def _stream(port: int) -> None:
    client = wire.client(port, b"streamer")
    client.settimeout(60)
    one = wire.publish(b"push/stream", b"x" * STREAM_BYTES)
    for _ in range(STREAM_PACKETS):
        client.sendall(one)
    # An answer says that all before it was taken.
    client.sendall(b"\xc0\x00")
    wire.read_exactly(client, 2)
    client.close()


def render(section: Section, page: tables.Page) -> None:
    count = section.data["clients"]
    page.text(
        f"{count:,} idle clients on 2 loops, each with a topic of its own and a common one, as "
        "bare sockets. After each event as many clients are idle as before it. The resident set of "
        f"before, {tables.size(section.data['before'])}, is compared with that of at most "
        f"{WAIT:.0f} s later. The target is at most {TARGET} times as much."
    )
    rows = []
    for name, what in EVENTS.items():
        found = section.data.get(name)
        if found is None:
            continue
        soon = found["seconds"]
        rows.append([
            what, tables.size(section.data["before"]), tables.size(found["peak"]),
            tables.size(found["after"]), page.cell(section.get(name)),
            "not in time" if soon is None else f"{soon:.1f} s", page.target(section.get(name)),
        ])  # fmt: skip
    page.table(
        ["event", "before", "peak", "after", "after / before", f"below {TARGET} after", "target"],
        rows,
    )


def draw(section: Section) -> list[plots.Plot]:
    series = []
    for name in EVENTS:
        samples = section.data.get(name, {}).get("samples", [])
        if samples:
            series.append(
                plots.Series(name, [s for s, _ in samples], [b / 2**20 for _, b in samples])
            )
    return [
        plots.Plot(
            "back", "Resident set during and after each event", "seconds from the event's begin",
            "MiB", series,
        )
    ]  # fmt: skip
