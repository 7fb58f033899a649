"""How the cost of a delivery grows with what else there is, and what idle clients cost."""

from __future__ import annotations

import time

from . import machine, million, plots, tables
from .brokers import Failure
from .context import Context
from .figures import LOWER, Section
from .load import UnknownOption, shown

TITLE = "Growth"
IDLE_CLIENTS = 15_000
IDLE_SECONDS = 5

PAIR = ("pair", "--pairs", 100, "--payload", 64, "--qos", 0)
# Each curve: its words for N, and the sizes for this broker and for mosquitto.
CURVES = {
    "exact": (
        "other exact filters", lambda n: [*PAIR, "--other-filters", n],
        [10, 1_000, 100_000, 1_000_000], [10, 1_000, 100_000],
    ),
    "wildcard": (
        "other wildcard filters", lambda n: [*PAIR, "--other-wildcards", n],
        [0, 1, 10, 100, 1_000, 10_000], [0, 1, 10, 100, 1_000, 10_000],
    ),
    "subscribers": (
        "subscribers of one topic",
        lambda n: ["fan-out", "--subscribers", n, "--payload", 64, "--qos", 0],
        # With 10,000, mosquitto takes minutes for the messages of one window.
        [1, 10, 100, 1_000, 10_000], [1, 10, 100, 1_000],
    ),
}  # fmt: skip
QUICK_SIZES = [10, 1_000]


def measure(context: Context) -> Section:
    section = context.section("growth")
    for name, (title, words, ours, theirs) in CURVES.items():
        try:
            _curve(context, section, name, title, words, ours, theirs)
        except UnknownOption as unknown:
            section.note(f"{title}: {unknown}.")
    for loops in (1, 2):
        _idle(context, section, loops)
    return section


def _curve(context: Context, section: Section, name: str, title: str, words, ours: list,
           theirs: list) -> None:  # fmt: skip
    if context.quick:
        ours, theirs = QUICK_SIZES, QUICK_SIZES
    times = ["--duration", "300ms", "--warm-up", "200ms"] if context.quick else [
        "--duration", "2s", "--warm-up", "500ms",
    ]  # fmt: skip
    section.command(shown([*words("N"), *times]))
    sizes = {"bifrost-1": ours}
    if "mosquitto" in context.peers():
        sizes["mosquitto"] = theirs
    values: dict[tuple[str, int], list[float]] = {}
    for turn in range(context.rounds):
        for size in ours:
            for broker_name in (each for each in sizes if size in sizes[each]):
                context.say(f"growth: {size:,} {title}, {broker_name}, round {turn + 1}")
                try:
                    with context.broker(broker_name) as broker:
                        result = context.bench(broker, *words(size), *times)
                except UnknownOption:
                    raise
                except Failure as failure:
                    if broker_name == "bifrost-1":
                        raise
                    section.note(f"{size:,} {title}, {broker_name}: {failure}")
                    continue
                values.setdefault((broker_name, size), []).append(
                    result["broker_cpu_us_per_delivery"]
                )
    for (broker_name, size), found in values.items():
        own = broker_name == "bifrost-1"
        section.add(
            f"{name}.{broker_name}.{size}", f"CPU for a delivery, {size:,} {title}, {broker_name}",
            found, "us", LOWER, shown([*words(size), *times]), of="bifrost" if own else broker_name,
        )  # fmt: skip


def _idle(context: Context, section: Section, loops: int) -> None:
    """How often loops wake up for nothing."""
    count = context.clients(2_000 if context.quick else IDLE_CLIENTS)
    seconds = 2 if context.quick else IDLE_SECONDS
    words = ["idle", "--clients", count, "--hold", f"{seconds + 60}s"]
    context.say(f"growth: {count:,} idle clients, {loops} loop{'s' * (loops > 1)}")
    with context.bifrost(loops) as broker, context.held(broker, *words):
        section.command(broker.command)
        # What their coming left to do is done within the first seconds.
        time.sleep(3)
        before, cpu = machine.wakeups(broker.pid), broker.cpu()
        time.sleep(seconds)
        after, cpu_after = machine.wakeups(broker.pid), broker.cpu()
    woken = sum(after[thread] - before.get(thread, 0) for thread in after)
    section.data[f"idle-{loops}"] = {"clients": count, "seconds": seconds}
    section.command(shown(words))
    section.add(
        f"idle-{loops}.wakeups", f"wake-ups in {seconds} s, {count:,} idle clients, {loops} loops",
        [woken], "wake-ups", LOWER, shown(words), target=0, resolution=2,
    )  # fmt: skip
    section.add(
        f"idle-{loops}.cpu", f"CPU in {seconds} s, {count:,} idle clients, {loops} loops",
        [(cpu_after - cpu) * 1e3], "ms", LOWER, shown(words), resolution=1,
    )  # fmt: skip


def anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _points(section: Section, name: str, broker: str) -> list[tuple[int, object]]:
    prefix = f"growth.{name}.{broker}."
    found = [
        (int(e.id.removeprefix(prefix)), e) for e in section.figures if e.id.startswith(prefix)
    ]
    return sorted(found, key=lambda point: point[0])


def render(section: Section, page: tables.Page) -> None:
    page.text(
        "The broker's CPU time for a delivery, in microseconds, as other things become many. Other "
        "filters are held by further clients and match none of the messages: 100 pairs send 64 "
        "bytes at QoS 0 in a closed loop. With many subscribers of one topic, the system calls of "
        "their deliveries are shared by fewer messages each. How connecting goes on with more and "
        f"more clients is shown under [{million.TITLE.lower()}](#{anchor(million.TITLE)})."
    )
    for name, (title, *_) in CURVES.items():
        ours, theirs = (
            _points(section, name, "bifrost-1"),
            dict(_points(section, name, "mosquitto")),
        )
        if not ours:
            continue
        page.heading(title.capitalize(), 3)
        rows = [
            [f"{size:,}", page.spread(one), page.spread(theirs.get(size))] for size, one in ours
        ]
        page.table([title, "bifrost, 1 loop", "mosquitto"], rows)
        page.image(f"growth-{name}", f"CPU time for a delivery over {title}")
    rows = []
    for loops in (1, 2):
        found = section.data.get(f"idle-{loops}")
        if found is None:
            continue
        wakeups = section.get(f"idle-{loops}.wakeups")
        rows.append([
            f"{found['clients']:,} idle clients, {loops} loop{'s' * (loops > 1)}",
            f"{found['seconds']} s", page.cell(wakeups), page.target(wakeups),
            f"{page.cell(section.get(f'idle-{loops}.cpu'))} ms",
        ])  # fmt: skip
    page.heading("Nothing to do", 3)
    page.text(
        "Clients without keep-alive, and `$SYS` turned off: how often the broker's threads go to "
        "sleep, which is how often they were woken. None is expected."
    )
    page.table(["broker", "watched for", "wake-ups", "none", "CPU time"], rows)


def draw(section: Section) -> list[plots.Plot]:
    made = []
    for name, (title, *_) in CURVES.items():
        series = []
        for label, broker in (("bifrost", "bifrost-1"), ("mosquitto", "mosquitto")):
            # None has no place on a logarithmic axis.
            points = [point for point in _points(section, name, broker) if point[0] > 0]
            if points:
                series.append(
                    plots.Series(label, [n for n, _ in points], [one.value for _, one in points])
                )
        made.append(
            plots.Plot(
                f"growth-{name}", f"CPU time for a delivery, over {title}", title,
                "µs (logarithmic)", series, log_x=True, log_y=True,
            )
        )  # fmt: skip
    return made
