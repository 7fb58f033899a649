"""paho-mqtt: what only MQTT 5 has."""

from __future__ import annotations

import time

import pytest
from paho.mqtt.subscribeoptions import SubscribeOptions

from interop_paho import properties
from interop_support import let_pass


def users(message) -> list[tuple[str, str]]:
    return getattr(message.properties, "UserProperty", [])


def test_user_properties_keep_their_order(paho, unique):
    topic = unique()
    wanted = [("z", "1"), ("a", "2"), ("z", "3"), ("", ""), ("ключ", "значение"), ("a", "2")]
    client, publisher = paho(), paho()
    client.subscribe(topic, 2)
    for qos in (0, 1, 2):
        publisher.publish(topic, b"x", qos, UserProperty=wanted)
        assert users(client.next()) == wanted
    # The retained copy has them too.
    publisher.publish(topic, b"kept", 1, retain=True, UserProperty=wanted)
    late = paho()
    late.subscribe(topic, 1)
    assert users(late.next()) == wanted
    publisher.publish(topic, b"", 1, retain=True)


def test_application_properties_pass_through(paho, unique):
    topic = unique()
    wanted = {
        "PayloadFormatIndicator": 1,
        "ContentType": "application/json; charset=utf-8",
        "ResponseTopic": f"{topic}/answer",
        "CorrelationData": bytes(range(256)),
    }
    client, publisher = paho(), paho()
    client.subscribe(topic, 1)
    publisher.publish(topic, b"{}", 1, **wanted)
    message = client.next()
    assert {name: getattr(message.properties, name) for name in wanted} == wanted


def test_request_and_response(paho, unique):
    service, answers = unique("svc"), unique("ans")
    server, client = paho(), paho()
    server.subscribe(service, 1)
    client.subscribe(answers, 1)
    for number in range(5):
        tag = f"tag {number}".encode()
        client.publish(service, str(number), 1, ResponseTopic=answers, CorrelationData=tag)
        request = server.next()
        server.publish(
            request.properties.ResponseTopic,
            str(int(request.payload) ** 2),
            1,
            CorrelationData=request.properties.CorrelationData,
        )
        response = client.next()
        assert response.properties.CorrelationData == tag
        assert int(response.payload) == number**2


def test_subscription_identifiers(paho, unique):
    base = unique()
    client, publisher = paho(), paho()
    numbers = {f"{base}/a": 1, f"{base}/+": 200, f"{base}/#": 268_435_455}
    for filter, number in numbers.items():
        client.subscribe(
            filter, 1, properties=properties("SUBSCRIBE", SubscriptionIdentifier=number)
        )
    client.subscribe(f"{base}/b", 1)
    end = unique()
    client.subscribe(end, 1)

    def identifiers(topic: str) -> list[int]:
        """Of all copies: a broker may send one with every identifier, or one for each."""
        publisher.publish(topic, b"x", 1)
        publisher.publish(end, b"marker", 1)
        messages = client.until(b"marker")
        assert messages
        seen = [getattr(m.properties, "SubscriptionIdentifier", []) for m in messages]
        return sorted(number for one in seen for number in one)

    assert identifiers(f"{base}/a") == [1, 200, 268_435_455]
    assert identifiers(f"{base}/b") == [200, 268_435_455]
    assert identifiers(f"{base}/c/d") == [268_435_455]
    # Subscribing again replaces the identifier.
    client.subscribe(f"{base}/#", 1, properties=properties("SUBSCRIBE", SubscriptionIdentifier=7))
    assert identifiers(f"{base}/c/d") == [7]


def test_no_local_and_retain_as_published(paho, unique):
    topic = unique()
    client, other = paho(), paho()
    options = SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True)
    client.subscribe(topic, options=options)
    client.publish(topic, b"mine", 1)
    other.publish(topic, b"theirs", 1, retain=True)
    other.publish(topic, b"marker", 1)
    before = client.until(b"marker")
    assert [(m.payload, m.retain) for m in before] == [(b"theirs", True)]
    other.publish(topic, b"", 1, retain=True)


def test_retain_handling(paho, unique):
    topic = unique()
    publisher = paho()
    publisher.publish(topic, b"kept", 1, retain=True)

    def subscribe(client, handling: int) -> list[bytes]:
        """Which retained messages a SUBSCRIBE brings: the marker tells when to stop."""
        client.subscribe(topic, options=SubscribeOptions(qos=1, retainHandling=handling))
        publisher.publish(topic, b"marker", 1)
        return [m.payload for m in client.until(b"marker")]

    client = paho()
    assert subscribe(client, SubscribeOptions.RETAIN_SEND_IF_NEW_SUB) == [b"kept"]
    assert subscribe(client, SubscribeOptions.RETAIN_SEND_IF_NEW_SUB) == []
    assert subscribe(client, SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE) == [b"kept"]
    assert subscribe(paho(), SubscribeOptions.RETAIN_DO_NOT_SEND) == []
    publisher.publish(topic, b"", 1, retain=True)


def test_topic_aliases_from_the_client(paho, unique):
    publisher = paho()
    most = getattr(publisher.connack_properties, "TopicAliasMaximum", 0)
    if most == 0:
        pytest.skip("the broker takes no topic aliases")
    one, two = unique(), unique()
    client = paho()
    client.subscribe([(one, SubscribeOptions(qos=1)), (two, SubscribeOptions(qos=1))])
    for alias in {1, most}:
        publisher.publish(one, b"1", 1, TopicAlias=alias)
        publisher.publish("", b"2", 1, TopicAlias=alias)
        publisher.publish("", b"3", 0, TopicAlias=alias)
        publisher.publish(two, b"4", 1, TopicAlias=alias)
        publisher.publish("", b"5", 1, TopicAlias=alias)
        assert [(m.topic, m.payload) for m in client.receive(5)] == [
            (one, b"1"),
            (one, b"2"),
            (one, b"3"),
            (two, b"4"),
            (two, b"5"),
        ]


def test_message_expiry(paho, unique):
    """What waited too long is not delivered; what is delivered says how long it has left."""
    topic, kept, name = unique(), unique(), unique("e")
    sleeper = paho(client_id=name, session_expiry=60)
    sleeper.subscribe(topic, 1)
    sleeper.disconnect()
    publisher, live = paho(), paho()
    live.subscribe(topic, 1)
    publisher.publish(topic, b"short", 1, MessageExpiryInterval=1)
    publisher.publish(topic, b"long", 1, MessageExpiryInterval=100)
    publisher.publish(topic, b"endless", 1)
    publisher.publish(kept, b"retained", 1, retain=True, MessageExpiryInterval=1)
    now = live.receive(3)
    assert [m.payload for m in now] == [b"short", b"long", b"endless"]
    assert now[0].properties.MessageExpiryInterval <= 1
    assert 95 <= now[1].properties.MessageExpiryInterval <= 100
    assert not hasattr(now[2].properties, "MessageExpiryInterval")

    let_pass(2.1)
    awake = paho(client_id=name, clean=False, session_expiry=60)
    assert awake.session_present
    later = awake.receive(2)
    assert [m.payload for m in later] == [b"long", b"endless"]
    assert 80 <= later[0].properties.MessageExpiryInterval <= 99
    late = paho()
    late.subscribe(kept, 1)
    publisher.publish(kept, b"marker", 1)
    assert late.until(b"marker") == []


def test_will_delay(paho, unique):
    """One will waits for its delay, and one is never sent, for its client came back in time."""
    topic, back = unique("will"), unique("b")
    watcher = paho()
    watcher.subscribe(f"{topic}/+", 1)

    def mortal(name: str, client_id: str, delay: int, clean: bool = True):
        will = {
            "topic": f"{topic}/{name}",
            "payload": name.encode(),
            "qos": 1,
            "properties": properties("WILLMESSAGE", WillDelayInterval=delay),
        }
        return paho(client_id=client_id, clean=clean, session_expiry=60, will=will)

    mortal("saved", back, 1).kill()
    saved = mortal("saved", back, 1, clean=False)
    assert saved.session_present
    start = time.monotonic()
    mortal("late", unique("l"), 2).kill()
    mortal("at once", unique("l"), 0).kill()
    first, second = watcher.receive(2)
    took = time.monotonic() - start
    assert [first.payload, second.payload] == [b"at once", b"late"]
    assert took >= 2, f"the will came after {took:.3f} s of the 2 that it should wait"
    # By now the will of the client that came back would have been sent long ago.
    saved.disconnect()


def test_will_of_a_session_that_ends_first(paho, unique):
    """A will waits no longer than its session lives."""
    topic = unique("will")
    watcher = paho()
    watcher.subscribe(topic, 1)
    will = {
        "topic": topic,
        "payload": b"end",
        "qos": 1,
        "properties": properties("WILLMESSAGE", WillDelayInterval=3600, UserProperty=("k", "v")),
    }
    paho(session_expiry=0, will=will).kill()
    message = watcher.next()
    assert message.payload == b"end" and users(message) == [("k", "v")]


def test_disconnect_with_will(paho, unique):
    topic = unique("will")
    watcher = paho()
    watcher.subscribe(topic, 1)
    client = paho(will={"topic": topic, "payload": b"asked for", "qos": 1})
    client.disconnect(reason=4)
    assert watcher.next().payload == b"asked for"


def test_session_expiry_is_changed_by_disconnect(paho, unique):
    name = unique("s")
    paho(client_id=name, session_expiry=60).disconnect()
    kept = paho(client_id=name, clean=False, session_expiry=60)
    assert kept.session_present
    kept.disconnect(reason=0, SessionExpiryInterval=0)
    assert not paho(client_id=name, clean=False).session_present


@pytest.mark.parametrize("qos", (1, 2))
def test_receive_maximum_of_the_client(paho, unique, qos):
    """With a window of one, the broker still delivers everything, in order."""
    topic, name = unique(), unique("w")
    paho(client_id=name, session_expiry=60).subscribe(topic, 2)
    publisher = paho()
    client = paho(client_id=name, clean=False, session_expiry=60, ReceiveMaximum=1)
    assert client.session_present
    for number in range(100):
        publisher.publish(topic, str(number), qos, wait=False)
    assert [int(m.payload) for m in client.receive(100)] == list(range(100))


def test_maximum_packet_size_of_the_client(paho, unique):
    """What is too big for a client is not sent to it, and does no harm."""
    topic = unique()
    small, large, publisher = paho(MaximumPacketSize=200), paho(), paho()
    for client in (small, large):
        client.subscribe(topic, 1)
    publisher.publish(topic, b"a" * 50, 1)
    publisher.publish(topic, b"b" * 500, 1)
    publisher.publish(topic, b"marker", 1)
    assert [len(m.payload) for m in small.until(b"marker")] == [50]
    assert [len(m.payload) for m in large.until(b"marker")] == [50, 500]
