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
FEW_PAIRS = 30
# A line through points that are closer together than this says nothing about its slope.
LEAST_SPREAD = 0.1
LARGEST_ERROR = 0.25


def measure(context: Context) -> Section:
    section = context.section("crossing")
    for qos in (0, 1):
        words = [*PAIRS, "--qos", qos, *context.times]
        few = ["pair", "--pairs", FEW_PAIRS, "--payload", 64, "--qos", qos, *context.times]
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
        for turn in range(3 * context.rounds):
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
    base = statistics.median(inside)
    # c = (1 - p) inside + p across, solved for each run.
    across = [(cost - (1 - share) * base) / share for share, cost in points if share > 0]
    if not across:
        section.note(f"QoS {qos}: no message went from one loop to the other.")
        return
    name = f"qos-{qos}"
    section.add(f"{name}.inside", f"CPU for a QoS {qos} delivery inside of a loop", inside, "us",
                LOWER, command)  # fmt: skip
    section.add(f"{name}.across", f"CPU for a QoS {qos} delivery across loops", across, "us",
                LOWER, command)  # fmt: skip
    section.add(
        f"{name}.ratio", f"a QoS {qos} delivery across loops, of one inside",
        [each / base for each in across], "x", LOWER, command, target=TARGET,
    )  # fmt: skip
    section.data[name] = {
        "points": [list(point) for point in points], "inside": base,
        "scattered": [list(point) for point in scattered], "fit": fitted(scattered),
    }  # fmt: skip


def fitted(points: list[tuple[float, float]]) -> dict:
    """A line through (share that crossed, cost): its ends are the costs inside and across."""
    shares = [share for share, _ in points]
    if len(points) < 4 or max(shares) - min(shares) < LEAST_SPREAD:
        return {"stable": False}
    slope, inside = statistics.linear_regression(shares, [cost for _, cost in points])
    mean = statistics.fmean(shares)
    around = sum((share - mean) ** 2 for share in shares)
    residual = sum((cost - inside - slope * share) ** 2 for share, cost in points)
    error = (residual / (len(points) - 2) / around) ** 0.5
    if inside <= 0:
        return {"stable": False}
    ratio_error = error / inside
    return {
        "stable": ratio_error < LARGEST_ERROR, "inside": inside, "across": inside + slope,
        "ratio": (inside + slope) / inside, "error": ratio_error,
    }  # fmt: skip


def render(section: Section, page: tables.Page) -> None:
    page.text(
        "100 pairs in a closed loop on a broker with 2 loops. The kernel spreads connections over "
        "the loops by chance, so about half of the pairs have an end on each. Those inside of one "
        "loop are faster; `$SYS/broker/publish/messages/forwarded` says which share p of the "
        "deliveries went from loop to loop. A delivery then costs c = (1 − p) inside + p across, "
        "with inside as measured with one loop. Two loops and the generator share the machine's "
        "cores, so what they take from each other counts as the crossing's cost. "
        f"With {FEW_PAIRS} pairs p differs from run to run, and a line through those runs gives "
        "both ends of it without the run on one loop; its error says what that is worth."
    )
    rows = []
    for qos in (0, 1):
        found = section.data.get(f"qos-{qos}")
        if found is None:
            continue
        ratio = section.get(f"qos-{qos}.ratio")
        shares = [share for share, _ in found["points"]]
        rows.append([
            f"QoS {qos}", f"{min(shares):.0%} to {max(shares):.0%}",
            page.cell(section.get(f"qos-{qos}.inside")),
            page.cell(section.get(f"qos-{qos}.across")), page.spread(ratio),
            f"{TARGET}: {page.target(ratio)}", _fit_text(found["fit"]),
        ])  # fmt: skip
    page.table(
        ["flow", "crossed", "inside, µs", "across, µs", "across / inside", "target",
         f"by least squares, {FEW_PAIRS} pairs"], rows,
    )  # fmt: skip


def _fit_text(fit: dict) -> str:
    if not fit["stable"]:
        return f"not stable ({fit['ratio']:.2f} ± {fit['error']:.2f})" if "ratio" in fit else "—"
    return f"{fit['ratio']:.2f} ± {fit['error']:.2f}"


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
