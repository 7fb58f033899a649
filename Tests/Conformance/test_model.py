"""Sessions that come and go at random, held against what the standard promises them.

Publishers and subscribers drop their connections at any step of an exchange and resume it later,
as chapter 4.4 says. In the end each subscriber must have had every QoS 2 message exactly once and
every QoS 1 message at least once, each publisher's in its order.
"""
import os
import random
import select
import socket
import struct
import time

import pytest
import wire
from conftest import KINDS, RUNNING, Broker, ended
from model import Model, Session, Subscription
from wire_client import Client, Closed

# CONFORMANCE_SEED=... replays the run whose output names it; MODEL_RUNS=... runs more of them.
RUNS = int(os.environ.get("MODEL_RUNS", "2"))
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
@pytest.mark.parametrize("run", range(RUNS))
def test_sessions_that_come_and_go(broker, name, version, run):
    """v3:MQTT-4.3.3-1 v3:MQTT-4.3.3-2 v3:MQTT-4.4.0-1 v3:MQTT-4.5.0-1 v3:MQTT-4.6.0-6
    v3:MQTT-4.1.0-1 v5:MQTT-4.3.3-10 v5:MQTT-4.3.3-6 v5:MQTT-4.4.0-1 v5:MQTT-4.5.0-1
    v5:MQTT-4.6.0-5 v5:MQTT-3.3.4-9"""
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


# A schedule of everything at once, held against model.py ----------------------------------------

class Actor:
    """A client id that publishes, subscribes and connects in any way that is allowed."""

    def __init__(self, play, client_id, version):
        self.play, self.client_id, self.version = play, client_id, version
        self.client = self.session = self.will = None
        self.connected = 0
        self.hold = None  # kinds of packets whose answers wait
        self.held = []
        self.quiet = []  # QoS 0 messages of which no round trip has told yet
        self.answer = None

    # Connections

    def connect(self, address, clean, lasting, will=None, props=()):
        model, old = self.play.model, self.client
        if old is not None:
            self.lost(self.will)
        expiry = [(wire.SESSION_EXPIRY, 3600)] if lasting and self.version == 5 else []
        if self.version == 4:
            clean = not lasting
        present = self.session is not None and not clean
        if not present:
            if self.session is not None:
                model.session_ended(self.session)
            self.session = Session(self.client_id, self.version)
            model.sessions.append(self.session)
        self.session.lasting = lasting
        self.client, self.will = Client(address, self.version), will
        self.connected = model.now()
        answer = self.client.connect(self.client_id, clean=clean, will=will and will.packet,
                                     props=expiry + list(props))
        assert answer.session_present == present, f"{self.client_id}: {answer}, not {present}"
        if old is not None:
            old.closed()
        for state in self.session.out.values():
            if state[1][0] >> 4 == wire.PUBLISH:
                state[0].resends += 1
            self.client.send(state[1])

    def lost(self, will):
        """The connection is gone, and with it the session if that was all it should last."""
        model, session = self.play.model, self.session
        self.client, self.will, self.held, self.hold = None, None, [], None
        if not session.lasting:
            model.session_ended(session)
            self.session = None
        else:
            model.connection_lost(session)
        for message in self.quiet:
            model.abandoned(message)
        self.quiet = []
        if will is not None:
            self.play.publish_will(self.client_id, will)

    def close(self, way):
        own, will = self.client, self.will
        if way == "disconnect":
            own.disconnect()
            will = None
        elif way == "disconnect with will" and self.version == 5:
            own.disconnect(4)
        elif way == "end session" and self.version == 5 and self.session.lasting:
            own.disconnect(0, [(wire.SESSION_EXPIRY, 0)])
            self.session.lasting, will = False, None
        elif way == "reset":
            own.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            own.close()
        elif way == "half":
            own.drop()
        else:
            own.close()
        self.lost(will)

    # Sending

    def publish(self, topic, qos, retain, size):
        session, model = self.session, self.play.model
        if self.client is None or len(session.out) >= 20:
            return
        message = model.published(
            self.client_id, topic, qos, retain,
            lambda key: b"%d:" % key + b"x" * size if size is not None else b"",
            self.play.online, session)
        if qos == 0:
            self.quiet.append(message)
            self.client.send(wire.publish(topic, message.payload, self.version, retain=retain))
            return
        pid = self.client.pid()
        while pid in session.out:
            pid = self.client.pid()
        shape = {"qos": qos, "retain": retain, "pid": pid}
        session.out[pid] = [message, wire.publish(topic, message.payload, self.version, dup=True,
                                                  **shape)]
        self.client.send(wire.publish(topic, message.payload, self.version, **shape))

    def subscribe(self, wanted, options, handling, identifier):
        """`wanted` are filters; one SUBSCRIBE with the same options for all."""
        model, pairs = self.play.model, []
        for text in wanted:
            if text.startswith("$share/"):
                model.group.members.add(self.session)
                self.session.group = True
                pairs.append((text, 2))
                continue
            own = Subscription(text, options & 3)
            if self.version == 5:
                own.no_local, own.as_published = bool(options & 4), bool(options & 8)
                own.identifier = identifier
            model.subscribed(self.session, own, handling if self.version == 5 else 0)
            pairs.append((text, options | handling << 4 if self.version == 5 else options & 3))
        props = [(wire.SUBSCRIPTION_ID, identifier)] if self.version == 5 and identifier else ()
        pid = self.client.pid()
        self.client.send(wire.subscribe(pid, pairs, self.version, props))
        answer = self.wait(wire.SUBACK)
        assert answer.pid == pid and answer.codes == [o & 3 for _, o in pairs], answer

    def unsubscribe(self, text):
        model, pid = self.play.model, self.client.pid()
        if text.startswith("$share/"):
            known = self.session in model.group.members
            if known:
                model.group.leave(self.session, ended=False)
        else:
            known = model.unsubscribed(self.session, text)
        self.client.send(wire.unsubscribe(pid, [text], self.version))
        answer = self.wait(wire.UNSUBACK)
        assert answer.pid == pid
        assert self.version == 4 or answer.codes == [0 if known else 0x11], answer

    def ping(self):
        self.client.send(wire.PING)
        self.wait(wire.PINGRESP)
        for message in self.quiet:
            self.play.model.acknowledged(message)
        self.quiet = []

    def wait(self, kind):
        deadline, self.answer = time.monotonic() + 10, None
        while self.answer is None:
            assert time.monotonic() < deadline, f"{self.client_id}: no {wire.NAMES[kind]}"
            self.poll(0.05)
        assert self.answer.kind == kind, self.answer
        return self.answer

    # Receiving

    def poll(self, timeout=0.0):
        own = self.client
        while own is not None:
            head = wire.parse_length(own.buffer) if len(own.buffer) > 1 else None
            whole = head and len(own.buffer) >= sum(head)
            if not whole and not select.select([own.socket], [], [], timeout)[0]:
                return
            try:
                self.take(own.read(time.monotonic() + 10))
            except Closed:
                raise AssertionError(f"{self.client_id} was closed") from None
            timeout = 0.0

    def take(self, packet):
        kind, session = packet.kind, self.session
        if kind == wire.PUBLISH:
            self.play.model.delivered(session, packet, self.connected)
            if packet.qos:
                self.reply(kind, wire.PUBACK if packet.qos == 1 else wire.PUBREC, packet.pid)
        elif kind == wire.PUBREL:
            session.received.pop(packet.pid, None)
            self.reply(kind, wire.PUBCOMP, packet.pid)
        elif kind == wire.PUBREC:
            assert packet.pid in session.out, f"{self.client_id}: {packet}"
            session.out[packet.pid][1] = wire.ack(wire.PUBREL, packet.pid, self.version)
            self.reply(kind, wire.PUBREL, packet.pid)
        elif kind in (wire.PUBACK, wire.PUBCOMP):
            assert packet.pid in session.out, f"{self.client_id}: {packet}"
            self.play.model.acknowledged(session.out.pop(packet.pid)[0])
        else:
            assert kind in (wire.SUBACK, wire.UNSUBACK, wire.PINGRESP), packet
            self.answer = packet

    def reply(self, to, kind, pid):
        # Answers keep their order: where one waits, so do those after it.
        if self.hold is not None and (to in self.hold or self.held):
            self.held.append((kind, pid))
        else:
            self.client.ack(kind, pid)

    def release(self):
        self.hold = None
        for kind, pid in self.held:
            self.client.ack(kind, pid)
        self.held = []


class Will:
    """A will, and what CONNECT takes for it. Its payload is known before its message is."""

    def __init__(self, number, topic, qos, retain):
        self.number, self.topic, self.qos, self.retain = number, topic, qos, retain
        self.payload = b"w%d:" % number
        self.packet = wire.Will(topic, self.payload, qos, retain)


class Play:
    """One schedule."""

    WAYS = ["close", "disconnect", "disconnect with will", "end session", "reset", "half"]
    HOLDS = [{wire.PUBLISH}, {wire.PUBREL}, {wire.PUBREC}, {wire.PUBLISH, wire.PUBREC}]

    def __init__(self, address, seed, base):
        self.address, self.source = address, random.Random(seed)
        group = f"s/{base}s/#"
        self.share = f"$share/g{base}/{group}"
        self.topics = [f"{a}/{base}/{b}" for a in "ab" for b in "xyz"] + [f"a/{base}"]
        self.filters = self.topics + [
            f"a/{base}/#", f"+/{base}/x", f"a/{base}/+", f"+/{base}/+", f"+/{base}/#", self.share]
        self.shared_topics = [f"s/{base}s/{a}" for a in "xy"]
        self.model = Model(group)
        self.actors = [Actor(self, f"{base}c{i}", 5 if i % 2 else 4) for i in range(15)]
        self.wills = 0

    def online(self, session):
        return any(a.session is session and a.client is not None for a in self.actors)

    def publish_will(self, client_id, will):
        message = self.model.published(client_id, will.topic, will.qos, will.retain,
                                       lambda key: will.payload, self.online)
        self.model.wills[will.number] = message
        self.model.abandoned(message, happened=True)

    def connect(self, actor):
        pick, will = self.source, None
        if pick.random() < 0.3:
            self.wills += 1
            will = Will(self.wills, pick.choice(self.topics), pick.randrange(3),
                        pick.random() < 0.3)
        lasting, clean = pick.random() < 0.7, pick.random() < 0.15
        props = []
        if actor.version == 5:
            if pick.random() < 0.4:
                props.append((wire.RECEIVE_MAXIMUM, pick.choice([1, 2, 5])))
            if pick.random() < 0.4:
                props.append((wire.ALIAS_MAXIMUM, pick.choice([1, 3, 20])))
        actor.connect(self.address, clean, lasting, will, props)

    def step(self):
        """One random step. All draws come before anything depends on the broker."""
        pick = self.source
        actor, kind, topic = pick.choice(self.actors), pick.random(), pick.choice(self.topics)
        if kind < 0.55:
            if pick.random() < 0.25:
                topic = pick.choice(self.shared_topics)
            retain = pick.random() < 0.2 and topic in self.topics
            size = pick.choice([0, 1, 50, 50, 50, 400, 400, 20000])
            if retain and pick.random() < 0.2:
                size = None
            for _ in range(pick.choice([1, 1, 1, 4, 12])):
                actor.publish(topic, pick.randrange(3), retain, size)
        elif kind < 0.70:
            wanted = pick.sample(self.filters, pick.choice([1, 1, 1, 3]))
            options, handling = pick.randrange(3), pick.randrange(3)
            # "No local" is not allowed for shared subscriptions.
            if self.share not in wanted and pick.random() < 0.3:
                options |= 4
            if pick.random() < 0.3:
                options |= 8
            identifier = pick.choice([0, 0, 1, 7, 200, 70000])
            if actor.client is not None:
                actor.subscribe(wanted, options, handling, identifier)
        elif kind < 0.75:
            text = pick.choice(self.filters)
            if actor.client is not None:
                actor.unsubscribe(text)
        elif kind < 0.81:
            hold = pick.choice(self.HOLDS)
            if actor.client is not None:
                actor.release() if actor.hold else setattr(actor, "hold", hold)
        elif kind < 0.88:
            way = pick.choice(self.WAYS)
            if actor.client is not None:
                actor.close(way)
        else:
            # Mostly of one that is away; now and then a takeover.
            takeover = pick.random() < 0.15
            if actor.client is None or takeover:
                self.connect(actor)
        for other in pick.sample(self.actors, 5):
            if other.client is not None:
                other.poll()

    def settle(self):
        """All who are connected answer, and get what they are owed."""
        online = [a for a in self.actors if a.client is not None]
        for actor in online:
            actor.release()
            actor.ping()
        deadline = time.monotonic() + 10

        def busy(actor):
            own = actor.session
            return own.out or own.received or self.model.missing(own)

        while any(busy(a) for a in online):
            for actor in online:
                actor.poll()
            time.sleep(0.001)
            if time.monotonic() > deadline:
                for actor in online:
                    own = actor.session
                    assert not own.out, f"{actor.client_id} has no answer to {own.out}"
                    assert not own.received, f"{actor.client_id} has no PUBREL: {own.received}"
                    lost = [str(e)[:600] for e in self.model.missing(own)]
                    assert not lost, f"{actor.client_id} did not get {lost}"
        time.sleep(0.02)
        for actor in online:
            actor.poll()
        self.model.settle()

    def run(self, steps):
        for actor in self.actors:
            self.connect(actor)
        for number in range(steps):
            self.step()
            if number % 60 == 59:
                self.settle()
        self.finish()

    def finish(self):
        """Those who are away come back; everything has to have arrived."""
        for actor in self.actors:
            if actor.client is None and actor.session is not None:
                actor.connect(self.address, False, True)
        for _ in range(3):
            self.settle()
        for key, (must, count, _) in self.model.group.owed.items():
            assert count or not must, f"the group did not get {self.model.messages[key]}"
        self.clear()

    def clear(self):
        """Leaves no session and no retained message behind."""
        for actor in self.actors:
            if actor.client is not None:
                actor.client.close()
        own = Client(self.address, 4)
        own.connect("")
        for topic in self.topics:
            own.publish(topic, b"", qos=1, retain=True)
        own.disconnect()
        for actor in self.actors:
            own = Client(self.address, 4)
            own.connect(actor.client_id)
            own.disconnect()


@pytest.fixture(scope="module")
def four_loops(broker_kind):
    """More loops than cores, each with its own table of open files."""
    if RUNNING:
        pytest.skip("needs a broker with flags of its own, and BROKER_ADDRESS is set")
    if broker_kind != KINDS[0]:
        pytest.skip("runs once, whatever the other kinds of broker")
    own = Broker("4/sqlite", "--net-private-descriptors", "on")
    yield own.address
    ended(own)


def play(address, name):
    seed = int(os.environ.get("CONFORMANCE_SEED") or random.randrange(1 << 32))
    print(f"CONFORMANCE_SEED={seed}")
    Play(address, seed, name("k")).run(int(os.environ.get("MODEL_STEPS", "600")))


@pytest.mark.parametrize("run", range(RUNS))
def test_all_at_once(broker, name, run):
    """v3:MQTT-3.1.2-4 v3:MQTT-3.1.2-6 v3:MQTT-3.1.2-8 v3:MQTT-3.1.2-10 v3:MQTT-3.1.4-2
    v3:MQTT-3.2.2-2 v3:MQTT-3.2.2-3 v3:MQTT-3.3.1-6 v3:MQTT-3.3.5-1 v3:MQTT-3.8.4-3
    v3:MQTT-3.10.4-2 v3:MQTT-4.3.3-2 v3:MQTT-4.4.0-1 v3:MQTT-4.6.0-6 v5:MQTT-3.1.2-5
    v5:MQTT-3.1.4-3 v5:MQTT-3.2.2-3 v5:MQTT-3.3.1-9 v5:MQTT-3.3.1-10 v5:MQTT-3.3.4-4
    v5:MQTT-3.8.3-3 v5:MQTT-3.8.4-3 v5:MQTT-4.3.3-10 v5:MQTT-4.6.0-5"""
    play(broker, name)


@pytest.mark.parametrize("run", range(RUNS))
def test_all_at_once_on_four_loops(four_loops, name, run):
    play(four_loops, name)


# That the model can fail --------------------------------------------------------------------------

def scene():
    """A model with one subscriber that is connected, and two messages for it."""
    model = Model("s/x/#")
    session = Session("c", 5, lasting=True)
    model.sessions.append(session)
    model.subscribed(session, Subscription("t/#", 2, identifier=9), 0)
    sent = [model.published("p", "t/a", 2, False, lambda key: b"%d:x" % key, lambda s: True,
                            session) for _ in range(2)]
    return model, session, sent


def arrives(model, session, number, **changes):
    shape = {"topic": "t/a", "qos": 2, "pid": number + 1, "payload": b"%d:x" % number,
             "props": [(wire.SUBSCRIPTION_ID, 9)]} | changes
    model.delivered(session, wire.Packet(wire.PUBLISH, 20, **shape), connected=0)


def test_the_model_takes_what_is_right():
    model, session, sent = scene()
    for message in sent:
        model.acknowledged(message)
    assert [e.message for e in model.missing(session)] == sent
    arrives(model, session, 0)
    arrives(model, session, 1)
    assert not model.missing(session)


@pytest.mark.parametrize("changes", [
    {"topic": "t/b"}, {"payload": b"1:y"}, {"payload": b"7:x"}, {"payload": b"w1:"}, {"qos": 1},
    {"retain": True}, {"dup": True}, {"props": []}, {"props": [(wire.SUBSCRIPTION_ID, 8)]},
    {"payload": b""},
], ids=str)
def test_the_model_notices_a_wrong_packet(changes):
    model, session, _ = scene()
    arrives(model, session, 0)
    with pytest.raises(wire.Violation):
        arrives(model, session, 1, **changes)


def test_the_model_notices_a_second_copy_and_a_wrong_order():
    model, session, _ = scene()
    arrives(model, session, 1)
    with pytest.raises(wire.Violation, match="copy 2"):
        arrives(model, session, 1, pid=7)
    with pytest.raises(wire.Violation, match="after 1"):
        arrives(model, session, 0)


def test_the_model_notices_what_nobody_is_owed():
    model, session, _ = scene()
    model.unsubscribed(session, "t/#")
    model.published("p", "t/a", 2, False, lambda key: b"%d:x" % key, lambda s: True, session)
    with pytest.raises(wire.Violation, match="not owed"):
        arrives(model, session, 2)
