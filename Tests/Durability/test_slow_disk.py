"""A disk that is slow, or takes nothing, while clients go on: those who need it are slowed, memory
stays bounded, and the others notice nothing."""
import errno
import os
import select
import socket
import threading
import time

import pytest

from disk import FAILS, PATIENCE, WORKS, Broker, drained, wire
from faults import SYNCS, Op
from neighbours import Client

MIB = 1 << 20
# What the broker may take: 16 MiB of orders that wait, a transaction, SQLite's pages (32 MiB),
# segments in memory (16 MiB), what is read of each socket, and as much again for the allocator.
# What is offered is several times as much.
MEMORY = 192 * MIB
OFFERED = 1024 * MIB
FLOOD_SECONDS = 2.5
# More messages of 8 KiB than fit into the sockets before a broker that does not read.
HELD_BACK = 5000
# What a test may wait for an answer that needs no disk. It takes milliseconds.
SOON = 3.0


@pytest.fixture
def broker(tmp_path):
    own = Broker(tmp_path)
    own.disk.record("nothing")
    yield own
    own.kill()


class Flood(threading.Thread):
    """A client that asks without waiting for answers, until it is told to end, or has no more."""

    def __init__(self, broker, name, version, packet, count, stored=False):
        super().__init__()
        self.client = Client(broker.address, version)
        props = [(17, 3600)] if version == 5 and stored else ()
        self.client.connect(name, clean=not stored, props=props)
        self.packet, self.count, self.sent = packet, count, 0
        self.ends = threading.Event()
        self.answers = bytearray()

    def run(self):
        own, data = self.client.socket, b""
        own.setblocking(False)
        deadline = time.monotonic() + FLOOD_SECONDS + PATIENCE
        while time.monotonic() < deadline:
            if not data:
                if self.sent == self.count or self.ends.is_set():
                    break
                self.sent += 1
                data = memoryview(self.packet(self.sent))
            # What is begun is finished, once it is read again.
            readable, writable, _ = select.select([own], [own], [], 0.05)
            if readable:
                self.answers += own.recv(1 << 16)
            if writable:
                data = data[own.send(data):]

    def answered(self):
        """Reads answers until each message has one; their reason codes (3.1.1 has none)."""
        deadline = time.monotonic() + PATIENCE
        reasons, at = [], 0
        self.client.socket.settimeout(1)
        while len(reasons) < self.sent:
            if end := self.end_of_packet(at):
                reasons.append(self.answers[at + 4] if end > at + 4 else 0)
                at = end
                continue
            assert time.monotonic() < deadline, f"{len(reasons)} of {self.sent} were answered"
            try:
                self.answers += self.client.socket.recv(1 << 16)
            except socket.timeout:
                pass
        return reasons

    def end_of_packet(self, at):
        """Where the packet at a place ends; None while not all of it is there."""
        if len(self.answers) < at + 2:
            return None
        end = at + 2 + self.answers[at + 1]
        return end if end <= len(self.answers) else None


def soon(action):
    """An answer that needs no disk; how long it took is only bounded."""
    began = time.monotonic()
    action()
    assert time.monotonic() < began + SOON


def play(broker, floods, seconds):
    """Lets clients flood the broker for a time; the most memory that it had, and how often others
    were served meanwhile."""
    listener, talker = broker.client("listener"), broker.client("talker")
    listener.subscribe(("zero", 1))
    for flood in floods:
        flood.start()
    most = rounds = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        soon(listener.ping)
        talker.publish("zero", b"zero")
        soon(lambda: listener.message(SOON))
        most = max(most, broker.memory())
        rounds += 1
        time.sleep(0.01)
    return most, rounds


def test_a_slow_disk_slows_those_who_need_it(broker):
    away = broker.stored("away")
    away.subscribe(("t/#", 1))
    away.disconnect()
    payload = os.urandom(8192)
    before = broker.memory()

    def publisher(n):
        def message(number):
            content = number.to_bytes(4, "big") + payload
            return wire.publish(f"t/{n}", content, 4 + n % 2, qos=1, pid=number)

        return Flood(broker, f"flood{n}", 4 + n % 2, message, OFFERED // 4 // len(payload))

    floods = [publisher(n) for n in range(4)]
    broker.disk.slow(500, ops=SYNCS)
    most, rounds = play(broker, floods, FLOOD_SECONDS)
    for flood in floods:
        flood.ends.set()
    sent = sum(flood.sent for flood in floods)
    print(f"{sent * len(payload) // MIB} MiB sent, {(most - before) // MIB} MiB more memory at "
          f"most, {rounds} rounds of others")
    assert most - before < MEMORY
    assert sent * len(payload) < OFFERED / 2, "nobody was held back"
    broker.disk.heal()
    for flood in floods:
        flood.join()
        assert not any(flood.answered())
    count = {n: 0 for n in range(4)}
    for packet in drained(broker, broker.stored("away")):
        n = int(packet.topic[2:])
        count[n] += 1
        assert int.from_bytes(packet.payload[:4], "big") == count[n]
    assert list(count.values()) == [flood.sent for flood in floods]


def test_memory_is_bounded_while_the_disk_takes_nothing(broker):
    """Publishers of 3.1.1 can't be refused, so they are not read; those of 5 are refused; a client
    that asks for ever is not read either."""
    away = broker.stored("away")
    away.subscribe(("t/#", 1))
    away.disconnect()
    payload = os.urandom(8192)
    before = broker.memory()

    def message(version, topic, qos):
        return lambda number: wire.publish(topic, payload, version, qos=qos, pid=number)

    count = 65535
    floods = [
        Flood(broker, "old", 4, message(4, "t/4", 1), count),
        Flood(broker, "new", 5, message(5, "t/5", 1), count),
        # What a session of its own needs stored for QoS 2, and what is taken back for nothing.
        Flood(broker, "two", 4, message(4, "other", 2), count, stored=True),
        Flood(broker, "takes", 4,
              lambda number: wire.unsubscribe(number, ["none/" + "x" * 8000], 4), count,
              stored=True),
    ]
    broker.disk.fail(errno.EIO, ops=[Op.WRITE, *SYNCS])
    broker.client("first").send(wire.publish("t/first", b"first", 5, qos=1, pid=1))
    broker.said(FAILS)
    most, rounds = play(broker, floods, FLOOD_SECONDS)
    for flood in floods:
        flood.ends.set()
    sent = {flood.client.client_id: flood.sent for flood in floods}
    print(f"{sent}, {(most - before) // MIB} MiB more memory at most, {rounds} rounds of others")
    assert most - before < MEMORY / 4
    # What the sockets hold.
    assert all(sent[name] < HELD_BACK for name in ("old", "two", "takes")), sent
    broker.disk.heal()
    broker.said(WORKS)
    for flood in floods:
        flood.join()
        reasons = flood.answered()
        if flood.client.client_id == "new":
            assert set(reasons) <= {0, 0x97} and 0x97 in reasons
