"""Chapters 3.1.2.4, 4.1, 4.4 and 4.5: sessions, what they keep, and what is sent again."""
import pytest
import wire

BOTH = pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])
ALL = pytest.mark.parametrize("version", [3, 4, 5], ids=["v3.1", "v3.1.1", "v5"])
KEEP = {"clean": False, "props": [(wire.SESSION_EXPIRY, 600)]}


@pytest.fixture
def session(client, name):
    """Connects with one client id again and again; the session is discarded in the end."""
    own_id = name("s")
    versions = set()

    def start(version, **options):
        versions.add(version)
        return client(version, own_id, **{**KEEP, **options})

    yield start
    for version in versions:
        client(version, own_id, clean=True, props=[]).disconnect()


@ALL
def test_session_present_tells_what_is_stored(session, version):
    """v3:MQTT-3.2.2-2 v3:MQTT-3.2.2-3 v3:MQTT-3.1.2-4 v3:MQTT-3.1.4-3 v5:MQTT-3.2.2-3
    v5:MQTT-3.1.2-5 v5:MQTT-3.1.2-6 v5:MQTT-3.1.4-4"""
    first = session(version)
    assert not first.connack.session_present
    first.disconnect()
    again = session(version)
    # 3.1 has no such flag in CONNACK.
    assert again.connack.session_present == (version > 3)
    again.drop()
    assert session(version).connack.session_present == (version > 3)


@ALL
def test_clean_discards_the_session(session, client, name, version):
    """v3:MQTT-3.1.2-6 v3:MQTT-3.2.2-1 v3:MQTT-3.1.4-3 v5:MQTT-3.1.2-4 v5:MQTT-3.2.2-2
    v5:MQTT-3.1.4-4"""
    topic = name("t")
    own = session(version)
    own.subscribe((topic, 1))
    own.disconnect()
    client(version).publish(topic, b"queued", 1)
    own = session(version, clean=True)
    assert not own.connack.session_present
    client(version).publish(topic, b"live", 1)
    own.nothing_before_ping()
    own.disconnect()
    own = session(version)
    # In 3.1.1 the clean session ended with its connection; in 5.0 its expiry interval keeps it.
    assert own.connack.session_present == (version == 5)
    client(version).publish(topic, b"live", 1)
    own.nothing_before_ping()


@ALL
def test_a_clean_session_is_never_reused(client, name, version):
    """v3:MQTT-3.1.2-6 v5:MQTT-4.1.0-2"""
    own_id, topic = name("id"), name("t")
    own = client(version, own_id)
    own.subscribe((topic, 1))
    own.drop()
    client(version).publish(topic, b"x", 1)
    own = client(version, own_id, clean=False)
    assert not own.connack.session_present
    client(version).publish(topic, b"y", 1)
    own.nothing_before_ping()
    own.disconnect()
    client(version, own_id)


@ALL
def test_messages_are_stored_for_a_disconnected_session(session, client, name, version):
    """v3:MQTT-3.1.2-5 v3:MQTT-3.1.2-4 v3:MQTT-4.1.0-1 v5:MQTT-3.1.2-23 v5:MQTT-3.1.2-5
    v3:MQTT-4.5.0-1 v5:MQTT-4.5.0-1"""
    base, sender = name("t"), client(version)
    own = session(version)
    own.subscribe((base + "/+", 2))
    own.disconnect()
    for index in range(50):
        sender.publish(f"{base}/{index % 3}", b"%d" % index, 1 + index % 2)
    own = session(version)
    messages = [own.message() for _ in range(50)]
    for topic in range(3):
        for qos in (1, 2):
            part = [int(m.payload) for m in messages
                    if m.topic == f"{base}/{topic}" and m.qos == qos]
            assert part == [i for i in range(50) if i % 3 == topic and 1 + i % 2 == qos]
    assert not any(m.retain for m in messages)
    own.nothing_before_ping()
    # The subscriptions are there without being made again.
    sender.publish(base + "/9", b"live", 1)
    assert own.message().payload == b"live"


@BOTH
def test_the_session_lasts_as_long_as_the_connection(client, name, version):
    """v3:MQTT-4.1.0-2 v5:MQTT-4.1.0-1"""
    own, topic = client(version), name("t")
    own.subscribe((topic, 1))
    for index in range(20):
        client(version).publish(topic, b"%d" % index, 1)
        assert own.message().payload == b"%d" % index


@ALL
def test_qos_1_is_sent_again_after_a_reconnect(session, client, name, version):
    """v3:MQTT-4.4.0-1 v3:MQTT-3.3.1-1 v3:MQTT-4.3.2-1 v3:MQTT-4.6.0-1 v5:MQTT-4.4.0-1
    v5:MQTT-3.3.1-1 v5:MQTT-4.3.2-3 v3:MQTT-2.3.1-4 v3:MQTT-4.1.0-1"""
    topic, sender = name("t"), client(version)
    own = session(version)
    own.subscribe((topic, 1))
    for index in range(6):
        sender.publish(topic, b"%d" % index, 1)
    first = [own.expect(wire.PUBLISH) for _ in range(6)]
    own.ack(wire.PUBACK, first[0].pid)
    own.ack(wire.PUBACK, first[3].pid)
    own.ping()
    own.drop()
    own = session(version)
    again = [own.expect(wire.PUBLISH) for _ in range(4)]
    left = [first[i] for i in (1, 2, 4, 5)]
    assert [(m.pid, m.payload) for m in again] == [(m.pid, m.payload) for m in left]
    assert all(m.dup for m in again) and not any(m.dup for m in first)
    own.nothing_before_ping()
    for message in again:
        own.ack(wire.PUBACK, message.pid)
    own.ping()
    own.drop()
    session(version).nothing_before_ping()


@ALL
def test_qos_2_is_sent_again_after_a_reconnect(session, client, name, version):
    """PUBLISH before its PUBREC, PUBREL after it. v3:MQTT-4.4.0-1 v3:MQTT-4.3.3-1
    v5:MQTT-4.4.0-1 v5:MQTT-4.3.3-3 v5:MQTT-4.3.3-5 v5:MQTT-4.3.3-6 v5:MQTT-3.3.1-1"""
    topic, sender = name("t"), client(version)
    own = session(version)
    own.subscribe((topic, 2))
    for index in range(3):
        sender.publish(topic, b"%d" % index, 2)
    first = [own.expect(wire.PUBLISH) for _ in range(3)]
    own.ack(wire.PUBREC, first[1].pid)
    assert own.expect(wire.PUBREL).pid == first[1].pid
    own.drop()
    for _ in range(2):
        own = session(version)
        again = [own.receive() for _ in range(3)]
        publishes = [p for p in again if p.kind == wire.PUBLISH]
        releases = [p for p in again if p.kind == wire.PUBREL]
        assert [(p.pid, p.payload, p.dup) for p in publishes] == [
            (first[0].pid, b"0", True), (first[2].pid, b"2", True)]
        assert [p.pid for p in releases] == [first[1].pid]
        own.nothing_before_ping()
        own.drop()
    own = session(version)
    for packet in [own.receive() for _ in range(3)]:
        if packet.kind == wire.PUBREL:
            own.ack(wire.PUBCOMP, packet.pid)
        else:
            own.complete(packet)
    own.ping()
    own.drop()
    session(version).nothing_before_ping()


@BOTH
def test_what_is_owed_comes_before_what_is_new(session, client, name, version):
    """v3:MQTT-4.6.0-1 v3:MQTT-4.6.0-6 v5:MQTT-4.6.0-5"""
    topic, sender = name("t"), client(version)
    own = session(version)
    own.subscribe((topic, 1))
    for index in range(3):
        sender.publish(topic, b"%d" % index, 1)
    for _ in range(3):
        own.expect(wire.PUBLISH)
    own.drop()
    for index in range(3, 6):
        sender.publish(topic, b"%d" % index, 1)
    own = session(version)
    sender.publish(topic, b"6", 1)
    messages = [own.message() for _ in range(7)]
    assert [m.payload for m in messages] == [b"%d" % i for i in range(7)]
    assert [m.dup for m in messages] == [True] * 3 + [False] * 4


@BOTH
def test_a_takeover_keeps_the_session(session, client, name, version):
    """v3:MQTT-3.1.4-2 v3:MQTT-3.1.2-4 v5:MQTT-3.1.2-5 v5:MQTT-3.1.4-3"""
    topic, sender = name("t"), client(version)
    own = session(version)
    own.subscribe((topic, 1))
    sender.publish(topic, b"0", 1)
    held = own.expect(wire.PUBLISH)
    for index in range(1, 6):
        newer = session(version)
        own.closed()
        own = newer
        assert own.connack.session_present
        again = own.expect(wire.PUBLISH)
        assert (again.pid, again.payload, again.dup) == (held.pid, b"0", True)
        sender.publish(topic, b"%d" % index, 1)
        assert own.message().payload == b"%d" % index
    own.ack(wire.PUBACK, held.pid)
    own.ping()


@BOTH
def test_nothing_is_lost_while_a_session_comes_and_goes(session, client, name, version):
    """v3:MQTT-4.5.0-1 v5:MQTT-4.5.0-1 v3:MQTT-4.1.0-1"""
    topic, sender = name("t"), client(version)
    own = session(version)
    own.subscribe((topic, 1))
    seen, count = [], 200
    for index in range(count):
        sender.send(wire.publish(topic, b"%d" % index, version, qos=1, pid=index + 1))
        if index % 10 == 9:
            newer = session(version)
            for packet in own.closed():
                if packet.kind == wire.PUBLISH:
                    seen.append(packet.payload)
            own = newer
    for _ in range(count):
        sender.wait(wire.PUBACK)
    sender.publish(topic, b"marker", 1)
    seen += [m.payload for m in own.until(b"marker")]
    assert set(seen) == {b"%d" % i for i in range(count)}


@BOTH
def test_an_unfinished_qos_2_of_the_client_is_kept(session, client, name, version):
    """v3:MQTT-4.1.0-1 v5:MQTT-3.1.2-23"""
    topic, watcher = name("t"), client(version)
    watcher.subscribe((topic, 2))
    own = session(version)
    own.send(wire.publish(topic, b"once", version, qos=2, pid=5))
    own.expect(wire.PUBREC)
    own.disconnect()
    own = session(version)
    own.send(wire.ack(wire.PUBREL, 5, version))
    answer = own.wait(wire.PUBCOMP)
    assert (answer.pid, answer.reason) == (5, 0)
    own.publish(topic, b"marker", 2)
    assert [m.payload for m in watcher.until(b"marker")] == [b"once"]


@BOTH
def test_sessions_go_between_the_versions(session, client, name, version):
    """A session of one version is resumed by the other. v3:MQTT-3.1.3-2 v5:MQTT-3.1.3-2"""
    topic, other = name("t"), 9 - version
    own = session(version)
    own.subscribe((topic, 1))
    own.disconnect()
    client(version).publish(topic, b"x", 1)
    own = session(other)
    assert own.connack.session_present
    assert own.message().payload == b"x"


@pytest.mark.parametrize("kind", [wire.PUBACK, wire.PUBREC], ids=["PUBACK", "PUBREC"])
def test_a_refused_message_is_not_sent_again(session, client, name, kind):
    """v5:MQTT-4.4.0-2"""
    topic, qos = name("t"), 1 if kind == wire.PUBACK else 2
    own = session(5)
    own.subscribe((topic, qos))
    client(5).publish(topic, b"x", qos)
    message = own.expect(wire.PUBLISH)
    own.ack(kind, message.pid, 0x83)
    own.nothing_before_ping()
    own.drop()
    session(5).nothing_before_ping()


def test_an_expiry_of_0_at_disconnect_ends_the_session(session, name):
    """v5:MQTT-4.1.0-2"""
    own = session(5)
    own.subscribe((name("t"), 1))
    own.disconnect(0, [(wire.SESSION_EXPIRY, 0)])
    assert not session(5).connack.session_present


def test_an_expiry_at_disconnect_cannot_keep_a_session_of_0(client, name):
    """v5:MQTT-4.13.1-1"""
    own = client(5, name("id"))
    own.send(wire.disconnect(0, [(wire.SESSION_EXPIRY, 60)]))
    own.refused(0x82)
    assert not client(5, own.client_id, clean=False).connack.session_present


@BOTH
def test_disconnect_with_reserved_bits_is_an_error(client, version):
    """v3:MQTT-3.14.1-1 v5:MQTT-3.14.1-1 v3:MQTT-2.2.2-2"""
    own = client(version)
    own.send(b"\xe1\0")
    last = own.closed()
    if version == 5:
        assert [(p.kind, p.reason) for p in last] == [(wire.DISCONNECT, 0x81)]
    else:
        assert last == []


@BOTH
def test_nothing_follows_a_disconnect(client, name, version):
    """The server closes, and processes nothing of what is behind it. v5:MQTT-3.14.4-1
    v5:MQTT-3.14.4-2"""
    watcher, topic = client(version), name("t")
    watcher.subscribe(topic)
    own = client(version)
    own.subscribe(topic)
    own.send(wire.disconnect(), wire.publish(topic, b"late", version), wire.PING)
    assert own.closed() == []
    client(version).publish(topic, b"marker")
    assert watcher.until(b"marker") == []
