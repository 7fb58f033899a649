#!/usr/bin/env python3
"""Kills the broker under load, again and again, and checks that it kept what it had acknowledged.

    python Tests/Durability/kill.py --rounds 1000 --loops 2 --seed 7

Each round lets the clients run for 30 to 600 ms, kills the broker with SIGKILL, and starts it on
the same data directory. Every --settle rounds, and at the end, all clients come back, finish, and
get what they are owed; then the model says what is missing. The run ends with the first round in
which something was wrong, with status 1, and keeps the data directory.

All choices come from the seed. What meets a kill depends on the machine's timing as well, so a seed
makes a failure likely to come back, not certain.
"""
import argparse
import asyncio
import json
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from broker import BINARY, Broker, BrokerFailed
from ledger import Ledger
from load import Load
from population import PARTS
from power import Power

# Seconds of load before a kill.
SHORTEST, LONGEST = 0.03, 0.6
# How often a broker is killed while it starts, too, and the longest time that it is given.
START_KILLS, START_LONGEST = 0.1, 0.04
PROGRESS = 50  # rounds between two lines


@dataclass
class Options:
    rounds: int
    seed: int
    binary: Path = BINARY
    loops: int = 2
    store_kind: str = "sqlite"
    keep: Path | None = None
    kills: bool = True  # False: connections are cut instead, and the broker stays
    settle: int = 25
    flags: tuple = ()
    without: tuple = ()
    power: bool = False  # whether each kill takes what was not synced as well


@dataclass
class Report:
    summary: dict
    failures: list = field(default_factory=list)

    def text(self):
        lines = [f"{name}: {value}" for name, value in self.summary.items()]
        return "\n".join([str(f) for f in self.failures] + lines)


async def play(options, directory, say):
    """One run; its report."""
    source = random.Random(f"{options.seed} rounds")
    ledger = Ledger()
    power = partial(Power, seed=options.seed) if options.power else None
    broker = Broker(
        options.binary, directory, options.loops, options.store_kind, options.flags, power)
    # A broker that keeps nothing refuses named cursors, and takes from backends that wait for no disk
    # more than those clients get through that are slow on purpose.
    without = options.without + ("backends", "cursors") * (options.store_kind == "memory")
    load = Load(options.seed, broker, ledger, without)
    began, start_kills = time.monotonic(), 0
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    # That a write meets a connection whose end was not read yet is what kills are like.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    try:
        for number in range(1, options.rounds + 1):
            if broker.killed:
                await broker.start()
            load.next_round()
            if number == 1:
                load.begin()
            seconds = source.uniform(SHORTEST, LONGEST)
            if options.kills:
                await broker.kill_after(seconds)
                if source.random() < START_KILLS:
                    start_kills += 1
                    await broker.kill_while_starting(source.uniform(0, START_LONGEST))
            else:
                await asyncio.sleep(seconds)
                broker.require_alive()
                if source.random() < 0.5:
                    load.cut_all()
            if number % options.settle == 0 or number == options.rounds:
                if broker.killed:
                    await broker.start()
                await load.settle()
            if ledger.failures:
                break
            if number % PROGRESS == 0:
                say(f"round {number}: {acknowledged(ledger)} messages acknowledged, "
                    f"{deliveries(ledger)} deliveries, {time.monotonic() - began:.0f} s")
    except BrokerFailed as error:
        ledger.fail(f"the broker: {error}")
    finally:
        await load.end()
        broker.close()
    return Report(summary(options, load, broker, start_kills, time.monotonic() - began),
                  ledger.failures)


def acknowledged(ledger):
    return ledger.stats["acknowledged_qos1"] + ledger.stats["acknowledged_qos2"]


def deliveries(ledger):
    return sum(ledger.stats[f"deliveries_qos{q}"] for q in range(3))


def summary(options, load, broker, start_kills, seconds):
    stats, starts = load.ledger.stats, broker.start_times
    return {
        "seed": options.seed, "loops": options.loops, "store_kind": options.store_kind,
        "rounds": load.round, "kills": len(broker.kills), "kills_while_starting": start_kills,
        "seconds": round(seconds, 1), "clients": len(load.clients),
        "start_milliseconds_mean": round(1000 * sum(starts) / max(1, len(starts))),
        "start_milliseconds_most": round(1000 * max(starts, default=0)),
        "acknowledged": acknowledged(load.ledger), "deliveries": deliveries(load.ledger),
        **dict(sorted((k, v) for k, v in stats.items() if k != "failures")),
        "failures": stats["failures"],
    }


def run(options, say=print):
    """Runs with a data directory of its own, which stays if something failed or --keep names it."""
    directory = options.keep
    if directory is None:
        directory = Path(tempfile.mkdtemp(prefix="bifrost-kill-"))
    try:
        report = asyncio.run(play(options, directory, say))
    except (KeyboardInterrupt, asyncio.CancelledError):
        if options.keep is None:
            shutil.rmtree(directory)
        raise KeyboardInterrupt from None
    if report.failures or options.keep is not None:
        report.summary["directory"] = str(directory)
    else:
        shutil.rmtree(directory)
    return report


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=BINARY)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None, help="chosen and printed where not given")
    parser.add_argument("--loops", type=int, default=2, help="event loops of the broker")
    parser.add_argument("--store-kind", default="sqlite")
    parser.add_argument("--settle", type=int, default=25, help="rounds between two settlings")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="data and logs go there, and stay")
    parser.add_argument("--no-kill", action="store_true",
                        help="cut the connections instead: the model against a broker that lives")
    parser.add_argument("--power-loss", action="store_true",
                        help="with each kill, lose what was not synced, as without power")
    parser.add_argument("--flag", action="append", default=[], metavar="FLAG",
                        help="a further flag of bifrost serve, as --flag=--name=value")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="the summary as JSON")
    parser.add_argument("--without", action="append", default=[], choices=sorted(PARTS),
                        help="leave a part of the load out, to look at the others")
    given = parser.parse_args()
    seed = random.randrange(1 << 32) if given.seed is None else given.seed
    print(f"BIFROST_SEED={seed}", flush=True)
    report = run(
        Options(given.rounds, seed, given.binary, given.loops, given.store_kind, given.keep,
                not given.no_kill, given.settle, tuple(given.flag), tuple(given.without),
                given.power_loss),
        lambda line: print(line, flush=True))
    print(report.text())
    if given.summary is not None:
        given.summary.write_text(json.dumps(report.summary, indent=2) + "\n")
    return 1 if report.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
