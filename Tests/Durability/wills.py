"""Clients with a will: it has to come, or must never come, or may, as their connections end."""
import time

from clients import LONG, Client
from ledger import Message
from neighbours import wire
from publishers import properties_of

# Seconds of a delay that a client does not let pass, and those of one that it may.
UNREACHED, DELAYS = 60, (0, 1)
# A clock of the broker may be coarser than ours.
EARLY = 0.2
WITH_WILL = 0x04  # the reason of a DISCONNECT that keeps the will
PLANS = {4: ("disconnect", "cut"), 5: ("disconnect", "cut", "with will", "return")}


class Will(Message):
    """A will is sent with CONNECT and published by the broker, so that being owed is what its
    acknowledgement is to another message."""
    __slots__ = ("connection", "delay", "not_before", "came")
    is_will = True

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.not_before = float("inf")
        self.came = False

    def seen(self, arrived_on):
        """It came; what is wrong with that, or None."""
        self.came = True
        self.author.nudge()
        # A broker that was killed may hold the connection for lost, and the delay for over.
        early = time.monotonic() < self.not_before
        if early and self.connection.broker.alive_since(self.connection.life):
            return "a will before its time"
        return None


class Testator(Client):
    """Connects with a new will each time, and with a plan for its end."""

    def __init__(self, load, name, version, *, qos, **options):
        super().__init__(load, name, version, **options)
        self.qos, self.count = qos, 0
        self.will, self.plan = None, None

    def will_of(self, connection):
        self.count += 1
        self.plan = self.random.choice(PLANS[self.version])
        own = self.ledger.message(self.name, f"will/{self.name}", self.qos, self.count, kind=Will)
        own.author, own.connection = self, connection
        own.delay = 0
        if self.version == 5:
            own.delay = UNREACHED if self.plan == "return" else self.random.choice(DELAYS)
        own.sent(self.ledger.now())
        self.will = own
        if self.version == 5:
            own.properties = properties_of(own)
        return wire.Will(own.topic, own.payload, own.qos, False,
                         [(wire.WILL_DELAY, own.delay), *own.properties])

    def closed(self, own):
        """Unless the script says otherwise, the will may come now or not."""
        super().closed(own)
        self.will.abandoned = True
        if not own.finished:
            self.will.not_before = 0

    def waits_for(self):
        waits = self.will is not None and self.will.acked is not None and not self.will.came
        return super().waits_for() + [f"its will {self.will}"] * waits

    async def step(self):
        await self.rest(self.random.uniform(0.02, 0.25))
        own, will, plan = self.connection, self.will, self.plan
        if own is None or self.load.settling:
            return
        if plan == "disconnect":
            if await self.part("linger"):
                self.forbid(will)
            return
        will.not_before = time.monotonic() + will.delay - EARLY
        if plan == "with will":
            own.send(wire.disconnect(WITH_WILL), "DISCONNECT", "with will")
        if not await self.part("half"):
            return
        if plan == "return":
            # The delay is long, so the will must not come once we are back in time.
            if await self.connect() and own.broker.alive_since(own.life):
                self.forbid(will)
            return
        will.acked, will.abandoned = self.ledger.now(), False
        self.ledger.stats["wills_owed"] += 1
        await self.until(lambda: will.came, LONG)
        will.end = self.ledger.now()

    def forbid(self, will):
        will.forbidden = True
        self.ledger.stats["wills_forbidden"] += 1
