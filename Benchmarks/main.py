"""`scripts/bench`: runs the sections, stores their figures, and writes the page."""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import time
import traceback

from . import brokers, machine, page, plots
from .brokers import Failure
from .context import ROOT, Context, Skip
from .figures import Comparison, Section, load_results, parse_results, results_text
from .tables import number

COMMITTED = "docs/benchmarks/results.json"


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure the broker beside mosquitto and nats-server, and write the page.",
        epilog=f"Sections: {', '.join(page.SECTIONS)}.",
    )
    parser.add_argument("--binary", default=str(ROOT / ".build/release/bifrost"))
    parser.add_argument("--only", metavar="SECTION[,SECTION]", help="measure only these")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement (3)")
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything work?")
    parser.add_argument(
        "--output", type=pathlib.Path, default=ROOT / "docs",
        help="folder of BENCHMARKS.md and benchmarks/ (docs)",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", type=pathlib.Path,
        help=f"results to compare with ({COMMITTED}, as it is committed)",
    )  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="fail where a figure got worse")
    parser.add_argument(
        "--page", action="store_true", help="measure nothing: write the page from the results"
    )
    options = parser.parse_args(words)
    options.only = options.only.split(",") if options.only else list(page.SECTIONS)
    unknown = [name for name in options.only if name not in page.SECTIONS]
    if unknown:
        parser.error(f"there is no section {unknown[0]}: {', '.join(page.SECTIONS)}")
    if options.rounds is None:
        options.rounds = 1 if options.quick else 3
    if options.rounds < 1:
        parser.error("--rounds is 1 or more")
    if not options.page and not os.access(options.binary, os.X_OK):
        parser.error(f"there is no broker at {options.binary}: make build")
    return options


def baseline(path: pathlib.Path | None) -> dict[str, Section]:
    """The results to compare with: those that are committed, so that a second run compares with
    them too, and not with the first."""
    if path is not None:
        return load_results(path)
    if git("rev-parse", "--verify", "HEAD") is None:
        return load_results(ROOT / COMMITTED)
    text = git("show", f"HEAD:{COMMITTED}")
    return parse_results(text) if text else {}


def git(*words: str) -> str | None:
    """What git says; None where it is not here, this is no repository, or it has no such thing."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def write(output: pathlib.Path, sections: dict[str, Section], old: dict[str, Section]) -> None:
    """Writes results, plots and page."""
    folder = output / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    text = results_text(sections)
    replace(folder / "results.json", text)
    # What is stored is rounded: page and plots are made of that, so that they can be made again.
    sections = parse_results(text)
    wanted = page.drawings(sections)
    drawn = plots.save(wanted, folder)
    if drawn is None:
        print("bench: no matplotlib, no new plots: scripts/install bench", file=sys.stderr)
        drawn = {plot.name for plot in wanted if (folder / f"{plot.name}.svg").exists()}
    experiments = pathlib.Path(__file__).with_name("experiments.md").read_text()
    replace(output / "BENCHMARKS.md", page.render(sections, old, experiments, drawn))


def replace(path: pathlib.Path, text: str) -> None:
    """Writes a file in one step: an interrupted run leaves the old one."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


def measure(context: Context, name: str) -> Section:
    begun = time.monotonic()
    try:
        section = page.SECTIONS[name].measure(context)
    except Skip as reason:
        section = context.section(name)
        section.skipped = str(reason)
        context.say(f"{name} is skipped: {reason}")
    section.seconds = time.monotonic() - begun
    return section


def main(words: list[str] | None = None) -> int:
    options = arguments(words)
    brokers.end_with_signals()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    old = baseline(options.baseline)
    sections = load_results(options.output / "benchmarks/results.json")
    failed = []
    if not options.page:
        binary = os.path.abspath(options.binary)
        context = Context(
            binary, options.rounds, options.quick, machine.facts(), machine.versions(binary)
        )
        for name in options.only:
            try:
                sections[name] = measure(context, name)
            except Exception as failure:
                # What was stored of it before stays, with the day of that run; the rest goes on.
                failed.append(name)
                context.say(f"{name} failed: {failure}")
                if not isinstance(failure, Failure):
                    traceback.print_exc()
                continue
            context.say(f"{name} took {sections[name].seconds:.0f} s")
            # After each section, so that what was measured is not lost with a later one.
            write(options.output, ordered(sections), old)
    write(options.output, ordered(sections), old)
    worse = report(ordered(sections), old, options.output)
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
        return 1
    return 1 if worse and options.strict else 0


def ordered(sections: dict[str, Section]) -> dict[str, Section]:
    return {name: sections[name] for name in page.SECTIONS if name in sections}


def report(sections: dict[str, Section], old: dict[str, Section], output: pathlib.Path) -> int:
    """Says what got worse; gives how much that is."""
    worse = Comparison(sections, old).worse(sections)
    for new, before in worse:
        print(
            f"worse: {new.title}: {number(before.value)} -> {number(new.value)} {new.unit} "
            f"({page.change(new, before)}) [{new.id}]"
        )
    for name in page.not_compared(sections, old):
        print(f"not compared: {name}: the committed results are of another size or machine")
    if old and not worse:
        print("nothing got worse than it is in the committed results")
    print(f"written: {output / 'BENCHMARKS.md'}")
    return len(worse)
