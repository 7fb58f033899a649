"""paho-mqtt: delivery, retained messages, wills, sessions, in each version of the protocol."""

from __future__ import annotations

import hashlib
import os

import pytest

from interop_support import VERSIONS

QOS = (0, 1, 2)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_qos_meets_each_other(paho, unique, version):
    """A message arrives with the lower of the two: the publisher's and the subscriber's."""
    subscriber, publisher = paho(version), paho(version)
    topics = {qos: unique("q") for qos in QOS}
    assert [subscriber.subscribe(topics[qos], qos) for qos in QOS] == [[0], [1], [2]]
    for publish_qos in QOS:
        for subscribe_qos, topic in topics.items():
            publisher.publish(topic, f"{publish_qos}{subscribe_qos}", publish_qos)
            message = subscriber.next()
            assert (message.topic, message.payload) == (
                topic,
                f"{publish_qos}{subscribe_qos}".encode(),
            )
            assert message.qos == min(publish_qos, subscribe_qos)
            assert not message.retain and not message.dup


@pytest.mark.parametrize("receiver", VERSIONS)
@pytest.mark.parametrize("sender", VERSIONS)
def test_versions_understand_each_other(paho, unique, sender, receiver):
    """Properties of version 5 must neither reach an older client nor be wanted from one."""
    topic = unique()
    subscriber, publisher = paho(receiver), paho(sender)
    subscriber.subscribe(topic, 2)
    extras = {"UserProperty": ("a", "b"), "ContentType": "text/plain"} if sender == "5" else {}
    for qos in QOS:
        publisher.publish(topic, f"from {sender} at {qos}", qos, **extras)
    messages = subscriber.receive(3)
    assert [m.payload.decode() for m in messages] == [f"from {sender} at {qos}" for qos in QOS]
    assert [m.qos for m in messages] == [0, 1, 2]
    if receiver == "5":
        users = [getattr(m.properties, "UserProperty", []) for m in messages]
        assert users == [[("a", "b")] if sender == "5" else []] * 3


@pytest.mark.parametrize("qos", QOS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_payload_of_one_megabyte(paho, unique, version, qos):
    topic, payload = unique(), os.urandom(1_000_000)
    subscriber, publisher = paho(version), paho(version)
    subscriber.subscribe(topic, qos)
    publisher.publish(topic, payload, qos)
    publisher.publish(topic, b"", qos)
    big, empty = subscriber.receive(2)
    assert hashlib.sha256(big.payload).digest() == hashlib.sha256(payload).digest()
    assert empty.payload == b""


@pytest.mark.parametrize("version", VERSIONS)
def test_retained(paho, unique, version):
    base = unique()
    topic = f"{base}/state"
    live, publisher = paho(version), paho(version)
    live.subscribe(f"{base}/#", 1)
    publisher.publish(topic, b"old", 1, retain=True)
    publisher.publish(topic, b"new", 1, retain=True)
    assert [(m.payload, m.retain) for m in live.receive(2)] == [(b"old", False), (b"new", False)]

    for filter in (topic, f"{base}/+", f"{base}/#"):
        late = paho(version)
        late.subscribe(filter, 1)
        message = late.next()
        assert (message.topic, message.payload, message.retain) == (topic, b"new", True)

    publisher.publish(topic, b"", 1, retain=True)
    assert live.next().payload == b""
    after = paho(version)
    after.subscribe(topic, 1)
    publisher.publish(topic, b"marker", 1)
    assert after.until(b"marker") == []


@pytest.mark.parametrize("retain", (False, True), ids=("plain", "retained"))
@pytest.mark.parametrize("version", VERSIONS)
def test_will(paho, unique, version, retain):
    topic = unique("will")
    watcher = paho(version)
    watcher.subscribe(topic, 2)
    will = {"topic": topic, "payload": b"gone", "qos": 2, "retain": retain}

    # A client that says goodbye leaves no will behind; one that vanishes does.
    paho(version, will=will).disconnect()
    watcher_marker = paho(version)
    watcher_marker.publish(topic, b"after goodbye", 1)
    assert watcher.until(b"after goodbye") == []

    paho(version, will=will).kill()
    message = watcher.next()
    assert (message.payload, message.qos, message.retain) == (b"gone", 2, False)

    late = paho(version)
    late.subscribe(topic, 1)
    if retain:
        message = late.next()
        assert (message.payload, message.retain) == (b"gone", True)
        watcher_marker.publish(topic, b"", 1, retain=True)
    else:
        watcher_marker.publish(topic, b"marker", 1)
        assert late.until(b"marker") == []


@pytest.mark.parametrize("qos", (1, 2))
@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_keeps_what_came_meanwhile(paho, unique, version, qos):
    topic, name = unique(), unique("s")
    expiry = {"session_expiry": 60} if version == "5" else {}
    first = paho(version, client_id=name, clean=False, **expiry)
    if version != "3.1":
        assert first.session_present is False
    first.subscribe(topic, 2)
    first.disconnect()

    publisher = paho(version)
    for number in range(50):
        publisher.publish(topic, f"{number}", qos)

    second = paho(version, client_id=name, clean=False, **expiry)
    if version != "3.1":
        assert second.session_present is True
    messages = second.receive(50)
    assert [int(m.payload) for m in messages] == list(range(50))
    assert {m.qos for m in messages} == {qos}
    # The subscription is alive too, and nothing comes twice.
    publisher.publish(topic, b"live", 2)
    assert second.until(b"live") == []
    second.disconnect()

    # A clean start forgets it all.
    third = paho(version, client_id=name, clean=True)
    if version != "3.1":
        assert third.session_present is False
    third.subscribe(unique(), 0)
    publisher.publish(topic, b"nobody", 1)
    own = unique()
    third.subscribe(own, 1)
    publisher.publish(own, b"marker", 1)
    assert third.until(b"marker") == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_lost_connection_keeps_the_session(paho, unique, version):
    """As before, but the device vanishes and comes back many times."""
    topic, name = unique(), unique("s")
    expiry = {"session_expiry": 60} if version == "5" else {}
    publisher = paho(version)
    client = paho(version, client_id=name, clean=False, **expiry)
    client.subscribe(topic, 1)
    for number in range(10):
        client.kill()
        publisher.publish(topic, f"{number}", 1)
        client = paho(version, client_id=name, clean=False, **expiry)
        # Acknowledgements that paho had not written yet were lost with the connection.
        for repeated in client.until(str(number).encode()):
            assert repeated.dup and int(repeated.payload) < number


@pytest.mark.parametrize("version", VERSIONS)
def test_the_newer_connection_takes_the_client_over(paho, unique, version):
    name, topic = unique("t"), unique()
    old = paho(version, client_id=name)
    new = paho(version, client_id=name)
    old.wait_gone()
    if version == "5":
        assert old.told_to_go
    new.subscribe(topic, 1)
    new.publish(topic, b"here", 1)
    assert new.next().payload == b"here"


@pytest.mark.parametrize("version", VERSIONS)
def test_unsubscribe(paho, unique, version):
    one, two, never = unique(), unique(), unique()
    client = paho(version)
    client.subscribe(one, 1)
    client.subscribe(two, 1)
    codes = client.unsubscribe([one, never])
    if version == "5":
        assert codes == [0, 17]
    publisher = paho(version)
    publisher.publish(one, b"unheard", 1)
    publisher.publish(two, b"heard", 1)
    assert client.until(b"heard") == []


@pytest.mark.parametrize("version", VERSIONS)
def test_wildcards(paho, unique, version):
    base = unique()
    filters = {
        f"{base}/+/c": {"/a/c", "//c"},
        f"{base}/a/#": {"/a", "/a/c", "/a/b/c", "/a/"},
        f"{base}/+": {"/a", "/"},
        f"{base}/#": {"", "/", "/a", "/a/", "/a/c", "//c", "/a/b/c", "/ä/ö"},
    }
    publisher = paho(version)
    clients = {}
    for filter in filters:
        clients[filter] = paho(version)
        clients[filter].subscribe(filter, 1)
    for end in ("", "/", "/a", "/a/", "/a/c", "//c", "/a/b/c", "/ä/ö"):
        publisher.publish(base + end, b"x", 1)
    # Each filter's own marker comes after everything that it may have matched.
    markers = ("/m/c", "/a/m", "/m", "/m/m")
    for (filter, ends), marker in zip(filters.items(), markers, strict=True):
        publisher.publish(base + marker, filter.encode(), 1)
        topics = [m.topic for m in clients[filter].until(filter.encode()) if m.payload == b"x"]
        assert sorted(topics) == sorted(base + end for end in ends), filter


@pytest.mark.parametrize("version", VERSIONS)
def test_overlapping_subscriptions(broker, paho, unique, version):
    """The standard allows a copy for each filter; our promise is one, with the highest QoS."""
    base = unique()
    client, publisher = paho(version), paho(version)
    client.subscribe(f"{base}/#", 0)
    client.subscribe(f"{base}/+", 2)
    client.subscribe(f"{base}/a", 1)
    end = unique()
    client.subscribe(end, 2)
    publisher.publish(f"{base}/a", b"one", 2)
    publisher.publish(end, b"marker", 2)
    copies = client.until(b"marker")
    assert {m.payload for m in copies} == {b"one"}
    assert max(m.qos for m in copies) == 2
    if broker.is_bifrost:
        assert len(copies) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_shared_subscription_divides_the_work(paho, unique, version):
    group, topic, number = unique("g"), unique(), 90
    members = [paho(version) for _ in range(3)]
    for member in members:
        member.subscribe(f"$share/{group}/{topic}/+", 1)
    everyone, publisher = paho(version), paho(version)
    everyone.subscribe(f"{topic}/+", 1)
    for index in range(number):
        publisher.publish(f"{topic}/{index}", str(index), 1)
    assert [int(m.payload) for m in everyone.receive(number)] == list(range(number))

    # Each member leaves the group and is then sent a marker of its own: what it has before that
    # is its share.
    shares = []
    for member in members:
        own = unique("own")
        member.subscribe(own, 1)
        publisher.publish(own, b"marker", 1)
        shares.append([int(m.payload) for m in member.until(b"marker")])
    assert sorted(sum(shares, [])) == list(range(number))
    assert all(shares), f"a member without work: {[len(share) for share in shares]}"

    # The work of those who left goes to the one who stays.
    members[0].disconnect()
    members[1].unsubscribe([f"$share/{group}/{topic}/+"])
    for index in range(20):
        publisher.publish(f"{topic}/{index}", str(index), 1)
    assert [int(m.payload) for m in members[2].receive(20)] == list(range(20))


@pytest.mark.parametrize("version", VERSIONS)
def test_ten_thousand_in_order(paho, unique, version):
    """QoS 1, with never more than `window` between publisher and subscriber, as in a queue."""
    topic, total, window = unique(), 10_000, 500
    subscriber, publisher = paho(version), paho(version, inflight=200)
    subscriber.subscribe(topic, 1)
    got: list[int] = []
    last = None
    for number in range(total):
        if number - len(got) >= window:
            got += [int(m.payload) for m in subscriber.receive(window // 2)]
        last = publisher.publish(topic, str(number), 1, wait=False)
    got += [int(m.payload) for m in subscriber.receive(total - len(got))]
    assert got == list(range(total))
    last.wait_for_publish(10)
    assert last.is_published()


def test_keep_alive_with_pings(paho, unique):
    """An idle client that pings stays, and is still served afterwards; all versions at once."""
    topic = unique()
    clients = [paho(version, keepalive=1) for version in VERSIONS]
    for client in clients:
        client.subscribe(topic, 1)
    for client in clients:
        client.wait_pings(2)
    paho().publish(topic, b"awake", 1)
    for client in clients:
        assert client.next().payload == b"awake"


def test_an_empty_client_id(paho, unique):
    """Allowed with a clean session since 3.1.1; in 5 the broker says which name it chose."""
    for version in ("3.1.1", "5"):
        topic = unique()
        first, second = paho(version, client_id=""), paho(version, client_id="")
        first.subscribe(topic, 0)
        second.publish(topic, b"hello", 1)
        assert first.next().payload == b"hello"
        if version == "5":
            names = {c.connack_properties.AssignedClientIdentifier for c in (first, second)}
            assert len(names) == 2 and "" not in names
