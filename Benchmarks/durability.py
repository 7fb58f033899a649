"""The durable store: messages a second, parked sessions, restarts, what lags, idle clients."""

from __future__ import annotations

import subprocess
import tempfile

from . import backlog, durable, memory, parked, plots, tables
from .context import Context
from .figures import LOWER, Section
from .load import shown

TITLE = "Durability"


def measure(context: Context) -> Section:
    section = context.section("durability")
    section.data["filesystem"] = _filesystem()
    durable.measure(context, section)
    _idle(context, section)
    parked.measure(context, section)
    backlog.measure(context, section)
    return section


def _filesystem() -> str:
    """The kind of file system that the stores are on."""
    done = subprocess.run(
        ["stat", "-f", "-c", "%T", tempfile.gettempdir()], capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


def _idle(context: Context, section: Section) -> None:
    """What an idle client costs where the store is the default one."""
    count = context.clients(2_000 if context.quick else memory.CLIENTS)
    words = ["idle", "--clients", count, "--keep-alive", 60, "--hold", "2s"]
    section.command(shown(words))
    section.data["idle"] = count
    for loops in (1, 2):
        values = []
        for turn in range(context.rounds):
            context.say(f"durability: {count:,} idle clients, {loops} loops, round {turn + 1}")
            with context.bifrost(loops, data="FOLDER/data") as broker:
                context.bench(broker, "idle", "--clients", 10, "--hold", "500ms")
                values.append(context.bench(broker, *words)["broker_bytes_per_client"])
        section.add(
            f"idle-{loops}.bytes", f"user-space bytes for an idle client with the store, {loops} "
            f"loop{'s' * (loops > 1)}", values, "bytes", LOWER, shown(words),
            target=memory.TARGET, accepted=memory.ACCEPTED,
        )  # fmt: skip


def render(section: Section, page: tables.Page) -> None:
    page.text(
        "With `store.kind: sqlite`, the default: sessions, messages and retained messages are on "
        "the disk before they are acknowledged."
    )
    durable.render(section, page)
    page.heading("Idle clients with the store", 3)
    page.text(
        f"{section.data['idle']:,} clients whose sessions end with their connections, as in "
        f"“{memory.TITLE}”, which is measured with the memory store."
    )
    page.table(
        ["loops", "bytes for a client", "target", ""],
        [[loops, page.spread(one), tables.number(one.target), page.target(one)]
         for loops in (1, 2) if (one := section.get(f"idle-{loops}.bytes"))],
    )  # fmt: skip
    parked.render(section, page)
    backlog.render(section, page)


def draw(section: Section) -> list[plots.Plot]:
    return []
