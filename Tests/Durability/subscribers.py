"""The clients that only receive: always there, away for long, slow, in groups; and those that
subscribe and unsubscribe."""
from clients import LONG, Client
from neighbours import wire

WAYS = ("abort", "disconnect", "linger", "half")


class Subscriber(Client):
    """A persistent session.

    stays  the longest time of a connection, in seconds; None: it never leaves by itself
    rounds the most rounds that it is away; 0: it comes back at once, or is taken over
    """

    def __init__(self, load, name, version, *, stays=None, rounds=0, **options):
        super().__init__(load, name, version, **options)
        self.stays, self.rounds = stays, rounds

    async def step(self):
        if self.stays is None:
            await self.rest(LONG)
            return
        await self.rest(self.random.uniform(0.01, self.stays))
        if self.connection is None or self.load.settling:
            return
        if not self.rounds and self.random.random() < 0.4:
            await self.take_over()
        else:
            await self.part(self.random.choice(WAYS))

    async def away(self):
        if self.rounds:
            back = self.load.round + self.random.randint(1, self.rounds)
            await self.until(lambda: self.load.settling or self.load.round >= back, LONG)


class Seldom(Subscriber):
    """Away for seconds, so that what expires meanwhile must not come any more."""

    AWAY = (4.5, 6.0)

    async def away(self):
        await self.until(lambda: self.load.settling, self.random.uniform(*self.AWAY))


class Member(Subscriber):
    """A member of a shared subscription; what is owed to it is owed to the group."""

    def __init__(self, load, name, version, **options):
        super().__init__(load, name, version, **options)
        self.joined = False

    def ready(self, own, present):
        if not self.joined:
            self.subscribe(own, self.wanted)

    def request_answered(self, packet):
        super().request_answered(packet)
        self.joined = True

    def waits_for(self):
        return super().waits_for() + ["its membership"] * (not self.joined)


class Visitor(Member):
    """A member that comes and goes. It may get what the others get, and since they stay, what is owed
    to the group does not depend on it: its SUBACK promises nothing."""

    def subscribe(self, own, filters):
        for text, qos in filters.items():
            self.recipient.asked(text, qos)
        pid = self.request(wire.SUBACK, list(filters.values()))
        own.send(wire.subscribe(pid, list(filters.items()), self.version),
                 "SUBSCRIBE", pid, filters)

    def request_answered(self, packet):
        kind, codes = self.requests.pop(packet.pid, (None, None))
        if kind != packet.kind:
            self.fail(f"{wire.NAMES[packet.kind]} {packet.pid} of no request")
        elif packet.codes != codes:
            self.fail(f"{wire.NAMES[packet.kind]} with {packet.codes}")
        self.joined = kind == wire.SUBACK

    def session_over(self):
        self.held.clear()
        self.joined = False


class Guest(Visitor):
    """Its sessions end with their connections, which end with what it holds unacknowledged. QoS 2 is
    not for it: what it was sent is nobody else's, and lost with its session."""

    def __init__(self, load, name, version, **options):
        super().__init__(load, name, version, expiry=0, **options)

    async def connect(self, clean=True, expiry=None):
        return await super().connect(clean, expiry)


class Mortal(Visitor):
    """Its session is stored, and ends now and then by a clean start. QoS 2 is not for it either."""

    async def step(self):
        await self.rest(self.random.uniform(0.01, self.stays))
        if self.connection is None or self.load.settling:
            return
        if self.random.random() < 0.7:
            await self.part(self.random.choice(WAYS))
        if self.random.random() < 0.5:
            await self.connect(clean=True)


class Wanderer(Visitor):
    """Its session stays; it subscribes and unsubscribes, and has what is in flight all the same."""

    def __init__(self, load, name, version, **options):
        super().__init__(load, name, version, **options)
        self.wants = True  # to be a member, which it is once the answer has come

    def ready(self, own, present):
        if not present or self.wants != self.joined:
            self.ask(own)

    def ask(self, own):
        if self.wants:
            self.subscribe(own, self.wanted)
            return
        # The group may have it as a member, or not any more.
        pid = self.request(wire.UNSUBACK, None)
        own.send(wire.unsubscribe(pid, list(self.wanted), self.version), "UNSUBSCRIBE", pid)

    def request_answered(self, packet):
        if packet.kind == wire.UNSUBACK and packet.pid in self.requests:
            self.requests[packet.pid] = wire.UNSUBACK, packet.codes
        super().request_answered(packet)
        self.ledger.stats["memberships_changed"] += 1

    async def step(self):
        if self.requests or self.wants != self.joined:
            await self.until(lambda: self.connection is None or not self.requests, LONG)
            return
        await super().step()
        if self.connection is None or not self.connection.accepted or self.load.settling:
            return
        self.wants = not self.joined
        self.ask(self.connection)

    def waits_for(self):
        return Subscriber.waits_for(self)


class Changer(Client):
    """Subscribes to its own topics and unsubscribes from them, one at a time."""

    def __init__(self, load, name, version, *, topics, qos):
        super().__init__(load, name, version)
        self.topics, self.qos = list(topics), qos
        self.unfinished = None  # topic and whether to subscribe, until the answer comes
        self.first_try, self.expected = True, None

    async def step(self):
        if self.requests:
            await self.until(
                lambda: self.connection is None or not self.requests or self.load.settling, LONG)
            return
        await self.rest(self.random.uniform(0.001, 0.04))
        if self.connection is None or self.load.settling:
            return
        if self.random.random() < 0.05:
            await self.part(self.random.choice(WAYS))
            return
        topic = self.random.choice(self.topics)
        # Now and then it asks for what already is so.
        wanted = (self.recipient.current(topic) is None) ^ (self.random.random() < 0.2)
        self.unfinished, self.first_try = (topic, wanted), True
        self.ask(self.connection)

    def ask(self, own):
        topic, wanted = self.unfinished
        if wanted:
            self.subscribe(own, {topic: self.qos})
            return
        # What UNSUBACK of 5 has to say, where that is certain.
        there = self.recipient.current(topic)
        ends = self.recipient.leaving(topic)
        self.expected = None
        if self.first_try:
            self.expected = 0 if there else 0x11
        pid = self.request(wire.UNSUBACK, ends)
        own.send(wire.unsubscribe(pid, [topic], self.version), "UNSUBSCRIBE", pid, topic)

    def ready(self, own, present):
        if self.unfinished is not None:
            self.first_try = False
            self.ask(own)

    def request_answered(self, packet):
        super().request_answered(packet)
        self.unfinished = None
        self.ledger.stats["subscription_changes"] += 1

    def unsubscribed(self, ends, codes):
        super().unsubscribed(ends, codes)
        if self.version == 5 and self.expected is not None and codes != [self.expected]:
            self.fail(f"UNSUBACK says {codes}, where {self.expected:#x} is certain")

    def waits_for(self):
        return super().waits_for() + [f"{self.unfinished}"] * (self.unfinished is not None)
