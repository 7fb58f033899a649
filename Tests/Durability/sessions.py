"""Clients whose sessions end: at their wish, with their connection, or some time after it."""
import time

from clients import LONG, Client
from neighbours import wire

WAYS = ("abort", "disconnect", "linger", "half")
ENDS = {4: ("stay", "clean", "temporary"), 5: ("stay", "clean", "temporary", "disconnect")}
# Seconds of a short session: it is surely there up to MARGIN before its end (a broker may count in
# whole seconds), and surely gone SLACK after it.
SHORT, MARGIN, SLACK = 2, 1.1, 3.0
# A broker that is killed so soon after a connection's end need not have noted when that was. It may
# count from its next start.
NOTED = 0.5
# How often it comes back late, beginning with the first time, and how late. The second is for a
# start of the broker to count from.
LATE_EVERY, LATE = 3, SHORT + SLACK + 1.0


class Ender(Client):
    """Ends its session again and again, and begins another one with subscriptions or without."""

    def __init__(self, load, name, version, *, filters, **options):
        super().__init__(load, name, version, **options)
        self.filters = filters

    def ready(self, own, present):
        if not present:
            # Without any, what still comes belongs to the session that ended.
            self.wanted = dict(self.filters) if self.random.random() < 0.6 else {}
        super().ready(own, present)

    async def step(self):
        await self.rest(self.random.uniform(0.01, 0.25))
        own = self.connection
        if own is None or self.load.settling:
            return
        way = self.random.choice(ENDS[self.version])
        if way == "stay":
            await self.part(self.random.choice(WAYS))
        elif way == "clean":
            if self.random.random() < 0.5:
                await self.part(self.random.choice(WAYS))
            await self.connect(clean=True)
        elif way == "temporary":
            await self.part("linger")
            if await self.connect(expiry=0):
                await self.rest(self.random.uniform(0.01, 0.1))
                await self.part(self.random.choice(WAYS))
        else:
            own.ending = True
            own.send(wire.disconnect(0, [(wire.SESSION_EXPIRY, 0)]), "DISCONNECT", "expiry 0")
            own.half_close()
            await self.see_closed(own)


class ShortLived(Client):
    """A session of SHORT seconds, which it comes back to early or late.

    by_disconnect  the interval comes with DISCONNECT, and is a long one until then
    """

    def __init__(self, load, name, version, *, by_disconnect=False, **options):
        super().__init__(load, name, version, expiry=LONG if by_disconnect else SHORT, **options)
        self.by_disconnect = by_disconnect
        self.left, self.left_at = None, 0.0  # the last connection, and when it was closed
        self.times_away = 0

    def closed(self, own):
        super().closed(own)
        # Without a CONNACK, nobody knows when the session's time began to run.
        self.left, self.left_at = own if own.accepted else None, time.monotonic()
        self.known = None

    def expectation(self, own):
        if self.left is None:
            return own.expected
        if self.by_disconnect and not self.left.finished:
            return True
        if time.monotonic() - self.left.last_heard < SHORT - MARGIN:
            return True
        if self.by_disconnect and not self.left.certain:
            return None
        ready = self.load.broker.next_ready_after_kill(
            self.left.last_heard, self.left_at + NOTED)
        if own.opened - (self.left_at if ready is None else ready) > SHORT + SLACK:
            self.ledger.stats["sessions_expired"] += 1
            return False
        return None

    async def step(self):
        await self.rest(self.random.uniform(0.02, 0.2))
        own = self.connection
        if own is None or self.load.settling:
            return
        if self.by_disconnect:
            own.send(wire.disconnect(0, [(wire.SESSION_EXPIRY, SHORT)]), "DISCONNECT", "expiry 2")
            own.half_close()
            await self.see_closed(own)
        else:
            await self.part(self.random.choice(WAYS))

    async def away(self):
        seconds = self.random.uniform(0.0, 0.6)
        if self.times_away % LATE_EVERY == 0:
            seconds += LATE
        self.times_away += 1
        await self.until(lambda: self.load.settling, seconds)
