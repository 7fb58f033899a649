"""What all backends of the load have in common: a channel to each life of the broker, and a script
that goes on until the run is over."""
import asyncio
import time
from collections import deque

import grpc

from clients import HISTORY

# How often it is looked whether what is waited for is there.
POLL = 0.003
# In this share of its steps a backend hangs up, as one does that is started anew.
LEAVE = 0.02
# A channel of its own for each life of the broker, and no second attempt that we know nothing of.
CHANNEL = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))


class Broken(Exception):
    """The stream has ended."""


class Link:
    """A channel to one life of the broker, which stands in for a connection of MQTT."""

    def __init__(self, broker):
        self.life, self.opened = broker.life, time.monotonic()
        self.channel = grpc.aio.insecure_channel(broker.backends, options=CHANNEL)
        self.accepted, self.hung_up = True, False
        self.call = None  # what is under way, to be given up

    def hang_up(self):
        self.hung_up = True
        if self.call is not None:
            self.call.cancel()


class Backend:
    """A backend that comes back to each life of the broker; `talk` is what it does there."""

    makes_progress = True

    def __init__(self, load, name, recipient=None):
        self.load, self.ledger, self.name = load, load.ledger, name
        self.random = load.source(name)
        self.connection, self.recipient = None, recipient
        self.history = deque(maxlen=HISTORY)

    async def run(self):
        """Connects and talks, until it is cancelled."""
        broker = self.load.broker
        while True:
            await broker.wait_up()
            self.connection = link = Link(broker)
            self.note(link, "-", "channel")
            try:
                await self.talk(link)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, Broken) as error:
                self.note(link, "-", "broken", str(error).splitlines()[0])
                if not link.hung_up and broker.alive_since(link.life):
                    self.fail(f"a call failed though the broker lives: {error}")
            except asyncio.CancelledError:
                # What a call says that was given up, too.
                if not link.hung_up:
                    raise
            except Exception as error:  # a fault of the harness must not look like a quiet client
                self.fail(f"the harness itself: {error!r}")
                raise
            finally:
                self.connection = None
                await link.channel.close()
            await asyncio.sleep(POLL)

    async def rest(self, seconds):
        """Does nothing for a while, or less where all is to be settled."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.load.settling:
            await asyncio.sleep(POLL)

    def may_leave(self, link):
        if not self.load.settling and self.random.random() < LEAVE:
            link.hang_up()

    def at_rest(self):
        return self.connection is not None and not self.waits_for()

    def nudge(self):
        """It looks by itself."""

    def note(self, link, direction, *what):
        self.history.append((time.monotonic(), self.ledger.clock, link.life, direction, *what))

    def fail(self, text, message=None):
        self.ledger.fail(text, self, message)

    def history_lines(self):
        begin = self.load.began
        return [f"{when - begin:9.4f} #{clock} life {life} {direction} "
                + " ".join(str(w) for w in what)
                for when, clock, life, direction, *what in self.history]
