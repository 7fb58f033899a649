"""The clients that publish: they repeat what was not acknowledged, as the standard demands."""
import asyncio
import itertools
import time
from collections import Counter

from clients import Client
from neighbours import wire

# Most messages are small, as a push service's are; a few do not fit into one read.
SMALL, LARGE, LARGE_SHARE = 200, 40_000, 0.01
WAYS = ("abort", "abort", "disconnect", "linger", "half")
# In this share of its steps a publisher leaves, is taken over, or loses answers.
LEAVE, TAKE_OVER, LOSE_ANSWERS = 0.02, 0.01, 0.02
DEAF = 0.1  # seconds without reading, at most


def properties_of(message):
    """Properties that tell each message from the others."""
    number = str(message.sequence)
    return [(wire.CONTENT_TYPE, "text/plain"), (wire.CORRELATION, number.encode()),
            (wire.USER_PROPERTY, ("sequence", number)), (wire.USER_PROPERTY, ("empty", ""))]


class Publisher(Client):
    """A persistent session that publishes on its topics.

    topics, qoses  what it chooses from
    window         messages that it has on the way at a time
    pace           the longest time between two bursts
    expiry_of      topic -> message expiry interval (5 only)
    """

    def __init__(self, load, name, version, *, topics, qoses=(1, 2), window=8, pace=0.03,
                 expiry_of=None, **options):
        super().__init__(load, name, version, **options)
        self.topics, self.qoses, self.window, self.pace = list(topics), qoses, window, pace
        self.expiry_of = expiry_of or {}
        self.sequences = Counter()
        self.unacknowledged = {}  # id -> Message, in the order of their first PUBLISH
        self.released = {}  # id -> Message, in the order of their PUBREC

    async def step(self):
        self.publish_some()
        await self.rest(self.random.uniform(0.001, self.pace))
        if self.connection is None or self.load.settling:
            return
        chance = self.random.random()
        if chance < LEAVE:
            await self.part(self.random.choice(WAYS))
        elif chance < LEAVE + TAKE_OVER:
            await self.take_over()
        elif chance < LEAVE + TAKE_OVER + LOSE_ANSWERS:
            await self.lose_answers()

    async def lose_answers(self):
        """Reads nothing for a while, and then loses the connection with what had come: the broker
        has answered, perhaps in another life, and the publisher does not know."""
        own = self.connection
        if own.is_open():
            own.transport.pause_reading()
            self.publish_some()
            await asyncio.sleep(self.random.uniform(0.01, DEAF))
            own.hang_up()
            await self.see_closed(own)

    def publish_some(self):
        for _ in range(self.random.randint(1, 4)):
            if len(self.unacknowledged) + len(self.released) < self.window:
                self.publish(self.random.choice(self.topics), self.random.choice(self.qoses))

    def waits_for(self):
        ids = [*self.unacknowledged, *self.released]
        return super().waits_for() + [f"acknowledgements of {ids}"] * bool(ids)

    # Sending

    def new_message(self, topic, qos):
        self.sequences[topic, qos] += 1
        size = LARGE if self.random.random() < LARGE_SHARE else SMALL
        own = self.ledger.message(self.name, topic, qos, self.sequences[topic, qos],
                                  self.random.randrange(size))
        own.author, own.expiry = self, self.expiry_of.get(topic)
        if self.version == 5:
            own.properties = properties_of(own)
        if not own.expires_soon():
            own.order = self.name, topic, qos
        return own

    def publish(self, topic, qos):
        own = self.new_message(topic, qos)
        # The lowest free id, so that ids are used again as soon as may be.
        pid = next(i for i in itertools.count(1)
                   if i not in self.unacknowledged and i not in self.released)
        self.unacknowledged[pid] = own
        self.send_publish(pid, own)
        return own

    def send_publish(self, pid, own, dup=False):
        own.sent(self.ledger.now())
        props = list(own.properties)
        if own.expiry is not None:
            props.append((wire.MESSAGE_EXPIRY, own.expiry))
        data = wire.publish(own.topic, own.payload, self.version, qos=own.qos, retain=own.retain,
                            dup=dup, pid=pid, props=props)
        self.connection.send(data, "PUBLISH", pid, "DUP" if dup else "", own.topic, own.head)

    def ready(self, own, present):
        """Repeats in the original order what waits for an acknowledgement [MQTT-4.4.0-1]."""
        super().ready(own, present)
        if not present:
            self.forget()
        for pid, message in self.unacknowledged.items():
            self.send_publish(pid, message, dup=True)
        for pid in list(self.released):
            self.answer(own, wire.PUBREL, pid)

    def forget(self):
        """The session is gone, and with it what was on the way: it may have been stored or not."""
        for message in (*self.unacknowledged.values(), *self.released.values()):
            message.abandoned = True
        self.unacknowledged.clear()
        self.released.clear()

    def acknowledge(self, own, kind, pid, reason):
        super().acknowledge(own, kind, pid, reason)
        if kind == wire.PUBREL and pid in self.released:
            self.released[pid].releases += 1

    # Acknowledged

    def answered(self, own, packet):
        if packet.kind == wire.PUBCOMP:
            self.completed(packet)
            return
        message = self.unacknowledged.get(packet.pid)
        qos = {wire.PUBACK: 1, wire.PUBREC: 2}.get(packet.kind)
        if message is None or message.qos != qos:
            super().answered(own, packet)
            return
        first = next(p for p, m in self.unacknowledged.items() if m.qos == qos)
        self.ledger.stats["acknowledged_out_of_order"] += packet.pid != first
        del self.unacknowledged[packet.pid]
        if packet.reason >= 0x80:
            self.fail(f"refused with {packet.reason:#x}", message)
            message.abandoned = True
            return
        message.acked, message.acked_at = self.ledger.now(), time.monotonic()
        self.ledger.stats[f"acknowledged_qos{qos}"] += 1
        if qos == 1:
            message.end = message.acked
            self.acknowledged(message)
        else:
            self.released[packet.pid] = message
            self.answer(own, wire.PUBREL, packet.pid)

    def completed(self, packet):
        message = self.released.pop(packet.pid, None)
        if message is None:
            self.fail(f"PUBCOMP {packet.pid} of no message")
            return
        # Only a PUBREL that is repeated may find that the first one did it.
        if packet.reason and message.releases == 1:
            self.fail(f"PUBCOMP {packet.pid} says {packet.reason:#x} to the first PUBREL", message)
        message.end = self.ledger.now()
        self.acknowledged(message)

    def acknowledged(self, message):
        """The exchange is over."""


class CleanPublisher(Publisher):
    """Its sessions end with their connections: what was not acknowledged then is given up, or
    published again as something new."""

    def __init__(self, load, name, version, **options):
        super().__init__(load, name, version, qoses=(1,), expiry=0, **options)

    async def connect(self, clean=True, expiry=None):
        return await super().connect(clean, expiry)

    def new_message(self, topic, qos):
        own = super().new_message(topic, qos)
        # Order is promised within a session.
        own.order = (*own.order, self.connection.number)
        return own

    def ready(self, own, present):
        topics = [m.topic for m in self.unacknowledged.values()]
        super().ready(own, present)
        for topic in topics:
            if self.random.random() < 0.5:
                self.publish(topic, 1)
