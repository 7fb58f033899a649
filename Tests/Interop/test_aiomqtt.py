"""aiomqtt: paho's codec under asyncio; the large fan-out is here."""

from __future__ import annotations

import asyncio
import contextlib
import os

import aiomqtt
import pytest
from aiomqtt import ProtocolVersion

from interop_paho import properties
from interop_support import DEADLINE, converse

PROTOCOLS = {
    "3.1": ProtocolVersion.V31,
    "3.1.1": ProtocolVersion.V311,
    "5": ProtocolVersion.V5,
}
VERSIONS = tuple(PROTOCOLS)


@pytest.fixture
def client(broker, unique):
    """Makes clients that are not connected yet: `async with` connects them."""

    def make(version: str, **options) -> aiomqtt.Client:
        options.setdefault("identifier", unique("a"))
        return aiomqtt.Client(
            broker.host,
            broker.port,
            protocol=PROTOCOLS[version],
            timeout=DEADLINE,
            **options,
        )

    return make


async def receive(client: aiomqtt.Client, count: int) -> list[aiomqtt.Message]:
    async def take():
        return [await anext(client.messages) for _ in range(count)]

    return await asyncio.wait_for(take(), DEADLINE)


async def vanish(client: aiomqtt.Client) -> None:
    """Ends the connection under the client, without DISCONNECT."""
    client._client.socket().shutdown(2)
    with pytest.raises(aiomqtt.MqttError):
        await asyncio.wait_for(anext(client.messages), DEADLINE)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_qos(client, unique, version):
    async def conversation():
        topic = unique()
        async with client(version) as subscriber, client(version) as publisher:
            await subscriber.subscribe(f"{topic}/+", 2)
            for qos in range(3):
                await publisher.publish(f"{topic}/{qos}", f"{qos}", qos)
            messages = await receive(subscriber, 3)
            assert [(str(m.topic), m.payload, m.qos) for m in messages] == [
                (f"{topic}/{qos}", f"{qos}".encode(), qos) for qos in range(3)
            ]
            await subscriber.unsubscribe(f"{topic}/+")
            await publisher.publish(f"{topic}/0", "unheard", 1)
            await subscriber.subscribe(topic, 1)
            await publisher.publish(topic, "marker", 1)
            assert (await receive(subscriber, 1))[0].payload == b"marker"

    converse(conversation())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_payload_of_one_megabyte(client, unique, version):
    async def conversation():
        topic, payload = unique(), os.urandom(1_000_000)
        async with client(version) as subscriber, client(version) as publisher:
            await subscriber.subscribe(topic, 2)
            for qos in range(3):
                await publisher.publish(topic, payload, qos)
            for message in await receive(subscriber, 3):
                assert message.payload == payload

    converse(conversation())


@pytest.mark.parametrize("version", VERSIONS)
def test_retained_and_will(client, unique, version):
    async def conversation():
        state, will_topic = unique(), unique("will")
        will = aiomqtt.Will(will_topic, "gone", 1, retain=True)
        async with client(version) as other:
            await other.subscribe(will_topic, 1)
            with contextlib.suppress(aiomqtt.MqttError):
                async with client(version, will=will) as mortal:
                    await mortal.publish(state, "alive", 1, retain=True)
                    await vanish(mortal)
            (message,) = await receive(other, 1)
            assert (message.payload, message.qos, message.retain) == (b"gone", 1, False)
        async with client(version) as late:
            await late.subscribe(state, 1)
            await late.subscribe(will_topic, 1)
            messages = await receive(late, 2)
            assert {(str(m.topic), m.payload, m.retain) for m in messages} == {
                (state, b"alive", True),
                (will_topic, b"gone", True),
            }
            for topic in (state, will_topic):
                await late.publish(topic, b"", 1, retain=True)

    converse(conversation())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_keeps_what_came_meanwhile(client, unique, version):
    async def conversation():
        topic, name = unique(), unique("s")
        session = {"clean_session": False}
        if version == "5":
            expiry = properties("CONNECT", SessionExpiryInterval=60)
            session = {"clean_start": False, "properties": expiry}
        async with client(version, identifier=name, **session) as sleeper:
            await sleeper.subscribe(topic, 1)
        async with client(version) as publisher:
            for number in range(20):
                await publisher.publish(topic, str(number), 1)
        async with client(version, identifier=name, **session) as awake:
            messages = await receive(awake, 20)
            assert [int(m.payload) for m in messages] == list(range(20))

    converse(conversation())


def test_version_5_properties(client, unique):
    async def conversation():
        topic = unique()
        async with client("5") as subscriber, client("5") as publisher:
            identifier = properties("SUBSCRIBE", SubscriptionIdentifier=42)
            await subscriber.subscribe(topic, 1, properties=identifier)
            users = [("b", "1"), ("a", "2"), ("b", "3")]
            sent = properties("PUBLISH", UserProperty=users, MessageExpiryInterval=100)
            await publisher.publish(topic, "x", 1, properties=sent)
            (message,) = await receive(subscriber, 1)
            assert message.properties.UserProperty == users
            assert message.properties.SubscriptionIdentifier == [42]
            assert 95 <= message.properties.MessageExpiryInterval <= 100

    converse(conversation())


@pytest.mark.parametrize("version", VERSIONS)
def test_one_to_two_hundred(client, unique, version):
    """Every client gets every message, in order."""
    clients, rounds = 200, 10

    async def conversation():
        topic = unique()
        async with contextlib.AsyncExitStack() as stack:
            subscribers = [await stack.enter_async_context(client(version)) for _ in range(clients)]
            await asyncio.gather(*(subscriber.subscribe(topic, 1) for subscriber in subscribers))
            publisher = await stack.enter_async_context(client(version))
            for number in range(rounds):
                await publisher.publish(topic, str(number), number % 2)
            for subscriber in subscribers:
                messages = await receive(subscriber, rounds)
                for qos in (0, 1):
                    numbers = [int(m.payload) for m in messages if m.qos == qos]
                    assert numbers == list(range(qos, rounds, 2))

    converse(conversation())


@pytest.mark.parametrize("version", VERSIONS)
def test_two_hundred_to_one(client, unique, version):
    """Nothing is lost, and each publisher's messages stay in order."""
    clients, rounds = 200, 5

    async def conversation():
        topic = unique()
        async with contextlib.AsyncExitStack() as stack:
            subscriber = await stack.enter_async_context(client(version))
            await subscriber.subscribe(f"{topic}/+", 1)
            publishers = [await stack.enter_async_context(client(version)) for _ in range(clients)]
            for number in range(rounds):
                await asyncio.gather(
                    *(
                        publisher.publish(f"{topic}/{index}", str(number), 1)
                        for index, publisher in enumerate(publishers)
                    )
                )
            seen: dict[str, list[int]] = {}
            for message in await receive(subscriber, clients * rounds):
                seen.setdefault(str(message.topic), []).append(int(message.payload))
            assert len(seen) == clients
            assert all(numbers == list(range(rounds)) for numbers in seen.values())

    converse(conversation())
