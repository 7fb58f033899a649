"""Heap allocations for a message, counted inside the broker by a preloaded library."""

from __future__ import annotations

import mmap
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

from . import plots, tables, wire
from .brokers import Broker
from .context import ROOT, Context, Skip
from .figures import LOWER, Section

TITLE = "Heap allocations"
PAIRS, BATCH = 20, 100
WARM_UP_ROUNDS = 20
PAYLOAD = b"x" * 64


class Pairs:
    """Publishers and subscribers, a topic for each pair, that send in batches."""

    def __init__(self, broker: Broker, qos: int):
        self.qos = qos
        self.publishers, self.subscribers, self.blobs = [], [], []
        for index in range(PAIRS):
            topic = b"bench/pair/%04d" % index
            subscriber = wire.client(broker.port, b"sub%04d" % index)
            subscriber.sendall(wire.subscribe([topic], qos))
            wire.read_exactly(subscriber, 5)
            self.subscribers.append(subscriber)
            self.publishers.append(wire.client(broker.port, b"pub%04d" % index))
            self.blobs.append(
                b"".join(wire.publish(topic, PAYLOAD, qos, i + 1) for i in range(BATCH))
            )

    def turn(self) -> None:
        """One batch through each pair, with all acknowledgements."""
        for publisher, blob in zip(self.publishers, self.blobs):
            publisher.sendall(blob)
        if self.qos == 2:
            for publisher in self.publishers:
                self._answer(publisher, 0x62)
        for subscriber, blob in zip(self.subscribers, self.blobs):
            data = wire.read_exactly(subscriber, len(blob))
            if self.qos:
                subscriber.sendall(self._acknowledge(data))
        if self.qos == 2:
            for subscriber in self.subscribers:
                self._answer(subscriber, 0x70)
        if self.qos:
            for publisher in self.publishers:
                wire.read_exactly(publisher, 4 * BATCH)

    def _answer(self, client, first: int) -> None:
        """Answers a batch of acknowledgements with the next kind, as QoS 2 has it."""
        data = bytearray(wire.read_exactly(client, 4 * BATCH))
        data[::4] = bytes([first]) * BATCH
        client.sendall(data)

    def _acknowledge(self, data: bytes) -> bytes:
        kind, answers = (0x40 if self.qos == 1 else 0x50), b""
        for _, body, _ in wire.frames(data):
            at = body + 2 + int.from_bytes(data[body : body + 2], "big")
            answers += bytes([kind, 2]) + data[at : at + 2]
        return answers

    def close(self) -> None:
        for client in self.publishers + self.subscribers:
            client.close()


def measure(context: Context) -> Section:
    section = context.section("allocations")
    compiler = shutil.which("clang") or shutil.which("cc")
    if compiler is None:
        raise Skip("a C compiler is needed")
    rounds = 10 if context.quick else 100
    with tempfile.TemporaryDirectory(prefix="bifrost-bench-") as folder:
        library = os.path.join(folder, "count.so")
        subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", "-o", library,
             ROOT / "Benchmarks/count_allocations.c"], check=True,
        )  # fmt: skip
        shown = "LD_PRELOAD=count_allocations.so bifrost serve --net-loops LOOPS --sys-interval 0s"
        section.command(shown)
        for loops in (1, 2):
            for qos in (0, 1, 2):
                context.say(f"allocations: QoS {qos}, {loops} loop{'s' * (loops > 1)}")
                values = [
                    _count(context, library, pathlib.Path(folder) / f"count-{loops}-{qos}-{turn}",
                           loops, qos, rounds)
                    for turn in range(context.rounds)
                ]  # fmt: skip
                section.add(
                    f"loops-{loops}.qos-{qos}",
                    f"heap allocations for a QoS {qos} message, {loops} loop{'s' * (loops > 1)}",
                    values, "allocations", LOWER, shown,
                    target=0.0005 if loops == 1 and qos < 2 else None, resolution=0.001,
                )  # fmt: skip
    section.data["messages"] = rounds * BATCH * PAIRS
    return section


def _count(context: Context, library: str, counter: pathlib.Path, loops: int, qos: int,
           rounds: int) -> float:  # fmt: skip
    counter.write_bytes(bytes(4096))
    environment = {"LD_PRELOAD": library, "COUNT_ALLOCATIONS": str(counter)}
    with (
        counter.open("r+b") as file,
        mmap.mmap(file.fileno(), 4096) as page,
        context.bifrost(loops, environment=environment) as broker,
    ):
        pairs = Pairs(broker, qos)
        for _ in range(WARM_UP_ROUNDS):
            pairs.turn()
        before = struct.unpack_from("<Q", page)[0]
        for _ in range(rounds):
            pairs.turn()
        after = struct.unpack_from("<Q", page)[0]
        pairs.close()
        return (after - before) / (rounds * BATCH * PAIRS)


def render(section: Section, page: tables.Page) -> None:
    page.text(
        f"`malloc`, `calloc`, `realloc` and aligned allocations of the whole broker while "
        f"{section.data['messages']:,} messages of {len(PAYLOAD)} bytes go through {PAIRS} pairs "
        f"of a publisher and a subscriber in batches of {BATCH}, after a warm-up. What one turn of "
        "a loop allocates, such as a batch for the other loop, is divided by the messages in it. "
        "Target: none on one loop at QoS 0 and 1."
    )
    rows = []
    for loops in (1, 2):
        cells = [section.get(f"loops-{loops}.qos-{qos}") for qos in (0, 1, 2)]
        rows.append([f"{loops} loop{'s' * (loops > 1)}"] + [
            page.cell(one, lambda value: f"{value:.5f}") for one in cells
        ])  # fmt: skip
    page.table(["loops", "QoS 0", "QoS 1", "QoS 2"], rows)


def draw(section: Section) -> list[plots.Plot]:
    return []
