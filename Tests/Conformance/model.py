"""What a broker owes to whom, for schedules of random steps.

The model knows when each step began and when its acknowledgement came. Between the two it allows
both outcomes; everywhere else it knows one. `Message` is what was published, `Entry` is what one
session is owed of it, and `Model.delivered` holds each PUBLISH that comes against both.
"""
from collections import Counter
from dataclasses import dataclass, field

import wire

UNKNOWN = float("inf")


def matches(text, topic):
    """Whether a filter without `$share` matches a topic that does not begin with `$`."""
    wanted, levels = text.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


@dataclass(eq=False)
class Message:
    """A publication. `end` is when its acknowledgement came; `happened` is whether it surely
    took place, which a message on a connection that was lost may not have."""
    key: int
    sender: str
    topic: str
    qos: int
    retain: bool
    payload: bytes
    start: int
    end: float = UNKNOWN
    happened: bool = False
    resends: int = 0
    settled: int = 0
    is_will: bool = False
    # The session that sent it, which is what order is promised for; none sends a will.
    origin: object = field(default=None, repr=False)

    def is_over(self):
        return self.happened and self.end != UNKNOWN


@dataclass(eq=False)
class Subscription:
    text: str
    qos: int
    no_local: bool = False
    as_published: bool = False
    identifier: int = 0

    def takes(self, message, client_id):
        return matches(self.text, message.topic) and not (
            self.no_local and message.sender == client_id)


@dataclass(eq=False)
class Entry:
    """One session's share in one message."""
    message: Message
    must: bool = False
    sure: list = field(default_factory=list)  # subscriptions that stood all the time
    maybe: list = field(default_factory=list)  # those that came or went meanwhile
    retained: list = field(default_factory=list)  # those that may bring the retained copy
    retained_must: int = 0
    count: int = 0
    pids: set = field(default_factory=set)
    # Repetitions, or further copies that were first sent, unread, with an id used before.
    unclear: int = 0

    def live_qos(self):
        """The lowest and the highest QoS with which a live copy may come."""
        own = self.message.qos
        every = [s.qos for s in self.sure + self.maybe]
        if not every:
            return own, 0
        low = max((s.qos for s in self.sure), default=min(every))
        return min(own, low), min(own, max(every))

    def outstanding(self):
        return self.count + self.unclear < self.must + self.retained_must

    def limit(self):
        own = self.message
        live = bool(self.sure or self.maybe)
        # A publisher that repeats a QoS 1 message may have published it twice.
        return len(self.retained) + live * (1 + (own.resends if own.qos == 1 else 0))

    def connection_lost(self):
        """What was on the way with QoS 0 is gone."""
        if self.live_qos()[0] == 0:
            self.must = False
        if min([self.message.qos] + [s.qos for s in self.retained]) == 0:
            self.retained_must = 0


@dataclass(eq=False)
class Session:
    """State that both sides keep; `out` is packet id -> [message, packet to repeat]."""
    client_id: str
    version: int
    lasting: bool = False
    subscriptions: dict = field(default_factory=dict)
    owed: dict = field(default_factory=dict)  # message key -> Entry
    received: dict = field(default_factory=dict)  # QoS 2 id between PUBLISH and PUBREL -> key
    out: dict = field(default_factory=dict)
    newest: dict = field(default_factory=dict)  # what has to come in order -> the last key
    group: bool = False  # whether it has ever been in the shared group

    def entry(self, message):
        return self.owed.setdefault(message.key, Entry(message))


@dataclass(eq=False)
class Group:
    """The one shared group: what it is owed, whoever of its members gets it."""
    text: str
    members: set = field(default_factory=set)
    owed: dict = field(default_factory=dict)  # message key -> [must, count, qos]
    unsure: int = 0  # settlings until the broker is known to have seen a member's end

    def leave(self, session, ended):
        self.members.discard(session)
        if ended:
            self.unsure = 2
        for key, state in self.owed.items():
            # A QoS 2 message that a member had been sent may not go to another, so it ends with
            # the member; and a group of nobody is owed nothing.
            if not self.members or (ended and state[2] != 1) or state[2] == 0:
                state[0] = False


class Model:
    """All sessions and messages of one schedule."""

    def __init__(self, group):
        self.clock = 0
        self.messages = []
        self.unsettled = []
        self.lingering = []  # publications of which nothing more will be heard
        self.sessions = []
        self.wills = {}  # number in the payload -> message
        self.retained = {}  # topic -> messages that may be the retained one
        self.group = Group(group)

    def now(self):
        self.clock += 1
        return self.clock

    # Publishing

    def published(self, sender, topic, qos, retain, payload, online, origin=None):
        """A publication begins, or with no origin a will's. `payload` is made from its key;
        `online` tells of a session whether it has a connection."""
        key = len(self.messages)
        own = Message(key, sender, topic, qos, retain, payload(key), self.now(),
                      is_will=origin is None, origin=origin)
        self.messages.append(own)
        self.unsettled.append(own)
        for session in self.sessions:
            sure = [s for s in session.subscriptions.values() if s.takes(own, session.client_id)]
            if sure:
                entry = session.entry(own)
                entry.sure, entry.must = sure, bool(own.payload)
                if not online(session):
                    entry.connection_lost()
        if matches(self.group.text, topic):
            # A message of QoS 0 may be lost with the connection of the member that it is for, and
            # one of QoS 2 with a member that has ended without the broker having seen it yet.
            sure = qos == 1 or (qos == 2 and not self.group.unsure)
            self.group.owed[key] = [bool(self.group.members) and sure, 0, qos]
        if retain:
            # A subscriber that was still to get the topic's message may get only this one.
            for session in self.sessions:
                for other in self.retained.get(topic, ()):
                    if other.key in session.owed:
                        session.owed[other.key].retained_must = 0
            self.retained.setdefault(topic, []).append(own)
        return own

    def acknowledged(self, message):
        if message.end == UNKNOWN:
            message.end, message.happened = self.now(), True

    def abandoned(self, message, happened=False):
        """There will be no acknowledgement; whether and when it takes place is open, or of a will
        only when."""
        if message.end != UNKNOWN:
            return
        message.happened = happened
        self.lingering.append([message, 0])
        if happened:
            return
        for session in self.sessions:
            if message.key in session.owed:
                session.owed[message.key].must = False
        if message.key in self.group.owed:
            self.group.owed[message.key][0] = False

    def candidates(self, topic):
        """The messages that may be the topic's retained one now."""
        every = self.retained[topic]
        every = [m for m in every
                 if not any(o.is_over() and o.start > m.end for o in every)]
        self.retained[topic] = every
        return every

    # Subscribing

    def subscribed(self, session, own, handling):
        """SUBSCRIBE is about to be sent; `handling` is the retain handling option."""
        before = session.subscriptions.get(own.text)
        self.withdraw(session, before, replaced=True)
        session.subscriptions[own.text] = own
        for message in self.unsettled:
            if own.takes(message, session.client_id):
                session.entry(message).maybe.append(own)
            elif message.key in session.owed and not session.owed[message.key].sure:
                session.owed[message.key].must = False
        if handling == 2 or (handling == 1 and before is not None):
            return
        for topic in self.retained:
            if not matches(own.text, topic):
                continue
            found = self.candidates(topic)
            for message in found:
                if not message.payload:
                    continue
                entry = session.entry(message)
                entry.retained.append(own)
                # Whether "no local" holds back a retained message is the broker's choice.
                if len(found) == 1 and message.is_over() and not own.no_local:
                    entry.retained_must += 1

    def unsubscribed(self, session, text):
        own = session.subscriptions.pop(text, None)
        self.withdraw(session, own, replaced=False)
        return own is not None

    def withdraw(self, session, own, replaced):
        if own is None:
            return
        for entry in session.owed.values():
            if own in entry.sure:
                entry.sure.remove(own)
                entry.maybe.append(own)
                # It was to come with the subscription that is gone; those of QoS 0 promise nothing.
                if own.qos > 0 and all(s.qos == 0 for s in entry.sure):
                    entry.must = False
            if not entry.sure and not replaced:
                entry.must = False
            if own in entry.retained and not replaced:
                entry.retained_must = 0

    # Sessions

    def session_ended(self, session):
        self.sessions.remove(session)
        if session in self.group.members:
            self.group.leave(session, ended=True)
        for message, _ in session.out.values():
            self.abandoned(message)

    def connection_lost(self, session):
        for entry in session.owed.values():
            if entry.outstanding():
                entry.connection_lost()

    # Receiving

    def identify(self, packet):
        """The message that a packet with a payload carries."""
        name = packet.payload.partition(b":")[0]
        if name[:1] == b"w":
            wire.require(int(name[1:]) in self.wills, f"nobody's will: {packet}")
            return self.wills[int(name[1:])]
        wire.require(int(name) < len(self.messages), f"nobody sent {packet}")
        return self.messages[int(name)]

    def delivered_empty(self, session, packet):
        """Messages without a payload, which clear what is retained, can't be told apart: that one
        of the topic was due is all that is known."""
        wire.require(any(e.message.topic == packet.topic and not e.message.payload
                         for e in session.owed.values()), f"not owed: {packet}")
        wire.require(not packet.retain or packet.dup or any(
            s.as_published for e in session.owed.values() for s in e.sure + e.maybe),
            f"an empty retained message: {packet}")
        if packet.qos == 2:
            session.received[packet.pid] = None

    def delivered(self, session, packet, connected):
        """A PUBLISH came, on a connection that began at `connected`."""
        if not packet.payload:
            self.delivered_empty(session, packet)
            return
        own = self.identify(packet)
        where = f"{session.client_id}: {str(packet)[:300]}; {str(own)[:200]}"

        def require(condition, text):
            wire.require(condition, f"{text}: {where}")

        require(packet.topic == own.topic and packet.payload == own.payload, "altered")
        require(not packet.dup or own.start < connected, "DUP on the first connection")
        if packet.qos == 2 and packet.pid in session.received:
            require(packet.dup, "a QoS 2 repetition without DUP")
            require(session.received[packet.pid] == own.key, "a packet id for two messages")
            return
        if matches(self.group.text, own.topic):
            self.delivered_shared(session, packet, own, require)
        else:
            self.delivered_own(session, packet, own, require)
        if packet.qos == 2:
            session.received[packet.pid] = own.key

    def delivered_own(self, session, packet, own, require):
        entry = session.owed.get(own.key)
        require(entry is not None, "not owed")
        if packet.qos == 1 and packet.dup and packet.pid in entry.pids:
            entry.unclear += 1
            return
        entry.count += 1
        entry.pids.add(packet.pid)
        require(entry.count <= entry.limit(), f"copy {entry.count} of {entry.limit()}")
        every = entry.sure + entry.maybe
        low, high = entry.live_qos()
        as_retained = packet.retain and entry.retained
        if as_retained:
            allowed = {min(own.qos, s.qos) for s in entry.retained}
            if own.retain and any(s.as_published for s in every):
                allowed |= set(range(low, high + 1))
            require(packet.qos in allowed, f"QoS is not in {allowed}")
        else:
            require(every, "a live copy, where only the retained one was due")
            require(low <= packet.qos <= high, f"QoS is not {low} to {high}")
            if packet.retain:
                require(own.retain and any(s.as_published for s in every), "RETAIN 1")
            elif own.retain:
                require(not all(s.as_published for s in every), "RETAIN 0")
        # Subscriptions with the same identifier each bring it.
        found = Counter(packet.all(wire.SUBSCRIPTION_ID))
        require(found <= Counter(s.identifier for s in every + entry.retained),
                "a foreign identifier")
        if not as_retained:
            require(Counter(s.identifier for s in entry.sure if s.identifier) <= found,
                    "an identifier is missing")
        if entry.count == 1 and not packet.retain and not own.is_will:
            self.in_order(session, packet, own, require)

    def delivered_shared(self, session, packet, own, require):
        require(session.group, "not a member")
        entry = session.entry(own)
        if packet.qos == 1 and packet.dup and packet.pid in entry.pids:
            return
        entry.pids.add(packet.pid)
        state = self.group.owed[own.key]
        state[1] += 1
        # With QoS 1 a member that ends may have had it when another one gets it.
        require(own.qos == 1 or state[1] == 1, f"copy {state[1]} in the group")
        require(packet.qos <= own.qos, "more than its QoS")
        require(not packet.retain, "RETAIN 1")

    def in_order(self, session, packet, own, require):
        group = (id(own.origin), own.topic, own.qos, packet.qos)
        before = session.newest.get(group, -1)
        require(own.key > before, f"after {before}")
        session.newest[group] = own.key

    def missing(self, session):
        """What is overdue. A message whose publisher is away may not have come to the broker."""
        return [e for e in session.owed.values() if e.message.happened and e.outstanding()]

    def settle(self):
        """All that is on the way has had the time to arrive."""
        # Twice, because the first time may have been too early for what no one waited for.
        self.group.unsure = max(0, self.group.unsure - 1)
        for message in self.unsettled:
            message.settled += message.end != UNKNOWN
        self.unsettled = [m for m in self.unsettled if m.settled < 2]
        for state in self.lingering:
            state[1] += 1
            if state[1] == 2:
                state[0].end = self.now()
        self.lingering = [s for s in self.lingering if s[1] < 2]
