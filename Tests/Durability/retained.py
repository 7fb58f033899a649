"""Retained messages: those that set, replace and clear them, and those that look."""
from clients import PATIENCE, Client
from ledger import Message
from neighbours import wire
from publishers import Publisher


class Slot:
    """What may be a topic's retained message now; one session alone writes to it."""

    def __init__(self, topic):
        nothing = Message(b"", b"", topic, 1, 0)
        nothing.first_sent = nothing.last_sent = nothing.acked = 0
        self.writes = [nothing]
        self.changed = 0  # when something last happened that may have changed it

    def candidates(self):
        """The newest of those that were acknowledged, and what was sent later: all that was sent
        before it had been processed before it, or was lost with its connection."""
        newest = max(m.last_sent for m in self.writes if m.acked is not None)
        return [m for m in self.writes if m.last_sent >= newest]

    def sent_since(self, moment):
        return [m for m in self.writes if m.last_sent > moment]

    def acknowledged(self, now):
        self.changed = now
        found = self.candidates()
        self.writes = [m for m in self.writes if m in found or m.acked is None]


class Keeper(Publisher):
    """Sets, replaces and clears the retained messages of its slots (topic -> Slot)."""

    def __init__(self, load, name, version, *, slots, **options):
        super().__init__(load, name, version, topics=slots, qoses=(1,), window=4, pace=0.06,
                         **options)
        self.slots = slots

    def publish_some(self):
        """One topic in each round, so that the others must outlive a few kills as they are; and
        one that is let alone until all is settled."""
        *turns, rare = sorted(self.slots)
        fresh = self.load.round <= self.load.settled + 1
        self.topics = [rare if fresh else turns[self.load.round % len(turns)]]
        super().publish_some()

    def new_message(self, topic, qos):
        own = super().new_message(topic, qos)
        own.retain = True
        if self.random.random() < 0.25:
            # Clears it. Without a payload it can't be told from others: it is owed to nobody.
            own.payload = b""
            del self.ledger.messages[own.head]
        self.slots[topic].writes.append(own)
        return own

    def send_publish(self, pid, own, dup=False):
        super().send_publish(pid, own, dup)
        self.slots[own.topic].changed = own.last_sent

    def acknowledged(self, message):
        self.slots[message.topic].acknowledged(message.end)


class Listener(Client):
    """A persistent subscriber of topics with retained messages."""

    def arrived(self, own, packet):
        if packet.payload:
            super().arrived(own, packet)


class Reader(Listener):
    """Subscribes anew in each connection, and looks whether it gets what it has to."""

    makes_progress = False  # it reads on and on until all is settled

    def __init__(self, load, name, version, *, slots, **options):
        super().__init__(load, name, version, expiry=0, **options)
        self.slots = slots
        self.recipient.owing = False
        self.began = self.complete = 0  # when the current reading, and the last complete one, began
        self.before = {}  # topic -> what was possible when it began
        self.read, self.answers = set(), False

    async def connect(self, clean=True, expiry=None):
        return await super().connect(clean, expiry)

    def session_over(self):
        super().session_over()
        self.recipient.owing = False  # what is published meanwhile is not its matter

    def ready(self, own, present):
        self.began = self.ledger.now()
        self.before = {t: s.candidates() for t, s in self.slots.items()}
        self.read, self.answers = set(), False
        super().ready(own, present)

    def request_answered(self, packet):
        super().request_answered(packet)
        self.connection.send(wire.PING, "PINGREQ")

    def answered(self, own, packet):
        if packet.kind == wire.PINGRESP:
            self.answers = True
        else:
            super().answered(own, packet)

    def arrived(self, own, packet):
        super().arrived(own, packet)
        if not packet.retain:
            return
        slot = self.slots.get(packet.topic)
        if slot is None or packet.topic in self.read:
            self.fail(f"a retained message of {packet.topic}, which was not due")
            return
        self.read.add(packet.topic)
        possible = self.before[packet.topic] + slot.sent_since(self.began)
        if packet.payload not in [m.payload for m in possible]:
            names = ", ".join((m.head.decode() + " cleared" * (not m.payload)) for m in possible)
            self.fail(f"retained is {packet.payload[:80]}, and should be one of: {names}")

    def due(self):
        """Topics of which the one retained message must have come, and has not."""
        return [t for t, found in self.before.items()
                if t not in self.read and len(found) == 1 and found[0].payload
                and not self.slots[t].sent_since(self.began)]

    async def step(self):
        own = self.connection
        done = await self.until(
            lambda: self.connection is not own or (self.answers and not self.due()), PATIENCE)
        if self.connection is not own:
            return
        if not done:
            self.fail(f"no retained message for {self.due()}")
        self.complete = self.began
        self.ledger.stats["retained_readings"] += 1
        self.ledger.stats["retained_messages"] += len(self.read)
        await self.rest(self.random.uniform(0, 0.05))
        await self.part(self.random.choice(("abort", "disconnect", "linger")))

    async def away(self):
        await self.until(lambda: self.load.settling, self.random.uniform(0.02, 0.2))

    def busy(self):
        """While all is settled it reads on, until it has seen the last state."""
        return not self.at_rest()

    def waits_for(self):
        return [f"retained messages of {self.due()}"]

    def at_rest(self):
        return self.complete > max(s.changed for s in self.slots.values())
