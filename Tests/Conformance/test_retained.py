"""Chapter 3.3.1.3: retained messages, and the subscription options of 5.0 about them."""
import pytest
import wire

BOTH = pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])
ALL = pytest.mark.parametrize("version", [3, 4, 5], ids=["v3.1", "v3.1.1", "v5"])
QOS = pytest.mark.parametrize("qos", [0, 1, 2])
AS_PUBLISHED, NEW_ONLY, NEVER = 0x08, 0x10, 0x20


@pytest.fixture
def topic(client, name):
    """A topic that retains nothing before and after the test."""
    own = name("r")
    yield own
    client(4).publish(own, b"", 1, retain=True)


def retained(client, topic, version=4, options=2):
    """What a new subscriber gets at once."""
    own = client(version)
    own.subscribe((topic, options))
    own.ping()
    return [own.message() for p in list(own.inbox) if p.kind == wire.PUBLISH]


@ALL
@QOS
def test_a_retained_message_waits_for_subscribers(client, topic, version, qos):
    """v3:MQTT-3.3.1-5 v3:MQTT-3.3.1-6 v3:MQTT-3.3.1-8 v5:MQTT-3.3.1-5 v5:MQTT-3.3.1-9"""
    client(version).publish(topic, b"kept", qos, retain=True)
    for granted in range(3):
        found = retained(client, topic, version, granted)
        assert [(m.topic, m.payload, m.qos, m.retain, m.dup) for m in found] == [
            (topic, b"kept", min(qos, granted), True, False)]


@BOTH
@QOS
def test_an_established_subscription_gets_retain_0(client, topic, version, qos):
    """v3:MQTT-3.3.1-9 v5:MQTT-3.3.1-12"""
    own = client(version)
    own.subscribe((topic, 2))
    client(version).publish(topic, b"kept", qos, retain=True)
    message = own.message()
    assert (message.payload, message.retain) == (b"kept", False)


@BOTH
def test_the_last_retained_message_counts(client, topic, version):
    """v3:MQTT-3.3.1-6 v3:MQTT-3.3.1-7 v3:MQTT-3.3.1-5 v5:MQTT-3.3.1-5"""
    sender = client(version)
    for index, qos in enumerate([0, 1, 2, 1, 0]):
        sender.publish(topic, b"number %d" % index, qos, retain=True)
        found = retained(client, topic, version)
        assert [(m.payload, m.qos) for m in found] == [(b"number %d" % index, qos)]


@BOTH
def test_a_qos_0_retained_message_discards_the_older_one(client, topic, version):
    """It may be forgotten itself, but the older one never comes back. v3:MQTT-3.3.1-7"""
    sender = client(version)
    sender.publish(topic, b"old", 2, retain=True)
    sender.publish(topic, b"new", 0, retain=True)
    assert [m.payload for m in retained(client, topic, version)] in ([b"new"], [])


@BOTH
@QOS
def test_an_empty_message_removes_what_is_retained(client, topic, version, qos):
    """v3:MQTT-3.3.1-10 v3:MQTT-3.3.1-11 v5:MQTT-3.3.1-6 v5:MQTT-3.3.1-7"""
    own, sender = client(version), client(version)
    sender.publish(topic, b"kept", 1, retain=True)
    own.subscribe((topic, 2))
    assert own.message().payload == b"kept"
    sender.publish(topic, b"", qos, retain=True)
    # It is an ordinary message for those who are subscribed.
    message = own.message()
    assert (message.payload, message.qos, message.retain) == (b"", qos, False)
    assert retained(client, topic, version) == []
    # Nothing was there this time, and nothing is kept.
    sender.publish(topic, b"", qos, retain=True)
    assert retained(client, topic, version) == []


@BOTH
@QOS
def test_retain_0_changes_nothing(client, topic, version, qos):
    """v3:MQTT-3.3.1-12 v5:MQTT-3.3.1-8"""
    sender = client(version)
    sender.publish(topic, b"plain", qos)
    assert retained(client, topic, version) == []
    sender.publish(topic, b"kept", 1, retain=True)
    sender.publish(topic, b"plain", qos)
    sender.publish(topic, b"", qos)
    assert [m.payload for m in retained(client, topic, version)] == [b"kept"]


@BOTH
@pytest.mark.parametrize("end", ["disconnect", "drop"])
def test_retained_messages_survive_the_session(client, topic, version, end):
    """v3:MQTT-3.1.2-7"""
    sender = client(version)
    sender.publish(topic, b"kept", 1, retain=True)
    getattr(sender, end)()
    client(version, sender.client_id, clean=True).disconnect()
    assert [m.payload for m in retained(client, topic, version)] == [b"kept"]


@BOTH
def test_wildcards_find_retained_messages(client, name, version):
    """v3:MQTT-3.3.1-6 v5:MQTT-3.3.1-9 v3:MQTT-4.7.1-3 v5:MQTT-4.7.1-2"""
    base, sender = name("r"), client(version)
    ends = ["", "/", "/a", "/a/b", "/a/b/c", "/b", "//c"]
    for end in ends:
        sender.publish(base + end, end.encode() or b"-", 1, retain=True)
    expected = {"": [""], "/#": ends, "/+": ["/", "/a", "/b"], "/+/b": ["/a/b"],
                "/a/#": ["/a", "/a/b", "/a/b/c"], "/+/+": ["/a/b", "//c"], "/+/+/+": ["/a/b/c"],
                "/+/b/#": ["/a/b", "/a/b/c"], "/x/#": []}
    for pattern, found in expected.items():
        got = retained(client, base + pattern, version)
        assert sorted(m.topic for m in got) == sorted(base + end for end in found), pattern
        assert all(m.retain for m in got)
    for end in ends:
        sender.publish(base + end, b"", 1, retain=True)


@BOTH
def test_many_retained_messages_for_one_subscription(client, name, version):
    """v3:MQTT-3.3.1-6 v5:MQTT-3.3.1-9"""
    base, sender, count = name("r"), client(version), 500
    for index in range(count):
        sender.send(wire.publish(f"{base}/{index}", b"x", version, retain=True))
    sender.ping()
    own = client(version)
    own.subscribe((base + "/+", 0))
    got = {own.message().topic for _ in range(count)}
    assert got == {f"{base}/{index}" for index in range(count)}
    for index in range(count):
        sender.send(wire.publish(f"{base}/{index}", b"", version, retain=True))
    sender.ping()


def test_retain_handling_0(client, topic):
    """Sent again for each SUBSCRIBE. v5:MQTT-3.3.1-9 v5:MQTT-3.8.4-4"""
    client(5).publish(topic, b"kept", 1, retain=True)
    own = client(5)
    for _ in range(3):
        own.subscribe((topic, 1))
        message = own.message()
        assert (message.payload, message.retain) == (b"kept", True)


def test_retain_handling_1(client, topic):
    """v5:MQTT-3.3.1-10"""
    client(5).publish(topic, b"kept", 1, retain=True)
    own = client(5)
    own.subscribe((topic, 1 | NEW_ONLY))
    assert own.message().payload == b"kept"
    own.subscribe((topic, 1 | NEW_ONLY))
    own.nothing_before_ping()
    own.unsubscribe(topic)
    own.subscribe((topic, 1 | NEW_ONLY))
    assert own.message().payload == b"kept"


def test_retain_handling_1_in_a_resumed_session(client, name, topic):
    """v5:MQTT-3.3.1-10"""
    client(5).publish(topic, b"kept", 1, retain=True)
    own = client(5, name("id"), props=[(wire.SESSION_EXPIRY, 60)])
    own.subscribe((topic, 1 | NEW_ONLY))
    assert own.message().payload == b"kept"
    own.disconnect()
    own = client(5, own.client_id, clean=False)
    own.subscribe((topic, 1 | NEW_ONLY))
    own.nothing_before_ping()


def test_retain_handling_2(client, topic):
    """v5:MQTT-3.3.1-11"""
    client(5).publish(topic, b"kept", 1, retain=True)
    own = client(5)
    own.subscribe((topic, 1 | NEVER))
    own.nothing_before_ping()
    own.publish(topic, b"live", 1, retain=True)
    assert own.message().payload == b"live"


@pytest.mark.parametrize("flag", [False, True])
def test_retain_as_published(client, topic, flag):
    """v5:MQTT-3.3.1-12 v5:MQTT-3.3.1-13"""
    without, with_it, sender = client(5), client(5), client(5)
    without.subscribe((topic, 1))
    with_it.subscribe((topic, 1 | AS_PUBLISHED))
    sender.publish(topic, b"live", 1, retain=flag)
    assert not without.message().retain
    assert with_it.message().retain == flag


def test_a_message_sent_on_subscribing_has_retain_1_without_as_published(client, topic):
    """v5:MQTT-3.3.1-9"""
    client(5).publish(topic, b"kept", 1, retain=True)
    for options in (1, 1 | AS_PUBLISHED):
        assert [m.retain for m in retained(client, topic, 5, options)] == [True]


@BOTH
def test_a_retained_message_is_kept_with_its_properties(client, topic, version):
    """A subscriber of 3.1.1 gets it without. v5:MQTT-3.3.2-17 v5:MQTT-3.3.2-18 v5:MQTT-3.3.2-20"""
    pairs = [("b", "1"), ("a", "2"), ("b", "3")]
    client(5).publish(topic, b"kept", 1, retain=True, props=[
        (wire.CONTENT_TYPE, "c"), *((wire.USER_PROPERTY, p) for p in pairs)])
    message = retained(client, topic, version)[0]
    assert message.payload == b"kept"
    if version == 5:
        assert message.get(wire.CONTENT_TYPE) == "c"
        assert message.all(wire.USER_PROPERTY) == pairs


@BOTH
def test_a_retained_message_for_a_session_with_identifiers(client, topic, version):
    """v5:MQTT-3.3.4-3"""
    client(version).publish(topic, b"kept", 1, retain=True)
    own = client(5)
    own.subscribe((topic, 1), props=[(wire.SUBSCRIPTION_ID, 77)])
    assert own.message().all(wire.SUBSCRIPTION_ID) == [77]


@pytest.fixture
def many(client, name):
    """The first part of twenty times a thousand topics with a retained message each."""
    base = name("many")
    topics = [f"{base}/{i}/{j}" for i in range(20) for j in range(1000)]
    own = client(4)

    def retain(payload):
        own.send(*(wire.publish(topic, payload, 4, qos=1, pid=index, retain=True)
                   for index, topic in enumerate(topics, 1)))
        for _ in topics:
            own.wait(wire.PUBACK)

    retain(b"kept")
    yield base
    retain(b"")


def test_all_filters_of_one_packet_get_theirs(client, many):
    """v5:MQTT-3.3.1-9 v5:MQTT-3.8.4-4"""
    own = client(5, props=[(wire.RECEIVE_MAXIMUM, 100)])
    own.subscribe(*((f"{many}/{i}/+", 1) for i in range(20)), props=[(wire.SUBSCRIPTION_ID, 7)])
    found = [own.message() for _ in range(20_000)]
    assert len({m.topic for m in found}) == 20_000
    assert all(m.retain and m.qos == 1 and m.get(wire.SUBSCRIPTION_ID) == 7 for m in found)
    own.nothing_before_ping()


@BOTH
def test_subscribing_often_and_not_reading_gathers_nothing(client, many, version):
    """v3:MQTT-3.8.4-3 v5:MQTT-3.8.4-3"""
    own = client(version)
    own.send(*(wire.subscribe(i, [(many + "/#", 0)], version) for i in range(1, 301)))
    counts = {}
    for _ in range(300):
        assert own.wait(wire.SUBACK).codes == [0]
    own.ping()
    for packet in own.inbox:
        counts[packet.topic] = counts.get(packet.topic, 0) + 1
    own.inbox.clear()
    while min(counts.values(), default=0) < 2 or len(counts) < 20_000:
        topic = own.wait(wire.PUBLISH).topic
        counts[topic] = counts.get(topic, 0) + 1
    own.inbox.clear()
    own.nothing_before_ping()
    # Once for the first, and once for all that came while that was on its way.
    assert set(counts.values()) == {2}


@BOTH
def test_an_unsubscribed_filter_is_not_looked_up_later(client, many, version):
    own = client(version)
    own.send(wire.subscribe(1, [(many + "/#", 0)], version),
             wire.subscribe(2, [(many + "/1/#", 0)], version),
             wire.unsubscribe(3, [many + "/1/#"], version))
    counts = {}
    while len(counts) < 20_000:
        topic = own.wait(wire.PUBLISH, 10).topic
        counts[topic] = counts.get(topic, 0) + 1
    own.ping()
    assert set(counts.values()) == {1} and not [p for p in own.inbox if p.kind == wire.PUBLISH]
