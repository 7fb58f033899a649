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
