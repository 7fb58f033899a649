"""Chapters 3.8 to 3.13: SUBSCRIBE, UNSUBSCRIBE and PINGREQ."""
import pytest
import wire

BOTH = pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])
ALL = pytest.mark.parametrize("version", [3, 4, 5], ids=["v3.1", "v3.1.1", "v5"])
QOS = pytest.mark.parametrize("qos", [0, 1, 2])


@ALL
def test_subscribe_is_answered_in_order(client, name, version):
    """v3:MQTT-3.8.4-1 v3:MQTT-3.8.4-2 v3:MQTT-3.8.4-4 v3:MQTT-3.8.4-5 v3:MQTT-3.9.3-1
    v3:MQTT-3.9.3-2 v3:MQTT-2.3.1-7 v5:MQTT-3.8.4-1 v5:MQTT-3.8.4-2 v5:MQTT-3.8.4-5
    v5:MQTT-3.8.4-6 v5:MQTT-3.8.4-7 v5:MQTT-3.9.3-1 v5:MQTT-3.9.3-2 v5:MQTT-2.2.1-6"""
    own, base = client(version), name("t")
    wanted = [2, 0, 1, 1, 0, 2, 2]
    own.send(wire.subscribe(65535, [(f"{base}/{i}", q) for i, q in enumerate(wanted)], version))
    answer = own.expect(wire.SUBACK)
    assert (answer.pid, answer.codes) == (65535, wanted)
    # Each of them works.
    sender = client(version)
    for index, qos in enumerate(wanted):
        sender.publish(f"{base}/{index}", b"x", 2)
        message = own.message()
        assert (message.topic, message.qos) == (f"{base}/{index}", qos)


@BOTH
def test_a_refused_filter_among_good_ones(client, name, version):
    """Its code stands at its place, and the others work. v3:MQTT-3.9.3-1 v3:MQTT-3.8.4-5
    v5:MQTT-3.9.3-1 v5:MQTT-3.9.3-2 v5:MQTT-3.8.4-7"""
    own, base = client(version), name("t")
    own.send(wire.subscribe(3, [(base, 1), (base + "#", 1), (base + "/b", 0)], version))
    try:
        answer = own.expect(wire.SUBACK)
    except AssertionError:
        return  # closing the connection is allowed too
    assert answer.codes[0] == 1 and answer.codes[2] == 0
    assert answer.codes[1] == (0x80 if version == 4 else 0x8F)
    own.publish(base, b"x", 1)
    assert own.message().topic == base


@BOTH
@pytest.mark.parametrize("count", [1, 100, 2000])
def test_many_filters_in_one_packet(client, name, version, count):
    """v3:MQTT-3.8.4-4 v5:MQTT-3.8.4-5 v3:MQTT-3.10.4-6 v5:MQTT-3.10.4-6 v5:MQTT-3.11.3-1
    v5:MQTT-3.11.3-2"""
    own, base = client(version), name("t")
    filters = [f"{base}/{i}" for i in range(count)]
    answer = own.subscribe(*((f, i % 3) for i, f in enumerate(filters)))
    assert answer.codes == [i % 3 for i in range(count)]
    answer = own.unsubscribe(*filters[::2], base + "/none")
    if version == 5:
        assert answer.codes == [0] * len(filters[::2]) + [0x11]
    own.publish(filters[0], b"gone", 1)
    own.publish(filters[-1] if count % 2 == 0 else filters[0], b"last", 1)
    own.ping()
    messages = [own.message().payload for p in list(own.inbox) if p.kind == wire.PUBLISH]
    assert messages == ([b"last"] if count % 2 == 0 else [])


BAD_SUBSCRIBE = {
    "no filter": lambda v: wire.subscribe(1, [], v),  # v3:MQTT-3.8.3-3 v5:MQTT-3.8.3-2
    "packet id 0": lambda v: wire.subscribe(0, [("a", 0)], v),  # v3:MQTT-2.3.1-1
    "QoS 3": lambda v: wire.subscribe(1, [("a", 3)], v),  # v3:MQTT-3.8.3-4
    # v3:MQTT-3.8.3-4 v5:MQTT-3.8.3-5
    "reserved bits": lambda v: wire.subscribe(1, [("a", 0xC0)], v),
    "one reserved bit": lambda v: wire.subscribe(1, [("a", 0x40)], v),  # v5:MQTT-3.8.3-5
    # v3:MQTT-3.8.3-1 v5:MQTT-3.8.3-1 v3:MQTT-1.5.3-1 v5:MQTT-1.5.4-1
    "ill-formed filter": lambda v: wire.subscribe(1, [(b"a\xff", 0)], v),
    # v3:MQTT-4.7.3-2 v5:MQTT-4.7.3-2 v3:MQTT-1.5.3-2 v5:MQTT-1.5.4-2
    "U+0000 in filter": lambda v: wire.subscribe(1, [("a\0", 0)], v),
    "filter without options": lambda v: wire.packet(
        0x82, b"\0\1" + (b"\0" if v == 5 else b"") + wire.string("a")),  # v3:MQTT-3.8.3-3
    # v3:MQTT-3.8.1-1 v5:MQTT-3.8.1-1 v3:MQTT-2.2.2-2 v3:MQTT-2.2.2-1 v5:MQTT-2.1.3-1
    "flags 0": lambda v: b"\x80" + wire.subscribe(1, [("a", 0)], v)[1:],
    "flags 1111": lambda v: b"\x8f" + wire.subscribe(1, [("a", 0)], v)[1:],  # v5:MQTT-3.8.1-1
}


@BOTH
@pytest.mark.parametrize("case", BAD_SUBSCRIBE)
def test_a_wrong_subscribe_closes(client, version, case):
    """v3:MQTT-4.8.0-1 v5:MQTT-4.13.1-1"""
    own = client(version)
    own.send(BAD_SUBSCRIBE[case](version), wire.PING)
    assert own.refused(0x81, 0x82, 0x8F) == []


@pytest.mark.parametrize("bits", [0x04, 0x08, 0x10, 0x20])
def test_the_options_of_5_are_reserved_bits_in_3_1_1(client, bits):
    """v3:MQTT-3.8.3-4"""
    own = client(4)
    own.send(wire.subscribe(1, [("a", bits)], 4), wire.PING)
    assert own.refused() == []


def test_retain_handling_3_is_an_error(client):
    """v5:MQTT-4.13.1-1"""
    own = client(5)
    own.send(wire.subscribe(1, [("a", 0x30)], 5), wire.PING)
    assert own.refused(0x81, 0x82) == []


BAD_UNSUBSCRIBE = {
    "no filter": lambda v: wire.unsubscribe(1, [], v),  # v3:MQTT-3.10.3-2 v5:MQTT-3.10.3-2
    "packet id 0": lambda v: wire.unsubscribe(0, ["a"], v),  # v3:MQTT-2.3.1-1
    # v3:MQTT-3.10.3-1 v5:MQTT-3.10.3-1
    "ill-formed filter": lambda v: wire.unsubscribe(1, [b"a\xed\xa0\x80"], v),
    "U+0000 in filter": lambda v: wire.unsubscribe(1, ["a\0"], v),  # v3:MQTT-4.7.3-2
    "cut off": lambda v: wire.unsubscribe(1, ["abc"], v)[:-2].replace(  # v3:MQTT-3.10.3-1
        bytes([len(wire.unsubscribe(1, ["abc"], v)) - 2]),
        bytes([len(wire.unsubscribe(1, ["abc"], v)) - 4]), 1),
    # v3:MQTT-3.10.1-1 v5:MQTT-3.10.1-1
    "flags 0": lambda v: b"\xa0" + wire.unsubscribe(1, ["a"], v)[1:],
    "flags 0110": lambda v: b"\xa6" + wire.unsubscribe(1, ["a"], v)[1:],  # v5:MQTT-3.10.1-1
}


@BOTH
@pytest.mark.parametrize("case", BAD_UNSUBSCRIBE)
def test_a_wrong_unsubscribe_closes(client, version, case):
    """v3:MQTT-4.8.0-1 v5:MQTT-4.13.1-1"""
    own = client(version)
    own.send(BAD_UNSUBSCRIBE[case](version), wire.PING)
    assert own.refused(0x81, 0x82, 0x8F) == []


@BOTH
@pytest.mark.parametrize("granted", [0, 1, 2])
@QOS
def test_delivery_qos_is_the_lower_one(client, name, version, granted, qos):
    """v3:MQTT-3.8.4-6 v5:MQTT-3.8.4-8"""
    own, topic = client(version), name("t")
    assert own.subscribe((topic, granted)).codes == [granted]
    client(version).publish(topic, b"x", qos)
    assert own.message().qos == min(qos, granted)


@BOTH
def test_the_same_filter_replaces_the_subscription(client, name, version):
    """v3:MQTT-3.8.4-3 v5:MQTT-3.8.4-3"""
    own, sender, topic = client(version), client(version), name("t")
    for granted in (0, 2, 1, 0):
        own.subscribe((topic, granted))
        sender.publish(topic, b"%d" % granted, 2)
        message = own.message()
        assert (message.payload, message.qos) == (b"%d" % granted, granted)
        own.nothing_before_ping()
    own.unsubscribe(topic)
    sender.publish(topic, b"gone", 1)
    own.nothing_before_ping()


@BOTH
def test_replacing_resends_retained_messages_and_loses_none(client, name, version):
    """v3:MQTT-3.8.4-3 v5:MQTT-3.8.4-4"""
    own, sender, topic = client(version), client(version), name("t")
    sender.publish(topic, b"kept", 1, retain=True)
    own.subscribe((topic, 1))
    assert own.message().payload == b"kept"
    # Messages are under way while the subscription is replaced again and again.
    count, seen, retained = 300, [], 0
    for index in range(count):
        sender.send(wire.publish(topic, b"%d" % index, version, qos=1, pid=index % 20 + 1))
        if index % 20 == 19:
            own.send(wire.subscribe(index + 1, [(topic, 1)], version))
            for _ in range(20):
                sender.wait(wire.PUBACK)
    while len(seen) < count or retained < count // 20:
        message = own.message()
        if message.retain:
            assert message.payload == b"kept"
            retained += 1
        else:
            seen.append(int(message.payload))
    assert seen == list(range(count))
    sender.publish(topic, b"", 1, retain=True)


@BOTH
def test_unsubscribe_is_answered_and_ends_delivery(client, name, version):
    """v3:MQTT-3.10.4-1 v3:MQTT-3.10.4-2 v3:MQTT-3.10.4-4 v3:MQTT-2.3.1-7 v5:MQTT-3.10.4-1
    v5:MQTT-3.10.4-2 v5:MQTT-3.10.4-4 v5:MQTT-3.10.4-5 v5:MQTT-2.2.1-6"""
    own, sender, base = client(version), client(version), name("t")
    own.subscribe((base + "/a", 1), (base + "/+", 1), (base + "/A", 1))
    own.send(wire.unsubscribe(4711, [base + "/+"], version))
    answer = own.expect(wire.UNSUBACK)
    assert answer.pid == 4711 and answer.codes == ([0] if version == 5 else [])
    # The wildcard filter is gone, though it matches what the others match too.
    sender.publish(base + "/b", b"gone", 1)
    sender.publish(base + "/a", b"there", 1)
    assert own.message().payload == b"there"
    own.unsubscribe(base + "/a")
    sender.publish(base + "/a", b"gone", 1)
    sender.publish(base + "/A", b"there", 1)
    assert own.message().payload == b"there"
    own.nothing_before_ping()


@BOTH
def test_unsubscribe_without_subscription_is_answered(client, name, version):
    """v3:MQTT-3.10.4-5 v5:MQTT-3.10.4-5 v5:MQTT-3.11.3-2"""
    own = client(version)
    answer = own.unsubscribe(name("none"))
    assert answer.codes == ([0x11] if version == 5 else [])


def test_unsuback_codes_stand_in_order(client, name):
    """v5:MQTT-3.11.3-1 v5:MQTT-3.11.3-2"""
    own, base = client(5), name("t")
    own.subscribe(base + "/1", base + "/3")
    answer = own.unsubscribe(*(f"{base}/{i}" for i in range(5)))
    assert answer.codes == [0x11, 0, 0x11, 0, 0x11]


@BOTH
@pytest.mark.parametrize("qos", [1, 2])
def test_unsubscribe_lets_begun_deliveries_end(client, name, version, qos):
    """v3:MQTT-3.10.4-3 v5:MQTT-3.10.4-3"""
    own_id, topic, expiry = name("id"), name("t"), [(wire.SESSION_EXPIRY, 60)]
    own = client(version, own_id, clean=False, props=expiry)
    own.subscribe((topic, qos))
    client(version).publish(topic, b"begun", qos)
    begun = own.expect(wire.PUBLISH)
    own.unsubscribe(topic)
    if qos == 2:
        own.ack(wire.PUBREC, begun.pid)
        assert own.expect(wire.PUBREL).pid == begun.pid
    own.drop()
    # It is still owed after a reconnect.
    own = client(version, own_id, clean=False, props=expiry)
    again = own.expect(wire.PUBLISH if qos == 1 else wire.PUBREL)
    assert again.pid == begun.pid
    own.ack(wire.PUBACK if qos == 1 else wire.PUBCOMP, again.pid)
    own.nothing_before_ping()
    own.disconnect()
    client(version, own_id, clean=True)


@BOTH
def test_overlapping_filters_deliver_at_the_highest_qos(client, name, version):
    """v3:MQTT-3.3.5-1 v5:MQTT-3.3.4-2"""
    own, sender, base = client(version), client(version), name("t")
    own.subscribe((base + "/#", 0), (base + "/+/c", 2), (base + "/b/c", 1))
    sender.publish(base + "/b/c", b"x", 2)
    sender.publish(base + "/b/c", b"marker", 2)
    best = max(m.qos for m in own.until(b"marker"))
    assert best == 2


def test_subscription_identifiers_of_overlapping_filters(client, name):
    """All in a single copy, or each in its own. v5:MQTT-3.3.4-3 v5:MQTT-3.3.4-4 v5:MQTT-3.3.4-5"""
    own, sender, base = client(5), client(5), name("t")
    own.subscribe((base + "/#", 1), props=[(wire.SUBSCRIPTION_ID, 1)])
    own.subscribe((base + "/+", 1), props=[(wire.SUBSCRIPTION_ID, 268435455)])
    own.subscribe((base + "/a", 1))
    own.subscribe((base + "/b", 1), props=[(wire.SUBSCRIPTION_ID, 129)])
    sender.publish(base + "/a", b"x", 1)
    sender.publish(base + "/a", b"marker", 1)
    before = own.until(b"marker")
    found = [i for m in before for i in m.all(wire.SUBSCRIPTION_ID)]
    if len(before) == 1:
        assert sorted(found) == [1, 268435455]
    else:
        assert len(before) == 3 and sorted(found) == [1, 268435455]
        assert all(len(m.all(wire.SUBSCRIPTION_ID)) <= 1 for m in before)


def test_a_replaced_subscription_has_its_new_identifier(client, name):
    """v5:MQTT-3.8.4-3"""
    own, topic = client(5), name("t")
    own.subscribe(topic, props=[(wire.SUBSCRIPTION_ID, 7)])
    own.subscribe(topic, props=[(wire.SUBSCRIPTION_ID, 8)])
    own.publish(topic, b"1", 1)
    assert own.message().all(wire.SUBSCRIPTION_ID) == [8]
    own.subscribe(topic)
    own.publish(topic, b"2", 1)
    assert own.message().all(wire.SUBSCRIPTION_ID) == []


@pytest.mark.parametrize("props", [
    [(wire.SUBSCRIPTION_ID, 0)], [(wire.SUBSCRIPTION_ID, 1)] * 2, [(wire.TOPIC_ALIAS, 1)],
    b"\x0b\xff\xff\xff\xff\x01", [(wire.USER_PROPERTY, ("k", b"\xff"))]])
def test_wrong_properties_of_subscribe(client, props):
    """v5:MQTT-4.13.1-1 v5:MQTT-1.5.7-1"""
    own = client(5)
    own.send(wire.subscribe(1, [("a", 0)], 5, props), wire.PING)
    assert own.refused(0x81, 0x82) == []


def test_no_local(client, name):
    """v5:MQTT-3.8.3-3"""
    topic, own, other = name("t"), client(5), client(5)
    own.subscribe((topic, 0x04 | 1))
    other.subscribe((topic, 1))
    own.publish(topic, b"mine", 1)
    assert other.message().payload == b"mine"
    other.publish(topic, b"other's", 1)
    assert own.message().payload == b"other's"
    own.nothing_before_ping()


def test_no_local_means_the_client_id_not_the_connection(client, name):
    """v5:MQTT-3.8.3-3"""
    topic, own_id = name("t"), name("id")
    expiry = [(wire.SESSION_EXPIRY, 60)]
    own = client(5, own_id, props=expiry)
    own.subscribe((topic, 0x04 | 1))
    own.drop()
    own = client(5, own_id, clean=False)
    own.publish(topic, b"mine", 1)
    client(5).publish(topic, b"marker", 1)
    assert own.until(b"marker") == []


@BOTH
def test_wildcards_can_be_switched_off(open_client, special, name, version):
    """v3:MQTT-3.8.3-2 v5:MQTT-3.9.3-2"""
    own = open_client(version, special("--mqtt-wildcard-subscriptions", "false"))
    answer = own.connect(name("id"))
    assert version == 4 or answer.get(wire.WILDCARD_AVAILABLE) == 0
    codes = own.subscribe("a/+", "a/b", "#").codes
    refused = 0x80 if version == 4 else 0xA2
    assert codes == [refused, 0, refused]


@BOTH
def test_ping_is_answered(client, version):
    """v3:MQTT-3.12.4-1 v5:MQTT-3.12.4-1"""
    own = client(version)
    for _ in range(3):
        own.send(wire.PING)
        assert own.expect(wire.PINGRESP).size == 2
    own.send(wire.PING * 100)
    for _ in range(100):
        own.expect(wire.PINGRESP)


@BOTH
@pytest.mark.parametrize("bad", [b"\xc1\0", b"\xc0\1\0", b"\xd0\0", b"\xf1\0", b"\0\0"])
def test_a_wrong_ping_closes(client, version, bad):
    """v3:MQTT-2.2.2-2 v3:MQTT-4.8.0-1 v5:MQTT-4.13.1-1 v5:MQTT-2.1.3-1"""
    own = client(version)
    own.send(bad, wire.PING)
    assert own.refused(0x81, 0x82) == []
