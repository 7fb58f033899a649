"""What a section needs to measure: the binary, sizes, the load generator."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import pathlib
import resource
import sys

from . import brokers, load, machine
from .brokers import Broker
from .figures import Section

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Descriptors that a broker needs besides those of clients.
SPARE_FILES = 500


class Skip(Exception):
    """Why a section can't be measured on this machine."""


@dataclasses.dataclass
class Context:
    binary: str
    rounds: int = 3
    quick: bool = False
    machine: dict = dataclasses.field(default_factory=dict)
    versions: dict = dataclasses.field(default_factory=dict)

    def say(self, text: str) -> None:
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def section(self, name: str) -> Section:
        return Section(
            id=name,
            when=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
            quick=self.quick,
            rounds=self.rounds,
            machine=self.machine,
            versions=self.versions,
        )

    def clients(self, wanted: int) -> int:
        """As many clients as the limit on open files allows."""
        return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FILES)

    @property
    def times(self) -> list[str]:
        """How long a flow is measured, and loaded before."""
        if self.quick:
            return ["--duration", "400ms", "--warm-up", "200ms"]
        return ["--duration", "4s", "--warm-up", "1s"]

    def bench(self, broker: Broker, *words, **options) -> dict:
        return load.bench(self.binary, broker, *words, **options)

    def held(self, broker: Broker, *words, **options):
        return load.held(self.binary, broker, *words, **options)

    def topics(self, broker: Broker, *topics: str, count: int = 0) -> dict[str, int]:
        return load.system_topics(self.binary, broker, *topics, count=count)

    def bifrost(self, loops: int = 1, *flags: str, **options):
        return brokers.bifrost(self.binary, loops, *flags, **options)

    def peers(self) -> dict:
        """The brokers to compare with, of those that are installed."""
        every = {"mosquitto": brokers.mosquitto, "nats-server": brokers.nats}
        return {name: made for name, made in every.items() if machine.program(name)}

    @contextlib.contextmanager
    def broker(self, name: str, **options):
        """A broker by its name in tables: `bifrost-1` has one loop."""
        if name.startswith("bifrost-"):
            started = self.bifrost(int(name.removeprefix("bifrost-")))
        else:
            started = self.peers()[name](**options)
        with started as broker:
            yield broker


def rotated(names: list[str], by: int) -> list[str]:
    """Another one begins in each round, so that none is always measured first."""
    by %= max(1, len(names))
    return names[by:] + names[:by]
