"""Throughput in a closed loop, and the broker's CPU time for a delivery, beside other brokers."""

from __future__ import annotations

import dataclasses

from . import plots, tables
from .brokers import Failure
from .context import Context, rotated
from .figures import HIGHER, LOWER, Section
from .load import shown

TITLE = "Throughput"
# Below this share of one core the broker waits for the generator.
SATURATED = 0.9


@dataclasses.dataclass(frozen=True)
class Row:
    id: str
    title: str
    words: tuple
    # The rate as a multiple of mosquitto's, the CPU time as a fraction of it: one has to be met.
    rate: float | None = None
    cpu: float | None = None
    without: tuple = ()


PAIR = ("pair", "--pairs", 100, "--payload", 64)
FAN_OUT = ("fan-out", "--subscribers", 1000, "--payload", 64)
ROWS = [
    Row("pair-qos0", "100 pairs, QoS 0", (*PAIR, "--qos", 0), 20, 0.045),
    Row("pair-qos1", "100 pairs, QoS 1", (*PAIR, "--qos", 1), 7, 0.08),
    # nats-server 2.9 has no QoS 2.
    Row("pair-qos2", "100 pairs, QoS 2", (*PAIR, "--qos", 2), 12, 0.06, ("nats-server",)),
    Row("fan-out-qos0", "1 to 1,000, QoS 0", (*FAN_OUT, "--qos", 0), 14, 0.08),
    Row("fan-out-qos1", "1 to 1,000, QoS 1", (*FAN_OUT, "--qos", 1), 8, 0.11),
    Row("fan-in-qos0", "200 to 1, QoS 0",
        ("fan-in", "--publishers", 200, "--payload", 64, "--qos", 0), 8, 0.09),
    Row("wildcard", "100 wildcard subscriptions, QoS 0",
        ("wildcard", "--subscribers", 100, "--payload", 64, "--qos", 0), 10, 0.09),
    Row("pair-16k", "10 pairs, 16 KiB, QoS 0",
        ("pair", "--pairs", 10, "--payload", 16384, "--qos", 0), 2.6, 0.36),
    Row("fan-out-window-1", "1 to 1,000, QoS 0, one message at a time",
        (*FAN_OUT, "--qos", 0, "--window", 1)),
]  # fmt: skip

OURS = "bifrost-1"


def measure(context: Context) -> Section:
    section = context.section("speed")
    names = [OURS, *context.peers()]
    found: dict[tuple[str, str], list[dict | None]] = {}
    for turn in range(context.rounds):
        for row in ROWS:
            for name in rotated([each for each in names if each not in row.without], turn):
                context.say(f"speed: {row.title}, {name}, round {turn + 1}")
                found.setdefault((row.id, name), []).append(_one(context, section, row, name))
    for row in ROWS:
        _figures(section, row, {name: found.get((row.id, name), []) for name in names})
    section.data["brokers"] = names
    return section


def _one(context: Context, section: Section, row: Row, name: str) -> dict | None:
    words = [*row.words, *context.times]
    with context.broker(name) as broker:
        section.command(broker.command)
        try:
            result = context.bench(broker, *words, tolerant=name == "nats-server", timeout=120)
        except Failure as failure:
            if name == OURS:
                raise
            section.note(f"{row.title}, {name}: {failure}")
            return None
    if result["deliveries"] == 0:
        section.note(f"{row.title}, {name}: no message came through.")
        return None
    if result["lost"]:
        section.note(f"{row.title}, {name}: some of the messages were lost.")
    return result


def _figures(section: Section, row: Row, found: dict[str, list[dict | None]]) -> None:
    command = shown(row.words)
    section.command(command)
    for name, results in found.items():
        results = [each for each in results if each]
        if not results:
            continue
        own = name == OURS
        more = {"of": "bifrost" if own else name}
        section.add(
            f"{row.id}.{name}.rate", f"{row.title}: deliveries in a second, {name}",
            [each["deliveries_per_second"] for each in results], "/s", HIGHER, command, **more,
        )  # fmt: skip
        section.add(
            f"{row.id}.{name}.cpu", f"{row.title}: CPU for a delivery, {name}",
            [each["broker_cpu_us_per_delivery"] for each in results], "us", LOWER, command, **more,
        )  # fmt: skip
        busy = sorted(each["broker_cpu_seconds"] / each["seconds"] for each in results)
        section.data[f"{row.id}.{name}.busy"] = busy[len(busy) // 2]
    # Ratios of one round each: what slows the machine slows both.
    pairs = [
        (ours, theirs)
        for ours, theirs in zip(found[OURS], found.get("mosquitto", []))
        if ours and theirs
    ]
    if not pairs:
        return
    section.add(
        f"{row.id}.rate-ratio", f"{row.title}: rate as a multiple of mosquitto's",
        [ours["deliveries_per_second"] / theirs["deliveries_per_second"] for ours, theirs in pairs],
        "x", HIGHER, command, target=row.rate,
    )  # fmt: skip
    section.add(
        f"{row.id}.cpu-ratio", f"{row.title}: CPU as a fraction of mosquitto's",
        [
            ours["broker_cpu_us_per_delivery"] / theirs["broker_cpu_us_per_delivery"]
            for ours, theirs in pairs
        ],
        "of mosquitto's", LOWER, command, target=row.cpu,
    )  # fmt: skip


def verdict(section: Section, row: Row) -> str:
    """Which of a row's two targets is met; one of them has to be."""
    rate, cpu = section.get(f"{row.id}.rate-ratio"), section.get(f"{row.id}.cpu-ratio")
    if row.rate is None or rate is None or cpu is None:
        return "—"
    met = [name for name, one in (("rate", rate), ("CPU", cpu)) if one.is_met]
    return f"met: {' and '.join(met)}" if met else "**not met**"


def limit(section: Section, row: Row) -> str:
    """What held the flow back: the broker, or the generator that asked too little of it."""
    busy = section.data.get(f"{row.id}.{OURS}.busy")
    if busy is None:
        return "—"
    return "broker" if busy >= SATURATED else f"generator (broker {busy:.0%} busy)"


def render(section: Section, page: tables.Page) -> None:
    names = [name for name in section.data["brokers"] if name != OURS]
    page.text(
        "A closed loop, messages of 64 bytes unless said otherwise: a publisher keeps a window of "
        "messages under way (400 at QoS 0, 100 at QoS 1 and 2, unless the flow makes that too "
        "many), so this is the most that a broker does. The broker has one loop and the generator "
        "one, a core for each. Each number is a median; the brokers took turns, each started anew."
    )
    rows = []
    for row in ROWS:
        cells = [row.title, page.cell(section.get(f"{row.id}.{OURS}.rate"))]
        cells += [tables.number(_value(section, row, name, "rate")) for name in names]
        cells.append(page.cell(section.get(f"{row.id}.{OURS}.cpu")))
        cells += [tables.number(_value(section, row, name, "cpu")) for name in names]
        rows.append(cells)
    page.table(
        ["flow", "bifrost, deliveries/s", *names, "bifrost, CPU µs for a delivery", *names], rows
    )
    page.text(
        "Beside mosquitto, as ratios of one round. A target is a multiple of mosquitto's rate, or "
        "a fraction of its CPU time for a delivery; one of the two has to be met, since a broker "
        "that the generator can't keep busy does not show its rate."
    )
    rows = [
        [
            row.title, page.cell(section.get(f"{row.id}.rate-ratio")), tables.number(row.rate),
            page.cell(section.get(f"{row.id}.cpu-ratio")), tables.number(row.cpu),
            verdict(section, row), limit(section, row),
        ]
        for row in ROWS
    ]  # fmt: skip
    page.table(
        ["flow", "rate, times mosquitto's", "target", "CPU, of mosquitto's", "target", "met by",
         "limit"], rows,
    )  # fmt: skip


def _value(section: Section, row: Row, name: str, kind: str) -> float | None:
    one = section.get(f"{row.id}.{name}.{kind}")
    return one.value if one else None


def draw(section: Section) -> list[plots.Plot]:
    labels = [
        row.title.replace(" wildcard subscriptions", " wildcard").replace(", ", ",\n")
        for row in ROWS[:-1]
    ]

    def series(kind: str) -> list[plots.Series]:
        return [
            plots.Series(name.replace("bifrost-1", "bifrost"), labels,
                         [_value(section, row, name, kind) for row in ROWS[:-1]])
            for name in section.data["brokers"]
        ]  # fmt: skip

    return [
        plots.Plot("speed-cpu", "The broker's CPU time for a delivery", "",
                   "µs (logarithmic), less is better", series("cpu"), kind="bars", log_y=True),
        plots.Plot("speed-rate", "Deliveries in a second", "",
                   "deliveries/s (logarithmic)", series("rate"), kind="bars", log_y=True),
    ]  # fmt: skip
