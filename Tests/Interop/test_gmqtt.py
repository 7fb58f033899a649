"""gmqtt: a codec of its own under asyncio, which can take topic aliases and reconnects itself."""

from __future__ import annotations

import asyncio
import logging
import os

import gmqtt
import pytest
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

from interop_support import DEADLINE, converse

PROTOCOLS = {"3.1.1": MQTTv311, "5": MQTTv50}
VERSIONS = tuple(PROTOCOLS)

# gmqtt's number of attempts that forbids the first one as well.
NEVER_RECONNECT = -2


class Client:
    """gmqtt's callbacks as things to await. gmqtt keeps the version for all: one per test."""

    def __init__(self, broker, version: str, name: str, *, clean=True, will=None, **options):
        self.broker, self.version = broker, version
        self.messages: asyncio.Queue = asyncio.Queue()
        # Session present, for each CONNACK.
        self.connections: asyncio.Queue[int] = asyncio.Queue()
        # The body of DISCONNECT, or nothing where the connection just ended.
        self.disconnects: asyncio.Queue[bytes] = asyncio.Queue()
        self._answers: dict[int, asyncio.Future] = {}
        quiet = logging.getLogger("gmqtt.quiet")
        quiet.setLevel(logging.CRITICAL)
        self.raw = gmqtt.Client(
            name, clean_session=clean, will_message=will, logger=quiet, **options
        )
        self.raw.set_config({"reconnect_retries": NEVER_RECONNECT, "reconnect_delay": 0})
        self.raw.on_connect = lambda c, flags, code, props: self.connections.put_nowait(flags)
        self.raw.on_disconnect = lambda c, packet: self.disconnects.put_nowait(bytes(packet))
        self.raw.on_message = self._on_message
        self.raw.on_subscribe = lambda c, mid, codes, props: self._answer(mid).set_result(codes)
        self.raw.on_unsubscribe = lambda c, mid, codes: self._answer(mid).set_result(codes)

    async def _on_message(self, client, topic, payload, qos, props):
        self.messages.put_nowait((topic, payload, qos, props))
        return 0

    def _answer(self, mid: int) -> asyncio.Future:
        return self._answers.setdefault(mid, asyncio.get_running_loop().create_future())

    async def connect(self) -> int:
        """Returns whether a session was present."""
        version = PROTOCOLS[self.version]
        connecting = self.raw.connect(self.broker.host, self.broker.port, version=version)
        await asyncio.wait_for(connecting, DEADLINE)
        return await asyncio.wait_for(self.connections.get(), DEADLINE)

    async def subscribe(self, filter, qos: int = 0, **options):
        mid = self.raw.subscribe(filter, qos, **options)
        codes = await asyncio.wait_for(self._answer(mid), DEADLINE)
        del self._answers[mid]
        assert all(code <= 2 for code in codes), codes

    async def unsubscribe(self, filter):
        mid = self.raw.unsubscribe(filter)
        await asyncio.wait_for(self._answer(mid), DEADLINE)
        del self._answers[mid]

    async def receive(self, count: int) -> list[tuple]:
        async def take():
            return [await self.messages.get() for _ in range(count)]

        return await asyncio.wait_for(take(), DEADLINE)

    def abort(self) -> None:
        self.raw._connection._transport.abort()

    async def __aenter__(self):
        self.session_present = await self.connect()
        return self

    async def __aexit__(self, *_):
        self.raw.set_config({"reconnect_retries": NEVER_RECONNECT})
        await self.raw.disconnect()


@pytest.fixture
def client(broker, unique):
    def make(version: str, name: str | None = None, **options) -> Client:
        return Client(broker, version, name or unique("g"), **options)

    return make


@pytest.mark.parametrize("version", VERSIONS)
def test_each_qos(client, unique, version):
    async def conversation():
        topic = unique()
        async with client(version) as subscriber, client(version) as publisher:
            await subscriber.subscribe(topic, 2)
            for qos in range(3):
                publisher.raw.publish(topic, f"{qos}", qos)
            messages = await subscriber.receive(3)
            assert sorted((m[1], m[2]) for m in messages) == [
                (b"0", 0),
                (b"1", 1),
                (b"2", 2),
            ]
            await subscriber.unsubscribe(topic)
            publisher.raw.publish(topic, "unheard", 1)
            other = unique()
            await subscriber.subscribe(other, 1)
            publisher.raw.publish(other, "marker", 1)
            assert (await subscriber.receive(1))[0][:2] == (other, b"marker")

    converse(conversation())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_payload_of_one_megabyte(client, unique, version):
    async def conversation():
        topic, payload = unique(), os.urandom(1_000_000)
        async with client(version) as subscriber, client(version) as publisher:
            await subscriber.subscribe(topic, 2)
            for qos in range(3):
                publisher.raw.publish(topic, payload, qos)
                assert (await subscriber.receive(1))[0][1] == payload

    converse(conversation())


@pytest.mark.parametrize("version", VERSIONS)
def test_retained_and_will(client, unique, version):
    async def conversation():
        state, will_topic = unique(), unique("will")
        will = gmqtt.Message(will_topic, "gone", qos=1)
        async with client(version) as other:
            await other.subscribe(will_topic, 1)
            async with client(version, will=will) as mortal:
                await mortal.subscribe(state, 1)
                mortal.raw.publish(state, "alive", 1, retain=True)
                assert (await mortal.receive(1))[0][3]["retain"] == 0
                mortal.abort()
                (message,) = await other.receive(1)
            assert message[:3] == (will_topic, b"gone", 1)
            await other.subscribe(state, 1)
            (message,) = await other.receive(1)
            assert message[:2] == (state, b"alive") and message[3]["retain"] == 1
            other.raw.publish(state, b"", 1, retain=True)
            await other.receive(1)

    converse(conversation())


@pytest.mark.parametrize("version", VERSIONS)
def test_reconnecting_by_itself(client, unique, version):
    """gmqtt comes back with its session after a lost connection; nothing is missing."""

    async def conversation():
        topic = unique()
        options = {"session_expiry_interval": 60} if version == "5" else {}
        async with (
            client(version, clean=False, **options) as subscriber,
            client(version) as publisher,
        ):
            assert subscriber.session_present == 0
            await subscriber.subscribe(topic, 1)
            subscriber.raw.set_config({"reconnect_retries": gmqtt.constants.UNLIMITED_RECONNECTS})
            seen: set[int] = set()
            for number in range(10):
                subscriber.abort()
                publisher.raw.publish(topic, str(number), 1)
                present = await asyncio.wait_for(subscriber.connections.get(), DEADLINE)
                assert present == 1
                while number not in seen:
                    (message,) = await subscriber.receive(1)
                    seen.add(int(message[1]))
            assert seen == set(range(10))
            await subscriber.unsubscribe(topic)

    converse(conversation())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_thousand_in_order(client, unique, version):
    async def conversation():
        topic, total = unique(), 1000
        async with client(version) as subscriber, client(version) as publisher:
            await subscriber.subscribe(topic, 1)
            got = []
            for start in range(0, total, 100):
                for number in range(start, start + 100):
                    publisher.raw.publish(topic, str(number), 1)
                got += [int(m[1]) for m in await subscriber.receive(100)]
            assert got == list(range(total))

    converse(conversation())


def test_topic_aliases_from_the_broker(client, unique):
    """A client that takes aliases gets the right topics, whether the broker uses them or not."""

    async def conversation():
        base = unique()
        async with client("5", topic_alias_maximum=3) as subscriber, client("5") as publisher:
            await subscriber.subscribe(f"{base}/#", 1)
            # More topics than aliases, and each of them more than once.
            topics = [f"{base}/{number % 5}" for number in range(50)]
            for qos in (0, 1):
                for number, topic in enumerate(topics):
                    publisher.raw.publish(topic, str(number), qos)
                messages = await subscriber.receive(len(topics))
                assert [m[0] for m in messages] == topics
                assert [int(m[1]) for m in messages] == list(range(len(topics)))

    converse(conversation())


def test_topic_aliases_from_the_client(client, unique):
    async def conversation():
        topic = unique()
        async with client("5") as subscriber, client("5") as publisher:
            if publisher.raw.properties.get("topic_alias_maximum", [0]) == [0]:
                pytest.skip("the broker takes no topic aliases")
            await subscriber.subscribe(topic, 1)
            publisher.raw.publish(topic, "1", 1, topic_alias=1)
            publisher.raw.publish("", "2", 1, topic_alias=1)
            publisher.raw.publish("", "3", 0, topic_alias=1)
            messages = await subscriber.receive(3)
            assert [m[:2] for m in messages] == [(topic, b"1"), (topic, b"2"), (topic, b"3")]

    converse(conversation())


def test_version_5_properties(client, unique):
    async def conversation():
        topic = unique()
        async with client("5") as subscriber, client("5") as publisher:
            await subscriber.subscribe(topic, 1, subscription_identifier=77)
            users = [("b", "1"), ("a", "2"), ("b", "3")]
            publisher.raw.publish(
                topic,
                "x",
                1,
                user_property=users,
                content_type="text/plain",
                response_topic="answers",
                correlation_data=b"\0\1\2",
                message_expiry_interval=100,
            )
            props = (await subscriber.receive(1))[0][3]
            assert props["user_property"] == users
            assert props["subscription_identifier"] == [77]
            assert props["content_type"] == ["text/plain"]
            assert props["response_topic"] == ["answers"]
            assert props["correlation_data"] == [b"\0\1\2"]
            assert 95 <= props["message_expiry_interval"][0] <= 100

    converse(conversation())


def test_will_delay(client, unique):
    """The will waits: a message that is published after the loss comes before it."""

    async def conversation():
        topic = unique("will")
        will = gmqtt.Message(topic, "gone", qos=1, will_delay_interval=1)
        async with client("5") as watcher:
            await watcher.subscribe(topic, 1)
            async with client("5", will=will, session_expiry_interval=60) as mortal:
                mortal.abort()
                watcher.raw.publish(topic, "first", 1)
                assert [m[1] for m in await watcher.receive(2)] == [b"first", b"gone"]

    converse(conversation())


def test_take_over_is_told(client, unique, broker):
    """DISCONNECT with reason code 142, then the end of the connection."""

    async def conversation():
        name = unique("t")
        async with client("5", name) as old, client("5", name):
            body = await asyncio.wait_for(old.disconnects.get(), DEADLINE)
            if broker.is_bifrost:
                assert body[:1] == bytes([142])

    converse(conversation())


@pytest.mark.parametrize("version", VERSIONS)
def test_shared_subscription(client, unique, version):
    async def conversation():
        topic, group, total = unique(), unique("g"), 60
        async with (
            client(version) as one,
            client(version) as two,
            client(version) as publisher,
        ):
            # One queue for both, that says whose each message was.
            queue: asyncio.Queue = asyncio.Queue()
            shares: tuple[list[int], list[int]] = ([], [])
            for member, share in ((one, shares[0]), (two, shares[1])):

                async def collect(client, topic, payload, qos, props, share=share):
                    share.append(int(payload))
                    queue.put_nowait(None)
                    return 0

                member.raw.on_message = collect
                await member.subscribe(f"$share/{group}/{topic}", 1)
            for number in range(total):
                publisher.raw.publish(topic, str(number), 1)
            for _ in range(total):
                await asyncio.wait_for(queue.get(), DEADLINE)
            assert sorted(shares[0] + shares[1]) == list(range(total))
            assert shares[0] and shares[1]

    converse(conversation())
