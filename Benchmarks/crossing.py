"""What a delivery costs when publisher and subscriber are on different loops."""

from __future__ import annotations

import statistics
import time

from . import plots, tables
from .brokers import Failure
from .context import Context
from .figures import LOWER, Section
from .load import shown

TITLE = "From loop to loop"
TARGET = 1.5
PAIRS = ("pair", "--pairs", 100, "--payload", 64)
# So few that chance spreads the share of those that cross, for a line through the points.
FEW_PAIRS = 4
RUNS_IN_A_ROUND = 8
# A line through points that are closer together than this says nothing about its slope.
LEAST_SPREAD = 0.1


def measure(context: Context) -> Section:
    section = context.section("crossing")
    for qos in (0, 1):
        words = [*PAIRS, "--qos", qos, *context.times]
        few = ["pair", "--pairs", FEW_PAIRS, "--payload", 64, "--qos", qos]
        few += context.times if context.quick else ["--duration", "2s", "--warm-up", "500ms"]
        section.command(shown(words))
        section.command(shown(few))
        inside, points = [], []
        for turn in range(context.rounds):
            context.say(f"crossing: QoS {qos}, 1 loop, round {turn + 1}")
            with context.bifrost(1, sys_interval="1s") as broker:
                inside.append(context.bench(broker, *words)["broker_cpu_us_per_delivery"])
            context.say(f"crossing: QoS {qos}, 2 loops, round {turn + 1}")
            points.append(_two_loops(context, section, words))
        scattered = []
        for turn in range(RUNS_IN_A_ROUND * context.rounds):
            context.say(f"crossing: QoS {qos}, 2 loops, {FEW_PAIRS} pairs, run {turn + 1}")
            scattered.append(_two_loops(context, section, few))
        _figures(section, qos, shown(words), inside, points, scattered)
    return section


def _two_loops(context: Context, section: Section, words: list) -> tuple[float, float]:
    """The share of deliveries that crossed, and the CPU time for one in microseconds."""
    with context.bifrost(2, sys_interval="1s") as broker:
        section.command(broker.command)
        cost = context.bench(broker, *words)["broker_cpu_us_per_delivery"]
        time.sleep(1.2)
        names = ["publish/messages/forwarded", "publish/messages/sent"]
        counts = context.topics(broker, *names, count=2)
    forwarded, sent = (counts.get(name) for name in names)
    if forwarded is None or not sent:
        raise Failure("this binary does not publish $SYS/broker/publish/messages/forwarded")
    section.command("bifrost sub -p PORT -t '$SYS/broker/publish/messages/#' -v -W 2")
    return forwarded / sent, cost


def _figures(section: Section, qos: int, command: str, inside: list, points: list,
             scattered: list) -> None:  # fmt: skip
    name, fit = f"qos-{qos}", fitted(scattered)
    section.data[name] = {
        "points": [list(point) for point in points],
        "scattered": [list(point) for point in scattered], "fit": fit,
    }  # fmt: skip
    section.add(f"{name}.one-loop", f"CPU for a QoS {qos} delivery, 1 loop", inside, "us", LOWER,
                command)  # fmt: skip
    section.add(f"{name}.two-loops", f"CPU for a QoS {qos} delivery, 2 loops",
                [cost for _, cost in points], "us", LOWER, command)  # fmt: skip
    if fit is None:
        section.note(f"QoS {qos}: the share of messages that crossed hardly varied.")
        return
    margin = fit["error"]
    section.add(
        f"{name}.ratio", f"a QoS {qos} delivery across loops, of one inside",
        [fit["ratio"], max(0.0, fit["ratio"] - margin), fit["ratio"] + margin], "x", LOWER,
        command, target=TARGET,
    )  # fmt: skip


def fitted(points: list[tuple[float, float]]) -> dict | None:
    """A line through (share that crossed, cost): its ends are the costs inside and across."""
    shares = [share for share, _ in points]
    if len(points) < 4 or max(shares) - min(shares) < LEAST_SPREAD:
        return None
    slope, inside = statistics.linear_regression(shares, [cost for _, cost in points])
    mean = statistics.fmean(shares)
    around = sum((share - mean) ** 2 for share in shares)
    residual = sum((cost - inside - slope * share) ** 2 for share, cost in points)
    if inside <= 0:
        return None
    error = (residual / (len(points) - 2) / around) ** 0.5
    return {
        "inside": inside, "across": inside + slope, "ratio": (inside + slope) / inside,
        "error": error / inside,
    }  # fmt: skip


def render(section: Section, page: tables.Page) -> None:
    page.text(
        "A closed loop on a broker with 2 loops. The kernel spreads connections over the loops by "
        "chance; `$SYS/broker/publish/messages/forwarded` says which share of the deliveries went "
        f"from loop to loop. With {FEW_PAIRS} pairs that share differs from run to run, and a line "
        "through many runs, each with a broker of its own, has the cost of a delivery inside of a "
        "loop at one end and that of one across loops at the other. The target is for the ratio "
        "of the two; its standard error says what it is worth."
    )
    rows = []
    for qos in (0, 1):
        found = section.data.get(f"qos-{qos}")
        if found is None or found["fit"] is None:
            continue
        shares, fit = [share for share, _ in found["scattered"]], found["fit"]
        ratio = section.get(f"qos-{qos}.ratio")
        rows.append([
            f"QoS {qos}", f"{len(shares)}", f"{min(shares):.0%} to {max(shares):.0%}",
            tables.number(fit["inside"]), tables.number(fit["across"]),
            f"{fit['ratio']:.2f} ± {fit['error']:.2f}", f"{TARGET}: {page.target(ratio)}",
        ])  # fmt: skip
    page.table(
        ["flow", "runs", "crossed", "inside, µs", "across, µs", "across / inside", "target"], rows
    )
    page.text(
        "Beside that, 100 pairs. Two loops and the "
        "generator are three threads on this machine's cores, and what they take from each other "
        "is in the second column, crossing or not."
    )
    rows = []
    for qos in (0, 1):
        found = section.data.get(f"qos-{qos}")
        if found is None:
            continue
        shares = [share for share, _ in found["points"]]
        rows.append([
            f"QoS {qos}", page.cell(section.get(f"qos-{qos}.one-loop")),
            page.cell(section.get(f"qos-{qos}.two-loops")),
            f"{min(shares):.0%} to {max(shares):.0%}",
        ])  # fmt: skip
    page.table(["flow", "1 loop, µs", "2 loops, µs", "crossed"], rows)


def draw(section: Section) -> list[plots.Plot]:
    series = []
    for qos in (0, 1):
        points = sorted(section.data.get(f"qos-{qos}", {}).get("scattered", []))
        series.append(
            plots.Series(
                f"QoS {qos}", [100 * share for share, _ in points], [cost for _, cost in points]
            )
        )
    return [
        plots.Plot("crossing", f"CPU time for a delivery, {FEW_PAIRS} pairs on 2 loops, run by run",
                   "% of deliveries that crossed", "µs", series, kind="points")
    ]  # fmt: skip
