"""Chapters 3.1 and 3.2: CONNECT and its answer."""
import struct

import pytest
import wire
from wire import Will

BOTH = pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])
ALL = pytest.mark.parametrize("version", [3, 4, 5], ids=["v3.1", "v3.1.1", "v5"])
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def body(version, flags, *fields, name="MQTT", level=None):
    """A CONNECT with these flags and exactly these payload fields (bytes are taken as they are)."""
    data = wire.string(name) + bytes([version if level is None else level, flags, 0, 0])
    if version == 5:
        data += b"\0"
    return wire.packet(wire.CONNECT << 4, data + b"".join(fields))


@ALL
def test_a_valid_connect_is_accepted(client, version):
    """v3:MQTT-3.1.4-4 v5:MQTT-3.1.4-5 v5:MQTT-3.2.2-8 v5:MQTT-3.2.2-1 v5:MQTT-2.2.2-1"""
    own = client(version)
    assert own.connack.reason == 0
    assert not own.connack.session_present
    own.ping()


# What may stand in the place of CONNECT, and must not be served.
NOT_CONNECT = {
    "PINGREQ": lambda v: wire.PING,
    "PUBLISH": lambda v: wire.publish("t", b"x", v),
    "SUBSCRIBE": lambda v: wire.subscribe(1, [("#", 0)], v),
    "UNSUBSCRIBE": lambda v: wire.unsubscribe(1, ["#"], v),
    "PUBREL": lambda v: wire.ack(wire.PUBREL, 1, v),
    "DISCONNECT": lambda v: wire.disconnect(),
    "CONNACK": lambda v: wire.packet(wire.CONNACK << 4, b"\0\0"),
    "AUTH": lambda v: wire.packet(wire.AUTH << 4, b""),
    "type 0": lambda v: b"\0\0",
    "HTTP": lambda v: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("first", NOT_CONNECT)
def test_another_first_packet_closes_without_a_word(open_client, first):
    """v3:MQTT-3.1.0-1 v5:MQTT-3.1.0-1 v5:MQTT-3.14.0-1 v3:MQTT-4.8.0-1"""
    own = open_client(4)
    own.send(NOT_CONNECT[first](4))
    assert own.closed() == []


@BOTH
def test_a_second_connect_closes(client, version):
    """v3:MQTT-3.1.0-2 v5:MQTT-3.1.0-2 v5:MQTT-3.2.0-2 v3:MQTT-4.8.0-1 v5:MQTT-4.13.1-1"""
    own = client(version)
    own.send(wire.connect(own.client_id, version))
    assert own.refused(0x82) == []


@BOTH
@pytest.mark.parametrize("name", ["MQTX", "mqtt", "MQT", "MQTTT", "", "MQIsdp"])
def test_a_wrong_protocol_name_is_not_served(open_client, version, name):
    """v3:MQTT-3.1.2-1 v5:MQTT-3.1.2-1"""
    own = open_client(version)
    own.send(wire.connect("c", version, name=name), wire.PING)
    assert own.refused() == []


@pytest.mark.parametrize("level", [6, 9, 127])
def test_an_unsupported_level_is_refused_and_closed(open_client, level):
    """v3:MQTT-3.1.2-2 v5:MQTT-3.1.2-2 v3:MQTT-3.2.2-5 v5:MQTT-3.2.2-7"""
    own = open_client(5 if level == 6 else 4)
    own.send(wire.connect("c", own.version, level=level))
    answers = own.closed()
    assert [p.kind for p in answers] == [wire.CONNACK]
    assert answers[0].reason in (0x01, 0x84)
    assert not answers[0].session_present


@BOTH
def test_the_reserved_flag_must_be_0(open_client, version):
    """v3:MQTT-3.1.2-3 v5:MQTT-3.1.2-3 v3:MQTT-3.1.4-1"""
    own = open_client(version)
    own.send(wire.connect("c", version, flags=0x03))
    before = own.refused(0x81, 0x82)
    assert before == [] and (version == 5 or own.connack is None)


STRING = wire.string("s")
ILL = wire.string(b"a\xff")
NUL = wire.string("a\0")
SURROGATE = wire.string(b"a\xed\xa0\x80")
# Payloads that don't fit the flags: flags, fields after the flags (the will's without properties).
BAD_FLAGS = {
    "will QoS without will": (0x0A, ["id"]),  # v3:MQTT-3.1.2-11 v3:MQTT-3.1.2-13 v5:MQTT-3.1.2-11
    "will QoS 2 without will": (0x12, ["id"]),  # v3:MQTT-3.1.2-13 v5:MQTT-3.1.2-11
    "will retain without will": (0x22, ["id"]),  # v3:MQTT-3.1.2-15 v5:MQTT-3.1.2-13
    "will fields without will": (0x02, ["id", "t", "p"]),  # v3:MQTT-3.1.2-11
    "will QoS 3": (0x1E, ["id", "will", "t", "p"]),  # v3:MQTT-3.1.2-14 v5:MQTT-3.1.2-12
    "will without fields": (0x06, ["id"]),  # v3:MQTT-3.1.2-9 v5:MQTT-3.1.2-9
    "will without payload": (0x06, ["id", "will", "t"]),  # v3:MQTT-3.1.2-9 v5:MQTT-3.1.2-9
    "user name without its flag": (0x02, ["id", "u"]),  # v3:MQTT-3.1.2-18 v5:MQTT-3.1.2-16
    "user name flag without it": (0x82, ["id"]),  # v3:MQTT-3.1.2-19 v5:MQTT-3.1.2-17
    "password without its flag": (0x82, ["id", "u", "p"]),  # v3:MQTT-3.1.2-20 v5:MQTT-3.1.2-18
    "password flag without it": (0xC2, ["id", "u"]),  # v3:MQTT-3.1.2-21 v5:MQTT-3.1.2-19
    "no client id": (0x02, []),  # v3:MQTT-3.1.3-3 v5:MQTT-3.1.3-3
    "ill-formed client id": (0x02, [ILL]),  # v3:MQTT-3.1.3-4 v5:MQTT-3.1.3-4 v3:MQTT-1.5.3-1
    "surrogate in client id": (0x02, [SURROGATE]),  # v3:MQTT-1.5.3-1 v5:MQTT-1.5.4-1
    "U+0000 in client id": (0x02, [NUL]),  # v3:MQTT-1.5.3-2 v5:MQTT-1.5.4-2
    "ill-formed will topic": (0x06, ["id", "will", ILL, "p"]),  # v3:MQTT-3.1.3-10 v5:MQTT-3.1.3-11
    "wildcard in will topic": (0x06, ["id", "will", "a/#", "p"]),  # v3:MQTT-4.7.1-1
    "ill-formed user name": (0x82, ["id", ILL]),  # v3:MQTT-3.1.3-11 v5:MQTT-3.1.3-12
    "client id cut off": (0x02, [b"\0\x09abc"]),  # v3:MQTT-3.1.4-1 v5:MQTT-3.1.4-1
    "bytes left over": (0x02, ["id", b"\0"]),  # v3:MQTT-3.1.4-1 v5:MQTT-3.1.4-1
}


@BOTH
@pytest.mark.parametrize("case", BAD_FLAGS)
def test_a_connect_that_breaks_the_format_is_closed(open_client, version, case):
    """In 3.1.1 without CONNACK, since no return code fits. v3:MQTT-3.2.2-6 v3:MQTT-3.1.4-1
    v5:MQTT-3.1.4-1 v5:MQTT-3.14.0-1"""
    flags, fields = BAD_FLAGS[case]
    packed = []
    for item in fields:
        if item == "will":
            packed.append(b"\0" if version == 5 else b"")
        else:
            packed.append(item if isinstance(item, bytes) else wire.string(item))
    own = open_client(version)
    own.send(body(version, flags, *packed))
    before = own.refused(0x80, 0x81, 0x82, 0x85, 0x90)
    assert before == []
    if version == 4:
        assert own.connack is None


def test_a_password_without_user_name_is_an_error_in_3_1_1(open_client):
    """v3:MQTT-3.1.2-22"""
    own = open_client(4)
    own.send(body(4, 0x42, wire.string("id"), wire.string("secret")))
    assert own.refused() == []
    assert own.connack is None


@ALL
def test_all_fields_in_their_order(client, open_client, name, version):
    """v3:MQTT-3.1.3-1 v5:MQTT-3.1.3-1 v3:MQTT-3.1.2-9 v5:MQTT-3.1.2-9 v3:MQTT-3.1.2-19
    v3:MQTT-3.1.2-21 v5:MQTT-3.1.2-17 v5:MQTT-3.1.2-19"""
    topic = name("will")
    watcher = client(4)
    watcher.subscribe((topic, 1))
    own = client(version, user="someone", password=b"\x00\xff any bytes",
                 will=Will(topic, b"\x00 will \xff", 1, properties=[(wire.CONTENT_TYPE, "x")]))
    own.drop()
    message = watcher.message()
    assert (message.topic, message.payload, message.qos) == (topic, b"\x00 will \xff", 1)


@BOTH
@pytest.mark.parametrize("own_id", [LETTERS[:1], LETTERS[:23], LETTERS[23:46], LETTERS[46:], "Zz"])
def test_client_ids_of_letters_and_digits(client, version, own_id):
    """v3:MQTT-3.1.3-5 v5:MQTT-3.1.3-5"""
    client(version, own_id).disconnect()


@BOTH
def test_the_client_id_names_the_session(client, name, version):
    """v3:MQTT-3.1.3-2 v5:MQTT-3.1.3-2 v3:MQTT-4.7.3-4"""
    first, second, topic = name("a"), name("b"), name("t")
    expiry = [(wire.SESSION_EXPIRY, 60)]
    client(version, first, clean=False, props=expiry).subscribe((topic, 1))
    other = client(version, second, clean=False, props=expiry)
    assert not other.connack.session_present
    # Another letter case is another client.
    upper = client(version, first.upper(), clean=False, props=expiry)
    assert not upper.connack.session_present
    again = client(version, first, clean=False, props=expiry)
    assert again.connack.session_present
    client(version).publish(topic, b"1", 1)
    assert again.message().payload == b"1"
    other.nothing_before_ping()
    for own in (other, upper, again):
        own.disconnect(None if version == 4 else 0, [(wire.SESSION_EXPIRY, 0)])
    if version == 4:
        for own_id in (first, second, first.upper()):
            client(4, own_id, clean=True).disconnect()


def test_an_empty_client_id_gets_a_unique_one_in_3_1_1(client, name):
    """v3:MQTT-3.1.3-6"""
    topic = name("t")
    first, second = client(4, ""), client(4, "")
    first.subscribe(topic)
    second.publish(topic, b"1")
    assert first.message().payload == b"1"
    second.nothing_before_ping()


@pytest.mark.parametrize("clean", [True, False])
def test_an_empty_client_id_is_assigned_in_5(client, name, clean):
    """v5:MQTT-3.1.3-6 v5:MQTT-3.1.3-7 v5:MQTT-3.2.2-16"""
    expiry = [(wire.SESSION_EXPIRY, 60)]
    owns = [client(5, "", clean=clean, props=expiry) for _ in range(3)]
    ids = [own.connack.get(wire.ASSIGNED_ID) for own in owns]
    assert all(ids) and len(set(ids)) == 3
    topic = name("t")
    owns[0].subscribe((topic, 1))
    owns[0].drop()
    owns[1].publish(topic, b"1", 1)
    # The session is under the id that was told.
    again = client(5, ids[0], clean=False)
    assert again.connack.session_present
    assert again.connack.get(wire.ASSIGNED_ID) is None
    assert again.message().payload == b"1"


def test_an_empty_client_id_needs_clean_session_in_3_1_1(open_client):
    """v3:MQTT-3.1.3-8 v3:MQTT-3.1.3-9 v3:MQTT-3.2.2-4 v3:MQTT-3.2.2-5"""
    own = open_client(4)
    own.send(wire.connect("", 4, clean=False))
    answers = own.closed()
    assert [(p.kind, p.reason, p.session_present) for p in answers] == [(wire.CONNACK, 2, False)]


@BOTH
def test_a_client_id_that_is_too_long_is_refused(open_client, special, version):
    """v3:MQTT-3.1.3-9 v5:MQTT-3.1.3-8 v5:MQTT-3.2.2-6 v5:MQTT-3.2.2-7 v5:MQTT-4.13.2-1
    v5:MQTT-3.1.4-2"""
    own = open_client(version, special("--mqtt-max-client-id-bytes", "256"))
    own.send(wire.connect("i" * 257, version))
    answers = own.closed()
    assert [(p.kind, p.reason) for p in answers] == [(wire.CONNACK, 2 if version == 4 else 0x85)]
    fits = open_client(version, own.address)
    fits.connect("i" * 256)


@BOTH
def test_a_connected_client_id_ends_the_older_connection(client, name, version):
    """v3:MQTT-3.1.4-2 v5:MQTT-3.1.4-3 v5:MQTT-3.14.4-1 v5:MQTT-3.14.4-2 v5:MQTT-3.14.2-1
    v5:MQTT-3.14.2-2 v5:MQTT-4.13.2-1"""
    own_id = name("id")
    older = client(version, own_id)
    newer = client(version, own_id)
    last = older.closed()
    if version == 5:
        assert [(p.kind, p.reason) for p in last] == [(wire.DISCONNECT, 0x8E)]
    else:
        assert last == []
    newer.ping()


@BOTH
def test_a_client_id_taken_over_many_times(client, name, version):
    """v3:MQTT-3.1.4-2 v5:MQTT-3.1.4-3"""
    own_id, owns = name("id"), []
    for _ in range(20):
        owns.append(client(version, own_id))
    for older in owns[:-1]:
        older.closed()
    owns[-1].ping()


@BOTH
def test_nothing_after_a_refused_connect_is_processed(client, open_client, name, version):
    """v3:MQTT-3.1.4-5 v5:MQTT-3.1.4-6 v3:MQTT-3.2.2-5"""
    topic = name("t")
    watcher = client(4)
    watcher.subscribe(topic)
    own = open_client(version)
    if version == 4:
        bad = wire.connect("", 4, clean=False)
    else:
        own.auth_method = "none-such"
        bad = wire.connect("c", 5, props=[(wire.AUTH_METHOD, "none-such")])
    own.send(bad, wire.publish(topic, b"wrong", version), wire.subscribe(1, [(topic, 0)], version))
    assert [p.kind for p in own.closed()] == [wire.CONNACK]
    assert own.connack.reason
    client(4).publish(topic, b"marker")
    assert watcher.until(b"marker") == []


@BOTH
def test_connack_comes_first(open_client, name, version):
    """Packets may follow CONNECT at once. v3:MQTT-3.2.0-1 v5:MQTT-3.2.0-1 v5:MQTT-3.2.0-2"""
    own, topic = open_client(version), name("t")
    own.send(wire.connect(name("id"), version), wire.subscribe(1, [(topic, 1)], version),
             wire.publish(topic, b"1", version, qos=1, pid=2), wire.PING)
    assert own.expect(wire.CONNACK).reason == 0
    assert own.expect(wire.SUBACK).pid == 1
    own.wait(wire.PINGRESP)
    assert own.wait(wire.PUBACK).pid == 2
    assert own.message().payload == b"1"


@BOTH
def test_connack_comes_before_what_is_queued(client, open_client, name, version):
    """v3:MQTT-3.2.0-1 v5:MQTT-3.2.0-1"""
    own_id, topic = name("id"), name("t")
    expiry = [(wire.SESSION_EXPIRY, 60)]
    client(version, own_id, clean=False, props=expiry).subscribe((topic, 1))
    client(version, own_id, clean=False, props=expiry).drop()
    client(version).publish(topic, b"1", 1)
    again = open_client(version)
    again.connect(own_id, clean=False, props=expiry)
    assert again.connack.session_present
    assert again.message().payload == b"1"
    again.disconnect()
    client(version, own_id, clean=True)


def test_an_unknown_authentication_method_is_refused(open_client):
    """v5:MQTT-4.12.0-1 v5:MQTT-4.12.0-4 v5:MQTT-3.1.4-2 v5:MQTT-4.13.2-1 v5:MQTT-3.2.2-6"""
    own = open_client(5)
    own.send_connect("c", props=[(wire.AUTH_METHOD, "none-such"), (wire.AUTH_DATA, b"x")])
    answers = own.closed()
    assert [p.kind for p in answers] == [wire.CONNACK]
    assert answers[0].reason in (0x8C, 0x87)


def test_no_authentication_method_gives_no_auth(client):
    """v5:MQTT-4.12.0-6"""
    own = client(5)
    assert own.connack.get(wire.AUTH_METHOD) is None
    own.nothing_before_ping()


def test_auth_from_a_client_without_method_is_an_error(client):
    """v5:MQTT-4.13.1-1 v5:MQTT-4.12.0-6"""
    own = client(5)
    own.send(wire.packet(wire.AUTH << 4, b"\x19\0"))
    assert own.refused(0x82, 0x8C) == []


# Properties of CONNECT that are errors: alone, or because a property stands twice.
BAD_PROPERTIES = {
    "receive maximum 0": [(wire.RECEIVE_MAXIMUM, 0)],
    "maximum packet size 0": [(wire.MAXIMUM_PACKET, 0)],
    "problem information 2": [(wire.PROBLEM_INFO, 2)],
    "response information 2": [(wire.RESPONSE_INFO_WANTED, 2)],
    "authentication data without method": [(wire.AUTH_DATA, b"x")],
    "session expiry twice": [(wire.SESSION_EXPIRY, 1)] * 2,
    "receive maximum twice": [(wire.RECEIVE_MAXIMUM, 1)] * 2,
    "a property of PUBLISH": [(wire.TOPIC_ALIAS, 1)],
    "an unknown property": b"\x7f\x00",
    "a property cut off": b"\x11\x00\x00",
    "ill-formed user property": [(wire.USER_PROPERTY, (b"\xff", "v"))],
}


@pytest.mark.parametrize("case", BAD_PROPERTIES)
def test_wrong_properties_of_connect(open_client, case):
    """v5:MQTT-3.1.4-1 v5:MQTT-4.13.1-1 v5:MQTT-1.5.7-1"""
    own = open_client(5)
    own.send(wire.connect("c", 5, props=BAD_PROPERTIES[case]))
    assert own.refused(0x81, 0x82) == []
    assert own.connack is None or own.connack.reason


def test_connack_stays_within_the_maximum_packet_size(open_client):
    """A refusal has room for its code, and for nothing else. v5:MQTT-3.2.2-19 v5:MQTT-3.2.2-20
    v5:MQTT-3.1.2-24"""
    own = open_client(5)
    own.send_connect("c", props=[(wire.MAXIMUM_PACKET, 8), (wire.AUTH_METHOD, "none-such")])
    answers = own.closed()
    assert all(p.size <= 8 for p in answers)


def test_a_stream_of_single_bytes(open_client, name):
    """The stream may be cut anywhere. v3:MQTT-7.1.1-1 v5:MQTT-4.2.0-1"""
    own, topic = open_client(5), name("t")
    data = (wire.connect(name("id"), 5, keep_alive=60, user="u", password="p")
            + wire.subscribe(1, [(topic, 2)], 5)
            + wire.publish(topic, b"payload" * 30, 5, qos=1, pid=7))
    for index in range(len(data)):
        own.send(data[index:index + 1])
    assert own.expect(wire.CONNACK).reason == 0
    own.wait(wire.SUBACK)
    assert own.wait(wire.PUBACK).pid == 7
    assert own.message().payload == b"payload" * 30


@BOTH
def test_many_packets_in_one_write(client, name, version):
    """v3:MQTT-7.1.1-1 v5:MQTT-4.2.0-1"""
    own, topic = client(version), name("t")
    own.subscribe(topic)
    own.send(*(wire.publish(topic, struct.pack(">I", i) * 50, version) for i in range(2000)))
    for i in range(2000):
        assert own.message().payload == struct.pack(">I", i) * 50


@ALL
def test_plain_exchange_without_extensions(client, name, version):
    """v3:MQTT-7.0.0-2"""
    topic, watcher, sender = name("t"), client(version), client(version)
    assert watcher.subscribe((topic, 0), (topic + "/1", 1), (topic + "/2", 2)).codes == [0, 1, 2]
    for qos in range(3):
        where = topic + (f"/{qos}" if qos else "")
        sender.publish(where, b"%d" % qos, qos)
        message = watcher.message()
        assert (message.topic, message.payload, message.qos) == (where, b"%d" % qos, qos)
    watcher.unsubscribe(topic)
    watcher.disconnect()
    sender.disconnect()
