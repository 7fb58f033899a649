"""Chapter 3.1.2.5 and 3.1.3.2: will messages. Delays are in test_timers.py."""
import pytest
import wire
from wire import Will

BOTH = pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])
ALL = pytest.mark.parametrize("version", [3, 4, 5], ids=["v3.1", "v3.1.1", "v5"])
QOS = pytest.mark.parametrize("qos", [0, 1, 2])


@pytest.fixture
def watcher(client, name):
    """A client that sees one topic's messages, and the topic."""

    def start(version):
        own = client(version)
        own.topic = name("will")
        own.subscribe((own.topic, 2))
        return own

    return start


def nothing(client, watcher, version):
    """No will has come: a marker on the same topic is the next message."""
    client(version).publish(watcher.topic, b"marker", 2)
    assert watcher.until(b"marker") == []


@ALL
@QOS
def test_a_will_is_published_when_the_connection_is_lost(client, watcher, version, qos):
    """v3:MQTT-3.1.2-8 v3:MQTT-3.1.2-9 v3:MQTT-3.1.2-16 v3:MQTT-3.1.2-14 v5:MQTT-3.1.2-7
    v5:MQTT-3.1.2-8 v5:MQTT-3.1.2-12 v5:MQTT-3.1.2-14"""
    seen = watcher(version)
    own = client(version, will=Will(seen.topic, b"gone", qos))
    seen.nothing_before_ping()
    own.drop()
    message = seen.message()
    assert (message.payload, message.qos, message.retain) == (b"gone", qos, False)
    # It was not retained.
    late = client(version)
    late.subscribe((seen.topic, 2))
    late.nothing_before_ping()


@BOTH
@QOS
def test_a_retained_will(client, watcher, version, qos):
    """v3:MQTT-3.1.2-17 v5:MQTT-3.1.2-15"""
    seen = watcher(version)
    client(version, will=Will(seen.topic, b"gone", qos, retain=True)).drop()
    message = seen.message()
    assert (message.payload, message.retain) == (b"gone", False)
    late = client(version)
    late.subscribe((seen.topic, 2))
    message = late.message()
    assert (message.payload, message.qos, message.retain) == (b"gone", qos, True)
    client(version).publish(seen.topic, b"", 1, retain=True)


@ALL
def test_disconnect_discards_the_will(client, watcher, version):
    """v3:MQTT-3.14.4-3 v3:MQTT-3.1.2-10 v5:MQTT-3.14.4-3 v5:MQTT-3.1.2-10 v5:MQTT-3.1.2-8"""
    seen = watcher(version)
    client(version, will=Will(seen.topic, b"wrong", 1)).disconnect()
    nothing(client, seen, version)


def test_disconnect_with_will_message_publishes_it(client, watcher):
    """v5:MQTT-3.1.2-8"""
    seen = watcher(5)
    client(5, will=Will(seen.topic, b"gone", 1)).disconnect(0x04)
    assert seen.message().payload == b"gone"


@pytest.mark.parametrize("reason", [0x80, 0x81, 0x98])
def test_disconnect_with_an_error_publishes_the_will(client, watcher, reason):
    """v5:MQTT-3.1.2-8 v5:MQTT-3.1.2-10"""
    seen = watcher(5)
    client(5, will=Will(seen.topic, b"gone", 1)).disconnect(reason)
    assert seen.message().payload == b"gone"


@BOTH
def test_a_will_is_published_after_a_protocol_error(client, watcher, version):
    """v3:MQTT-3.1.2-8 v5:MQTT-3.1.2-8"""
    seen = watcher(version)
    own = client(version, will=Will(seen.topic, b"gone", 1))
    own.send(wire.publish("t", b"", version, qos=3, pid=1))
    own.refused()
    assert seen.message().payload == b"gone"


@BOTH
def test_a_will_is_published_once(client, name, watcher, version):
    """v3:MQTT-3.1.2-10 v5:MQTT-3.1.2-10 v3:MQTT-3.1.2-12"""
    seen, own_id = watcher(version), name("id")
    keep = {"clean": False, "props": [(wire.SESSION_EXPIRY, 60)]}
    client(version, own_id, will=Will(seen.topic, b"gone", 1), **keep).drop()
    assert seen.message().payload == b"gone"
    # The session goes on; this connection has no will.
    client(version, own_id, **keep).drop()
    nothing(client, seen, version)
    client(version, own_id, clean=True)


@BOTH
def test_without_a_will_nothing_is_published(client, name, watcher, version):
    """v3:MQTT-3.1.2-12 v3:MQTT-3.1.2-10 v5:MQTT-3.1.2-10"""
    seen, own_id = watcher(version), name("id")
    client(version, own_id, will=Will(seen.topic, b"wrong", 1)).disconnect()
    client(version, own_id).drop()
    nothing(client, seen, version)


@BOTH
def test_a_refused_connect_leaves_no_will(client, open_client, watcher, version):
    """v3:MQTT-3.1.2-8 v3:MQTT-3.1.4-5 v5:MQTT-3.1.4-6"""
    seen, own = watcher(version), open_client(version)
    will = Will(seen.topic, b"wrong", 1)
    if version == 4:
        own.send(wire.connect("", 4, clean=False, will=will))
    else:
        own.auth_method = "none-such"
        own.send(wire.connect("c", 5, will=will, props=[(wire.AUTH_METHOD, "none-such")]))
    assert own.closed()[0].reason
    nothing(client, seen, version)


def test_a_takeover_publishes_the_will_in_3_1_1(client, name, watcher):
    """The older connection ended without DISCONNECT. v3:MQTT-3.1.2-8"""
    seen, own_id = watcher(4), name("id")
    client(4, own_id, will=Will(seen.topic, b"gone", 1))
    client(4, own_id)
    assert seen.message().payload == b"gone"


def test_the_wills_properties_are_published(client, watcher):
    """v5:MQTT-3.1.3-10 v5:MQTT-3.1.2-9 v5:MQTT-3.3.2-18"""
    seen = watcher(5)
    pairs = [("b", "1"), ("a", "2"), ("b", "3"), ("", ""), ("a", "2")]
    props = [(wire.PAYLOAD_FORMAT, 1), (wire.MESSAGE_EXPIRY, 600), (wire.CONTENT_TYPE, "text/x"),
             (wire.RESPONSE_TOPIC, "r/t"), (wire.CORRELATION, b"\0\1\xff")]
    client(5, will=Will(seen.topic, b"gone", 1,
                        properties=props + [(wire.USER_PROPERTY, p) for p in pairs])).drop()
    message = seen.message()
    assert message.get(wire.WILL_DELAY) is None
    for identifier, value in props:
        assert message.get(identifier) == value
    assert message.all(wire.USER_PROPERTY) == pairs


@pytest.mark.parametrize("props", [
    [(wire.WILL_DELAY, 1)] * 2, [(wire.PAYLOAD_FORMAT, 2)], [(wire.TOPIC_ALIAS, 1)],
    [(wire.RESPONSE_TOPIC, "a/+")], [(wire.CONTENT_TYPE, b"\xff")]])
def test_wrong_will_properties(open_client, props):
    """v5:MQTT-3.1.4-1 v5:MQTT-4.13.1-1"""
    own = open_client(5)
    own.send(wire.connect("c", 5, will=Will("t", b"x", properties=props)))
    assert own.refused(0x81, 0x82, 0x90, 0x99) == []
    assert own.connack is None or own.connack.reason


@BOTH
def test_a_will_is_stored_for_sessions_that_are_away(client, name, watcher, version):
    """v3:MQTT-3.1.2-5 v3:MQTT-4.5.0-1 v5:MQTT-4.5.0-1"""
    own_id, topic = name("id"), name("will")
    keep = {"clean": False, "props": [(wire.SESSION_EXPIRY, 60)]}
    own = client(version, own_id, **keep)
    own.subscribe((topic, 1))
    own.disconnect()
    client(version, will=Will(topic, b"gone", 1)).drop()
    assert client(version, own_id, **keep).message().payload == b"gone"
    client(version, own_id, clean=True)


@BOTH
def test_an_empty_retained_will_removes_what_was_retained(client, name, version):
    """v3:MQTT-3.1.2-17 v3:MQTT-3.3.1-10 v5:MQTT-3.1.2-15 v5:MQTT-3.3.1-6"""
    topic, sender = name("will"), client(version)
    sender.publish(topic, b"kept", 1, retain=True)
    client(version, will=Will(topic, b"", 1, retain=True)).drop()
    late = client(version)
    late.subscribe((topic, 1))
    late.nothing_before_ping()


def test_a_will_above_the_servers_qos_is_refused(open_client, special, name):
    """v5:MQTT-3.2.2-12 v5:MQTT-3.2.2-9 v5:MQTT-3.2.2-10"""
    address = special("--mqtt-max-qos", "0")
    own = open_client(5, address)
    own.send(wire.connect(name("id"), 5, will=Will("t", b"x", 1)))
    answers = own.closed()
    assert [(p.kind, p.reason) for p in answers] == [(wire.CONNACK, 0x9B)]
    fits = open_client(5, address)
    assert fits.connect(name("id"), will=Will("t", b"x", 0)).get(wire.MAXIMUM_QOS) == 0
    assert fits.subscribe(("t", 2)).codes[0] in (0, 1, 2)
    fits.send(wire.publish("t", b"x", 5, qos=1, pid=1))
    assert fits.refused(0x9B) == []


def test_the_highest_qos_may_be_1(open_client, special, name):
    """v5:MQTT-3.2.2-9 v5:MQTT-3.2.2-10 v5:MQTT-3.2.2-12"""
    address = special("--mqtt-max-qos", "1")
    own = open_client(5, address)
    assert own.connect(name("id")).get(wire.MAXIMUM_QOS) == 1
    assert own.subscribe(("t", 2), ("u", 1)).codes[0] in (1, 2)
    own.publish("t", b"x", 1)
    assert own.message().payload == b"x"
    other = open_client(5, address)
    other.send(wire.connect(name("id"), 5, will=Will("t", b"x", 2)))
    assert [(p.kind, p.reason) for p in other.closed()] == [(wire.CONNACK, 0x9B)]


def test_a_retained_will_without_retained_messages_is_refused(open_client, special, name):
    """v5:MQTT-3.2.2-13"""
    address = special("--mqtt-retain-available", "false")
    own = open_client(5, address)
    own.send(wire.connect(name("id"), 5, will=Will("t", b"x", 0, retain=True)))
    answers = own.closed()
    assert [(p.kind, p.reason) for p in answers] == [(wire.CONNACK, 0x9A)]
    fits = open_client(5, address)
    assert fits.connect(name("id"), will=Will("t", b"x")).get(wire.RETAIN_AVAILABLE) == 0
    fits.send(wire.publish("t", b"x", 5, retain=True))
    assert fits.refused(0x9A) == []
