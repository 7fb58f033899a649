"""A million clients on one process: memory, connects, pings, a message to each, a broadcast."""

from __future__ import annotations

import os
import resource
import time

from . import machine, plots, tables
from .context import Context, Skip
from .figures import HIGHER, LOWER, Section
from .load import shown

TITLE = "A million clients"
CLIENTS, QUICK_CLIENTS = 1_000_000, 20_000
LOOPS = 64
TARGET, ACCEPTED = 256, 400
# Both ends of the connections are on this machine: 9 GB of the kernel's, 0.3 of the broker's, and
# what the generator keeps.
MEMORY_GIB = 14
# A loop's share of the clients, and what else it has open.
FILES = 16_500

SETTINGS = {
    "net/ipv4/ip_local_port_range": "1024 65535",
    # Pages for the buffers of all sockets: the default, a share of the memory, is too little for
    # the moment of a broadcast to both ends of a million.
    "net/ipv4/tcp_mem": "2000000 3000000 4000000",
}


def why_not(quick: bool) -> str | None:
    """What this machine lacks for a million clients."""
    if quick:
        return None
    if os.geteuid() != 0:
        return "it has to be root: it sets " + " and ".join(SETTINGS).replace("/", ".")
    available = machine.meminfo().get("MemAvailable", 0) / 2**30
    if available < MEMORY_GIB:
        return f"{MEMORY_GIB} GiB of memory have to be available, and {available:.1f} are"
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files < FILES:
        return f"the hard limit of open files has to be {FILES:,}, and is {files:,}"
    return None


def measure(context: Context) -> Section:
    reason = why_not(context.quick)
    if reason:
        raise Skip(reason)
    section = context.section("million")
    section.rounds = 1
    if os.geteuid() != 0:
        return _measure(context, section)
    with machine.kernel_settings(SETTINGS):
        return _measure(context, section)


def _measure(context: Context, section: Section) -> Section:
    count = QUICK_CLIENTS if context.quick else CLIENTS
    hold = "6s" if context.quick else "65s"
    sources = max(2, -(-count // 12_000))
    words = [
        "idle", "--clients", count, "--loops", LOOPS, "--source-addresses", sources,
        "--keep-alive", 10 if context.quick else 60, "--reach", "--broadcast", "--hold", hold,
    ]  # fmt: skip
    section.command(shown(words))
    # The generator has one client more, which publishes.
    flags = ["--net-private-descriptors", "on", "--mqtt-max-connections", str(count + 10)]
    context.say(f"million: {count:,} clients on one process")
    with context.bifrost(LOOPS, *flags) as broker:
        section.commands.insert(0, broker.command)
        begun = time.monotonic()
        before, kernel_before = broker.resident(), machine.kernel_memory()
        with machine.Sampler(lambda: {"resident": broker.resident()}) as sampler:
            with context.held(broker, *words, timeout=1800, to_the_end=True) as holder:
                # What was freed while they came has gone back by then.
                time.sleep(2)
                held, kernel_held = broker.resident(), machine.kernel_memory()
        result = holder.result
    kernel = {kind: kernel_held[kind] - kernel_before[kind] for kind in kernel_held}
    section.data.update(
        clients=count,
        resident=held,
        resident_before=before,
        highest=max([held, *(each["resident"] for each in sampler.samples)]),
        kernel=kernel,
        result={name: value for name, value in result.items() if name != "connect_progress"},
        progress=[
            [each["seconds"], each["connected"]] for each in result["connect_progress"] or []
        ],
        samples=sampler.series("resident", begun),
    )
    _figures(section, result, (held - before) / count, sum(kernel.values()) / count)
    return section


def _figures(section: Section, result: dict, bytes_each: float, kernel_each: float) -> None:
    command = section.commands[-1]
    count = section.data["clients"]

    def add(name: str, title: str, value: float | None, unit: str, better: str, **more) -> None:
        if value is not None:
            section.add(name, title, [value], unit, better, command, **more)

    add("bytes", f"user-space bytes for an idle client, {count:,} clients", bytes_each, "bytes",
        LOWER, target=TARGET, accepted=ACCEPTED)  # fmt: skip
    add("kernel-bytes", "the kernel's bytes for a connection, both ends", kernel_each, "bytes",
        LOWER)  # fmt: skip
    add("connect-seconds", "until all are connected and subscribed", result["connect_seconds"],
        "s", LOWER)  # fmt: skip
    add("connects", "connects with a subscription in a second", result["connects_per_second"],
        "/s", HIGHER)  # fmt: skip
    add("connect-cpu", "the broker's CPU for a connect with a subscription",
        result["broker_cpu_us_per_connect"], "us", LOWER)  # fmt: skip
    add("idle-cpu", "the broker's CPU while all are idle, of one core",
        result["broker_cpu_idle_percent"], "%", LOWER, resolution=1.0)  # fmt: skip
    reach, broadcast = result["reach"] or {}, result["broadcast"] or {}
    if reach:
        add("reach", "a QoS 1 message to the topic of each client", reach["seconds"], "s", LOWER)
        if reach["reached"] != reach["clients"]:
            section.note(f"Only {reach['reached']:,} of {reach['clients']:,} clients were reached.")
    if broadcast:
        add("broadcast", "a broadcast, from the first client to the last",
            broadcast["spread_ms"] / 1e3, "s", LOWER)  # fmt: skip
        add("broadcast-last", "a broadcast, from its publish to the last client",
            broadcast["last_ms"] / 1e3, "s", LOWER)  # fmt: skip
        add("broadcast-cpu", "the broker's CPU for a broadcast to all",
            broadcast["broker_cpu_seconds"], "s", LOWER)  # fmt: skip
        if broadcast["reached"] != broadcast["clients"]:
            section.note(
                f"The broadcast reached {broadcast['reached']:,} of {broadcast['clients']:,}."
            )
    for name, what in (("failed", "could not connect"), ("disconnected", "lost their connection")):
        if result.get(name):
            section.note(f"{result[name]:,} clients {what}.")


def render(section: Section, page: tables.Page) -> None:
    data = section.data
    count = data["clients"]
    page.text(
        f"{count:,} clients on one broker process with {LOOPS} loops, each with a table of open "
        "files of its own. Each client subscribes to a topic of its own at QoS 1, and pings "
        "regularly. One generator process holds the other ends on the same machine, so the "
        "kernel's part counts both ends of each connection. The resident set is that after the "
        "last connect, and the growth is since before the first."
    )
    result = data["result"]
    reach, broadcast = result.get("reach") or {}, result.get("broadcast") or {}

    def cell(name: str) -> str:
        return page.cell(section.get(name))

    rows = [
        ["connected", f"{result['connected']:,}"],
        ["resident set of the broker", tables.size(data["resident"])],
        ["its highest, all of the run", tables.size(data["highest"])],
        [
            "growth for each client",
            f"{cell('bytes')} bytes ({TARGET}: {page.target(section.get('bytes'))})",
        ],
        ["kernel memory for each connection, both ends",
         f"{cell('kernel-bytes')} bytes"],
        ["until all were connected and subscribed", f"{cell('connect-seconds')} s"],
        ["connects in a second", cell("connects")],
        ["the broker's CPU for a connect", f"{cell('connect-cpu')} µs"],
        ["the broker's CPU while idle, pings only", f"{cell('idle-cpu')} % of a core"],
        ["a QoS 1 message to each client's own topic",
         f"{reach.get('reached', 0):,} of {reach.get('clients', 0):,} in {cell('reach')} s"],
        ["a broadcast to all reached", f"{broadcast.get('reached', 0):,}"],
        ["… from the first client to the last", f"{cell('broadcast')} s"],
        ["… from its publish to the last client", f"{cell('broadcast-last')} s"],
        ["… the broker's CPU for it", f"{cell('broadcast-cpu')} s"],
    ]  # fmt: skip
    page.table(["what", "value"], rows)
    kernel = {kind: value for kind, value in data["kernel"].items() if value}
    page.text("The kernel's memory by kind, growth until all were connected:")
    page.table(
        ["kind", "bytes", "for each connection"],
        [
            [kind, tables.size(value), tables.number(value / count)]
            for kind, value in kernel.items()
        ],
    )


def draw(section: Section) -> list[plots.Plot]:
    samples, progress = section.data.get("samples", []), section.data.get("progress", [])
    mebibytes = [count / 2**20 for _, count in samples]
    return [
        plots.Plot(
            "million-memory", "Resident set of the broker", "seconds", "MiB",
            [plots.Series("resident set", [seconds for seconds, _ in samples], mebibytes)],
            markers=False,
        ),
        plots.Plot(
            "million-connects", "Connects in a second, as clients come", "clients connected",
            "connects in a second", [_rates(progress)], markers=False,
        ),
    ]  # fmt: skip


def _rates(progress: list) -> plots.Series:
    """The rate over the clients connected, over steps of a second or more."""
    x, y, last = [], [], [0.0, 0]
    for seconds, connected in progress:
        if seconds - last[0] >= 1 and connected > last[1]:
            x.append(connected)
            y.append((connected - last[1]) / (seconds - last[0]))
            last = [seconds, connected]
    return plots.Series("connects", x, y)
