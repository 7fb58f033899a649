"""Backends: publishing over gRPC beside MQTT on the same broker, from a call to a device, and what a
hook costs that no message meets."""

from __future__ import annotations

import importlib.util
import statistics
import time

from . import plots, publishing, tables
from .context import Context, Skip, rotated
from .devices import running
from .figures import HIGHER, LOWER, Section
from .load import shown

TITLE = "Backends"
DEVICES = 100
WAYS = {
    "stream": ("`PublishStream`", publishing.Stream),
    "mqtt": ("MQTT, QoS 1", publishing.MQTT),
    "calls": ("`Publish`", publishing.Calls),
}
# Batches for each way: a second or more of work. A call is a message, not a batch.
BATCHES = {"stream": 1000, "mqtt": 1000, "calls": 20}
QUICK = 50
SAMPLES = 1000
# Between two calls that are timed, so that each meets an idle broker.
PAUSE = 0.005
P50_TARGET = 1000.0
PAIR = ("pair", "--pairs", 100, "--payload", 64)
# A topic that no message of the load has. Nobody listens where the hook would be asked.
HOOK = ("--hooks-publish-endpoints", "127.0.0.1:1", "--hooks-publish-topics", "asked/+/about")
# What the figures of several rounds of the same broker differ by.
HOOK_TARGET = 1.03


def measure(context: Context) -> Section:
    if importlib.util.find_spec("grpc") is None:
        raise Skip("grpcio is not installed: scripts/install bench")
    section = context.section("backends")
    _rates(context, section)
    _latencies(context, section)
    _hooks(context, section)
    return section


def _rates(context: Context, section: Section) -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    with context.bifrost(1, backends=True) as broker:
        section.command(broker.command)
        with running(broker.port, DEVICES) as devices:
            for turn in range(context.rounds):
                for name in rotated(list(WAYS), turn):
                    context.say(f"backends: {WAYS[name][0]}, round {turn + 1}")
                    batches = BATCHES[name] // (QUICK if context.quick else 1) or 1
                    found[name].append(_rate(broker, devices, WAYS[name][1], batches))
    for name, values in found.items():
        title = WAYS[name][0]
        command = f"Benchmarks/publishing.py, {DEVICES} devices, {len(publishing.PAYLOAD)} bytes"
        section.add(f"{name}.rate", f"publishes in a second, {title}",
                    [rate for rate, _ in values], "/s", HIGHER, command)  # fmt: skip
        section.add(f"{name}.cpu", f"CPU for a publish and its delivery, {title}",
                    [cpu for _, cpu in values], "us", LOWER, command)  # fmt: skip
    section.add(
        "stream-of-mqtt", "publishes in a second, PublishStream, of MQTT's at QoS 1",
        [ours[0] / theirs[0] for ours, theirs in zip(found["stream"], found["mqtt"])], "x", HIGHER,
        "Benchmarks/publishing.py", target=1,
    )  # fmt: skip


def _rate(broker, devices, way, batches: int) -> tuple[float, float]:
    """Publishes in a second, each delivered, and the broker's microseconds for one."""
    publisher = way(broker, devices.count)
    try:
        # Connected, and all that is made once is made.
        for count in (1, batches):
            before, cpu, begun = devices.received, broker.cpu(), time.monotonic()
            publisher.publish(count)
            devices.wait(before + count * publishing.BATCH)
            seconds, cpu = time.monotonic() - begun, broker.cpu() - cpu
    finally:
        publisher.close()
    messages = batches * publishing.BATCH
    return messages / seconds, 1e6 * cpu / messages


def _latencies(context: Context, section: Section) -> None:
    samples = SAMPLES // (QUICK if context.quick else 1)
    found: dict[str, list[list[float]]] = {"calls": [], "mqtt": []}
    with context.bifrost(1, backends=True) as broker:
        device = publishing.Device(broker)
        try:
            for turn in range(context.rounds):
                for name in rotated(list(found), turn):
                    context.say(f"backends: latency, {WAYS[name][0]}, round {turn + 1}")
                    found[name].append(_latency(broker, device, name, samples))
        finally:
            device.close()
    for name, rounds in found.items():
        for percentile, rank in (("p50", 50), ("p99", 99)):
            values = [statistics.quantiles(each, n=100)[rank - 1] for each in rounds]
            target = P50_TARGET if (name, percentile) == ("calls", "p50") else None
            section.add(
                f"latency.{name}.{percentile}",
                f"from {WAYS[name][0]} to the device, {percentile}", values, "us", LOWER,
                "Benchmarks/publishing.py", target=target,
            )  # fmt: skip


def _latency(broker, device, name: str, samples: int) -> list[float]:
    """Microseconds from before a publish until its device has it."""
    publisher = publishing.Single(broker) if name == "mqtt" else publishing.Call(broker)
    values = []
    try:
        for number in range(samples + 10):
            begun = time.perf_counter()
            publisher.begin()
            device.take()
            # The first ones open the connection.
            if number >= 10:
                values.append(1e6 * (time.perf_counter() - begun))
            publisher.finish()
            time.sleep(PAUSE)
    finally:
        publisher.close()
    return values


def _hooks(context: Context, section: Section) -> None:
    for qos in (0, 1):
        words = [*PAIR, "--qos", qos, *context.times]
        section.command(shown(words))
        found: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(context.rounds):
            for hooked in rotated([False, True], turn):
                what = "with" if hooked else "without"
                context.say(f"backends: QoS {qos} {what} a hook, round {turn + 1}")
                with context.bifrost(1, *(HOOK if hooked else ())) as broker:
                    section.command(broker.command)
                    result = context.bench(broker, *words)
                found[hooked].append(result["broker_cpu_us_per_delivery"])
        for hooked, values in found.items():
            name, what = ("with", "with") if hooked else ("without", "without")
            section.add(f"hook.qos-{qos}.{name}", f"CPU for a QoS {qos} delivery, {what} a hook",
                        values, "us", LOWER, shown(words))  # fmt: skip
        section.add(
            f"hook.qos-{qos}.ratio", f"CPU for a QoS {qos} delivery, with a hook of other topics",
            [ours / theirs for ours, theirs in zip(found[True], found[False])], "x", LOWER,
            shown(words), target=HOOK_TARGET,
        )  # fmt: skip


def render(section: Section, page: tables.Page) -> None:
    page.text(
        f"64 bytes at QoS 1 to {DEVICES} devices, each of which acknowledges; the memory store, 1 "
        "loop. The same program publishes in three ways, by turns in one broker: over one stream "
        f"with {publishing.BATCH} publishes in each request, over one connection of MQTT in bursts "
        f"of as many, both {publishing.AHEAD} ahead of their answers, and by {publishing.CALLS} "
        "calls at a time. It is written in Python, and what it sends is made in advance; with "
        "calls, Python itself is the limit. CPU is the broker's, of all its threads, for a publish "
        "with its delivery."
    )
    page.table(
        ["way", "publishes/s", "CPU, µs"],
        [[title, page.spread(section.get(f"{name}.rate")), page.cell(section.get(f"{name}.cpu"))]
         for name, (title, _) in WAYS.items()],
    )  # fmt: skip
    one = section.get("stream-of-mqtt")
    page.table(["ratio of one round", "", "target", ""],
               [["`PublishStream`, of MQTT's rate", page.spread(one), "1", page.target(one)]])
    page.text(
        "From before the publish until the device has read it, one at a time and with pauses, in "
        "microseconds; half of what a call takes is the client's library in Python. Target: the "
        f"median of `Publish` is below {P50_TARGET:.0f}."
    )
    page.table(
        ["way", "p50", "p99", "target"],
        [[WAYS[name][0], *[page.spread(section.get(f"latency.{name}.{p}")) for p in ("p50", "p99")],
          page.target(section.get(f"latency.{name}.p50"))] for name in ("calls", "mqtt")],
    )  # fmt: skip
    page.text(
        "A hook that is configured for topics which no message has: CPU for a delivery, 100 pairs, "
        "µs."
    )
    rows = []
    for qos in (0, 1):
        ratio = section.get(f"hook.qos-{qos}.ratio")
        cells = [section.get(f"hook.qos-{qos}.{name}") for name in ("without", "with")]
        rows.append([f"QoS {qos}", *map(page.spread, cells), page.spread(ratio),
                     tables.number(ratio.target), page.target(ratio)])  # fmt: skip
    page.table(["", "without", "with", "with / without", "target", ""], rows)


def draw(section: Section) -> list[plots.Plot]:
    series = []
    for name, (title, _) in WAYS.items():
        one = section.get(f"{name}.rate")
        if one:
            series.append(plots.Series(title.replace("`", ""), [""], [one.value]))
    return [
        plots.Plot("backends", f"Publishes to {DEVICES} devices, QoS 1", "",
                   "publishes/s, more is better", series, kind="bars")
    ]  # fmt: skip
