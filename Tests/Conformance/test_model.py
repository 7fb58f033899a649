"""Sessions that come and go at random, held against what the standard promises them.

Publishers and subscribers drop their connections at any step of an exchange and resume it later,
as chapter 4.4 says. In the end each subscriber must have had every QoS 2 message exactly once and
every QoS 1 message at least once, each publisher's in its order.
"""
import os
import random
import select
import time

import pytest
import wire
from wire_client import Client, Closed

KEEP = {"clean": False, "props": [(wire.SESSION_EXPIRY, 600)]}


class Peer:
    """A session with a connection that is sometimes there."""

    def __init__(self, address, version, client_id, source, **options):
        self.address, self.version, self.client_id = address, version, client_id
        self.source, self.options = source, options
        self.client = None

    def connect(self):
        self.client = Client(self.address, self.version)
        options = dict(KEEP)
        options["props"] = KEEP["props"] + list(self.options.get("props", ()))
        self.client.connect(self.client_id, **options)
        self.resumed()

    def drop(self):
        """Ends the connection in one of the ways in which connections end."""
        if self.client is None:
            return
        way = self.source.randrange(3)
        if way == 0:
            self.client.close()
        elif way == 1:
            self.client.drop()
        else:
            self.client.send(wire.disconnect())
            self.client.close()
        self.client = None

    def resumed(self):
        pass

    def poll(self, timeout=0.0):
        """Takes all packets that are there."""
        own = self.client
        while own is not None and own is self.client:
            if own.inbox:
                self.take(own.inbox.popleft())
                continue
            head = wire.parse_length(own.buffer) if len(own.buffer) > 1 else None
            whole = head and len(own.buffer) >= sum(head)
            if not whole and not select.select([own.socket], [], [], timeout)[0]:
                return
            self.take(own.read(time.monotonic() + 10))

    def finish(self):
        """Discards the session."""
        self.drop()
        own = Client(self.address, self.version)
        own.connect(self.client_id, clean=True)
        own.disconnect()


class Publisher(Peer):
    """Sends numbered messages, and each of them again until it is acknowledged."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.sent = []  # (topic, qos, number), in order
        self.open = {}  # packet id: [packet to repeat, whether PUBREC came]
        self.next = 0

    def publish(self, topic, qos):
        if self.client is None or len(self.open) >= 10:
            return
        while True:
            self.next = self.next % 40 + 1
            if self.next not in self.open:
                break
        number = len(self.sent)
        self.sent.append((topic, qos, number))
        payload = b"%s %d" % (self.client_id.encode(), number)
        shape = {"qos": qos, "pid": self.next}
        self.open[self.next] = [wire.publish(topic, payload, self.version, dup=True, **shape), qos]
        self.client.send(wire.publish(topic, payload, self.version, **shape))

    def resumed(self):
        assert self.client.connack.session_present or not self.sent
        for packet, _ in self.open.values():
            self.client.send(packet)

    def take(self, packet):
        if packet.kind == wire.PUBREC:
            release = wire.ack(wire.PUBREL, packet.pid, self.version)
            self.open[packet.pid][0] = release
            self.client.send(release)
        else:
            assert packet.kind in (wire.PUBACK, wire.PUBCOMP), packet
            # The second answer to a packet that was repeated finds nothing.
            self.open.pop(packet.pid, None)


class Subscriber(Peer):
    """Keeps what it gets, as a client with a persistent session does."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.got = []  # (publisher, number, qos)
        self.received = set()  # QoS 2 ids between PUBLISH and PUBREL
        self.lazy = True

    def take(self, packet):
        # A lazy client loses its connection before it answers, now and then.
        if self.lazy and self.source.random() < 0.03:
            self.drop()
            return
        if packet.kind == wire.PUBLISH:
            who, _, number = packet.payload.partition(b" ")
            if packet.qos == 1:
                self.got.append((who.decode(), int(number), 1))
                self.client.ack(wire.PUBACK, packet.pid)
            else:
                if packet.pid not in self.received:
                    self.received.add(packet.pid)
                    self.got.append((who.decode(), int(number), 2))
                self.client.ack(wire.PUBREC, packet.pid)
        else:
            assert packet.kind == wire.PUBREL, packet
            self.received.discard(packet.pid)
            self.client.ack(wire.PUBCOMP, packet.pid)


def settled(publishers, subscribers, expected):
    """Until everything is acknowledged and delivered, or nothing moves any more."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        for peer in publishers + subscribers:
            if peer.client is None:
                peer.connect()
            peer.poll(0.002)
        if not any(p.open for p in publishers) and all(
                len({(w, n) for w, n, _ in s.got}) >= len(expected(s)) and not s.received
                for s in subscribers):
            return


@pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])
@pytest.mark.parametrize("run", range(int(os.environ.get("MODEL_RUNS", "2"))))
def test_sessions_that_come_and_go(broker, name, version, run):
    """v3:MQTT-4.3.3-1 v3:MQTT-4.3.3-2 v3:MQTT-4.4.0-1 v3:MQTT-4.5.0-1 v3:MQTT-4.6.0-6
    v3:MQTT-4.1.0-1 v5:MQTT-4.3.3-10 v5:MQTT-4.3.3-6 v5:MQTT-4.4.0-1 v5:MQTT-4.5.0-1
    v5:MQTT-4.6.0-5 v5:MQTT-3.3.4-9"""
    # CONFORMANCE_SEED=... replays the run whose output names it.
    seed = int(os.environ.get("CONFORMANCE_SEED") or random.randrange(1 << 32))
    print(f"CONFORMANCE_SEED={seed}")
    source = random.Random(seed)
    base = name("m")
    topics = [f"{base}/{i}" for i in range(4)]
    publishers = [Publisher(broker, version, name("p"), source) for _ in range(3)]
    subscribers = []
    filters = [[base + "/+"], topics[:2], [base + "/#"], topics[1:]]
    for index, wanted in enumerate(filters):
        props = [(wire.RECEIVE_MAXIMUM, 3)] if index == 2 and version == 5 else []
        subscribers.append(Subscriber(broker, version, name("s"), source, props=props))
        subscribers[-1].filters = wanted
        subscribers[-1].connect()
        subscribers[-1].client.subscribe(*((f, 2) for f in wanted))
    for publisher in publishers:
        publisher.connect()

    for _ in range(1200):
        peer = source.choice(publishers + subscribers)
        if peer.client is None:
            if source.random() < 0.3:
                peer.connect()
        elif source.random() < 0.03:
            peer.drop()
        elif isinstance(peer, Publisher):
            peer.publish(source.choice(topics), source.choice([1, 2]))
            if source.random() < 0.5:
                peer.poll()
        else:
            peer.poll()

    for subscriber in subscribers:
        subscriber.lazy = False

    def expected(subscriber):
        seen = topics if subscriber.filters[0].endswith(("+", "#")) else subscriber.filters
        return [(p.client_id, n, q, t) for p in publishers for t, q, n in p.sent if t in seen]

    settled(publishers, subscribers, expected)
    for subscriber in subscribers:
        for who, topic in {(w, t) for w, _, _, t in expected(subscriber)}:
            for qos in (1, 2):
                sent = [n for w, n, q, t in expected(subscriber) if (w, q, t) == (who, qos, topic)]
                got = [n for w, n, q in subscriber.got if (w, q) == (who, qos) and n in set(sent)]
                if qos == 1:
                    # A repetition may come late; the first of each is in order.
                    got = list(dict.fromkeys(got))
                assert got == sent, f"seed {seed}: {who} {topic} QoS {qos}"
    for peer in publishers + subscribers:
        peer.finish()
