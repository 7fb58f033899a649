"""What all clients of the load have in common: a session, connections that come and go, and a
script that goes on until the run is over."""
import asyncio
import itertools
import time
from collections import deque

from connection import Connection
from ledger import Group, Recipient
from neighbours import wire
from receiver import Receiver

LONG = 3600  # seconds of session expiry that no run outlasts
# Seconds that any one answer may take; a run in which nothing is wrong never waits for it.
PATIENCE = 15.0
RETRY = 0.003  # between attempts to connect to a broker that has just been killed
HISTORY = 300  # events of one client that a failure shows
REQUEST_IDS = range(1000, 2000)  # of SUBSCRIBE and UNSUBSCRIBE, apart from those of PUBLISH
TAKEN_OVER = 0x8E


class Client(Receiver):
    """A client id and its session; `step` is what its script does while it is connected.

    wanted           filter -> QoS that it subscribes to
    expiry           seconds of the session after its connection; 0 makes each session a clean one
    receive_maximum  its value in CONNECT (5 only)
    delay            the longest time between a packet and its acknowledgement
    again            subscribes anew in each connection, though the session has the subscriptions
    identifier       subscription identifier of its one filter (5 only)
    recipient        what its messages are owed to, where that is not its session alone
    """

    makes_progress = True  # whether its packets show that something is still on the way

    def __init__(self, load, name, version, *, wanted=None, expiry=LONG, receive_maximum=None,
                 delay=0.0, again=False, identifier=0, recipient=None):
        super().__init__(load, name, version, recipient or Recipient(load.ledger, name),
                         receive_maximum, delay, identifier)
        self.wanted, self.expiry, self.again = dict(wanted or {}), expiry, again
        self.known = False  # whether the broker has the session; None where both are possible
        self.must_clean = False
        self.requests, self.request_ids = {}, itertools.cycle(REQUEST_IDS)
        self.waiting = None
        self.history = deque(maxlen=HISTORY)

    # The script

    async def run(self):
        """Connects, does its steps, comes back; until it is cancelled."""
        try:
            while True:
                if self.connection is None and not await self.connect():
                    continue
                while self.connection is not None:
                    if self.load.settling and not self.busy():
                        await self.until(lambda: self.connection is None or self.busy()
                                         or not self.load.settling, LONG)
                    else:
                        await self.step()
                if not self.load.settling:
                    await self.away()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a fault of the harness must not look like a quiet client
            self.fail(f"the harness itself: {error!r}")
            raise

    async def step(self):
        await self.rest(1.0)

    async def away(self):
        """Between two connections."""

    def busy(self):
        """Whether it goes on with its steps while all is settled."""
        return False

    def at_rest(self):
        """Whether it has nothing more to do before all is settled."""
        return self.connection is not None and self.connection.accepted and not self.waits_for()

    def waits_for(self):
        """What it still needs, in words."""
        missing = [f for f in self.wanted if not self.recipient.current(f)]
        return ([f"PUBREL of {list(self.held)}"] * bool(self.held)
                + [f"answers to {list(self.requests)}"] * bool(self.requests)
                + ["its own acknowledgements"] * bool(self.late)
                + [f"subscriptions to {missing}"] * bool(missing))

    async def until(self, condition, seconds):
        """Waits for something that a packet, the end of a connection or the load's phase brings;
        whether it came in time."""
        if condition():
            return True
        future = asyncio.get_running_loop().create_future()
        self.waiting = future, condition
        timer = asyncio.get_running_loop().call_later(
            seconds, lambda: future.done() or future.set_result(condition()))
        try:
            return await future
        finally:
            timer.cancel()
            self.waiting = None

    def nudge(self):
        """Something has happened that this client may wait for."""
        if self.waiting is not None:
            future, condition = self.waiting
            if not future.done() and condition():
                future.set_result(True)

    async def rest(self, seconds):
        """Stays connected for a while."""
        await self.until(lambda: self.connection is None or self.load.settling, seconds)

    # Connections

    async def connect(self, clean=False, expiry=None):
        """Opens a connection, which takes over from an open one; whether it was accepted."""
        broker = self.load.broker
        await broker.wait_up()
        expiry = self.expiry if expiry is None else expiry
        # In 3.1.1 a session that ends with its connection begins as a clean one.
        clean = clean or self.must_clean or (expiry == 0 and self.version < 5)
        own = Connection(self, clean, expiry)
        try:
            await asyncio.get_running_loop().create_connection(lambda: own, *broker.address)
        except OSError:
            await asyncio.sleep(RETRY)
            return False
        if own.lost:
            return False
        # From here on, what an older connection brings is as good as lost on the way.
        self.release_connection()
        self.connection = own
        own.expected = None if clean else self.known
        own.ambiguous = clean or (self.known is None and bool(self.recipient.subscriptions))
        if self.known is False:
            self.known = None
        own.opened = time.monotonic()
        props = []
        if self.version == 5 and expiry:
            props.append((wire.SESSION_EXPIRY, expiry))
        if self.receive_maximum is not None:
            props.append((wire.RECEIVE_MAXIMUM, self.receive_maximum))
        own.send(wire.connect(self.name, self.version, clean=clean, props=props,
                              will=self.will_of(own)),
                 "CONNECT", "clean" if clean else "", f"expiry {expiry}")
        if not await self.until(lambda: own.accepted or own.lost, PATIENCE):
            self.fail(f"no CONNACK within {PATIENCE} s")
            own.hang_up()
        return own.accepted and self.connection is own

    def will_of(self, connection):
        return None

    def release_connection(self):
        """What belongs to the current connection ends with it; the session's state stays."""
        self.connection = None
        self.requests.clear()
        self.late.clear()

    def disconnected(self, connection):
        if connection is self.connection:
            if connection.certain and not connection.finished:
                self.fail("the broker closed the connection, and had no reason to")
            self.release_connection()
            self.closed(connection)

    def closed(self, own):
        """What is known of the session after its connection."""
        if not own.accepted:
            if own.ambiguous:
                self.must_clean = True
            elif own.temporary and self.known:
                self.known = None
        elif own.temporary or own.ending:
            if own.certain or (own.temporary and own.broker_was_killed()):
                self.session_over()
                self.known = False
            else:
                self.known = None

    def session_over(self):
        """The session is no more; what comes under this client id is another one."""
        if not self.recipient.subscriptions or isinstance(self.recipient, Group):
            return
        self.recipient.end()
        self.recipient = Recipient(self.ledger, self.name)
        self.held.clear()
        self.ledger.stats["sessions_ended"] += 1

    async def part(self, way):
        """Ends the connection in one of the ways in which connections end; whether the broker is
        known to have seen it."""
        own = self.connection
        if own is None:
            return False
        if way == "abort":
            own.hang_up()
        elif way == "disconnect":
            own.send(wire.disconnect(), "DISCONNECT")
            own.hang_up(politely=True)
        else:
            if way == "linger":
                own.send(wire.disconnect(), "DISCONNECT")
            own.half_close()
        return await self.see_closed(own)

    async def see_closed(self, own):
        """Waits until the connection, whose end has been asked for, is closed."""
        if not await self.until(lambda: own.lost, PATIENCE):
            self.fail(f"the broker did not close the connection within {PATIENCE} s")
            own.hang_up()
            await self.until(lambda: own.lost, PATIENCE)
        return own.certain

    async def take_over(self):
        """A second connection while the first is open."""
        old = self.connection
        if await self.connect():
            self.ledger.stats["takeovers"] += 1
            asyncio.get_running_loop().call_later(PATIENCE, self.check_taken_over, old)

    def check_taken_over(self, old):
        if not old.lost:
            if not old.broker_was_killed():
                self.fail("the connection that was taken over is still open")
            old.hang_up()

    # Receiving

    def received(self, own, packet):
        own.note_received(packet)
        self.load.progress(self)
        if own is not self.connection:
            if packet.kind == wire.DISCONNECT and packet.reason != TAKEN_OVER:
                self.fail(f"taken over, and told {packet.reason:#x}")
        elif packet.kind == wire.CONNACK:
            self.connack(own, packet)
        elif packet.kind == wire.PUBLISH:
            self.publish_received(own, packet)
        elif packet.kind == wire.PUBREL:
            self.pubrel_received(own, packet)
        elif packet.kind in (wire.SUBACK, wire.UNSUBACK):
            self.request_answered(packet)
        else:
            self.answered(own, packet)

    def answered(self, own, packet):
        """Packets that only some clients get."""
        self.fail(f"unexpected: {packet}")

    def connack(self, own, packet):
        if packet.reason:
            self.fail(f"refused with {packet.reason:#x}")
            own.hang_up()
            return
        present = packet.session_present
        if own.clean and present:
            self.fail("session present in answer to clean start")
        expected = None if own.clean else self.expectation(own)
        if expected is True and not present:
            self.ledger.stats["sessions_lost"] += 1
            self.fail("the session is gone: CONNACK says session present 0")
        elif expected is False and present:
            self.fail("a session that had ended is back: CONNACK says session present 1")
        self.ledger.stats["sessions_resumed"] += present
        if not present:
            self.session_over()
        self.known, self.must_clean, own.accepted = True, False, True
        self.ready(own, present)

    def expectation(self, own):
        """Session present as it has to be, or None where both are right."""
        return own.expected

    def ready(self, own, present):
        """The connection stands: asks for the subscriptions that are not known to be there."""
        missing = {f: q for f, q in self.wanted.items()
                   if self.again or not self.recipient.current(f)}
        if missing:
            self.subscribe(own, missing)

    def subscribe(self, own, filters):
        asked = [self.recipient.asked(f, q) for f, q in filters.items()]
        pid = self.request(wire.SUBACK, asked)
        props = [(wire.SUBSCRIPTION_ID, self.identifier)] if self.identifier else []
        own.send(wire.subscribe(pid, list(filters.items()), self.version, props),
                 "SUBSCRIBE", pid, filters)

    def request(self, answer, subscriptions):
        """The id of a SUBSCRIBE or UNSUBSCRIBE, and what its answer is about."""
        pid = next(self.request_ids)
        self.requests[pid] = answer, subscriptions
        return pid

    def request_answered(self, packet):
        kind, subscriptions = self.requests.pop(packet.pid, (None, None))
        if kind != packet.kind:
            self.fail(f"{wire.NAMES[packet.kind]} {packet.pid} of no request")
        elif kind == wire.UNSUBACK:
            self.unsubscribed(subscriptions, packet.codes)
        elif packet.codes != [s.qos for s in subscriptions]:
            self.fail(f"SUBACK with {packet.codes}")
        else:
            for own in subscriptions:
                self.recipient.granted(own)

    def unsubscribed(self, ends, codes):
        """UNSUBACK came; the codes are those of 5."""
        self.recipient.gone(ends)

    # Failing

    def fail(self, text, message=None):
        self.ledger.fail(text, self, message)

    def history_lines(self):
        """What it did and saw lately, oldest first."""
        begin = self.load.began
        return [f"{when - begin:9.4f} #{clock} connection {number} {direction} "
                + " ".join(str(w) for w in what if w != "")
                for when, clock, number, direction, *what in self.history]
