"""The hooks that tell: OnDelivered, OnUnsubscribe, OnDisconnect and OnOffline."""

from __future__ import annotations

import grpc
import pytest

from api import QOS, pb
from interop_support import wait_for
from test_clients import session

VERSIONS = ("3.1", "3.1.1", "5")


# OnDelivered.


@pytest.mark.parametrize("loops", (1, 2))
@pytest.mark.parametrize("qos", (1, 2))
@pytest.mark.parametrize("version", VERSIONS)
def test_delivered_bears_the_key(hooked, hooks, connect, device, version, qos, loops):
    broker = hooked("delivered", loops=loops)
    backend, one = connect(broker), device(version, on=broker)
    one.subscribe("t", 2)
    backend.publish(topic="t", payload=b"x", qos=QOS[qos], key="k-1")
    backend.publish("@" + one.client_id, topic="direct", payload=b"y", qos=QOS[qos], key="k-2")
    notes = hooks.notes("OnDelivered", "delivered", 2)
    assert [(n.client.client_id, n.topic, n.key) for n in notes] == [
        (one.client_id, "t", "k-1"), (one.client_id, "direct", "k-2")]
    assert notes[0].time_milliseconds > 1_600_000_000_000


def test_delivered_when_it_is_acknowledged(hooked, hooks, connect, device):
    broker = hooked("delivered")
    backend = connect(broker)
    slow, quick = device(on=broker, manual=True), device(on=broker)
    for one in (slow, quick):
        one.subscribe("t", 1)
    backend.publish(topic="t", payload=b"x", key="k")
    message = slow.next()
    (note,) = hooks.notes("OnDelivered", "delivered", 1)
    assert note.client.client_id == quick.client_id
    slow.acknowledge(message)
    notes = hooks.notes("OnDelivered", "delivered", 2)
    assert notes[1].client.client_id == slow.client_id


def test_delivered_only_with_a_key(hooked, hooks, connect, device):
    broker = hooked("delivered")
    backend, one = connect(broker), device(on=broker)
    one.subscribe("t", 1)
    backend.publish(topic="t", payload=b"without")
    backend.publish(topic="t", payload=b"plain", key="k-0", qos=QOS[0])
    backend.publish(topic="t", payload=b"with", key="k-1")
    one.receive(3)
    assert [n.key for n in hooks.notes("OnDelivered", "delivered", 1)] == ["k-1"]


def test_delivered_only_of_its_topics(hooked, hooks, connect, device):
    broker = hooked("delivered", delivered_topics="orders/#")
    backend, one = connect(broker), device(on=broker)
    one.subscribe("#", 1)
    for topic in ("other", "orders/1", "orders/2"):
        backend.publish(topic=topic, payload=b"x", key=topic)
    assert [n.key for n in hooks.notes("OnDelivered", "delivered", 2)] == ["orders/1", "orders/2"]


@pytest.mark.parametrize("store", ("memory", "sqlite"))
def test_delivered_to_one_that_comes_back(hooked, hooks, connect, device, unique, store):
    broker, name = hooked("delivered", store=store), unique("away")
    options = {"on": broker, "client_id": name, "clean": False, "session_expiry": 600}
    device(**options).disconnect()
    connect(broker).publish("@" + name, topic="t", payload=b"x", key="k")
    device(**options).next()
    (note,) = hooks.notes("OnDelivered", "delivered", 1)
    assert (note.client.client_id, note.key, note.topic) == (name, "k", "t")


def test_keys_of_devices_count_too(hooked, hooks, device):
    broker = hooked("delivered")
    one = device(on=broker)
    one.subscribe("t", 1)
    one.publish("t", b"x", 1, UserProperty=[("message-key", "mine")])
    (note,) = hooks.notes("OnDelivered", "delivered", 1)
    assert note.key == "mine"


def test_many_are_told_in_order(hooked, hooks, connect, device):
    broker = hooked("delivered", loops=1)
    backend, one = connect(broker), device(on=broker)
    one.subscribe("t", 1)
    for number in range(200):
        backend.publish(topic="t", payload=b"x", key=str(number))
    notes = hooks.notes("OnDelivered", "delivered", 200)
    assert [int(note.key) for note in notes] == list(range(200))


# OnUnsubscribe and OnDisconnect.


@pytest.mark.parametrize("loops", (1, 2))
@pytest.mark.parametrize("version", VERSIONS)
def test_unsubscribed(hooked, hooks, device, version, loops):
    broker = hooked("unsubscribe", loops=loops)
    one = device(version, on=broker)
    one.subscribe([("a", 1), ("b/#", 1)])
    one.unsubscribe(["a", "b/#"])
    (note,) = hooks.notes("OnUnsubscribe", "unsubscribed", 1)
    assert note.client.client_id == one.client_id
    assert list(note.filters) == ["a", "b/#"]


@pytest.mark.parametrize("loops", (1, 2))
@pytest.mark.parametrize("version", VERSIONS)
def test_disconnected(hooked, hooks, connect, device, version, loops):
    broker = hooked("disconnect", loops=loops)

    def last(count):
        return hooks.notes("OnDisconnect", "disconnected", count)[count - 1]

    one = device(version, on=broker, user="gudrun", password="x")
    one.disconnect()
    note = last(1)
    assert (note.client.client_id, note.client.user_name) == (one.client_id, "gudrun")
    assert note.reason_code == 0 and note.reason
    assert note.time_milliseconds > 1_600_000_000_000
    lost = device(version, on=broker)
    lost.kill()
    assert last(2).client.client_id == lost.client_id
    assert last(2).reason_code >= 0x80
    old = device(version, on=broker)
    device(version, on=broker, client_id=old.client_id)
    assert last(3).reason_code == 0x8E
    steered = device(version, on=broker)
    connect(broker).clients.Disconnect(pb.DisconnectRequest(client_id=steered.client_id))
    assert last(4).reason_code == 0x98
    assert last(4).client.client_id == steered.client_id


def test_one_that_was_never_in_does_not_go(hooked, hooks, device):
    hooks.answer["OnConnect"] = lambda request, context: pb.OnConnectResponse(
        refuse=pb.OnConnectResponse.Refuse()
    ) if request.client.user_name == "bad" else pb.OnConnectResponse(
        allow=pb.OnConnectResponse.Allow())
    broker = hooked("connect", "disconnect")
    assert device(on=broker, connect=False, user="bad").attempt() == 0x87
    good = device(on=broker, user="good", password="x")
    good.disconnect()
    (note,) = hooks.notes("OnDisconnect", "disconnected", 1)
    assert note.client.client_id == good.client_id


# OnOffline.


@pytest.mark.parametrize("loops", (1, 2))
@pytest.mark.parametrize("store", ("memory", "sqlite"))
def test_offline(hooked, hooks, connect, device, unique, loops, store):
    broker = hooked("offline", loops=loops, store=store)
    backend, names = connect(broker), []
    for _ in range(3):
        names.append(unique("away"))
        one = device(on=broker, client_id=names[-1], clean=False, session_expiry=600)
        one.subscribe("t", 1)
        one.disconnect()
        wait_for(lambda: not session(backend, names[-1]).connected, "the broker to see the end")
    here = device(on=broker)
    here.subscribe("t", 1)
    backend.publish(topic="t", payload=b"x", key="k", content_type="text/plain")
    here.next()

    def told(requests):
        return {
            name for request in requests for entry in request.messages
            for name in entry.client_ids} >= set(names)

    entries = [e for r in hooks.wait("OnOffline", told) for e in r.messages]
    assert sorted(name for entry in entries for name in entry.client_ids) == sorted(names)
    for entry in entries:
        assert (entry.message.topic, entry.message.payload) == ("t", b"x")
        assert (entry.message.key, entry.message.content_type) == ("k", "text/plain")


@pytest.mark.parametrize("store", ("memory", "sqlite"))
def test_offline_of_a_direct_message(hooked, hooks, connect, device, unique, store):
    broker, name = hooked("offline", store=store), unique("away")
    device(on=broker, client_id=name, clean=False, session_expiry=600).disconnect()
    backend = connect(broker)
    wait_for(lambda: not session(backend, name).connected, "the broker to see the end")
    backend.publish("@" + name, topic="direct", payload=b"x", key="k")
    entries = hooks.notes("OnOffline", "messages", 1)
    (entry,) = entries
    assert list(entry.client_ids) == [name]
    assert (entry.message.topic, entry.message.key) == ("direct", "k")


@pytest.mark.parametrize("store", ("memory", "sqlite"))
def test_offline_of_what_devices_publish(hooked, hooks, device, unique, store):
    broker, name = hooked("offline", store=store, offline_topics="tell/#"), unique("away")
    one = device(on=broker, client_id=name, clean=False, session_expiry=600)
    one.subscribe("#", 1)
    one.disconnect()
    publisher = device(on=broker)
    for topic in ("other", "tell/1"):
        publisher.publish(topic, b"x", 1)
    publisher.publish("tell/0", b"x", 0)
    publisher.publish("tell/2", b"x", 2)
    entries = hooks.notes("OnOffline", "messages", 2)
    assert [e.message.topic for e in entries] == ["tell/1", "tell/2"]


def test_offline_is_not_for_those_who_are_there(hooked, hooks, connect, device, unique):
    broker, name = hooked("offline"), unique("c")
    backend = connect(broker)
    options = {"on": broker, "client_id": name, "clean": False, "session_expiry": 600}
    here = device(**options)
    here.subscribe("t", 1)
    backend.publish(topic="t", payload=b"1")
    here.next()
    here.disconnect()
    wait_for(lambda: not session(backend, name).connected, "the broker to see the end")
    backend.publish(topic="t", payload=b"2")
    (entry,) = hooks.notes("OnOffline", "messages", 1)
    assert entry.message.payload == b"2"


def test_notes_are_tried_again(hooked, hooks, connect, device):
    """A call that fails is made again, and what comes meanwhile stays behind it."""
    failures = [None, None]

    def answer(request, context):
        if failures:
            failures.pop()
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return pb.OnDeliveredResponse()

    hooks.answer["OnDelivered"] = answer
    broker = hooked("delivered", delivered_timeout="15s")
    backend, one = connect(broker), device(on=broker)
    one.subscribe("t", 1)
    for number in range(3):
        backend.publish(topic="t", payload=b"x", key=str(number))
    keys = []

    def all_there(requests):
        keys[:] = [note.key for request in requests for note in request.delivered]
        return keys and keys[-1] == "2" and len(requests) >= 3

    hooks.wait("OnDelivered", all_there)
    assert list(dict.fromkeys(keys)) == ["0", "1", "2"]
