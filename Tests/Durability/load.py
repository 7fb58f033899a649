"""The whole load: its clients, the rounds that they live through, and the settling at the end."""
import asyncio
import random
import time

from population import population

# All is quiet when nothing came for so long; more copies than are owed would come in this time.
QUIET = 0.2
# Without any packet for so long, what has not come will not come.
STALLED = 10.0
SETTLE_LIMIT = 90.0
POLL = 0.005
SHOWN = 5  # of the messages that one recipient misses


class Load:
    """Clients against one broker; `settling` tells them to stop making new messages, to come back
    and to finish."""

    def __init__(self, seed, broker, ledger, without=()):
        self.seed, self.broker, self.ledger = seed, broker, ledger
        self.began = self.last_packet = time.monotonic()
        self.round, self.settled, self.settling = 0, 0, False  # settled: the round of the last one
        self.clients = population(self, without)
        self.tasks = []

    def source(self, name):
        """A client's own random numbers, which no other client's timing can shift."""
        return random.Random(f"{self.seed} {name}")

    def begin(self):
        self.tasks = [asyncio.create_task(c.run()) for c in self.clients]

    async def end(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for client in self.clients:
            if client.connection is not None:
                client.connection.hang_up()

    def next_round(self):
        self.round += 1
        self.ledger.round = self.round
        self.nudge_all()

    def cut_all(self):
        """What a kill is to the clients, without one. A CONNECT without an answer is spared: the
        broker may get to it after the next one, and rightly believe that it is the newer."""
        for client in self.clients:
            if client.connection is not None and client.connection.accepted:
                client.connection.hang_up()

    def nudge_all(self):
        for client in self.clients:
            client.nudge()

    def progress(self, client):
        if client.makes_progress:
            self.last_packet = time.monotonic()

    # Settling

    async def settle(self):
        """Until all that is owed has come, or nothing comes any more; then forgets it."""
        self.settling = True
        self.last_packet = time.monotonic()
        self.nudge_all()
        try:
            if not await self.moves_until(lambda: all(c.at_rest() for c in self.clients)):
                self.report_unfinished()
            left = self.ledger.outstanding()

            def all_came():
                left[:] = [(r, m) for r, m in left if m.head not in r.arrivals]
                return not left

            if not await self.moves_until(all_came):
                self.report_missing(left)
            limit = time.monotonic() + SETTLE_LIMIT
            while time.monotonic() < min(self.last_packet + QUIET, limit):
                await asyncio.sleep(POLL)
            self.ledger.take_out()
            self.settled = self.round
        finally:
            self.settling = False
            self.nudge_all()

    async def moves_until(self, condition):
        """Waits for a condition as long as packets come; whether it holds."""
        limit = time.monotonic() + SETTLE_LIMIT
        while not condition():
            self.broker.require_alive()
            now = time.monotonic()
            if now > self.last_packet + STALLED or now > limit:
                return False
            await asyncio.sleep(POLL)
            self.nudge_all()  # what one client waits for, another may have done
        return True

    def report_unfinished(self):
        for client in self.clients:
            if not client.at_rest():
                client.fail(
                    f"it waits in vain for {', '.join(client.waits_for()) or 'a connection'}")

    def report_missing(self, left):
        by_name = {c.name: c for c in self.clients}
        for recipient in {r for r, _ in left}:
            missing = [m for r, m in left if r is recipient]
            self.ledger.stats["messages_lost"] += len(missing)
            text = f"{recipient.name} misses {len(missing)} messages: " + "; ".join(
                str(m) for m in missing[:SHOWN])
            self.ledger.fail(text, by_name.get(recipient.name))
