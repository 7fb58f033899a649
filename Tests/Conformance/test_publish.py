"""Chapters 3.3 to 3.7 and 4.3: PUBLISH and its acknowledgements, in both directions."""
import pytest
import wire

BOTH = pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])
ALL = pytest.mark.parametrize("version", [3, 4, 5], ids=["v3.1", "v3.1.1", "v5"])
QOS = pytest.mark.parametrize("qos", [0, 1, 2])


@ALL
@QOS
def test_the_answer_is_as_the_qos_says(client, name, version, qos):
    """v3:MQTT-3.3.4-1 v5:MQTT-3.3.4-1 v3:MQTT-2.3.1-6 v5:MQTT-2.2.1-5 v5:MQTT-4.3.2-4
    v5:MQTT-4.3.3-8 v5:MQTT-4.3.3-11 v3:MQTT-4.3.2-2 v3:MQTT-4.3.3-2 v5:MQTT-3.4.2-1
    v5:MQTT-3.5.2-1 v5:MQTT-3.7.2-1"""
    own = client(version)
    pid = 40000 + qos
    own.send(wire.publish(name("t"), b"x", version, qos=qos, pid=pid if qos else None))
    if qos == 0:
        own.nothing_before_ping()
    elif qos == 1:
        assert own.expect(wire.PUBACK).pid == pid
    else:
        assert own.expect(wire.PUBREC).pid == pid
        own.nothing_before_ping()
        own.send(wire.ack(wire.PUBREL, pid, version))
        assert own.expect(wire.PUBCOMP).pid == pid


@ALL
@QOS
def test_a_message_is_delivered_with_its_topic_and_payload(client, name, version, qos):
    """v3:MQTT-3.3.2-3 v5:MQTT-3.3.2-3 v3:MQTT-4.3.1-1 v5:MQTT-4.3.1-1 v3:MQTT-3.3.1-2
    v5:MQTT-3.3.1-2 v3:MQTT-2.3.1-5 v5:MQTT-2.2.1-2 v5:MQTT-4.3.2-2 v5:MQTT-4.3.3-2
    v3:MQTT-4.5.0-1 v5:MQTT-4.5.0-1 v3:MQTT-3.3.2-1 v5:MQTT-3.3.2-1"""
    base = name("t")
    watchers = [client(version) for _ in range(3)]
    watchers[0].subscribe((f"{base}/a", 2))
    watchers[1].subscribe((f"{base}/+", 2))
    watchers[2].subscribe((f"{base}/#", 2))
    client(version).publish(f"{base}/a", bytes(range(256)), qos)
    for watcher in watchers:
        message = watcher.message()
        assert (message.topic, message.payload) == (f"{base}/a", bytes(range(256)))
        assert (message.qos, message.dup, message.retain) == (qos, False, False)
        watcher.nothing_before_ping()


@BOTH
@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 65535, 65536, 1 << 20])
def test_payloads_of_all_sizes(client, name, version, size):
    """v5:MQTT-1.5.5-1"""
    own, topic = client(version), name("t")
    own.subscribe((topic, 1))
    payload = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    own.publish(topic, payload, 1)
    assert own.message().payload == payload


@BOTH
@pytest.mark.parametrize("qos", [1, 2])
def test_an_incoming_dup_is_not_handed_on(client, name, version, qos):
    """v3:MQTT-3.3.1-3 v5:MQTT-3.3.1-3"""
    watcher, topic = client(version), name("t")
    watcher.subscribe((topic, qos))
    client(version).publish(topic, b"x", qos, dup=True)
    assert not watcher.message().dup


@BOTH
def test_dup_with_qos_0_is_an_error(client, name, version):
    """v3:MQTT-3.3.1-2 v5:MQTT-3.3.1-2"""
    own = client(version)
    own.send(wire.publish(name("t"), b"x", version, dup=True), wire.PING)
    assert own.refused(0x81, 0x82) == []


@BOTH
def test_qos_3_is_an_error(client, name, version):
    """v3:MQTT-3.3.1-4 v5:MQTT-3.3.1-4"""
    own = client(version)
    own.send(wire.publish(name("t"), b"x", version, qos=3, pid=1), wire.PING)
    assert own.refused(0x81, 0x82) == []


@BOTH
@pytest.mark.parametrize("qos", [1, 2])
def test_packet_id_0_is_an_error(client, name, version, qos):
    """v3:MQTT-2.3.1-1 v3:MQTT-4.8.0-1 v5:MQTT-4.13.1-1"""
    own = client(version)
    own.send(wire.publish(name("t"), b"x", version, qos=qos, pid=0), wire.PING)
    assert own.refused(0x81, 0x82) == []


BAD_TOPICS = {
    "plus": "a/+/b",  # v3:MQTT-3.3.2-2 v5:MQTT-3.3.2-2 v3:MQTT-4.7.1-1 v5:MQTT-4.7.0-1
    "hash": "a/#",  # v3:MQTT-3.3.2-2 v5:MQTT-3.3.2-2 v3:MQTT-4.7.1-1 v5:MQTT-4.7.0-1
    "inside a level": "a+b",  # v3:MQTT-4.7.1-1 v5:MQTT-4.7.0-1
    "empty": "",  # v3:MQTT-4.7.3-1 v5:MQTT-4.7.3-1
    "ill-formed": b"a\xc3",  # v3:MQTT-3.3.2-1 v5:MQTT-3.3.2-1 v3:MQTT-1.5.3-1 v5:MQTT-1.5.4-1
    "overlong": b"a\xc0\xaf",  # v3:MQTT-1.5.3-1 v5:MQTT-1.5.4-1
    "surrogate": b"a\xed\xbf\xbf",  # v3:MQTT-1.5.3-1 v5:MQTT-1.5.4-1
    "beyond Unicode": b"\xf4\x90\x80\x80",  # v3:MQTT-1.5.3-1 v5:MQTT-1.5.4-1
    "U+0000": "a\0b",  # v3:MQTT-1.5.3-2 v5:MQTT-1.5.4-2 v3:MQTT-4.7.3-2 v5:MQTT-4.7.3-2
}


@BOTH
@QOS
@pytest.mark.parametrize("case", BAD_TOPICS)
def test_a_wrong_topic_name_closes_and_is_not_delivered(client, version, qos, case):
    """v3:MQTT-4.8.0-1 v5:MQTT-4.13.1-1"""
    watcher = client(4)
    watcher.subscribe("#")
    own = client(version)
    own.send(wire.publish(BAD_TOPICS[case], b"wrong", version, qos=qos, pid=1 if qos else None),
             wire.PING)
    if version == 5 and qos and case in ("plus", "hash", "inside a level"):
        # 5.0 lets a server refuse the one message and keep the connection.
        first = own.receive()
        if first.kind in (wire.PUBACK, wire.PUBREC):
            assert first.reason == 0x90
        else:
            own.inbox.append(first)
            own.refused(0x81, 0x82, 0x90)
    else:
        assert own.refused(0x81, 0x82, 0x90) == []
    marker = client(4)
    marker.publish("marker", b"marker of " + marker.client_id.encode())
    assert b"wrong" not in [
        m.payload for m in watcher.until(b"marker of " + marker.client_id.encode())]


@BOTH
def test_qos_1_id_is_new_after_its_puback(client, name, version):
    """Whatever DUP says. v3:MQTT-4.3.2-2 v5:MQTT-4.3.2-5"""
    own, topic = client(version), name("t")
    own.subscribe((topic, 0))
    for index, dup in enumerate([False, False, True]):
        own.publish(topic, b"%d" % index, 1, pid=7, dup=dup)
    assert [own.message().payload for _ in range(3)] == [b"0", b"1", b"2"]


@BOTH
def test_qos_2_is_delivered_once_until_its_pubrel(client, name, version):
    """v3:MQTT-4.3.3-2 v5:MQTT-4.3.3-10 v5:MQTT-4.3.3-12"""
    watcher, own, topic = client(version), client(version), name("t")
    watcher.subscribe((topic, 0))
    for dup in (False, True, True):
        own.send(wire.publish(topic, b"once", version, qos=2, pid=9, dup=dup))
        assert own.expect(wire.PUBREC).pid == 9
    own.send(wire.ack(wire.PUBREL, 9, version))
    assert own.expect(wire.PUBCOMP).pid == 9
    # The id is free now: the same number is another message, even with DUP.
    own.publish(topic, b"again", 2, pid=9, dup=True)
    own.publish(topic, b"marker", 2, pid=10)
    assert [m.payload for m in watcher.until(b"marker")] == [b"once", b"again"]


@BOTH
def test_qos_2_is_delivered_once_over_a_reconnect(client, name, version):
    """v3:MQTT-4.3.3-2 v5:MQTT-4.3.3-10 v3:MQTT-4.1.0-1"""
    expiry = [(wire.SESSION_EXPIRY, 60)]
    watcher, own_id, topic = client(version), name("id"), name("t")
    watcher.subscribe((topic, 0))
    own = client(version, own_id, clean=False, props=expiry)
    own.send(wire.publish(topic, b"once", version, qos=2, pid=9))
    assert own.expect(wire.PUBREC).pid == 9
    own.drop()
    own = client(version, own_id, clean=False, props=expiry)
    assert own.connack.session_present
    own.send(wire.publish(topic, b"once", version, qos=2, pid=9, dup=True))
    assert own.wait(wire.PUBREC).pid == 9
    own.send(wire.ack(wire.PUBREL, 9, version))
    assert own.wait(wire.PUBCOMP).pid == 9
    client(version).publish(topic, b"marker")
    assert [m.payload for m in watcher.until(b"marker")] == [b"once"]
    own.disconnect()
    client(version, own_id, clean=True)


@BOTH
def test_pubrel_of_an_unknown_id_is_answered(client, version):
    """v3:MQTT-4.3.3-2 v5:MQTT-4.3.3-11 v5:MQTT-3.7.2-1"""
    own = client(version)
    own.send(wire.ack(wire.PUBREL, 77, version))
    answer = own.expect(wire.PUBCOMP)
    assert answer.pid == 77
    assert answer.reason in ((0, 0x92) if version == 5 else (0,))


@BOTH
def test_pubrel_with_other_flags_is_an_error(client, version):
    """v3:MQTT-3.6.1-1 v5:MQTT-3.6.1-1 v3:MQTT-2.2.2-2"""
    own = client(version)
    own.send(wire.packet(wire.PUBREL << 4, b"\0\1"), wire.PING)
    assert own.refused(0x81, 0x82) == []


@BOTH
def test_the_servers_qos_1(client, name, version):
    """Unacknowledged, it is neither forgotten nor sent again on this connection.
    v3:MQTT-4.3.2-1 v5:MQTT-4.3.2-1 v5:MQTT-4.3.2-2 v3:MQTT-2.3.1-4 v5:MQTT-2.2.1-4
    v3:MQTT-2.3.1-1 v5:MQTT-4.4.0-1"""
    watcher, sender, topic = client(version), client(version), name("t")
    watcher.subscribe((topic, 1))
    for index in range(5):
        sender.publish(topic, b"%d" % index, 1)
    messages = [watcher.expect(wire.PUBLISH) for _ in range(5)]
    assert [m.payload for m in messages] == [b"0", b"1", b"2", b"3", b"4"]
    assert len({m.pid for m in messages}) == 5 and all(m.qos == 1 for m in messages)
    assert not any(m.dup for m in messages)
    watcher.nothing_before_ping()
    for message in messages:
        watcher.ack(wire.PUBACK, message.pid)
    watcher.nothing_before_ping()


@BOTH
def test_the_servers_qos_2(client, name, version):
    """v3:MQTT-4.3.3-1 v5:MQTT-4.3.3-1 v5:MQTT-4.3.3-2 v5:MQTT-4.3.3-3 v5:MQTT-4.3.3-4
    v5:MQTT-3.6.2-1 v3:MQTT-2.3.1-6 v5:MQTT-2.2.1-5 v3:MQTT-3.6.1-1 v5:MQTT-2.1.3-1"""
    watcher, sender, topic = client(version), client(version), name("t")
    watcher.subscribe((topic, 2))
    for index in range(3):
        sender.publish(topic, b"%d" % index, 2)
    messages = [watcher.expect(wire.PUBLISH) for _ in range(3)]
    assert len({m.pid for m in messages}) == 3
    for message in reversed(messages):
        watcher.ack(wire.PUBREC, message.pid)
        release = watcher.expect(wire.PUBREL)
        assert release.pid == message.pid and release.reason == 0
        watcher.nothing_before_ping()
        watcher.ack(wire.PUBCOMP, message.pid)
    watcher.nothing_before_ping()


@BOTH
def test_an_id_in_use_is_not_given_to_a_new_message(client, name, version):
    """The first message stays unacknowledged while the ids go round. A server may also send
    nothing new before the acknowledgement, once the ids have gone far enough. v5:MQTT-2.2.1-4
    v3:MQTT-2.3.1-4 v5:MQTT-4.3.2-1 v3:MQTT-4.3.2-1 v5:MQTT-4.3.3-1"""
    watcher, sender, topic = client(version), client(version), name("t")
    watcher.subscribe((topic, 1))
    sender.publish(topic, b"held", 1)
    held = watcher.expect(wire.PUBLISH)
    used = held.pid.to_bytes(2, "big")
    # All these packets are of one size, so that bytes can be counted instead of parsed.
    shape = wire.publish(topic, b"", version, qos=1, pid=1)
    at = 2 + 2 + len(topic)
    batch, done = min(200, sender.connack.get(wire.RECEIVE_MAXIMUM, 200)), 0
    publishes = b"".join(wire.publish(topic, b"", version, qos=1, pid=i + 1) for i in range(batch))
    while done < 66000:
        sender.send(publishes)
        acks, missing = 0, batch
        while acks < batch:
            acks += sender.receive().kind == wire.PUBACK
        while missing:
            data = take(watcher, len(shape), missing, 0.3 if used else 5)
            pids = [data[i + at:i + at + 2] for i in range(0, len(data), len(shape))]
            assert all(data[i] == shape[0] for i in range(0, len(data), len(shape)))
            assert len(set(pids)) == len(pids) and b"\0\0" not in pids
            assert used not in pids, f"id {held.pid} is in use"
            if len(pids) < missing and used:
                used = None
                watcher.ack(wire.PUBACK, held.pid)
            watcher.send(*(b"\x40\x02" + pid for pid in pids))
            missing -= len(pids)
        done += batch
    if used:
        watcher.ack(wire.PUBACK, held.pid)
    watcher.nothing_before_ping()


def take(client, size, count, timeout):
    """So many packets of one size, unparsed; fewer where the rest does not come in time."""
    client.socket.settimeout(timeout)
    try:
        while len(client.buffer) < size * count:
            data = client.socket.recv(1 << 18)
            assert data, "closed"
            client.buffer += data
    except TimeoutError:
        assert timeout < 1, "no packet within the time"
    whole = min(count, len(client.buffer) // size) * size
    taken = bytes(client.buffer[:whole])
    del client.buffer[:whole]
    return taken


@BOTH
def test_acknowledgements_stand_in_order(client, name, version):
    """v3:MQTT-4.6.0-2 v3:MQTT-4.6.0-3 v5:MQTT-2.2.1-5"""
    own, topic = client(version), name("t")
    order = [5, 3, 9, 1, 7, 2]
    own.send(*(wire.publish(topic, b"x", version, qos=1 + i % 2, pid=pid)
               for i, pid in enumerate(order)))
    answers = [own.receive() for _ in order]
    assert [p.pid for p in answers if p.kind == wire.PUBACK] == order[0::2]
    assert [p.pid for p in answers if p.kind == wire.PUBREC] == order[1::2]


@BOTH
def test_pubrels_stand_in_the_order_of_pubrecs(client, name, version):
    """v3:MQTT-4.6.0-4 v5:MQTT-4.3.3-4"""
    watcher, sender, topic = client(version), client(version), name("t")
    watcher.subscribe((topic, 2))
    for index in range(5):
        sender.publish(topic, b"%d" % index, 2)
    pids = [watcher.expect(wire.PUBLISH).pid for _ in range(5)]
    order = [pids[i] for i in (3, 0, 4, 1, 2)]
    watcher.send(*(wire.ack(wire.PUBREC, pid, version) for pid in order))
    assert [watcher.expect(wire.PUBREL).pid for _ in order] == order


@BOTH
@QOS
def test_messages_of_a_client_come_in_their_order(client, name, version, qos):
    """v3:MQTT-4.6.0-5 v3:MQTT-4.6.0-6 v5:MQTT-4.6.0-5 v5:MQTT-4.6.0-6"""
    topic, count = name("t"), 500
    watchers = [client(version) for _ in range(3)]
    for watcher in watchers:
        watcher.subscribe((topic, qos))
    senders = [client(version) for _ in range(2)]
    for first in range(0, count, 20):
        for number, sender in enumerate(senders):
            sender.send(*(wire.publish(topic, b"%d %d" % (number, i), version, qos=qos,
                                       pid=i + 1 if qos else None)
                          for i in range(first, first + 20)))
            if qos == 2:
                for i in range(first, first + 20):
                    assert sender.wait(wire.PUBREC).pid == i + 1
                    sender.send(wire.ack(wire.PUBREL, i + 1, version))
    for watcher in watchers:
        seen = {b"0": 0, b"1": 0}
        for _ in range(2 * count):
            who, index = watcher.message().payload.split()
            assert int(index) == seen[who]
            seen[who] += 1


@BOTH
def test_a_topic_of_the_greatest_length(client, version):
    """v3:MQTT-4.7.3-3 v5:MQTT-4.7.3-3"""
    own = client(version)
    topic = own.client_id + "/" + "x" * (65534 - len(own.client_id))
    assert own.subscribe((topic, 1)).codes == [1]
    own.publish(topic, b"x", 1)
    message = own.message()
    assert message.topic == topic and len(message.topic) == 65535


@BOTH
def test_the_topic_is_handed_on_unchanged(client, name, version):
    """v3:MQTT-1.5.3-3 v5:MQTT-1.5.4-3 v3:MQTT-4.7.3-4 v5:MQTT-4.7.3-4"""
    base = name("t")
    own = client(version)
    own.subscribe((base + "/#", 1))
    topics = [base + end for end in (
        "/\ufeffbom", "/\ufeff", "/bom", "/é", "/e\u0301", "/E", "/e", "//", "/", "/ a ",
        "/\U0001f600", "/a//b", "/\ufb01", "/fi", "/%41", "/A", "/./..", "/$x")]
    for topic in topics:
        own.publish(topic, b"x", 1)
    assert [own.message().topic for _ in topics] == topics


def test_publishing_where_it_is_not_allowed_in_3_1_1(client):
    """PUBACK as usual, or the connection is closed; either way nobody gets it. v3:MQTT-3.3.5-2"""
    watcher, own = client(4), client(4)
    watcher.subscribe("$SYS/broker/version")
    watcher.ping()
    watcher.inbox.clear()
    own.send(wire.publish("$SYS/broker/version", b"wrong", 4, qos=1, pid=1))
    first = own.receive_or_none()
    assert first is None or (first.kind, first.pid) == (wire.PUBACK, 1)
    watcher.ping()
    assert b"wrong" not in [p.payload for p in watcher.inbox]


@BOTH
def test_an_acknowledgement_of_nothing_is_harmless_or_closes(client, name, version):
    """Unknown ids do not disturb other connections. v3:MQTT-4.8.0-1 v5:MQTT-2.2.1-5"""
    own = client(version)
    own.send(wire.ack(wire.PUBACK, 4242, version), wire.ack(wire.PUBCOMP, 4243, version))
    other, topic = client(version), name("t")
    other.subscribe((topic, 1))
    other.publish(topic, b"x", 1)
    assert other.message().payload == b"x"
