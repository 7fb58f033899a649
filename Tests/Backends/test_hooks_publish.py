"""The hook OnPublish: what clients may publish, and what becomes of it."""

from __future__ import annotations

import socket

import pytest

from api import DEADLINE, QOS, pb
from hook_backend import allow_messages
from interop_support import connect_packet, publish_packet, read_packet, wait_for

VERSIONS = ("3.1", "3.1.1", "5")
ALLOW, REFUSE = pb.PublishVerdict.ACTION_ALLOW, pb.PublishVerdict.ACTION_REFUSE
DROP, REWRITE = pb.PublishVerdict.ACTION_DROP, pb.PublishVerdict.ACTION_REWRITE


def deciding(decide):
    """An answer with the verdict that `decide(client, message)` gives for each message."""
    return lambda request, context: pb.OnPublishResponse(
        verdicts=[decide(entry.client, entry.message) for entry in request.messages])


def by_payload(client, message):
    """The payload says what is to be done with it."""
    action = {b"refuse": REFUSE, b"drop": DROP}.get(message.payload, ALLOW)
    return pb.PublishVerdict(action=action)


def asked(hooks) -> list:
    return [entry for request in hooks.calls("OnPublish") for entry in request.messages]


@pytest.mark.parametrize("loops", (1, 2))
@pytest.mark.parametrize("qos", (0, 1, 2))
@pytest.mark.parametrize("version", VERSIONS)
def test_allowed_refused_and_dropped(hooked, hooks, device, version, qos, loops):
    hooks.answer["OnPublish"] = deciding(by_payload)
    broker = hooked("publish", loops=loops)
    subscriber, one = device(on=broker), device(version, on=broker)
    subscriber.subscribe("t", 2)
    # paho calls a message published that was refused; the codes are looked at below.
    for payload in (b"1", b"refuse", b"2", b"drop", b"3"):
        one.publish("t", payload, qos)
    one.publish("t", b"end", qos)
    assert [m.payload for m in subscriber.until(b"end")] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("qos", (1, 2))
@pytest.mark.parametrize("code", (0, 0x97, 0x99))
def test_the_code_of_a_refusal(hooked, hooks, qos, code):
    hooks.answer["OnPublish"] = deciding(
        lambda client, message: pb.PublishVerdict(action=REFUSE, reason_code=code))
    broker = hooked("publish")
    # paho sends PUBREL whatever PUBREC says, so this is done by hand.
    with socket.create_connection((broker.host, broker.port), timeout=DEADLINE) as client:
        client.sendall(connect_packet("by-hand", version=5))
        assert read_packet(client)[0] == 0x20
        client.sendall(publish_packet("t", b"x", qos, 7, version=5))
        kind, body = read_packet(client)
    assert kind == {1: 0x40, 2: 0x50}[qos]
    assert body[:3] == bytes([0, 7, code or 0x87])


@pytest.mark.parametrize("qos", (1, 2))
def test_a_drop_looks_like_success(hooked, hooks, device, qos):
    hooks.answer["OnPublish"] = deciding(
        lambda client, message: pb.PublishVerdict(action=DROP))
    broker = hooked("publish")
    one = device(on=broker)
    one.subscribe("t", 1)
    assert one.begin_publish("t", b"x", qos).wait(10) < 0x80
    hooks.answer["OnPublish"] = allow_messages
    one.publish("t", b"end", 1)
    assert one.until(b"end") == []


@pytest.mark.parametrize("loops", (1, 2))
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_rewritten(hooked, hooks, device, qos, loops):
    def rewrite(client, message):
        made = pb.Message(
            topic="clean/" + message.topic, payload=message.payload.upper(), qos=QOS[0],
            content_type="text/plain", key="k-9", response_topic=message.response_topic,
            user_properties=[pb.UserProperty(name="from", value=client.client_id)])
        return pb.PublishVerdict(action=REWRITE, rewritten=made)

    hooks.answer["OnPublish"] = deciding(rewrite)
    broker = hooked("publish", loops=loops)
    subscriber, one = device(on=broker), device(on=broker)
    subscriber.subscribe("#", 2)
    one.publish("raw", b"shout", qos, ResponseTopic="answers", UserProperty=[("gone", "x")])
    message = subscriber.next()
    assert (message.topic, message.payload, message.qos) == ("clean/raw", b"SHOUT", qos)
    assert message.properties.ContentType == "text/plain"
    assert message.properties.ResponseTopic == "answers"
    properties = dict(message.properties.UserProperty)
    assert properties == {"from": one.client_id, "message-key": "k-9"}


def test_rewritten_to_be_retained(hooked, hooks, device):
    hooks.answer["OnPublish"] = deciding(lambda client, message: pb.PublishVerdict(
        action=REWRITE, rewritten=pb.Message(topic="kept", payload=b"x", retain=True)))
    broker = hooked("publish")
    device(on=broker).publish("t", b"y", 1)
    late = device(on=broker)
    late.subscribe("#", 1)
    message = late.next()
    assert (message.topic, message.payload, message.retain) == ("kept", b"x", True)


def test_what_the_backend_is_told(hooked, hooks, device):
    broker = hooked("publish")
    one = device(on=broker, user="gudrun", password="x")
    one.publish(
        "t", b"x", 2, True, ContentType="text/plain", MessageExpiryInterval=60,
        CorrelationData=b"\0", PayloadFormatIndicator=1, ResponseTopic="r",
        UserProperty=[("a", "1"), ("a", "2"), ("message-key", "k")])
    (entry,) = asked(hooks)
    assert entry.client.client_id == one.client_id and entry.client.user_name == "gudrun"
    message = entry.message
    assert (message.topic, message.payload, message.qos) == ("t", b"x", QOS[2])
    assert message.retain and message.expiry_seconds == 60 and message.payload_is_utf8
    assert message.content_type == "text/plain" and message.response_topic == "r"
    assert message.correlation_data == b"\0" and message.key == "k"
    assert [(p.name, p.value) for p in message.user_properties if p.name == "a"] == [
        ("a", "1"), ("a", "2")]


@pytest.mark.parametrize("loops", (1, 2))
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_order_of_one_client(hooked, hooks, device, qos, loops):
    broker = hooked("publish", loops=loops)
    subscriber, one = device(on=broker, inflight=0), device(on=broker, inflight=0)
    subscriber.subscribe("t", 2)
    for number in range(300):
        one.publish("t", b"%d" % number, qos, wait=False)
    assert [int(m.payload) for m in subscriber.receive(300)] == list(range(300))
    assert [int(entry.message.payload) for entry in asked(hooks)] == list(range(300))


def test_only_topics_that_are_of_interest(hooked, hooks, device):
    broker = hooked("publish", publish_topics="ask/#,also/+/this")
    one = device(on=broker)
    one.subscribe("#", 1)
    topics = ("ask", "ask/a/b", "also/x/this", "also/x/that", "other", "asks")
    for topic in topics:
        one.publish(topic, b"x", 1)
    assert [m.topic for m in one.receive(len(topics))] == list(topics)
    assert [entry.message.topic for entry in asked(hooks)] == ["ask", "ask/a/b", "also/x/this"]


def test_order_between_what_is_asked_and_what_is_not(hooked, hooks, device):
    """A client's packets are done in order, whoever is asked about them."""
    hooks.answer["OnPublish"] = hooks.hang(allow_messages)
    broker = hooked("publish", publish_topics="ask", publish_timeout="15s")
    subscriber, one = device(on=broker), device(on=broker)
    subscriber.subscribe("#", 1)
    one.publish("ask", b"1", 1, wait=False)
    one.publish("other", b"2", 1, wait=False)
    hooks.wait("OnPublish")
    hooks.released.set()
    assert [m.payload for m in subscriber.receive(2)] == [b"1", b"2"]


def test_other_clients_go_on_meanwhile(hooked, hooks, device):
    def slow_for_one(request, context):
        if any(entry.message.payload == b"slow" for entry in request.messages):
            hooks.released.wait(15)
        return allow_messages(request, context)

    hooks.answer["OnPublish"] = slow_for_one
    broker = hooked("publish", loops=1, publish_timeout="15s")
    subscriber, slow, quick = (device(on=broker) for _ in range(3))
    subscriber.subscribe("t", 1)
    waiting = slow.begin_publish("t", b"slow")
    hooks.wait("OnPublish")
    for number in range(20):
        quick.publish("t", b"%d" % number, 1)
    assert [int(m.payload) for m in subscriber.receive(20)] == list(range(20))
    assert not waiting.is_done
    hooks.released.set()
    assert subscriber.next().payload == b"slow"
    assert waiting.wait(10) < 0x80


def test_what_waits_goes_together(hooked, hooks, device):
    """Messages that come while calls are busy go in one call: fewer calls than messages."""
    hooks.answer["OnPublish"] = hooks.hang(allow_messages)
    broker = hooked("publish", publish_timeout="15s")
    devices = [device(on=broker) for _ in range(150)]
    answers = [one.begin_publish("t", b"x") for one in devices]
    hooks.wait("OnPublish")
    wait_for(lambda: len(asked(hooks)) < 150 or len(hooks.calls("OnPublish")) < 150, "a question")
    hooks.released.set()
    for answer in answers:
        assert answer.wait(15) < 0x80
    assert len(asked(hooks)) == 150
    assert len(hooks.calls("OnPublish")) < 150


@pytest.mark.parametrize("store", ("memory", "sqlite"))
def test_wills_and_backends_are_not_asked_about(hooked, hooks, connect, device, store):
    """The backend said at OnConnect what may be a will, and need not ask itself."""
    broker = hooked("publish", store=store)
    witness = device(on=broker)
    witness.subscribe("#", 1)
    connect(broker).publish(topic="pushed", payload=b"1")
    device(on=broker, will={"topic": "will", "payload": b"2", "qos": 1}).kill()
    assert [m.payload for m in witness.receive(2)] == [b"1", b"2"]
    assert asked(hooks) == []


def test_a_client_that_leaves_before_the_verdict(hooked, hooks, device):
    hooks.answer["OnPublish"] = hooks.hang(allow_messages)
    broker = hooked("publish", publish_timeout="15s")
    subscriber, gone = device(on=broker), device(on=broker)
    subscriber.subscribe("t", 1)
    gone.publish("t", b"1", 1, wait=False)
    hooks.wait("OnPublish")
    gone.kill()
    hooks.released.set()
    other = device(on=broker)
    other.publish("t", b"2", 1)
    # Whether the first still comes is open: its client was told nothing. The broker is well.
    subscriber.until(b"2")
