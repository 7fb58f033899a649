"""Backends that read with durable cursors: what is owed to a name is owed to its streams together."""
import asyncio
import time

import grpc

from backends import Backend, Broken
from ledger import Group
from neighbours import api, wire

pb, services = api.pb, api.services
QOS = {pb.QOS_AT_MOST_ONCE: 0, pb.QOS_AT_LEAST_ONCE: 1, pb.QOS_EXACTLY_ONCE: 2}


class Delivered:
    """A delivery, as the model looks at a PUBLISH."""

    def __init__(self, delivery):
        message = delivery.message
        self.topic, self.payload, self.qos = message.topic, message.payload, QOS[message.qos]
        self.dup, self.pid = delivery.redelivered, delivery.id
        self.retain = message.retain


class Cursor(Group):
    """A durable cursor: its messages are owed to the streams of its name together. They come at least
    once, and again where an acknowledgement was not taken."""

    def __init__(self, ledger, name):
        super().__init__(ledger, name)
        self.known = False  # whether a stream of this name was open


class CursorReader(Backend):
    """Reads with a durable cursor, and acknowledges at once, late, or not before the stream breaks.

    stays  the longest time of a stream, in seconds; None: it ends none by itself
    """

    def __init__(self, load, name, cursor, *, filters, window=0, stays=None):
        super().__init__(load, name, cursor)
        self.filters, self.window, self.stays = list(filters), window, stays
        self.is_open = False
        self.late = []  # ids of deliveries that are not acknowledged yet

    def waits_for(self):
        return (["its stream to open"] * (not self.is_open)
                + ["its own acknowledgements"] * bool(self.late))

    async def talk(self, link):
        call = link.call = services.SubscriberStub(link.channel).Subscribe()
        # As of now: what another stream hears later may have been said before this one was asked for.
        reading = asyncio.create_task(self.read(link, call, must_be=self.recipient.known))
        leaves = time.monotonic() + self.random.uniform(0.01, self.stays) if self.stays else None
        try:
            asked = [self.recipient.asked(text, 1) for text in self.filters]
            await call.write(pb.SubscribeRequest(open=pb.SubscribeRequest.Open(
                name=self.recipient.name, window=self.window,
                filters=[pb.SubscribeRequest.Filter(filter=text) for text in self.filters])))
            while not reading.done():
                await self.acknowledge_some(call)
                if self.is_open:
                    for own in asked:
                        self.recipient.granted(own)
                if leaves is not None and time.monotonic() > leaves and not self.load.settling:
                    await self.leave(link, call, reading)
                await asyncio.sleep(self.random.uniform(0, 0.01))
            await reading
        finally:
            self.is_open = False
            # They come again, to whoever reads next.
            self.late.clear()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def leave(self, link, call, reading):
        """Ends the stream in its good order, or breaks it."""
        if self.random.random() < 0.5:
            await call.done_writing()
            await asyncio.wait([reading])
        link.hang_up()
        raise Broken("it leaves")

    async def acknowledge_some(self, call):
        if self.late and (self.load.settling or self.random.random() < 0.5):
            count = len(self.late) if self.load.settling else self.random.randint(
                1, len(self.late))
            ids = self.random.sample(self.late, count)
            self.late = [each for each in self.late if each not in ids]
            await call.write(pb.SubscribeRequest(
                acknowledge=pb.SubscribeRequest.Acknowledge(ids=ids)))

    async def read(self, link, call, must_be):
        while (response := await call.read()) is not grpc.aio.EOF:
            self.load.progress(self)
            if response.HasField("opened"):
                self.note(link, "<", "opened", response.opened.resumed)
                if must_be and not response.opened.resumed:
                    self.ledger.stats["sessions_lost"] += 1
                    self.fail("the cursor is gone: it was not resumed")
                self.recipient.known = self.is_open = True
            for delivery in response.deliveries.deliveries:
                self.arrived(link, delivery)
        raise Broken(f"the stream ended: {await call.details()}")

    def arrived(self, link, delivery):
        packet = Delivered(delivery)
        self.note(link, "<", packet.payload[:60], delivery.id)
        message, wrong = self.ledger.find(packet)
        if message is not None and wrong is None:
            wrong = self.recipient.arrived(message, packet, link)
        if message is not None and wrong is None:
            wrong = wrong_properties(message, delivery.message)
        if wrong is not None:
            self.fail(f"{wrong}: {packet.payload[:80]}", message)
        self.ledger.stats["deliveries_to_backends"] += 1
        if delivery.id:
            self.late.append(delivery.id)
        elif packet.qos:
            self.fail("a delivery without an id", message)


def wrong_properties(message, given):
    """What of the message has to come with the delivery, and does not."""
    properties = [(wire.USER_PROPERTY, (p.name, p.value)) for p in given.user_properties]
    if given.content_type:
        properties.append((wire.CONTENT_TYPE, given.content_type))
    if given.correlation_data:
        properties.append((wire.CORRELATION, given.correlation_data))
    if sorted(properties) != sorted(message.properties):
        return f"properties {properties}, and not {message.properties}"
    return None
