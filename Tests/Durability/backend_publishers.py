"""Backends that publish over gRPC, to topics and to single clients: what was acknowledged to them is
owed as it is to MQTT publishers."""
import asyncio
import time
from collections import Counter, deque

import grpc

from backends import POLL, Backend, Broken
from neighbours import api, wire
from publishers import SMALL, properties_of
from subscribers import Subscriber

pb, services = api.pb, api.services
ACCEPTED = pb.TargetResult.OUTCOME_ACCEPTED
NO_SUBSCRIBERS = pb.TargetResult.OUTCOME_NO_SUBSCRIBERS


class BackendPublisher(Backend):
    """Publishes one message after the other with Publish. Each has an idempotency key, so that a call
    whose answer was lost is made again, and the message is published once all the same.

    target  the client that all is for; None: whoever subscribes to the topic
    """

    def __init__(self, load, name, *, topics, target=None):
        super().__init__(load, name)
        self.topics, self.target = list(topics), target
        self.sequences = Counter()
        self.unanswered = deque()  # lists of messages, in the order of their first sending

    def waits_for(self):
        return [f"answers to {[m.head for b in self.unanswered for m in b]}"] * bool(self.unanswered)

    def new_message(self):
        topic, qos = self.random.choice(self.topics), self.random.choice((1, 2))
        self.sequences[topic, qos] += 1
        own = self.ledger.message(
            self.name, topic, qos, self.sequences[topic, qos], self.random.randrange(SMALL))
        own.properties, own.order, own.author = properties_of(own), (self.name, topic, qos), self
        return own

    def request(self, own):
        values = dict(own.properties[:2])
        message = pb.Message(
            topic=own.topic, payload=own.payload, qos=api.QOS[own.qos],
            content_type=values[wire.CONTENT_TYPE], correlation_data=values[wire.CORRELATION],
            user_properties=[
                pb.UserProperty(name=pair[0], value=pair[1])
                for kind, pair in own.properties if kind == wire.USER_PROPERTY])
        targets = [pb.Target(client_id=self.target.name)] if self.target else []
        return pb.PublishRequest(
            message=message, targets=targets, idempotency_key=own.head.decode())

    def sent(self, link, own):
        # With its key it is one publication, however often it is sent.
        if not own.attempts:
            own.sent(self.ledger.now())
        self.note(link, ">", own.head.decode())

    def answered(self, link, own, response):
        """It was published; what the answer says of that has to be so."""
        self.load.progress(self)
        (result,) = response.results
        self.note(link, "<", own.head.decode(), result.outcome, response.is_duplicate)
        if result.outcome not in (ACCEPTED, NO_SUBSCRIBERS):
            self.fail(f"refused: {result.reason}", own)
            own.abandoned = True
            return
        own.acked, own.acked_at = self.ledger.now(), time.monotonic()
        own.end = own.acked
        self.ledger.stats[f"acknowledged_qos{own.qos}"] += 1
        self.ledger.stats["acknowledged_to_backends"] += 1
        self.ledger.stats["duplicate_requests"] += response.is_duplicate
        owed = any(r.owed(own) for r in self.ledger.recipients)
        if owed and result.outcome == NO_SUBSCRIBERS:
            self.fail("no subscribers, it says, of a message that is owed", own)

    async def talk(self, link):
        stub = services.PublisherStub(link.channel)
        while True:
            if not self.unanswered:
                if self.load.settling:
                    await asyncio.sleep(POLL)
                    continue
                self.unanswered.append([self.new_message()])
            (own,) = self.unanswered[0]
            self.sent(link, own)
            link.call = stub.Publish(self.request(own))
            self.may_leave(link)
            self.answered(link, own, await link.call)
            self.unanswered.popleft()
            await self.rest(self.random.uniform(0, 0.02))


class StreamPublisher(BackendPublisher):
    """Publishes with PublishStream, some requests ahead of their answers. After a broken stream it
    sends again what was not answered, in its order."""

    WINDOW = 6

    async def talk(self, link):
        call = link.call = services.PublisherStub(link.channel).PublishStream()
        reading = asyncio.create_task(self.read(link, call))
        try:
            for batch in list(self.unanswered):
                await self.send(link, call, batch)
            while not reading.done():
                if not self.load.settling and len(self.unanswered) < self.WINDOW:
                    batch = [self.new_message() for _ in range(self.random.randint(1, 5))]
                    self.unanswered.append(batch)
                    await self.send(link, call, batch)
                    self.may_leave(link)
                await asyncio.sleep(self.random.uniform(0, 0.01))
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def send(self, link, call, batch):
        for own in batch:
            self.sent(link, own)
        await call.write(pb.PublishStreamRequest(
            publishes=[self.request(own) for own in batch], wants_results=True))

    async def read(self, link, call):
        requests = publishes = 0
        while (response := await call.read()) is not grpc.aio.EOF:
            batch = self.unanswered.popleft()
            requests, publishes = requests + 1, publishes + len(batch)
            if (response.requests, response.publishes) != (requests, publishes):
                self.fail(f"{response.requests} requests and {response.publishes} publishes done, "
                          f"it says; {requests} and {publishes} are")
            for own, one in zip(batch, response.results, strict=True):
                self.answered(link, own, one)
        raise Broken(f"the stream ended: {await call.details()}")


class Addressee(Subscriber):
    """A device that subscribes to nothing and is owed what is published to its client id, as if it
    had a subscription from its first CONNACK on."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        # Its session may be there, and get messages, before it hears of it.
        self.asked()

    def asked(self):
        return self.recipient.asked(f"direct/{self.name}/#", 2)

    def ready(self, own, present):
        # What is published to it later than this has to come.
        self.recipient.granted(self.asked())
