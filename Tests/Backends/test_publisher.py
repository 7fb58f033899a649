"""bifrost.v1.Publisher.Publish: what arrives at devices, and what the answer says."""

from __future__ import annotations

import concurrent.futures

import pytest

from api import DEADLINE, QOS, pb, publish_request, refused
from devices import key_of, seen
from interop_support import wait_for

ACCEPTED = pb.TargetResult.OUTCOME_ACCEPTED
NO_SUBSCRIBERS = pb.TargetResult.OUTCOME_NO_SUBSCRIBERS
REFUSED = pb.TargetResult.OUTCOME_REFUSED


def numbers(result) -> tuple[int, int, int]:
    return result.outcome, result.online, result.stored


def away(device, unique, *filters, version="5", qos=1):
    """A client that has subscribed, and left; its session stays. Its client id."""
    name = unique("away")
    options = {"session_expiry": 3600} if version == "5" else {}
    made = device(version, client_id=name, clean=False, **options)
    for one in filters:
        made.subscribe(one, qos)
    made.disconnect()
    return name


def back(device, name, version="5"):
    options = {"session_expiry": 3600} if version == "5" else {}
    made = device(version, client_id=name, clean=False, **options)
    assert made.session_present
    return made


@pytest.mark.everywhere
@pytest.mark.parametrize("qos", (0, 1, 2))
@pytest.mark.parametrize("version", ("3.1", "3.1.1", "5"))
def test_a_topic_reaches_its_subscribers(backend, device, unique, qos, version):
    topic = unique("topic")
    subscribers = [device(version) for _ in range(3)]
    for subscriber in subscribers:
        subscriber.subscribe(topic, 2)
    (result,) = backend.publish(topic=topic, payload=b"hello", qos=QOS[qos])
    for subscriber in subscribers:
        assert seen(subscriber.next()) == (topic, b"hello", qos, False)
    assert numbers(result) == (ACCEPTED, 3, 0)


@pytest.mark.everywhere
def test_qos_is_at_least_once_unless_said(backend, device, unique):
    topic, subscriber = unique("topic"), device()
    subscriber.subscribe(topic, 2)
    backend.publish(topic=topic, payload=b"x")
    assert subscriber.next().qos == 1


@pytest.mark.everywhere
def test_a_client_gets_what_it_did_not_subscribe_to(backend, device, unique):
    topic = unique("topic")
    one, other = device(), device("3.1.1")
    other.subscribe(topic, 1)
    (result,) = backend.publish("@" + one.client_id, topic=topic, payload=b"for one")
    assert seen(one.next()) == (topic, b"for one", 1, False)
    assert numbers(result) == (ACCEPTED, 1, 0)
    # The other one, who subscribes to the topic, does not get it.
    backend.publish(topic=topic, payload=b"end")
    assert other.until(b"end") == []


@pytest.mark.everywhere
def test_targets_are_answered_in_order(backend, device, unique):
    first, second, nobody = unique("a"), unique("b"), unique("c")
    subscriber, direct = device(), device()
    subscriber.subscribe([(first, 1), (second, 1)])
    results = backend.publish(
        second, "@" + direct.client_id, nobody, "@" + unique("nobody"), first, "bad/#",
        topic="seen/by/clients", payload=b"x")
    assert [result.outcome for result in results] == [
        ACCEPTED, ACCEPTED, NO_SUBSCRIBERS, NO_SUBSCRIBERS, ACCEPTED, REFUSED]
    assert results[5].reason == "TOPIC_INVALID"
    assert {message.topic for message in subscriber.receive(2)} == {first, second}
    assert direct.next().topic == "seen/by/clients"


@pytest.mark.everywhere
def test_properties_reach_devices_of_mqtt_5(backend, device, unique):
    topic, subscriber, old = unique("topic"), device(), device("3.1.1")
    subscriber.subscribe(topic, 1)
    old.subscribe(topic, 1)
    backend.publish(
        topic=topic, payload="grüß".encode(), expiry_seconds=600, content_type="text/plain",
        response_topic="answers/here", correlation_data=b"\0\1\2", payload_is_utf8=True,
        key="order-17", user_properties=[
            pb.UserProperty(name="a", value="1"), pb.UserProperty(name="a", value="2")])
    message = subscriber.next()
    properties = message.properties
    assert properties.ContentType == "text/plain"
    assert properties.ResponseTopic == "answers/here"
    assert properties.CorrelationData == b"\0\1\2"
    assert properties.PayloadFormatIndicator == 1
    assert 0 < properties.MessageExpiryInterval <= 600
    assert [pair for pair in properties.UserProperty if pair[0] == "a"] == [("a", "1"), ("a", "2")]
    assert key_of(message) == "order-17"
    assert old.next().payload == "grüß".encode()


@pytest.mark.everywhere
def test_retained_messages_are_for_those_who_come_later(backend, device, unique):
    topic = unique("topic")
    (result,) = backend.publish(topic=topic, payload=b"kept", retain=True)
    assert numbers(result) == (NO_SUBSCRIBERS, 0, 0)
    late = device()
    late.subscribe(topic, 1)
    assert seen(late.next()) == (topic, b"kept", 1, True)
    backend.publish(topic=topic, payload=b"", retain=True)
    assert late.next().payload == b""
    later = device()
    later.subscribe(topic, 1)
    backend.publish(topic=topic, payload=b"end")
    assert later.until(b"end") == []


@pytest.mark.everywhere
@pytest.mark.parametrize("version", ("3.1.1", "5"))
def test_what_an_absent_client_is_owed_is_kept(backend, device, unique, version):
    topic = unique("topic")
    name = away(device, unique, topic, version=version)
    (result,) = backend.publish(topic=topic, payload=b"later")
    assert numbers(result) == (ACCEPTED, 0, 1)
    # At most once is not kept for anybody.
    (result,) = backend.publish(topic=topic, payload=b"lost", qos=pb.QOS_AT_MOST_ONCE)
    assert result.stored == 0
    backend.publish(topic=topic, payload=b"end")
    returned = back(device, name, version)
    assert [message.payload for message in returned.until(b"end")] == [b"later"]


@pytest.mark.everywhere
def test_a_direct_message_waits_for_its_client(backend, device, unique):
    name = away(device, unique, unique("topic"))
    (result,) = backend.publish("@" + name, topic="alarm", payload=b"1")
    assert numbers(result) == (ACCEPTED, 0, 1)
    backend.publish("@" + name, topic="alarm", payload=b"2", qos=pb.QOS_EXACTLY_ONCE)
    returned = back(device, name)
    assert [seen(message) for message in returned.receive(2)] == [
        ("alarm", b"1", 1, False), ("alarm", b"2", 2, False)]


@pytest.mark.everywhere
def test_online_and_absent_are_counted_apart(backend, device, unique):
    topic, here = unique("topic"), device()
    here.subscribe(topic, 1)
    away(device, unique, topic)
    # Two filters of one absent client that match count twice.
    away(device, unique, topic, topic + "/#")
    (result,) = backend.publish(topic=topic, payload=b"x")
    assert numbers(result) == (ACCEPTED, 1, 3)


def test_what_has_expired_is_not_delivered(backend, device, unique, broker):
    topic = unique("topic")
    name = away(device, unique, topic)
    backend.publish(topic=topic, payload=b"short", expiry_seconds=1)
    witness = away(device, unique, topic)
    backend.publish(topic=topic, payload=b"end")

    def gone():
        waiting = [
            message.message.payload
            for page in backend.clients.ReadBacklog(
                pb.ReadBacklogRequest(client_id=name), timeout=DEADLINE)
            for message in page.messages]
        return waiting == [b"end"]

    wait_for(gone, "the message to expire")
    assert back(device, name).until(b"end") == []
    assert back(device, witness).until(b"end") == []


def test_acknowledged_is_durable(start, connect, device, unique):
    broker = start()
    name, topic = unique("away"), unique("topic")
    made = device(on=broker, client_id=name, clean=False, session_expiry=3600)
    made.subscribe(topic, 1)
    made.disconnect()
    backend = connect(broker)
    for number in range(10):
        backend.publish(topic, "@" + name, topic=topic, payload=b"%d" % number)
    broker.kill()
    again = start()
    returned = device(on=again, client_id=name, clean=False, session_expiry=3600)
    assert returned.session_present
    payloads = [int(message.payload) for message in returned.receive(20)]
    assert sorted(payloads) == sorted(list(range(10)) * 2)


# Idempotency.


@pytest.mark.everywhere
def test_one_key_is_done_once(backend, device, unique):
    topic, key, subscriber = unique("topic"), unique("key"), device()
    subscriber.subscribe(topic, 1)
    first = backend.respond(once=key, topic=topic, payload=b"once")
    again = backend.respond(once=key, topic=topic, payload=b"once")
    assert not first.is_duplicate and again.is_duplicate
    assert list(first.results) == list(again.results)
    backend.publish(topic=topic, payload=b"end")
    assert [message.payload for message in subscriber.until(b"end")] == [b"once"]


def test_concurrent_requests_of_one_key(backend, device, unique):
    topic, key, subscriber = unique("topic"), unique("key"), device()
    subscriber.subscribe(topic, 1)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(
            lambda _: backend.respond(once=key, topic=topic, payload=b"once"), range(20)))
    assert [answer.is_duplicate for answer in answers].count(False) == 1
    assert all(list(answer.results) == list(answers[0].results) for answer in answers)
    backend.publish(topic=topic, payload=b"end")
    assert [message.payload for message in subscriber.until(b"end")] == [b"once"]


def test_a_key_outlives_the_broker(start, connect, device, unique):
    broker = start()
    name, topic, key = unique("away"), unique("topic"), unique("key")
    made = device(on=broker, client_id=name, clean=False, session_expiry=3600)
    made.subscribe(topic, 1)
    made.disconnect()
    assert not connect(broker).respond(once=key, topic=topic, payload=b"once").is_duplicate
    broker.kill()
    again = start()
    backend = connect(again)
    answer = backend.respond(once=key, topic=topic, payload=b"once")
    assert answer.is_duplicate
    assert [result.outcome for result in answer.results] == [ACCEPTED]
    backend.publish(topic=topic, payload=b"end")
    returned = device(on=again, client_id=name, clean=False, session_expiry=3600)
    assert [message.payload for message in returned.until(b"end")] == [b"once"]


# Refusals.

TOPIC_INVALID = ("a/+", "a/#", "#", "nul\0", "$SYS/x", "$backend/x", "x" * 65536)


@pytest.mark.parametrize("topic", TOPIC_INVALID, ids=range(len(TOPIC_INVALID)))
def test_a_topic_that_no_message_can_have(backend, topic):
    (result,) = backend.publish(topic, topic="good", payload=b"x")
    assert result.outcome == REFUSED
    assert result.reason in ("TOPIC_INVALID", "NOT_ALLOWED")
    assert (result.online, result.stored) == (0, 0)


def test_a_target_that_is_none(backend, unique):
    request = publish_request(unique("topic"), topic="x", payload=b"x")
    request.targets.append(pb.Target())
    request.targets.append(pb.Target(client_id=""))
    results = backend.publisher.Publish(request, timeout=DEADLINE).results
    assert [result.outcome for result in results] == [NO_SUBSCRIBERS, REFUSED, REFUSED]
    assert [result.reason for result in results[1:]] == ["TARGET_INVALID"] * 2


INVALID = {
    "message.topic": publish_request(topic="", payload=b"x"),
    "targets": publish_request(*["t"] * 1001, topic="t", payload=b"x"),
    "idempotency_key": publish_request(topic="t", once="k" * 257),
    "message.key": publish_request(topic="t", key="k" * 257),
    "message.qos": publish_request(topic="t", qos=17),
    "message.response_topic": publish_request(topic="t", response_topic="a/#"),
    "message.content_type": publish_request(topic="t", content_type="x" * 65536),
    "message.correlation_data": publish_request(topic="t", correlation_data=b"x" * 65536),
    "message.user_properties": publish_request(
        topic="t", user_properties=[pb.UserProperty(name="n", value="v" * 65536)]),
}


@pytest.mark.parametrize("field", INVALID)
def test_a_request_that_is_invalid(backend, field):
    with refused("INVALID_ARGUMENT") as seen_refusal:
        backend.publisher.Publish(INVALID[field], timeout=DEADLINE)
    assert seen_refusal.domain == "bifrost"
    assert seen_refusal.reason
    assert field.split(".")[-1] in seen_refusal.metadata.get("field", ""), seen_refusal


def test_no_message_at_all(backend):
    with refused("INVALID_ARGUMENT"):
        backend.publisher.Publish(pb.PublishRequest(), timeout=DEADLINE)
    with refused("INVALID_ARGUMENT"):
        backend.publisher.Publish(
            pb.PublishRequest(targets=[pb.Target(topic="x")]), timeout=DEADLINE)


@pytest.mark.everywhere
def test_a_thousand_targets(backend, device, unique):
    topic = unique("topic")
    devices = [device() for _ in range(10)]
    for one in devices:
        one.subscribe(topic, 1)
    targets = ["@" + one.client_id for one in devices] + [topic] * 40
    results = backend.publish(*targets * 20, topic=topic, payload=b"x")
    assert len(results) == 1000
    assert all(result.outcome == ACCEPTED for result in results)
    for one in devices:
        one.receive(20 + 800)
