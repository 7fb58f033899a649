"""5.0's flow control: chapters 3.3.4 and 4.9."""
import pytest
import wire


def flood(sender, topic, count, qos):
    for index in range(count):
        sender.publish(topic, b"%d" % index, qos)


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("maximum", [1, 2, 7])
def test_the_clients_receive_maximum_is_kept(client, name, qos, maximum):
    """v5:MQTT-3.3.4-9 v5:MQTT-4.9.0-1 v5:MQTT-4.9.0-2 v5:MQTT-4.9.0-3 v5:MQTT-3.3.4-10"""
    own, sender, topic = client(5, props=[(wire.RECEIVE_MAXIMUM, maximum)]), client(5), name("t")
    own.subscribe((topic, qos))
    flood(sender, topic, 12, qos)
    seen = [own.expect(wire.PUBLISH) for _ in range(maximum)]
    # The quota is used up: nothing more comes, but everything else is answered.
    own.nothing_before_ping()
    other = name("u")
    assert own.subscribe((other, 0)).codes == [0]
    own.publish(name("v"), b"x", 1)
    own.publish(name("v"), b"x", 2)
    own.unsubscribe(other)
    own.nothing_before_ping()
    # Each message that is done makes room for one.
    at = 0
    while at < 12:
        own.complete(seen[at])
        at += 1
        if len(seen) < 12:
            seen.append(own.expect(wire.PUBLISH))
        own.nothing_before_ping()
    assert [m.payload for m in seen] == [b"%d" % i for i in range(12)]


def test_pubrec_does_not_free_the_quota_but_an_error_does(client, name):
    """v5:MQTT-3.3.4-9 v5:MQTT-4.9.0-2 v5:MQTT-4.9.0-3"""
    own, sender, topic = client(5, props=[(wire.RECEIVE_MAXIMUM, 1)]), client(5), name("t")
    own.subscribe((topic, 2))
    flood(sender, topic, 3, 2)
    first = own.expect(wire.PUBLISH)
    own.ack(wire.PUBREC, first.pid)
    assert own.expect(wire.PUBREL).pid == first.pid
    own.nothing_before_ping()
    own.ack(wire.PUBCOMP, first.pid)
    second = own.expect(wire.PUBLISH)
    assert second.payload == b"1"
    own.ack(wire.PUBREC, second.pid, 0x80)
    third = own.expect(wire.PUBLISH)
    assert third.payload == b"2"
    own.complete(third)


def test_the_quota_holds_after_a_reconnect(client, name):
    """What is resent counts. v5:MQTT-4.9.0-1 v5:MQTT-3.3.4-9"""
    own_id, topic, sender = name("id"), name("t"), client(5)
    own = client(5, own_id, props=[(wire.SESSION_EXPIRY, 60), (wire.RECEIVE_MAXIMUM, 4)])
    own.subscribe((topic, 1))
    flood(sender, topic, 8, 1)
    first = [own.expect(wire.PUBLISH) for _ in range(4)]
    own.drop()
    # A smaller maximum than what is unacknowledged.
    own = client(5, own_id, clean=False,
                 props=[(wire.SESSION_EXPIRY, 60), (wire.RECEIVE_MAXIMUM, 2)])
    seen = []
    for index in range(8):
        message = own.expect(wire.PUBLISH)
        seen.append(message.payload)
        assert message.dup == (index < 4)
        if index < 4:
            assert message.pid == first[index].pid
        own.complete(message)
    assert seen == [b"%d" % i for i in range(8)]


def test_without_a_receive_maximum_many_are_in_flight(client, name):
    """v5:MQTT-4.9.0-1"""
    own, sender, topic = client(5), client(5), name("t")
    own.subscribe((topic, 1))
    flood(sender, topic, 15, 1)
    messages = [own.expect(wire.PUBLISH) for _ in range(15)]
    for message in messages:
        own.ack(wire.PUBACK, message.pid)
    own.ping()


def test_qos_0_needs_no_quota_from_the_client(client, name):
    """v5:MQTT-4.9.0-3"""
    own, sender, base = client(5, props=[(wire.RECEIVE_MAXIMUM, 1)]), client(5), name("t")
    own.subscribe((base + "/1", 1), (base + "/0", 0))
    flood(sender, base + "/1", 2, 1)
    held = own.expect(wire.PUBLISH)
    own.ping()
    own.ack(wire.PUBACK, held.pid)
    assert own.message().payload == b"1"
    sender.publish(base + "/0", b"free", 0)
    assert own.message().payload == b"free"


@pytest.mark.parametrize("qos", [1, 2])
def test_the_servers_receive_maximum(open_client, special, name, qos):
    """A client that exceeds it is told so. v5:MQTT-4.13.1-1"""
    own, topic = open_client(5, special("--mqtt-receive-maximum", "10")), name("t")
    assert own.connect(name("id")).get(wire.RECEIVE_MAXIMUM) == 10
    # Within the maximum, again and again.
    for start in range(0, 50, 10):
        own.send(*(wire.publish(topic, b"x", 5, qos=qos, pid=start + i + 1) for i in range(10)))
        for i in range(10):
            assert own.wait(wire.PUBACK if qos == 1 else wire.PUBREC).pid == start + i + 1
            if qos == 2:
                own.send(wire.ack(wire.PUBREL, start + i + 1, 5))
                own.wait(wire.PUBCOMP)
    if qos == 2:
        own.send(*(wire.publish(topic, b"x", 5, qos=2, pid=i + 100) for i in range(11)))
        before = own.refused(0x93)
        assert all(p.kind == wire.PUBREC for p in before) and len(before) <= 10
