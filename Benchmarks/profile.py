"""Where the broker's CPU time goes, by samples of `perf`."""

from __future__ import annotations

import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from . import brokers, plots, tables
from .brokers import Failure
from .buckets import BUCKETS, bucket_of_kernel, bucket_of_user
from .context import Context, Skip
from .figures import Section
from .load import shown
from .machine import program

TITLE = "Where the time goes"
FREQUENCY = 2_000
PAIR = ("pair", "--pairs", 100, "--payload", 64)

FLOWS = {
    "pair-qos0": ("100 pairs, QoS 0", 1, (*PAIR, "--qos", 0)),
    "pair-qos1": ("100 pairs, QoS 1", 1, (*PAIR, "--qos", 1)),
    "pair-qos2": ("100 pairs, QoS 2", 1, (*PAIR, "--qos", 2)),
    "fan-out-qos0": ("1 to 1,000, QoS 0", 1,
                     ("fan-out", "--subscribers", 1000, "--payload", 64, "--qos", 0)),
    "pair-16k": ("10 pairs, 16 KiB", 1, ("pair", "--pairs", 10, "--payload", 16384, "--qos", 0)),
    "pair-2-loops": ("100 pairs, QoS 0, 2 loops", 2, (*PAIR, "--qos", 0)),
}  # fmt: skip

RECORD = ("record", "-e", "cpu-clock", "-F", FREQUENCY, "--call-graph", "fp", "--kernel-callchains")


def measure(context: Context) -> Section:
    if program("perf") is None:
        raise Skip("perf is not installed: scripts/install bench")
    section = context.section("profile")
    section.rounds = 1
    section.command(" ".join(["perf", *map(str, RECORD), "-p PID -- sleep SECONDS"]))
    for name, (title, loops, words) in FLOWS.items():
        context.say(f"profile: {title}")
        with tempfile.TemporaryDirectory(prefix="bifrost-bench-") as folder:
            section.data[name] = _one(context, section, loops, words, pathlib.Path(folder))
    return section


def _one(context: Context, section: Section, loops: int, words, folder: pathlib.Path) -> dict:
    sample = 0.6 if context.quick else 4.0
    command = [*words, "--duration", f"{sample + 0.5}s", "--warm-up", "500ms"]
    section.command(shown(command))
    file = folder / "perf.data"
    with (
        context.bifrost(loops) as broker,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        run = pool.submit(context.bench, broker, *command)
        time.sleep(0.75)
        recorder = brokers.start(
            ["perf", *RECORD, "-p", broker.pid, "-o", file, "--", "sleep", sample],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            _, error = recorder.communicate(timeout=sample + 60)
        finally:
            brokers.end(recorder, 5)
        result = run.result()
        # While the broker lives: perf looks up its symbols by where it was mapped.
        if recorder.returncode != 0 or not file.exists():
            raise Failure(f"perf record: {(error.strip().splitlines() or ['no word'])[-1]}")
        counts = _counted(file)
    total = sum(counts.values())
    if total == 0:
        raise Failure("perf record found no sample of the broker")
    return {
        "us": result["broker_cpu_us_per_delivery"], "samples": total,
        "shares": {bucket: counts.get(bucket, 0) / total for bucket in BUCKETS},
    }  # fmt: skip


def _script(file: pathlib.Path, *flags: str) -> str:
    """What perf says of its samples."""
    done = subprocess.run(
        ["perf", "script", "-i", file, *flags], stdin=subprocess.DEVNULL, capture_output=True
    )
    if done.returncode != 0:
        raise Failure("perf script does not read what perf record wrote")
    return done.stdout.decode(errors="replace")


LEAF = re.compile(r"^\s*\d+\s+(?P<ip>[0-9a-f]+)\s+(?P<symbol>.+?)\s+\((?P<object>[^()]*|.*)\)$")


def _counted(file: pathlib.Path) -> dict[str, int]:
    """Samples by bucket. Two readings in step: one has each sample's own place, the other how the
    kernel came to it, which says on behalf of which system call."""
    leaves = _script(file, "-G", "-F", "tid,ip,sym,dso").splitlines()
    chains = _script(file, "-F", "tid,ip,sym").split("\n\n")
    leaves = [LEAF.match(line) for line in leaves if line.strip()]
    chains = [chain for chain in chains if chain.strip()]
    if len(leaves) != len(chains):
        chains = [""] * len(leaves)
    names = _demangled({leaf["symbol"] for leaf in leaves if leaf})
    counts: dict[str, int] = {}
    for leaf, chain in zip(leaves, chains):
        if leaf is None:
            bucket = "other"
        elif leaf["ip"].startswith("ffff") or "kernel" in leaf["object"]:
            bucket = bucket_of_kernel(chain)
        else:
            symbol = leaf["symbol"]
            bucket = bucket_of_user(names.get(symbol, symbol), leaf["object"])
        counts[bucket] = counts.get(bucket, 0) + 1
    return counts


def _demangled(symbols: set[str]) -> dict[str, str]:
    """Swift's names as they are in the sources; as they are where there is no `swift`."""
    mangled = sorted(symbol for symbol in symbols if symbol.startswith("$s"))
    if not mangled or shutil.which("swift") is None:
        return {}
    done = subprocess.run(
        ["swift", "demangle", "--compact"], input="\n".join(mangled), text=True,
        capture_output=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    return dict(zip(mangled, lines)) if len(lines) == len(mangled) else {}


def render(section: Section, page: tables.Page) -> None:
    page.text(
        f"`perf record` samples the broker {FREQUENCY:,} times a second by the software clock "
        "while a flow runs in a closed loop. A sample in the kernel counts for the system call "
        "that it was taken in; one in the broker for the function that it was taken in. "
        "Microseconds of CPU for a delivery, and the share of all samples."
    )
    found = {name: section.data[name] for name in FLOWS if name in section.data}
    rows = []
    for bucket, title in BUCKETS.items():
        shares = [each["shares"].get(bucket, 0) for each in found.values()]
        if not any(share >= 0.0005 for share in shares):
            continue
        rows.append([title] + [
            f"{tables.number(share * each['us'])} ({share:.0%})"
            for share, each in zip(shares, found.values())
        ])  # fmt: skip
    rows.append(["**all**", *[f"{tables.number(each['us'])}" for each in found.values()]])
    rows.append(["samples", *[f"{each['samples']:,}" for each in found.values()]])
    page.table(["µs for a delivery", *[FLOWS[name][0] for name in found]], rows)
    page.text("What can't be told apart:")
    page.list([
        "On the loopback, a write runs the receiver's side of the kernel's network too: `write` "
        "has the way of a message into the other socket, and the generator's writes pay for what "
        "comes in.",
        "The compiler works on all modules at once, and puts small functions into those that call "
        "them. Their time counts for the caller: parsing has only what is left of it as a "
        "function of its own, and some of `Util` and `Session` is in the packets' handlers.",
        "`memcpy` and its kind have no caller here: they copy into output, into batches and into "
        "what is kept. `memcmp`, which compares a topic with a filter, is in the same row.",
    ])  # fmt: skip


def draw(section: Section) -> list[plots.Plot]:
    found = {name: section.data[name] for name in FLOWS if name in section.data}
    labels = [FLOWS[name][0] for name in found]
    series = [
        plots.Series(
            title, labels, [100 * each["shares"].get(bucket, 0) for each in found.values()]
        )
        for bucket, title in BUCKETS.items()
        if any(each["shares"].get(bucket, 0) >= 0.01 for each in found.values())
    ]
    return [
        plots.Plot("profile", "Where the broker's CPU time goes", "% of samples", "", series,
                   kind="stack")
    ]  # fmt: skip
