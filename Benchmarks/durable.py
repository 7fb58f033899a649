"""Messages that are durable before they are acknowledged: how many, and at what cost."""

from __future__ import annotations

import dataclasses

from . import tables
from .brokers import Failure
from .context import Context, rotated
from .figures import HIGHER, LOWER, Section
from .load import shown

WORDS = ("pair", "--pairs", 100, "--payload", 64, "--qos", 1, "--persistent")
DATA = "FOLDER/data"
OURS, MEMORY, NATS = "full", "memory", "nats-server"


@dataclasses.dataclass(frozen=True)
class Kind:
    title: str
    flags: tuple = ()
    data: str | None = DATA
    # What an acknowledgement promises.
    survives: str = "loss of power"


KINDS = {
    OURS: Kind("bifrost, SQLite, `store.sync: full`"),
    "normal": Kind("bifrost, SQLite, `store.sync: normal`", ("--store-sync", "normal"),
                   survives="a crash of the broker"),
    MEMORY: Kind("bifrost, `store.kind: memory`", data=None, survives="nothing"),
    NATS: Kind("nats-server, JetStream", survives="a crash of the broker"),
}  # fmt: skip
# Of the memory store's rate, what is left with everything written to the disk.
SHARE = 0.5


def measure(context: Context, section: Section) -> None:
    names = [name for name in KINDS if name != NATS or NATS in context.peers()]
    found: dict[str, list[dict]] = {name: [] for name in names}
    section.command(shown([*WORDS, *context.times]))
    for turn in range(context.rounds):
        for name in rotated(names, turn):
            context.say(f"durability: 100 pairs, {KINDS[name].title}, round {turn + 1}")
            result = _one(context, section, name)
            if result:
                found[name].append(result)
    for name, results in found.items():
        if results:
            _figures(section, name, results)
    _ratios(section, found)


def _one(context: Context, section: Section, name: str) -> dict | None:
    started = (
        context.broker(name)
        if name == NATS
        else context.bifrost(1, *KINDS[name].flags, data=KINDS[name].data)
    )
    with started as broker:
        section.command(broker.command)
        try:
            result = context.bench(
                broker, *WORDS, *context.times, tolerant=name == NATS, timeout=180
            )
        except Failure as failure:
            if name != NATS:
                raise
            section.note(f"{KINDS[name].title}: {failure}")
            return None
    if name == NATS and not result["deliveries"]:
        section.note(f"{KINDS[name].title}: no message came through.")
        return None
    if name == NATS and result["lost"]:
        section.note(f"{KINDS[name].title}: some of the messages were lost.")
    return result


def _figures(section: Section, name: str, results: list[dict]) -> None:
    title, command = KINDS[name].title, shown(WORDS)
    of = NATS if name == NATS else "bifrost"
    for key, member, what, unit, better in (
        ("rate", "deliveries_per_second", "deliveries in a second", "/s", HIGHER),
        ("cpu", "broker_cpu_us_per_delivery", "CPU for a delivery", "us", LOWER),
        ("disk", "broker_disk_bytes_per_message", "bytes to the disk for a message", "bytes",
         LOWER),
    ):  # fmt: skip
        values = [each[member] for each in results if each[member] is not None]
        if values:
            section.add(
                f"pair.{name}.{key}", f"100 pairs, persistent, QoS 1: {what}, {title}", values,
                unit, better, command, of=of,
            )  # fmt: skip


def _ratios(section: Section, found: dict[str, list[dict]]) -> None:
    """Of one round each: what slows the machine slows both."""
    for other, target, title in (
        (NATS, 1, "rate as a multiple of nats-server's"),
        (MEMORY, SHARE, "rate as a share of the memory store's"),
    ):
        pairs = list(zip(found.get(OURS, []), found.get(other, [])))
        if pairs:
            section.add(
                f"pair.{OURS}-of-{other}", f"100 pairs, persistent, QoS 1: {title}",
                [ours["deliveries_per_second"] / theirs["deliveries_per_second"]
                 for ours, theirs in pairs],
                "x", HIGHER, shown(WORDS), target=target,
            )  # fmt: skip


def render(section: Section, page: tables.Page) -> None:
    page.heading("Messages a second", 3)
    page.text(
        "100 pairs of a publisher and a subscriber, all of them with sessions that outlive their "
        "connections, 64 bytes at QoS 1, a window of 100 messages for each pair. One loop, beside "
        "which the store has a thread; the generator has one too, so three of them share "
        f"{section.machine.get('cores')} cores. All brokers write to the same disk "
        f"({section.data.get('filesystem', 'unknown')}). Bytes to the disk are those of the pages "
        "that a process made the system write (`write_bytes` in `/proc/PID/io`), for each message."
    )
    rows = []
    for name, kind in KINDS.items():
        cells = [section.get(f"pair.{name}.{key}") for key in ("rate", "cpu", "disk")]
        if any(cells):
            rows.append([kind.title, kind.survives, page.spread(cells[0]),
                         *map(page.cell, cells[1:])])  # fmt: skip
    page.table(
        ["broker", "what was acknowledged survives", "deliveries/s", "CPU for a delivery, µs",
         "bytes to the disk for a message"], rows,
    )  # fmt: skip
    rows = []
    for other, title in ((NATS, "rate, times nats-server's"), (MEMORY, "rate, of memory's")):
        one = section.get(f"pair.{OURS}-of-{other}")
        if one:
            rows.append([title, page.spread(one), tables.number(one.target), page.target(one)])
    page.table(["`store.sync: full`", "ratio of one round", "target", ""], rows)
    page.text(
        "nats-server 2.9 acknowledges a message when it is written, and has the system put it on "
        "the disk every two minutes; `store.sync: normal` is the like of that here."
    )
