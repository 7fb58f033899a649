"""bifrost.v1.Clients: looking at clients and steering them."""

from __future__ import annotations

import socket

import pytest

from api import DEADLINE, QOS, pb, publish_request, refused
from devices import seen
from interop_support import connect_packet, read_packet, wait_for
from test_publisher import away, back


def session(backend, name):
    request = pb.GetRequest(client_id=name)
    return backend.clients.Get(request, timeout=DEADLINE).session


def listed(backend, **query) -> list:
    pages = backend.clients.List(pb.ListRequest(**query), timeout=DEADLINE)
    return [client for page in pages for client in page.clients]


def subscribe(backend, name, *subscriptions) -> list[int]:
    request = pb.SubscribeClientRequest(client_id=name, subscriptions=subscriptions)
    return list(backend.clients.Subscribe(request, timeout=DEADLINE).reason_codes)


def unsubscribe(backend, name, *filters) -> list[int]:
    request = pb.UnsubscribeClientRequest(client_id=name, filters=filters)
    return list(backend.clients.Unsubscribe(request, timeout=DEADLINE).reason_codes)


def backlog(backend, name, **options) -> list:
    request = pb.ReadBacklogRequest(client_id=name, **options)
    pages = backend.clients.ReadBacklog(request, timeout=DEADLINE)
    return [message for page in pages for message in page.messages]


# Get.


@pytest.mark.everywhere
def test_get_tells_of_one_that_is_connected(broker, backend, device, unique):
    topic = unique("topic")
    one = device(user="gudrun", password="x", keepalive=47, session_expiry=600)
    one.subscribe(topic, 2)
    got = session(backend, one.client_id)
    assert got.connected
    assert got.client.client_id == one.client_id
    # It is kept where a hook is configured only.
    assert got.client.user_name == ""
    assert got.client.protocol_version == 5
    host, _, port = got.client.peer.rpartition(":")
    assert (host, int(port)) == ("127.0.0.1", one.raw.socket().getsockname()[1])
    assert got.expiry_seconds == 600 and got.keep_alive_seconds == 47
    assert [(s.filter, s.qos) for s in got.subscriptions] == [(topic, pb.QOS_EXACTLY_ONCE)]
    assert (got.in_flight, got.queued) == (0, 0)


@pytest.mark.parametrize("version,number", (("3.1", 3), ("3.1.1", 4), ("5", 5)))
def test_get_tells_the_version(backend, device, version, number):
    one = device(version)
    got = session(backend, one.client_id)
    assert got.client.protocol_version == number
    assert got.expiry_seconds == 0 and not got.is_stored


@pytest.mark.everywhere
def test_get_tells_of_one_that_is_away(request, backend, device, unique):
    topic = unique("topic")
    name = away(device, unique, topic)
    # The broker may hear of the end after the client does.
    wait_for(lambda: not session(backend, name).connected, "the broker to see the end")
    got = session(backend, name)
    assert not got.connected and got.client.peer == ""
    assert got.is_stored == ("sqlite" in request.node.callspec.id)
    assert [s.filter for s in got.subscriptions] == [topic]


@pytest.mark.everywhere
def test_get_counts_what_is_in_flight(backend, device, unique):
    topic, slow = unique("topic"), device(manual=True, ReceiveMaximum=2)
    slow.subscribe(topic, 1)
    for number in range(5):
        backend.publish(topic=topic, payload=b"%d" % number)
    messages = slow.receive(2)
    wait_for(lambda: session(backend, slow.client_id).in_flight == 2, "the window to be full")
    got = session(backend, slow.client_id)
    assert (got.in_flight, got.queued) == (2, 3)
    for message in messages:
        slow.acknowledge(message)
    for message in slow.receive(2):
        slow.acknowledge(message)
    slow.acknowledge(slow.next())
    wait_for(lambda: session(backend, slow.client_id).in_flight == 0, "all acknowledgements")


@pytest.mark.everywhere
def test_get_of_nobody(backend, unique):
    with refused("NOT_FOUND", "CLIENT_NOT_FOUND"):
        session(backend, unique("nobody"))


# List.


@pytest.mark.everywhere
def test_list_has_each_once(backend, device, unique):
    prefix = unique("l")
    here = {device(client_id=f"{prefix}{n}").client_id for n in range(20)}
    gone = set()
    for number in range(20, 30):
        one = device(client_id=f"{prefix}{number}", clean=False, session_expiry=600)
        one.disconnect()
        gone.add(one.client_id)
    wait_for(
        lambda: not any(session(backend, name).connected for name in gone), "the ends")
    got = listed(backend, client_id_prefix=prefix)
    assert sorted(c.client.client_id for c in got) == sorted(here | gone)
    assert {c.client.client_id for c in got if c.connected} == here
    assert all(c.client.protocol_version == 5 for c in got)
    only = listed(backend, client_id_prefix=prefix, connected_only=True)
    assert {c.client.client_id for c in only} == here
    # Without a prefix they are all there, and others may be.
    everybody = [c.client.client_id for c in listed(backend)]
    assert here | gone <= set(everybody)
    assert len(everybody) == len(set(everybody))


@pytest.mark.everywhere
@pytest.mark.parametrize("limit", (1, 3, 7))
def test_list_by_pages(backend, device, unique, limit):
    prefix = unique("l")
    names = {device(client_id=f"{prefix}{n}").client_id for n in range(7)}
    for number in range(7, 10):
        one = device(client_id=f"{prefix}{number}", clean=False, session_expiry=600)
        one.disconnect()
        names.add(one.client_id)
    found, cursor = [], ""
    while True:
        query = pb.ListRequest(client_id_prefix=prefix, limit=limit, cursor=cursor)
        pages = list(backend.clients.List(query, timeout=DEADLINE))
        clients = [client.client.client_id for page in pages for client in page.clients]
        assert len(clients) <= limit
        found += clients
        cursor = pages[-1].cursor if pages else ""
        if not cursor:
            break
    assert sorted(found) == sorted(names)


def test_list_with_a_cursor_that_is_none(backend):
    with refused("INVALID_ARGUMENT"):
        listed(backend, cursor="no cursor")


def test_list_of_many_goes_in_pages(start, connect, device, unique):
    broker = start()
    connections = []
    for number in range(2500):
        made = socket.create_connection((broker.host, broker.port))
        made.sendall(connect_packet(f"many-{number}"))
        connections.append(made)
    for made in connections:
        assert read_packet(made)[0] == 0x20
    pages = list(connect(broker).clients.List(pb.ListRequest(), timeout=DEADLINE))
    assert max(len(page.clients) for page in pages) <= 1000
    names = [client.client.client_id for page in pages for client in page.clients]
    assert sorted(names) == sorted(f"many-{number}" for number in range(2500))
    for made in connections:
        made.close()


# Disconnect.


@pytest.mark.everywhere
@pytest.mark.parametrize("code", (0, 0x8B, 0x98, 0x9C))
def test_disconnect(backend, device, code):
    one = device()
    request = pb.DisconnectRequest(
        client_id=one.client_id, reason="out of service", reason_code=code)
    backend.clients.Disconnect(request, timeout=DEADLINE)
    one.wait_gone()
    assert one.told_to_go
    assert one.disconnect_code == (code or 0x98)
    with refused("NOT_FOUND"):
        backend.clients.Disconnect(request, timeout=DEADLINE)


@pytest.mark.everywhere
@pytest.mark.parametrize("version", ("3.1", "3.1.1"))
def test_disconnect_of_an_older_version(backend, device, version):
    one = device(version)
    backend.clients.Disconnect(pb.DisconnectRequest(client_id=one.client_id), timeout=DEADLINE)
    one.wait_gone()


@pytest.mark.everywhere
@pytest.mark.parametrize("discards", (False, True))
def test_disconnect_and_the_will(backend, device, unique, discards):
    topic, witness = unique("will"), device()
    witness.subscribe(topic, 1)
    one = device(will={"topic": topic, "payload": b"gone", "qos": 1})
    request = pb.DisconnectRequest(client_id=one.client_id, discards_will=discards)
    backend.clients.Disconnect(request, timeout=DEADLINE)
    one.wait_gone()
    if not discards:
        assert witness.next().payload == b"gone"
    backend.publish(topic=topic, payload=b"end")
    assert witness.until(b"end") == []


@pytest.mark.everywhere
def test_disconnect_of_one_that_is_away(backend, device, unique):
    name = away(device, unique)
    wait_for(lambda: not session(backend, name).connected, "the broker to see the end")
    with refused("NOT_FOUND"):
        backend.clients.Disconnect(pb.DisconnectRequest(client_id=name), timeout=DEADLINE)


@pytest.mark.parametrize("code", (1, 127, 256, 300))
def test_disconnect_with_a_code_that_is_none(backend, device, code):
    request = pb.DisconnectRequest(client_id=device().client_id, reason_code=code)
    with refused("INVALID_ARGUMENT"):
        backend.clients.Disconnect(request, timeout=DEADLINE)


def test_disconnect_with_too_long_a_reason(backend, device):
    request = pb.DisconnectRequest(client_id=device().client_id, reason="r" * 257)
    with refused("INVALID_ARGUMENT"):
        backend.clients.Disconnect(request, timeout=DEADLINE)


# Subscribe and Unsubscribe.


@pytest.mark.everywhere
def test_subscribe_one_that_is_connected(backend, device, unique):
    topic, one = unique("topic"), device()
    backend.publish(topic=topic + "/old", payload=b"retained", retain=True)
    codes = subscribe(
        backend, one.client_id, pb.Subscription(filter=topic + "/+"),
        pb.Subscription(filter=topic + "/x/y", qos=QOS[0]))
    assert codes == [1, 0]
    # As with a subscription of its own, what is retained comes.
    assert seen(one.next()) == (topic + "/old", b"retained", 1, True)
    backend.publish(topic=topic + "/new", payload=b"live")
    backend.publish(topic=topic + "/x/y", payload=b"plain")
    assert [seen(m) for m in one.receive(2)] == [
        (topic + "/new", b"live", 1, False), (topic + "/x/y", b"plain", 0, False)]
    assert {s.filter for s in session(backend, one.client_id).subscriptions} == {
        topic + "/+", topic + "/x/y"}
    codes = unsubscribe(backend, one.client_id, topic + "/+", topic + "/none")
    assert codes == [0, 0x11]
    backend.publish(topic=topic + "/new", payload=b"unheard")
    backend.publish(topic=topic + "/x/y", payload=b"end")
    assert one.until(b"end") == []


@pytest.mark.everywhere
def test_subscribe_one_that_is_away(backend, device, unique):
    topic, name = unique("topic"), away(device, unique)
    assert subscribe(backend, name, pb.Subscription(filter=topic, qos=QOS[2])) == [2]
    backend.publish(topic=topic, payload=b"kept", qos=QOS[2])
    assert seen(back(device, name).next()) == (topic, b"kept", 2, False)


def test_a_subscription_on_behalf_is_durable(start, connect, device, unique):
    broker, topic, name = start(), unique("topic"), unique("away")
    options = {"client_id": name, "clean": False, "session_expiry": 3600}
    device(on=broker, **options).disconnect()
    backend = connect(broker)
    assert subscribe(backend, name, pb.Subscription(filter=topic)) == [1]
    broker.kill()
    broker = start()
    backend = connect(broker)
    assert [s.filter for s in session(backend, name).subscriptions] == [topic]
    assert unsubscribe(backend, name, topic) == [0]
    broker.kill()
    broker = start()
    assert not session(connect(broker), name).subscriptions


@pytest.mark.everywhere
def test_options_of_a_subscription(backend, device, unique):
    topic, one = unique("topic"), device()
    made = pb.Subscription(
        filter=topic, qos=QOS[1], no_local=True, retain_as_published=True, identifier=77)
    assert subscribe(backend, one.client_id, made) == [1]
    assert list(session(backend, one.client_id).subscriptions) == [made]
    one.publish(topic, b"own", 1)
    backend.publish(topic=topic, payload=b"other", retain=True)
    message = one.next()
    assert seen(message) == (topic, b"other", 1, True)
    assert message.properties.SubscriptionIdentifier == [77]


@pytest.mark.everywhere
def test_a_shared_subscription_on_behalf(backend, device, unique):
    topic, members = unique("topic"), [device() for _ in range(2)]
    for one in members:
        assert subscribe(
            backend, one.client_id, pb.Subscription(filter=f"$share/g/{topic}")) == [1]
    for number in range(20):
        backend.publish(topic=topic, payload=b"%d" % number)
    backend.publish(*["@" + one.client_id for one in members], topic="end", payload=b"end")
    got = [int(m.payload) for one in members for m in one.until(b"end")]
    assert sorted(got) == list(range(20))


@pytest.mark.everywhere
def test_subscribe_nobody(backend, unique):
    with refused("NOT_FOUND"):
        subscribe(backend, unique("nobody"), pb.Subscription(filter="x"))
    with refused("NOT_FOUND"):
        unsubscribe(backend, unique("nobody"), "x")


def test_subscribe_nothing_or_too_much(backend, device):
    name = device().client_id
    for count in (0, 1001):
        with refused("INVALID_ARGUMENT"):
            subscribe(backend, name, *[pb.Subscription(filter="x")] * count)
        with refused("INVALID_ARGUMENT"):
            unsubscribe(backend, name, *["x"] * count)
    with refused("INVALID_ARGUMENT"):
        subscribe(backend, name, pb.Subscription(filter="x", identifier=268_435_456))
    with refused("INVALID_ARGUMENT"):
        subscribe(backend, name, pb.Subscription(filter="x", qos=9))
    for one in ("", "a/#/b", "a+", "nul\0"):
        with refused("INVALID_ARGUMENT"):
            subscribe(backend, name, pb.Subscription(filter=one))


# DeleteSession.


@pytest.mark.everywhere
def test_delete_the_session_of_one_that_is_connected(backend, device, unique):
    topic = unique("topic")
    one = device(clean=False, session_expiry=600)
    one.subscribe(topic, 1)
    backend.clients.DeleteSession(
        pb.DeleteSessionRequest(client_id=one.client_id), timeout=DEADLINE)
    one.wait_gone()
    assert one.disconnect_code == 0x98
    with refused("NOT_FOUND"):
        session(backend, one.client_id)
    again = device(client_id=one.client_id, clean=False, session_expiry=600)
    assert not again.session_present


@pytest.mark.everywhere
def test_delete_the_session_of_one_that_is_away(backend, device, unique):
    topic = unique("topic")
    name = away(device, unique, topic)
    backend.publish(topic=topic, payload=b"waits")
    request = pb.DeleteSessionRequest(client_id=name)
    backend.clients.DeleteSession(request, timeout=DEADLINE)
    with refused("NOT_FOUND"):
        backend.clients.DeleteSession(request, timeout=DEADLINE)
    (result,) = backend.publish(topic=topic, payload=b"nobody")
    assert result.outcome == pb.TargetResult.OUTCOME_NO_SUBSCRIBERS


def test_a_deleted_session_stays_deleted(start, connect, device, unique):
    broker, name = start(), unique("away")
    device(on=broker, client_id=name, clean=False, session_expiry=3600).disconnect()
    connect(broker).clients.DeleteSession(
        pb.DeleteSessionRequest(client_id=name), timeout=DEADLINE)
    broker.kill()
    with refused("NOT_FOUND"):
        session(connect(start()), name)


# ReadBacklog.


@pytest.mark.everywhere
def test_the_backlog_of_one_that_is_away(backend, device, unique):
    topic = unique("topic")
    name = away(device, unique, topic)
    for number in range(30):
        backend.publisher.Publish(
            publish_request(topic=topic, payload=b"%d" % number, key=f"k{number}"),
            timeout=DEADLINE)
    backend.publish("@" + name, topic="direct", payload=b"30", qos=QOS[2])
    for _ in range(2):  # reading takes nothing away
        got = backlog(backend, name)
        assert [int(m.message.payload) for m in got] == list(range(31))
        assert not any(m.in_flight for m in got)
        assert got[3].message.key == "k3" and got[3].message.topic == topic
        assert got[30].message.topic == "direct"
    assert [m.message.payload for m in backlog(backend, name, limit=3)] == [b"0", b"1", b"2"]
    bare = backlog(backend, name, omits_payloads=True)
    assert len(bare) == 31 and not any(m.message.payload for m in bare)
    assert [int(m.payload) for m in back(device, name).receive(31)] == list(range(31))


@pytest.mark.everywhere
def test_the_backlog_of_one_that_is_slow(backend, device, unique):
    # A session that ends with its connection keeps no copies of what was sent.
    topic = unique("topic")
    slow = device(manual=True, ReceiveMaximum=3, clean=False, session_expiry=600)
    slow.subscribe(topic, 1)
    for number in range(6):
        backend.publish(topic=topic, payload=b"%d" % number)
    slow.receive(3)
    got = backlog(backend, slow.client_id)
    assert [int(m.message.payload) for m in got] == list(range(6))
    assert [m.in_flight for m in got] == [True] * 3 + [False] * 3


@pytest.mark.everywhere
def test_the_backlog_of_nobody(backend, device, unique):
    with refused("NOT_FOUND"):
        backlog(backend, unique("nobody"))
    assert backlog(backend, device().client_id) == []


def test_a_long_backlog_comes_in_parts(backend, device, unique):
    topic = unique("topic")
    name = away(device, unique, topic)
    request = pb.PublishStreamRequest(publishes=[
        publish_request(topic=topic, payload=b"%d" % number + bytes(2000))
        for number in range(1000)])
    list(backend.publisher.PublishStream(iter([request] * 5), timeout=DEADLINE))
    got = backlog(backend, name)
    assert [int(m.message.payload.rstrip(b"\0")) for m in got] == list(range(1000)) * 5
