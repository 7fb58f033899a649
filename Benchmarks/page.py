"""docs/BENCHMARKS.md: made from stored results alone, so that it can be made again from them."""

from __future__ import annotations

from . import (
    allocations, back, backends, crossing, durability, growth, latency, memory, million, plots, profile,
    speed,
)  # fmt: skip
from .figures import Comparison, Figure, Section, is_comparable
from .tables import Page, number

# In the order of the page, which is also that of the measurements.
SECTIONS = {
    "memory": memory,
    "million": million,
    "back": back,
    "allocations": allocations,
    "speed": speed,
    "latency": latency,
    "durability": durability,
    "backends": backends,
    "crossing": crossing,
    "growth": growth,
    "profile": profile,
}

# Rows of the first table: what, its unit, and the figures of this broker, mosquitto, nats-server.
HEADLINES = [
    ("user-space memory for an idle client, {memory} clients, 1 loop", "bytes",
     "memory.bifrost-1.bytes", "memory.mosquitto.bytes", "memory.nats-server.bytes"),
    ("the same with 2 loops", "bytes", "memory.bifrost-2.bytes", None, None),
    ("the same with {million} clients, 64 loops", "bytes", "million.bytes", None, None),
    ("a message to each of {million} clients", "s", "million.reach", None, None),
    ("a broadcast to {million} clients, from the first to the last", "s", "million.broadcast",
     None, None),
    ("heap allocations for a QoS 1 message, 1 loop", "", "allocations.loops-1.qos-1", None, None),
    ("CPU for a QoS 0 message, 100 pairs", "µs", "speed.pair-qos0.bifrost-1.cpu",
     "speed.pair-qos0.mosquitto.cpu", "speed.pair-qos0.nats-server.cpu"),
    ("the same at QoS 1", "µs", "speed.pair-qos1.bifrost-1.cpu", "speed.pair-qos1.mosquitto.cpu",
     "speed.pair-qos1.nats-server.cpu"),
    ("the same at QoS 2", "µs", "speed.pair-qos2.bifrost-1.cpu", "speed.pair-qos2.mosquitto.cpu",
     None),
    ("CPU for a delivery, 1 to 1,000, QoS 0", "µs", "speed.fan-out-qos0.bifrost-1.cpu",
     "speed.fan-out-qos0.mosquitto.cpu", "speed.fan-out-qos0.nats-server.cpu"),
    ("deliveries in a second, 100 pairs, QoS 0", "", "speed.pair-qos0.bifrost-1.rate",
     "speed.pair-qos0.mosquitto.rate", "speed.pair-qos0.nats-server.rate"),
    ("latency at 2,000 QoS 1 messages a second, median", "µs", "latency.bifrost-1.p50",
     "latency.mosquitto.p50", "latency.nats-server.p50"),
    ("the same, 99th percentile", "µs", "latency.bifrost-1.p99", "latency.mosquitto.p99",
     "latency.nats-server.p99"),
    ("durable QoS 1 deliveries in a second, 100 pairs", "", "durability.pair.full.rate", None,
     "durability.pair.nats-server.rate"),
    ("publishes in a second over a stream of gRPC, to 100 devices, QoS 1", "",
     "backends.stream.rate", None, None),
    ("from a call of gRPC to the device, median", "µs", "backends.latency.calls.p50", None, None),
    ("memory for a parked session", "bytes", "durability.parked.bytes", None, None),
    ("restart with {parked} parked sessions, until connections are accepted", "s",
     "durability.restart.warm.accept", None, None),
    ("a delivery from loop to loop, of one inside, QoS 0", "times", "crossing.qos-0.ratio", None,
     None),
    ("wake-ups of 2 loops with {idle} idle clients in {seconds} s", "", "growth.idle-2.wakeups",
     None, None),
]  # fmt: skip


def render(
    sections: dict[str, Section], old: dict[str, Section], experiments: str, drawn: set[str]
) -> str:
    """The page."""
    compared = Comparison(sections, old)
    page = Page(compared, drawn)
    present = {name: sections[name] for name in SECTIONS if name in sections}
    page.heading("Benchmarks", 1)
    page.text(
        "This page is written by `make bench`, which measures everything on it; "
        "`docs/benchmarks/results.json` has the numbers for programs. A section may be measured "
        "again by itself: what one of them compares is of one run. [BENCH.md](BENCH.md) describes "
        "the load generator."
    )
    if any(each.quick for each in present.values()):
        quick = [module.TITLE for name, module in SECTIONS.items()
                 if name in present and present[name].quick]  # fmt: skip
        page.text(
            "**A quick run: small sizes and short times, to see that everything works. The numbers "
            f"of these parts mean nothing: {', '.join(quick)}.**"
        )
    _worse(page, compared, present, old)
    _headlines(page, present)
    _method(page, present)
    for name, section in present.items():
        _section(page, SECTIONS[name], section, present)
    text = page.markdown
    if experiments.strip():
        text += "\n" + experiments.strip() + "\n"
    return text


def _worse(page: Page, compared: Comparison, present: dict, old: dict) -> None:
    worse = compared.worse(present)
    if not worse:
        return
    page.heading("What got worse")
    page.text(
        "These are worse than in the run whose results were committed before this one, by more "
        "than the noise of both. They are marked in the tables too."
    )
    page.table(
        ["figure", "was", "is", "unit", "change"],
        [[new.title, number(before.value), number(new.value), new.unit, change(new, before)]
         for new, before in worse],
    )  # fmt: skip


def change(new: Figure, before: Figure) -> str:
    if not before.value:
        return "from nothing"
    return f"{(new.value / before.value - 1) * 100:+.0f} %"


def _headlines(page: Page, present: dict[str, Section]) -> None:
    figures = {each.id: each for section in present.values() for each in section.figures}
    words = _sizes(present)
    rows = []
    for title, unit, ours, theirs, nats in HEADLINES:
        one = figures.get(ours)
        if one is None:
            continue
        others = [number(figures[name].value) if name in figures else "—"
                  for name in (theirs, nats)]  # fmt: skip
        goal = f"{number(one.target)}: {page.target(one)}" if one.target is not None else "—"
        title = title.format(**words)
        rows.append([f"{title}{f', {unit}' if unit else ''}", page.cell(one), *others, goal])
    if rows:
        page.heading("At a glance")
        page.table(["", "bifrost", "mosquitto", "nats-server", "target"], rows)


def _sizes(present: dict[str, Section]) -> dict[str, str]:
    """How many clients there were, for the titles of the first table."""
    idle = present["growth"].data.get("idle-2", {}) if "growth" in present else {}
    many = present["million"].data.get("clients", 0) if "million" in present else 0
    return {
        "memory": f"{present['memory'].data.get('clients', 0):,}" if "memory" in present else "",
        "million": "a million" if many == 1_000_000 else f"{many:,}",
        "parked": f"{(present['durability'].data.get('counts') or [0])[-1]:,}"
        if "durability" in present else "",
        "idle": f"{idle.get('clients', 0):,}",
        "seconds": str(idle.get("seconds", 0)),
    }


def _method(page: Page, present: dict[str, Section]) -> None:
    page.heading("How")
    page.list([
        "**In one run.** Each comparison is made with the same generator, `bifrost bench`, on the "
        "same machine, within the same minutes; the brokers take turns. Ratios are of one round. "
        "Numbers of different machines can't be compared, ratios can, with care.",
        "**Closed loop** for throughput: publishers keep a window of messages under way. **Paced** "
        "for latency: messages have times at which they are due, and wait as long as they wait.",
        "**Medians** of the rounds, with the lowest and the highest in parentheses.",
        "**CPU time for a delivery** is the broker's own, of all its threads, from the scheduler. "
        "It does not depend on what the generator takes, and says more than a rate where both "
        "share a machine.",
        "**Worse or better** than the committed results is what lies outside of all their rounds "
        "by more than the noise of both runs: half of the spread of each one's rounds, and at "
        "least 3 % (10 % where there is one round only). Runs on other machines are not compared.",
        "mosquitto is Debian's, with one listener, no persistence, and without its limits of "
        "messages in flight and queued. Nagle's algorithm is on, as it has it by default and as "
        "it takes less CPU time, but for latency, where it is off. nats-server is Debian's, with MQTT on "
        "JetStream, which keeps QoS 1 messages in a file. Version 2.9 has no QoS 2.",
    ])  # fmt: skip
    newest = max(present.values(), key=lambda each: each.when, default=None)
    if newest is None:
        return
    machine = newest.machine
    page.table(["machine", ""], [
        ["processor", f"{machine.get('cores')} cores, {machine.get('cpu')}"
         + (", virtual" if machine.get("virtual") else "")],
        ["memory", f"{machine.get('memory_gib')} GiB"],
        ["system", f"{machine.get('system')}, {machine.get('kernel')}"],
        *[[name, version] for name, version in newest.versions.items()],
        ["network", "loopback"],
    ])  # fmt: skip
    page.text("Again, all of it or a part:")
    page.code(["make bench", "make bench BENCH_FLAGS='--only speed,latency --rounds 5'"])


def _section(page: Page, module, section: Section, present: dict[str, Section]) -> None:
    page.heading(module.TITLE)
    if section.skipped:
        page.text(f"Not measured: {section.skipped}.")
        return
    facts = [section.when]
    if section.rounds > 1:
        facts.append(f"{section.rounds} rounds")
    if section.quick:
        facts.append("**quick run**")
    newest = max(present.values(), key=lambda each: each.when)
    if section.machine != newest.machine:
        facts.append(
            f"on {section.machine.get('cores')} cores of {section.machine.get('cpu')}, "
            f"{section.machine.get('kernel')}"
        )
    page.text(f"Measured {', '.join(facts)}.")
    module.render(section, page)
    for plot in module.draw(section):
        line = f"(benchmarks/{plot.name}.svg)"
        if not any(line in part for part in page.parts):
            page.image(plot.name, plot.title)
    page.list([each if each.endswith(".") else f"{each}." for each in section.notes])
    page.code(section.commands)


def drawings(sections: dict[str, Section]) -> list[plots.Plot]:
    """The plots of all sections that were measured."""
    return [
        plot
        for name, module in SECTIONS.items()
        if name in sections and not sections[name].skipped
        for plot in module.draw(sections[name])
    ]


def not_compared(new: dict[str, Section], old: dict[str, Section]) -> list[str]:
    """Sections that were measured and can't be compared with the stored ones."""
    return [
        name for name, section in new.items()
        if name in old and not section.skipped and not is_comparable(section, old[name])
    ]  # fmt: skip
