"""A broker whose disk is full for a while: nothing that it acknowledged is lost, what needs no disk
goes on, and the rest goes on by itself when there is room again."""
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))

from broker import BINARY  # noqa: E402  the path above comes first
from faults import FaultyDirectory  # noqa: E402
from neighbours import Client, wire  # noqa: E402

QUOTA_EXCEEDED, SERVER_BUSY = 0x97, 0x89
EXPIRY = [(17, 3600)]


class Broker:
    """A broker whose data directory can be made to fail."""

    def __init__(self, directory):
        data, scratch = directory / "data", directory / "scratch"
        data.mkdir()
        scratch.mkdir()
        self.disk = FaultyDirectory(data, scratch)
        self.log = directory / "log"
        environment = dict(os.environ)
        environment.update(self.disk.environment())
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--mqtt-tcp-listen", "127.0.0.1:0", "--net-loops", "1",
                 "--data-dir", str(data)], env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=stderr)
        self.address = ("127.0.0.1", int(self.said(r"listening on 127\.0\.0\.1:(\d+)")[1]))

    def said(self, pattern):
        """Waits for a line of the log."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.log.read_text()):
                return found
            time.sleep(0.01)
        raise AssertionError(f"no line with {pattern}:\n{self.log.read_text()}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(15) == 0, self.log.read_text()
        finally:
            self.process.kill()


@pytest.fixture
def broker(tmp_path):
    own = Broker(tmp_path)
    yield own
    own.disk.heal()
    own.stop()


def client(broker, name, **options):
    own = Client(broker.address, 5)
    own.connect(name, **options)
    return own


def test_a_full_disk_costs_nothing_but_time(broker):
    reader = client(broker, "reader", clean=False, props=EXPIRY)
    reader.subscribe(("t/#", 1))
    writer, other = client(broker, "writer"), client(broker, "other")
    writer.publish("t/before", b"before", 1)
    assert reader.message().payload == b"before"

    broker.disk.fill(0)
    # The first finds the disk full: it is not acknowledged, and not lost.
    writer.send(wire.publish("t/first", b"x" * 200_000, 5, qos=1, pid=1))
    broker.said("the store can't be written")
    other.send(wire.publish("t/second", b"second", 5, qos=1, pid=2))
    assert other.wait(wire.PUBACK).reason == QUOTA_EXCEEDED
    late = Client(broker.address, 5)
    late.send(wire.connect("late", 5, clean=False, props=EXPIRY))
    assert late.receive().reason == SERVER_BUSY
    # Without the store: a session that ends with its connection, and QoS 0.
    free = client(broker, "free")
    free.subscribe(("q", 1))
    other.publish("q", b"free", 1)
    assert free.message().payload == b"free"
    other.send(wire.publish("t/zero", b"zero", 5, qos=0))
    assert reader.message().payload == b"zero"

    broker.disk.empty()
    broker.said("the store can be written again")
    assert writer.wait(wire.PUBACK).reason == 0
    assert len(reader.message().payload) == 200_000
    other.publish("t/after", b"after", 1)
    assert reader.message().payload == b"after"
    client(broker, "late", clean=False, props=EXPIRY)
