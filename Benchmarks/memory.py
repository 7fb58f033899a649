"""What an idle client costs in user-space memory, and the broker's own account of it."""

from __future__ import annotations

import time

from . import plots, tables
from .brokers import Failure
from .context import Context, rotated
from .figures import LOWER, Section
from .load import shown

TITLE = "Memory of an idle client"
CLIENTS = 15_000
TARGET, ACCEPTED = 256, 400
LEDGER_TARGET = 0.05

TITLES = {
    "bifrost-1": "bifrost, 1 loop",
    "bifrost-2": "bifrost, 2 loops",
    "mosquitto": "mosquitto",
    "nats-server": "nats-server",
}

# Kinds of the broker's account, as the page explains them; others are shown by their names.
KINDS = {
    "connections": "connections",
    "sessions": "sessions",
    "client-ids": "client identifiers",
    "directory": "directory of client identifiers",
    "filters": "filters",
    "subscriptions": "subscriptions",
    "interest": "index of which loop wants what",
    "read-remainders": "incomplete packets",
    "write-queues": "output that a socket did not take",
    "in-flight": "messages in flight",
    "retained": "retained messages",
    "between-loops": "messages between loops",
    "buffers": "buffers of the loops",
    "heap": "the C library's heap",
    "free": "free, kept for what comes",
    "program": "the program's own pages",
}
SUMS = ("total", "resident", "started")


def measure(context: Context) -> Section:
    section = context.section("memory")
    count = context.clients(2_000 if context.quick else CLIENTS)
    section.data["clients"] = count
    words = ["idle", "--clients", count, "--keep-alive", 60, "--hold", "2s"]
    section.command(shown(words))
    names = ["bifrost-1", "bifrost-2", *context.peers()]
    values: dict[str, list[float]] = {name: [] for name in names}
    connects: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(context.rounds):
        for name in rotated(names, turn):
            # Seconds and more for each run, and its memory differs little.
            if name == "nats-server" and turn > 0:
                continue
            context.say(f"memory: {count:,} idle clients on {name}, round {turn + 1}")
            try:
                found = _one(context, section, name, words)
            except Failure as failure:
                section.note(f"{name}: {failure}")
                continue
            values[name].append(found["broker_bytes_per_client"])
            connects[name].append(found["broker_cpu_us_per_connect"])
    for name, found in values.items():
        if not found:
            continue
        own = name.startswith("bifrost")
        section.add(
            f"{name}.bytes", f"user-space bytes for an idle client, {TITLES[name]}", found,
            "bytes", LOWER, shown(words), target=TARGET if own else None,
            accepted=ACCEPTED if own else None, of="bifrost" if own else name,
        )  # fmt: skip
        section.add(
            f"{name}.connect-cpu", f"CPU of a connect with a subscription, {TITLES[name]}",
            connects[name], "us", LOWER, shown(words), of="bifrost" if own else name,
        )  # fmt: skip
    for loops in (2,) if context.quick else (1, 2):
        _ledger(context, section, loops, count)
    return section


def _one(context: Context, section: Section, name: str, words: list) -> dict:
    with context.broker(name) as broker:
        section.command(broker.command)
        # What a first client makes a broker touch, once, is not what each further one costs.
        context.bench(broker, "idle", "--clients", 10, "--hold", "500ms")
        return context.bench(broker, *words)


def _ledger(context: Context, section: Section, loops: int, count: int) -> None:
    """What the broker says that its memory is for, beside what the system sees."""
    context.say(f"memory: the broker's account, {loops} loop{'s' * (loops > 1)}")
    with context.bifrost(loops, sys_interval="1s") as broker:
        context.bench(broker, "idle", "--clients", 10, "--hold", "500ms")
        time.sleep(1.2)
        before = context.topics(broker, "memory/#")
        if not before:
            section.note("This binary does not publish `$SYS/broker/memory/…`: no account.")
            return
        rss_before = broker.resident()
        command = ["idle", "--clients", count, "--keep-alive", 60, "--hold", "60s"]
        with context.held(broker, *command):
            time.sleep(2.2)
            after = context.topics(broker, "memory/#")
            rss_after = broker.resident()
    strip = {name.removeprefix("memory/"): value for name, value in after.items()}
    base = {name.removeprefix("memory/"): value for name, value in before.items()}
    growth = {name: strip[name] - base.get(name, 0) for name in strip}
    # The broker's own look at its resident set is of the same moment as its account.
    resident = growth.get("resident") or rss_after - rss_before
    section.data[f"ledger-{loops}"] = {
        "growth": growth, "level": strip, "resident": resident,
        "resident_seen": rss_after - rss_before,
    }  # fmt: skip
    if resident <= 0 or "total" not in growth:
        section.note(f"The account of {loops} loops could not be compared: {resident} bytes grown.")
        return
    command_line = "bifrost sub -p PORT -t '$SYS/broker/memory/#' -v -W 2"
    section.command(command_line)
    section.add(
        f"ledger-{loops}", f"share of the growth that is not accounted for, {loops} loops",
        [abs(growth["total"] - resident) / resident], "share", LOWER, command_line,
        target=LEDGER_TARGET, resolution=0.02,
    )  # fmt: skip


def render(section: Section, page: tables.Page) -> None:
    count = section.data["clients"]
    page.text(
        f"{count:,} clients connect, subscribe to a topic of their own (17 bytes) at QoS 1 under a "
        "client identifier of 12 bytes, ping every minute, and do nothing else. Bytes are the "
        "growth of the broker's resident set, divided by the clients. What ten clients made the "
        "broker touch before is not in it. The kernel's memory is not in it either."
    )
    rows = []
    for name, title in TITLES.items():
        bytes_each, connect = section.get(f"{name}.bytes"), section.get(f"{name}.connect-cpu")
        if bytes_each is None:
            continue
        goal = bytes_each.target
        rows.append([
            title, page.spread(bytes_each), tables.number(goal), page.target(bytes_each),
            page.cell(connect),
        ])  # fmt: skip
    page.table(
        ["broker", "bytes for a client", "target", "met", "CPU of connect and subscribe, µs"], rows
    )
    ledgers = {loops: section.data.get(f"ledger-{loops}") for loops in (1, 2)}
    ledgers = {loops: found for loops, found in ledgers.items() if found}
    if not ledgers:
        return
    page.heading("The broker's account", 3)
    page.text(
        "`$SYS/broker/memory/…` says what the memory is for. This is what it grew by for each of "
        f"the {count:,} clients, beside the growth of the resident set in the same moment; the "
        f"two have to be within {LEDGER_TARGET:.0%}."
    )
    kinds = sorted(
        {k for found in ledgers.values() for k in found["growth"] if k not in SUMS},
        key=lambda kind: (list(KINDS).index(kind) if kind in KINDS else 99, kind),
    )
    rows = [
        [KINDS.get(kind, kind)]
        + [tables.number(found["growth"].get(kind, 0) / count) for found in ledgers.values()]
        for kind in kinds
    ]
    rows.append(["**all that is accounted for**"] + [
        tables.number(found["growth"].get("total", 0) / count) for found in ledgers.values()
    ])  # fmt: skip
    rows.append(["growth of the resident set"] + [
        tables.number(found["resident"] / count) for found in ledgers.values()
    ])  # fmt: skip
    rows.append(["difference"] + [
        f"{page.cell(one, tables.percent)}, {page.target(one)}" if one else "—"
        for one in (section.get(f"ledger-{loops}") for loops in ledgers)
    ])  # fmt: skip
    heads = [f"bytes for a client, {loops} loop{'s' * (loops > 1)}" for loops in ledgers]
    page.table(["kind", *heads], rows)


def draw(section: Section) -> list[plots.Plot]:
    found = {title: section.get(f"{name}.bytes") for name, title in TITLES.items()}
    found = {title: one for title, one in found.items() if one}
    return [
        plots.Plot(
            "memory", "User-space memory of an idle client", "", "bytes (logarithmic)",
            [plots.Series("bytes", list(found), [one.value for one in found.values()])],
            kind="bars", log_y=True, line=(TARGET, f"target: {TARGET}"),
        )
    ]  # fmt: skip
