"""What is bounded: messages, calls, streams that nobody reads, and time."""

from __future__ import annotations

import asyncio
import socket
import threading

import grpc
import pytest

from api import DEADLINE, Reader, pb, publish_request, refused, services
from interop_support import wait_for
from test_clients import listed
from test_subscriber import Subscription, opening

KIB, MIB = 1024, 1024 * 1024


# Size.


def test_a_message_that_is_too_large(start, connect):
    broker = start("--grpc-max-message-bytes", "64KiB")
    backend = connect(broker)
    backend.publish(topic="t", payload=bytes(60 * KIB))
    with refused("RESOURCE_EXHAUSTED"):
        backend.publish(topic="t", payload=bytes(65 * KIB))
    with refused("RESOURCE_EXHAUSTED"):
        list(backend.publisher.PublishStream(iter([pb.PublishStreamRequest(
            publishes=[publish_request(topic="t", payload=bytes(KIB))] * 70)]), timeout=DEADLINE))
    # The connection goes on.
    backend.publish(topic="t", payload=b"x")


def test_as_large_as_may_be(backend, device, unique):
    topic, subscriber = unique("topic"), device()
    subscriber.subscribe(topic, 1)
    payload = bytes(range(256)) * 4 * 900
    backend.publish(topic=topic, payload=payload)
    assert subscriber.next().payload == payload
    with refused("RESOURCE_EXHAUSTED"):
        backend.publish(topic=topic, payload=bytes(4 * MIB))


# A backend that does not read.


class Stalled:
    """A stream of which no response is read: grpc's flow control stops the broker."""

    def __init__(self, call):
        self.call = call

    def refusal(self):
        """Reads what is left, and how it ended."""
        reader = Reader(self.call)
        return reader.wait_end()


def test_a_subscriber_that_does_not_read(start, connect, device):
    broker = start("--grpc-slow-reader-timeout", "500ms")
    backend = connect(broker, options=(("grpc.http2.lookahead_bytes", 65536),
                                       ("grpc.http2.bdp_probe", 0)))
    hold = threading.Event()

    def requests():
        yield opening("t", qos=0, window=65535)
        hold.wait(60)

    call = backend.subscriber.Subscribe(requests())
    assert next(call).WhichOneof("response") == "opened"
    one, witness, steer = device(on=broker), device(on=broker), connect(broker)
    witness.subscribe("t", 0)
    payload = bytes(100 * KIB)

    def is_given_up():
        # What the subscription reads with is a client of the broker's own, which goes with it.
        return not listed(steer, client_id_prefix="$backend/")

    assert not is_given_up()

    def publish_more():
        # More than windows, sockets and the broker's bounds take; others get it all the same.
        for _ in range(10):
            one.publish("t", payload, 0)
        witness.receive(10)
        return is_given_up()

    wait_for(publish_more, "the broker to give up a backend that does not read", timeout=60)
    refusal = Stalled(call).refusal()
    hold.set()
    assert refusal is not None
    assert (refusal.code.name, refusal.reason) == ("RESOURCE_EXHAUSTED", "SLOW_READER")
    # Whoever reads is served.
    other = Subscription(connect(broker), "t")
    one.publish("t", b"x", 1)
    assert other.next()[0].message.payload == b"x"


def test_a_watcher_that_does_not_read(start, connect, device, unique):
    broker = start("--grpc-slow-reader-timeout", "500ms", "--grpc-watch-events", "1000")
    backend = connect(broker, options=(("grpc.http2.lookahead_bytes", 65536),
                                       ("grpc.http2.bdp_probe", 0)))
    call = backend.clients.Watch(pb.WatchRequest())
    assert next(call).WhichOneof("event") == "started"
    one, steer = device(on=broker), connect(broker)
    filters = [f"{number}/" + "f" * 60_000 for number in range(1000)]
    for start_index in range(0, 1000, 50):
        part = filters[start_index:start_index + 50]
        steer.clients.Subscribe(pb.SubscribeClientRequest(
            client_id=one.client_id, subscriptions=[pb.Subscription(filter=f) for f in part]))
        steer.clients.Unsubscribe(pb.UnsubscribeClientRequest(
            client_id=one.client_id, filters=part))
    refusal = Stalled(call).refusal()
    assert refusal is not None
    assert refusal.code.name in ("RESOURCE_EXHAUSTED", "OUT_OF_RANGE")
    assert refusal.reason in ("SLOW_READER", "RESUME_TOKEN_EXPIRED")


# Calls.


def test_ten_thousand_concurrent_calls(broker, unique):
    """All are open at once; each is answered."""
    total, connections = 10_000, 20
    topic = unique("topic")

    async def run():
        channels = [
            grpc.aio.insecure_channel(
                broker.grpc, options=(("grpc.use_local_subchannel_pool", 1),))
            for _ in range(connections)]
        streams = []
        for number in range(total):
            stub = services.PublisherStub(channels[number % connections])
            streams.append(stub.PublishStream())

        async def ask(stream, number):
            request = publish_request(topic=topic, payload=b"%d" % number, qos=1)
            await stream.write(pb.PublishStreamRequest(publishes=[request]))
            return await stream.read()

        async def ask_all():
            answers = await asyncio.gather(
                *[ask(stream, number) for number, stream in enumerate(streams)])
            return [(answer.requests, answer.publishes) for answer in answers]

        # Twice, so that in the second round each stream is known to be open.
        assert await ask_all() == [(1, 1)] * total
        assert await ask_all() == [(2, 2)] * total
        await asyncio.gather(*[stream.done_writing() for stream in streams])
        ends = await asyncio.gather(*[stream.read() for stream in streams])
        assert all(end is grpc.aio.EOF for end in ends)
        for channel in channels:
            await channel.close()

    asyncio.run(asyncio.wait_for(run(), 120))


def test_ten_thousand_publishes_at_once(broker, device, unique):
    """From several channels, each publish a call of its own."""
    total, share = 10_000, 500  # fewer for each device than may wait for it
    subscribers = [device(inflight=0) for _ in range(total // share)]

    async def run():
        channels = [
            grpc.aio.insecure_channel(
                broker.grpc, options=(("grpc.use_local_subchannel_pool", 1),))
            for _ in range(4)]
        stubs = [services.PublisherStub(channel) for channel in channels]
        answers = await asyncio.gather(*[
            stubs[number % 4].Publish(publish_request(
                "@" + subscribers[number // share].client_id, topic="t", payload=b"%d" % number))
            for number in range(total)])
        for channel in channels:
            await channel.close()
        return answers

    answers = asyncio.run(asyncio.wait_for(run(), 120))
    assert {answer.results[0].outcome for answer in answers} == {pb.TargetResult.OUTCOME_ACCEPTED}
    for index, subscriber in enumerate(subscribers):
        got = sorted(int(message.payload) for message in subscriber.receive(share, timeout=60))
        assert got == list(range(index * share, index * share + share))


def test_too_many_calls(start, connect):
    broker = start("--grpc-max-calls", "50")
    backend = connect(broker)
    watches = []
    for _ in range(50):
        call = backend.clients.Watch(pb.WatchRequest())
        next(call)
        watches.append(call)
    with refused("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS"):
        backend.publish(topic="t")
    for call in watches:
        call.cancel()

    def is_served():
        try:
            backend.publish(topic="t")
        except grpc.RpcError:
            return False
        return True

    wait_for(is_served, "the broker to see the ends")


# Time.


@pytest.mark.parametrize("kind", ("watch", "subscribe", "stream"))
def test_deadlines_are_honoured(backend, kind, unique):
    """A stream whose time is over ends on both sides."""
    hold = threading.Event()

    def held(*requests):
        yield from requests
        hold.wait(DEADLINE)

    calls = {
        "watch": lambda: backend.clients.Watch(pb.WatchRequest(), timeout=0.5),
        "subscribe": lambda: backend.subscriber.Subscribe(
            held(opening(unique("topic"))), timeout=0.5),
        "stream": lambda: backend.publisher.PublishStream(
            held(pb.PublishStreamRequest()), timeout=0.5),
    }
    with refused("DEADLINE_EXCEEDED"):
        list(calls[kind]())
    hold.set()


def test_the_broker_itself_ends_a_call_whose_time_is_over(start, connect):
    """Even where the backend's end is dead: it makes room for others."""
    broker = start("--grpc-max-calls", "1")
    backend = connect(broker)
    with refused("DEADLINE_EXCEEDED"):
        list(backend.clients.Watch(pb.WatchRequest(), timeout=0.3))

    def is_served():
        try:
            backend.publish(topic="t")
        except grpc.RpcError:
            return False
        return True

    wait_for(is_served, "the broker to give the call up")


def test_a_stop_ends_streams_with_a_reason(start, connect, device):
    broker = start()
    backend = connect(broker)
    watch = Reader(backend.clients.Watch(pb.WatchRequest()))
    subscription = Subscription(backend, "t")
    watch.wait(bool, "the watch to begin")
    broker.stop()
    for reader in (watch, subscription):
        refusal = reader.wait_end()
        assert refusal is not None and refusal.code.name == "UNAVAILABLE", refusal
        assert refusal.reason == "SHUTTING_DOWN", refusal


def test_noise_at_the_port(broker, backend, device):
    """What speaks no HTTP/2 is closed, and others are served."""
    host, _, port = broker.grpc.rpartition(":")
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x10\x00" * 5000, bytes(100), b"PRI * HTTP/2.0"):
        with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
            connection.sendall(noise)
    backend.publish(topic="t")
