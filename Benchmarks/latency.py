"""Latency under a paced load, beside other brokers."""

from __future__ import annotations

from . import plots, tables
from .brokers import Failure
from .context import Context, rotated
from .figures import LOWER, Section
from .load import shown

TITLE = "Latency"
PERCENTILES = ("p50", "p90", "p99")
WORDS = ("pair", "--pairs", 10, "--payload", 64, "--qos", 1, "--rate", 2000)
TITLES = {
    "bifrost-1": "bifrost, 1 loop",
    "bifrost-2": "bifrost, 2 loops",
    "mosquitto": "mosquitto",
    "nats-server": "nats-server",
}


def measure(context: Context) -> Section:
    section = context.section("latency")
    names = ["bifrost-1", "bifrost-2", *context.peers()]
    times = ["--duration", "500ms", "--warm-up", "200ms"] if context.quick else [
        "--duration", "10s", "--warm-up", "1s",
    ]  # fmt: skip
    command = shown([*WORDS, *times])
    section.command(command)
    found: dict[str, list[dict]] = {name: [] for name in names}
    for turn in range(context.rounds):
        for name in rotated(names, turn):
            context.say(f"latency: {name}, round {turn + 1}")
            try:
                # Nagle's algorithm would delay what mosquitto sends.
                options = {"nodelay": True} if name == "mosquitto" else {}
                with context.broker(name, **options) as broker:
                    found[name].append(context.bench(broker, *WORDS, *times)["latency_us"])
            except Failure as failure:
                if name.startswith("bifrost"):
                    raise
                section.note(f"{name}: {failure}")
    theirs = {
        percentile: sorted(each[percentile] for each in found["mosquitto"])
        for percentile in PERCENTILES
    } if found.get("mosquitto") else {}  # fmt: skip
    for name, rounds in found.items():
        own = name.startswith("bifrost")
        for percentile in PERCENTILES if rounds else ():
            other = theirs.get(percentile)
            # mosquitto's in the same run; its 90th percentile is shown, and no target.
            target = other[len(other) // 2] if own and other and percentile != "p90" else None
            section.add(
                f"{name}.{percentile}", f"latency, {percentile}, {TITLES[name]}",
                [each[percentile] for each in rounds], "us", LOWER, command, target=target,
                of="bifrost" if own else name,
            )  # fmt: skip
    return section


def render(section: Section, page: tables.Page) -> None:
    page.text(
        "2,000 QoS 1 messages a second in all through 10 pairs, far below what any of the brokers "
        "can do. The times at which messages are due are fixed in advance, and latency counts from "
        "then to the subscriber, in microseconds. The median over the rounds, with the lowest and "
        "highest. Target: the median and the 99th percentile are no worse than mosquitto's in the "
        "same run."
    )
    rows = []
    for name, title in TITLES.items():
        cells = [section.get(f"{name}.{percentile}") for percentile in PERCENTILES]
        if not any(cells):
            continue
        judged = [one for one in cells if one and one.target is not None]
        goals = ", ".join(f"{one.id.split('.')[-1]} {page.target(one)}" for one in judged)
        rows.append([title, *[page.spread(one) for one in cells], goals or "—"])
    page.table(["broker", *[f"{each}, µs" for each in PERCENTILES], "beside mosquitto"], rows)


def draw(section: Section) -> list[plots.Plot]:
    series = []
    for name, title in TITLES.items():
        found = [section.get(f"{name}.{percentile}") for percentile in PERCENTILES]
        if any(found):
            series.append(
                plots.Series(
                    title, list(PERCENTILES), [one.value if one else None for one in found]
                )
            )
    return [
        plots.Plot("latency", "Latency at 2,000 QoS 1 messages a second", "",
                   "µs (logarithmic), less is better", series, kind="bars", log_y=True)
    ]  # fmt: skip
