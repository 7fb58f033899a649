"""5.0's properties: those that are forwarded, those that bound a connection, topic aliases."""
import struct

import pytest
import wire

FORWARDED = [(wire.PAYLOAD_FORMAT, 1), (wire.CONTENT_TYPE, "text/é"),
             (wire.RESPONSE_TOPIC, "r/\ufeff"), (wire.CORRELATION, bytes(range(256)))]
PAIRS = [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("\ufeffk", "v" * 300), ("a", "0")]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_properties_are_forwarded_unaltered(client, name, qos):
    """v5:MQTT-3.3.2-4 v5:MQTT-3.3.2-15 v5:MQTT-3.3.2-16 v5:MQTT-3.3.2-17 v5:MQTT-3.3.2-18
    v5:MQTT-3.3.2-20 v5:MQTT-1.5.4-3 v5:MQTT-3.3.2-13 v5:MQTT-3.3.2-19 v5:MQTT-1.5.7-1"""
    topic, owns = name("t"), [client(5) for _ in range(3)]
    for own in owns:
        own.subscribe((topic, qos))
    client(5).publish(topic, b"text", qos, props=[
        *FORWARDED[:2], *((wire.USER_PROPERTY, p) for p in PAIRS[:3]),
        *FORWARDED[2:], *((wire.USER_PROPERTY, p) for p in PAIRS[3:])])
    for own in owns:
        message = own.message()
        for identifier, value in FORWARDED:
            assert message.get(identifier) == value
        assert message.all(wire.USER_PROPERTY) == PAIRS
        assert len(message.props) == len(FORWARDED) + len(PAIRS)


def test_a_payload_format_of_0_is_forwarded(client, name):
    """v5:MQTT-3.3.2-4"""
    own, topic = client(5), name("t")
    own.subscribe((topic, 1))
    own.publish(topic, b"\xff", 1, props=[(wire.PAYLOAD_FORMAT, 0)])
    assert own.message().get(wire.PAYLOAD_FORMAT) in (0, None)  # 0 is what absence means


def test_properties_are_forwarded_to_an_offline_session(client, name):
    """v5:MQTT-3.3.2-17 v5:MQTT-3.3.2-18 v5:MQTT-3.3.2-16"""
    topic, own_id = name("t"), name("id")
    own = client(5, own_id, props=[(wire.SESSION_EXPIRY, 60)])
    own.subscribe((topic, 1))
    own.disconnect()
    client(5).publish(topic, b"x", 1, props=FORWARDED + [(wire.USER_PROPERTY, p) for p in PAIRS])
    message = client(5, own_id, clean=False).message()
    for identifier, value in FORWARDED:
        assert message.get(identifier) == value
    assert message.all(wire.USER_PROPERTY) == PAIRS


def test_properties_do_not_reach_clients_of_3_1_1(client, name):
    """The parser takes a property block for payload there. v5:MQTT-3.3.2-17"""
    topic, old, new = name("t"), client(4), client(5)
    old.subscribe((topic, 1))
    new.subscribe((topic, 1))
    new.publish(topic, b"payload", 1, props=FORWARDED)
    assert old.message().payload == b"payload"
    assert new.message().payload == b"payload"
    old.publish(topic, b"from 3.1.1", 1)
    message = new.message()
    while message.payload != b"from 3.1.1":
        message = new.message()
    assert message.props == []


BAD_PROPERTIES = {
    "payload format 2": [(wire.PAYLOAD_FORMAT, 2)],
    "payload format twice": [(wire.PAYLOAD_FORMAT, 1)] * 2,
    "message expiry twice": [(wire.MESSAGE_EXPIRY, 1)] * 2,
    "content type twice": [(wire.CONTENT_TYPE, "a")] * 2,
    "correlation data twice": [(wire.CORRELATION, b"a")] * 2,
    "response topic twice": [(wire.RESPONSE_TOPIC, "a")] * 2,
    "ill-formed content type": [(wire.CONTENT_TYPE, b"\xff")],  # v5:MQTT-3.3.2-19
    "ill-formed response topic": [(wire.RESPONSE_TOPIC, b"\xed\xa0\x80")],  # v5:MQTT-3.3.2-13
    "U+0000 in content type": [(wire.CONTENT_TYPE, "a\0")],  # v5:MQTT-1.5.4-2
    "wildcard in response topic": [(wire.RESPONSE_TOPIC, "a/#")],  # v5:MQTT-3.3.2-14
    "plus in response topic": [(wire.RESPONSE_TOPIC, "+")],  # v5:MQTT-3.3.2-14
    "ill-formed key": [(wire.USER_PROPERTY, (b"\xff", "v"))],  # v5:MQTT-1.5.7-1
    "ill-formed value": [(wire.USER_PROPERTY, ("k", b"\xff"))],  # v5:MQTT-1.5.7-1
    "U+0000 in value": [(wire.USER_PROPERTY, ("k", "a\0"))],  # v5:MQTT-1.5.7-1
    "subscription identifier": [(wire.SUBSCRIPTION_ID, 1)],  # v5:MQTT-3.3.4-6
    "topic alias 0": [(wire.TOPIC_ALIAS, 0)],  # v5:MQTT-3.3.2-8
    "topic alias twice": [(wire.TOPIC_ALIAS, 1)] * 2,
    "a property of CONNECT": [(wire.SESSION_EXPIRY, 1)],
    "a property of SUBACK": [(wire.REASON_STRING, "a")],
    "an unknown property": b"\x00\x01",
    "a property cut off": b"\x02\x00\x00\x00",
}


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("case", BAD_PROPERTIES)
def test_wrong_properties_of_publish(client, name, case, qos):
    """v5:MQTT-4.13.1-1"""
    own, watcher, topic = client(5), client(5), name("t")
    watcher.subscribe(topic)
    own.send(wire.publish(topic, b"wrong", 5, qos=qos, pid=1 if qos else None,
                          props=BAD_PROPERTIES[case]), wire.PING)
    assert own.refused(0x81, 0x82, 0x90, 0x94) == []
    client(5).publish(topic, b"marker")
    assert watcher.until(b"marker") == []


# Property lengths that are not what they should be.
BAD_LENGTHS = {
    "overlong": b"\x80\x00",  # v5:MQTT-1.5.5-1
    "beyond the packet": b"\x7f",
    "of five bytes": b"\x80\x80\x80\x80\x01",
}


@pytest.mark.parametrize("case", BAD_LENGTHS)
def test_wrong_property_lengths(client, case):
    """v5:MQTT-4.13.1-1"""
    own = client(5)
    own.send(wire.packet(0x30, wire.string("t") + BAD_LENGTHS[case]), wire.PING)
    assert own.refused(0x81, 0x82) == []


def test_a_remaining_length_of_too_many_bytes(client):
    """v5:MQTT-1.5.5-1"""
    own = client(5)
    own.send(b"\xc0\x80\x00", wire.PING)
    assert own.refused(0x81, 0x82) == []


# Topic aliases --------------------------------------------------------------------------------

def test_every_topic_alias_up_to_the_maximum_is_accepted(client, name):
    """v5:MQTT-3.3.2-12"""
    own, watcher, base = client(5), client(5), name("t")
    watcher.subscribe((base + "/#", 1))
    maximum = own.connack.get(wire.ALIAS_MAXIMUM, 0)
    assert maximum, "the server takes no topic alias"
    aliases = sorted({1, 2, maximum // 2, maximum} - {0})
    for alias in aliases:
        own.publish(f"{base}/{alias}", b"set", 1, props=[(wire.TOPIC_ALIAS, alias)])
    for alias in aliases:
        own.publish("", b"used", 1, props=[(wire.TOPIC_ALIAS, alias)])
    # An alias can be given to another topic.
    own.publish(f"{base}/other", b"set", 1, props=[(wire.TOPIC_ALIAS, 1)])
    own.publish("", b"used", 2, props=[(wire.TOPIC_ALIAS, 1)])
    expected = [f"{base}/{a}" for a in aliases] * 2 + [f"{base}/other"] * 2
    messages = [watcher.message() for _ in expected]
    assert [m.topic for m in messages] == expected
    assert all(m.get(wire.TOPIC_ALIAS) is None for m in messages)


def test_a_topic_alias_above_the_maximum_is_an_error(client, name):
    """v5:MQTT-4.13.1-1"""
    own = client(5)
    alias = own.connack.get(wire.ALIAS_MAXIMUM, 0) + 1
    own.send(wire.publish(name("t"), b"x", 5, props=[(wire.TOPIC_ALIAS, alias)]), wire.PING)
    assert own.refused(0x94) == []


def test_an_alias_that_was_never_set_is_an_error(client):
    """v5:MQTT-4.13.1-1"""
    own = client(5)
    own.send(wire.publish("", b"x", 5, props=[(wire.TOPIC_ALIAS, 1)]), wire.PING)
    assert own.refused(0x82, 0x94) == []


def test_aliases_end_with_the_connection(client, name):
    """v5:MQTT-3.3.2-7"""
    own_id = name("id")
    own = client(5, own_id, props=[(wire.SESSION_EXPIRY, 60)])
    own.publish(name("t"), b"x", 1, props=[(wire.TOPIC_ALIAS, 1)])
    own.disconnect()
    own = client(5, own_id, clean=False)
    assert own.connack.session_present
    own.send(wire.publish("", b"x", 5, props=[(wire.TOPIC_ALIAS, 1)]), wire.PING)
    assert own.refused(0x82, 0x94) == []


@pytest.mark.parametrize("maximum", [None, 0, 1, 3])
def test_the_servers_aliases_stay_within_the_clients_maximum(client, name, maximum):
    """The client checks each alias, and resolves it. v5:MQTT-3.1.2-26 v5:MQTT-3.1.2-27
    v5:MQTT-3.3.2-11 v5:MQTT-3.3.2-7"""
    base, own_id = name("topic/that/is/long/enough/for/an/alias"), name("id")
    props = [(wire.SESSION_EXPIRY, 60)]
    props += [] if maximum is None else [(wire.ALIAS_MAXIMUM, maximum)]
    own, sender = client(5, own_id, props=props), client(5)
    own.subscribe((base + "/+", 1))
    for round_number in range(2):
        for index in range(30):
            sender.publish(f"{base}/{index % 6}", b"%d" % index, 1)
        for index in range(30):
            message = own.message()
            assert (message.topic, message.payload) == (f"{base}/{index % 6}", b"%d" % index)
        # The next connection starts without aliases on either side.
        own.drop()
        own = client(5, own_id, clean=False, props=props)


# Sizes ----------------------------------------------------------------------------------------

def test_a_message_above_the_clients_maximum_is_dropped(client, name):
    """As if it had been delivered: it holds up nothing. v5:MQTT-3.1.2-24 v5:MQTT-3.1.2-25"""
    topic, whole, sender = name("t"), client(5), client(5)
    small = client(5, props=[(wire.MAXIMUM_PACKET, 200), (wire.RECEIVE_MAXIMUM, 1)])
    for own in (whole, small):
        own.subscribe((topic, 2))
    for qos in (0, 1, 2, 1, 2):
        sender.publish(topic, b"b" * 300, qos)
    sender.publish(topic, b"small", 1)
    assert small.message().payload == b"small"
    assert [len(m.payload) for m in whole.until(b"small")] == [300] * 5
    # Properties count too.
    sender.publish(topic, b"x", 1, props=[(wire.USER_PROPERTY, ("k", "v" * 200))])
    sender.publish(topic, b"marker", 1)
    assert small.until(b"marker") == []


def test_a_queued_message_above_the_maximum_is_dropped(client, name):
    """v5:MQTT-3.1.2-25"""
    topic, own_id, sender = name("t"), name("id"), client(5)
    own = client(5, own_id, props=[(wire.SESSION_EXPIRY, 60)])
    own.subscribe((topic, 1))
    own.disconnect()
    for payload in (b"1", b"b" * 300, b"2", b"b" * 300, b"3"):
        sender.publish(topic, payload, 1)
    own = client(5, own_id, clean=False, props=[(wire.MAXIMUM_PACKET, 200)])
    assert [own.message().payload for _ in range(3)] == [b"1", b"2", b"3"]
    own.nothing_before_ping()


def test_a_retained_message_above_the_maximum_is_not_sent(client, name):
    """v5:MQTT-3.1.2-24"""
    base, sender = name("t"), client(5)
    sender.publish(base + "/1", b"b" * 300, 1, retain=True)
    sender.publish(base + "/2", b"small", 1, retain=True)
    own = client(5, props=[(wire.MAXIMUM_PACKET, 200)])
    own.subscribe((base + "/+", 1))
    assert own.message().payload == b"small"
    own.nothing_before_ping()
    for end in ("/1", "/2"):
        sender.publish(base + end, b"", 1, retain=True)


def test_answers_stay_within_the_maximum_packet_size(client, name):
    """Reason strings and user properties are left out where they would not fit.
    v5:MQTT-3.4.2-2 v5:MQTT-3.4.2-3 v5:MQTT-3.5.2-2 v5:MQTT-3.5.2-3 v5:MQTT-3.6.2-2
    v5:MQTT-3.6.2-3 v5:MQTT-3.7.2-2 v5:MQTT-3.7.2-3 v5:MQTT-3.9.2-1 v5:MQTT-3.9.2-2
    v5:MQTT-3.11.2-1 v5:MQTT-3.11.2-2 v5:MQTT-3.14.2-3 v5:MQTT-3.14.2-4 v5:MQTT-3.1.2-24
    v5:MQTT-3.2.2-19 v5:MQTT-3.2.2-20"""
    # CONNACK has to fit as well, so its size is the smallest maximum that can be tried.
    size = client(5).connack.size
    own = client(5, props=[(wire.MAXIMUM_PACKET, size)])
    assert own.connack.size <= size
    topic = name("t")[-4:]
    assert own.subscribe(topic, "a/#/b").codes[0] == 0
    assert own.unsubscribe(topic, name("none")).codes[0] == 0
    own.publish(name("nobody"), b"x", 1)
    own.publish(name("nobody"), b"x", 2)
    own.send(wire.ack(wire.PUBREL, 999, 5))
    assert own.wait(wire.PUBCOMP).reason in (0, 0x92)
    own.send(wire.ack(wire.PUBREC, 998, 5))
    own.ping()
    own.send(wire.connect(own.client_id, 5))
    own.refused(0x82)


def test_no_problem_information_where_none_is_wanted(client, name):
    """The client checks it. v5:MQTT-3.1.2-29"""
    own = client(5, props=[(wire.PROBLEM_INFO, 0)])
    own.subscribe(name("t"), "a/#/b")
    own.unsubscribe(name("none"))
    own.publish(name("nobody"), b"x", 1)
    own.publish(name("nobody"), b"x", 2)
    own.send(wire.ack(wire.PUBREL, 999, 5))
    own.wait(wire.PUBCOMP)
    own.send(wire.ack(wire.PUBREC, 998, 5))
    own.ping()


def test_no_response_information_where_none_is_wanted(client):
    """v5:MQTT-3.1.2-28"""
    for props in ([], [(wire.RESPONSE_INFO_WANTED, 0)]):
        assert client(5, props=props).connack.get(wire.RESPONSE_INFO) is None


def test_the_servers_disconnect_is_a_good_one(client, name):
    """Each of these ends with DISCONNECT or without a word, and nothing follows.
    v5:MQTT-3.14.2-1 v5:MQTT-3.14.2-2 v5:MQTT-3.14.4-1 v5:MQTT-3.14.4-2 v5:MQTT-4.13.2-1"""
    errors = [wire.publish("a/#", b"x", 5), wire.subscribe(1, [], 5), b"\xf0\x02\x18\x00",
              wire.publish("t", b"x", 5, props=[(wire.TOPIC_ALIAS, 0)]), b"\x30\xff\xff\xff\xff"]
    for data in errors:
        own = client(5)
        own.send(data)
        own.refused()


def test_the_servers_maximum_packet_size(open_client, special, name):
    """v5:MQTT-4.13.1-1"""
    address = special("--mqtt-max-packet-size", "1048576")
    own, topic = open_client(5, address), name("t")
    assert own.connect(name("id")).get(wire.MAXIMUM_PACKET) == 1048576
    own.subscribe((topic, 1))
    # 4 bytes of fixed header, topic, packet id, property length.
    room = 1048576 - 4 - 2 - len(topic) - 2 - 1
    own.publish(topic, b"x" * room, 1)
    assert len(own.message().payload) == room
    own.send(b"\x30" + wire.variable(1048576))
    assert own.refused(0x95) == []


def test_the_payload_format_can_be_checked(open_client, special, name):
    """A refused QoS 2 message leaves its packet id free. v5:MQTT-4.3.3-9"""
    address = special("--mqtt-check-payload-format", "true")
    own, watcher, topic = open_client(5, address), open_client(5, address), name("t")
    own.connect(name("id"))
    watcher.connect(name("id"))
    watcher.subscribe((topic, 0))
    text = [(wire.PAYLOAD_FORMAT, 1)]
    assert own.publish(topic, b"\xff", 2, pid=5, props=text).reason == 0x99
    answer = own.publish(topic, b"text", 2, pid=5, props=text)
    assert answer.reason < 0x80
    assert own.publish(topic, b"\xff", 1, pid=5, props=text).reason == 0x99
    own.publish(topic, b"marker", 0)
    assert [m.payload for m in watcher.until(b"marker")] == [b"text"]


def test_shared_subscriptions_can_be_switched_off(open_client, special, name):
    """v5:MQTT-3.9.3-2"""
    own = open_client(5, special("--mqtt-shared-subscriptions", "false"))
    assert own.connect(name("id")).get(wire.SHARED_AVAILABLE) == 0
    assert own.subscribe("$share/g/t", "t").codes == [0x9E, 0]


def test_an_acknowledgement_with_reason_and_properties(client, name):
    """The long forms, which a server has to understand. v5:MQTT-4.3.2-3 v5:MQTT-4.3.3-4"""
    own, sender, topic = client(5), client(5), name("t")
    own.subscribe((topic, 2))
    props = [(wire.REASON_STRING, "fine"), (wire.USER_PROPERTY, ("k", "v"))]
    for qos in (1, 2):
        sender.publish(topic, b"x", qos)
        message = own.expect(wire.PUBLISH)
        if qos == 1:
            own.ack(wire.PUBACK, message.pid, 0x10, props)
        else:
            own.ack(wire.PUBREC, message.pid, 0x10, props)
            assert own.expect(wire.PUBREL).pid == message.pid
            own.ack(wire.PUBCOMP, message.pid, 0, props)
    sender.send(wire.publish(topic, b"y", 5, qos=2, pid=3))
    sender.expect(wire.PUBREC)
    sender.send(wire.ack(wire.PUBREL, 3, 5, 0, props))
    assert sender.expect(wire.PUBCOMP).pid == 3
    assert own.message().payload == b"y"


BAD_ACKS = {
    "an unlisted reason of PUBACK": wire.ack(wire.PUBACK, 1, 5, 0x01),  # v5:MQTT-3.4.2-1
    "an unlisted reason of PUBREC": wire.ack(wire.PUBREC, 1, 5, 0x01),  # v5:MQTT-3.5.2-1
    "an unlisted reason of PUBREL": wire.ack(wire.PUBREL, 1, 5, 0x10),  # v5:MQTT-3.6.2-1
    "an unlisted reason of PUBCOMP": wire.ack(wire.PUBCOMP, 1, 5, 0x10),  # v5:MQTT-3.7.2-1
    "an unlisted reason of DISCONNECT": wire.disconnect(0x8E + 0x70),  # v5:MQTT-3.14.2-1
    "reason string twice": wire.ack(wire.PUBACK, 1, 5, 0, [(wire.REASON_STRING, "a")] * 2),
    "another's property": wire.ack(wire.PUBACK, 1, 5, 0, [(wire.CONTENT_TYPE, "a")]),
    "packet id 0": struct.pack(">BBH", 0x40, 2, 0),
    "flags": b"\x41\x02\x00\x01",  # v5:MQTT-2.1.3-1
    "flags of AUTH": b"\xf1\x00",  # v5:MQTT-3.15.1-1
    "too short": b"\x40\x01\x00",
}


@pytest.mark.parametrize("case", BAD_ACKS)
def test_wrong_acknowledgements(client, case):
    """v5:MQTT-4.13.1-1"""
    own = client(5)
    own.send(BAD_ACKS[case], wire.PING)
    assert own.refused(0x81, 0x82) == []
