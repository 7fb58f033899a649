"""Chapter 4.8.2: shared subscriptions of 5.0."""
from collections import Counter

import pytest
import wire

KEEP = [(wire.SESSION_EXPIRY, 60)]


@pytest.fixture
def group(client, name):
    """Makes members of one shared subscription; gives (shared filter, topic, members)."""

    def start(count, qos=1, **options):
        topic = name("t")
        shared = f"$share/{name('g')}/{topic}"
        members = [client(5, **options) for _ in range(count)]
        for member in members:
            assert member.subscribe((shared, qos)).codes == [qos]
        return shared, topic, members

    return start


def collect(members, sender, topic, marker=b"marker"):
    """What each member got, up to a marker that reaches each one by a filter of its own."""
    for member in members:
        member.subscribe((f"{topic}/{member.client_id}", 1))
        sender.publish(f"{topic}/{member.client_id}", marker, 1)
    return [[m.payload for m in member.until(marker)] for member in members]


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_message_goes_to_one_member(client, group, count, qos):
    """v5:MQTT-4.8.2-1 v5:MQTT-4.8.2-2 v5:MQTT-4.8.2-3"""
    _, topic, members = group(count, qos)
    plain, sender = client(5), client(5)
    plain.subscribe((topic, qos))
    for index in range(60):
        sender.publish(topic, b"%d" % index, qos)
    messages = [plain.message() for _ in range(60)]
    assert [m.payload for m in messages] == [b"%d" % i for i in range(60)]
    got = [[] for _ in members]
    # Wait for all 60, wherever they come.
    left = 60
    while left:
        for member, own in zip(members, got):
            member.ping()
            for packet in [p for p in list(member.inbox) if p.kind == wire.PUBLISH]:
                message = member.message()
                assert message.qos == qos
                own.append(int(message.payload))
                left -= 1
    assert sorted(i for own in got for i in own) == list(range(60))
    assert all(own == sorted(own) and own for own in got)


def test_two_groups_each_get_all(client, name):
    """v5:MQTT-4.8.2-2"""
    topic, sender = name("t"), client(5)
    members = [client(5) for _ in range(4)]
    for index, member in enumerate(members):
        member.subscribe((f"$share/{topic}{index % 2}/{topic}/+", 1))
    for index in range(20):
        sender.publish(f"{topic}/{index}", b"%d" % index, 1)
    counts = Counter()
    while sum(counts.values()) < 40:
        for index, member in enumerate(members):
            member.ping()
            for _ in [p for p in list(member.inbox) if p.kind == wire.PUBLISH]:
                counts[index % 2, member.message().payload] += 1
    assert counts == {(g, b"%d" % i): 1 for g in range(2) for i in range(20)}


@pytest.mark.parametrize("pattern", [
    "$share//t", "$share/g", "$share/g/", "$share/", "$share/g+/t", "$share/g#/t", "$share/+/t",
    "$share/#", "$share/g/t#", "$share/g/#/t"])
def test_wrong_shared_filters_are_refused(client, pattern):
    """v5:MQTT-4.8.2-1 v5:MQTT-4.8.2-2"""
    own = client(5)
    own.send(wire.subscribe(1, [(pattern, 1)], 5), wire.PING)
    first = own.receive_or_none()
    if first is not None and first.kind == wire.SUBACK:
        assert first.codes[0] >= 0x80
    else:
        assert first is None or first.kind == wire.DISCONNECT and first.reason >= 0x80


def test_no_local_on_a_shared_subscription_is_an_error(client, name):
    """v5:MQTT-3.8.3-4"""
    own = client(5)
    own.send(wire.subscribe(1, [(f"$share/g/{name('t')}", 0x04 | 1)], 5), wire.PING)
    assert own.refused(0x81, 0x82) == []


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_qos_granted_to_the_chosen_member_counts(client, name, qos):
    """v5:MQTT-4.8.2-3"""
    topic, sender = name("t"), client(5)
    members = [client(5) for _ in range(3)]
    for granted, member in enumerate(members):
        member.subscribe((f"$share/g{topic}/{topic}", granted))
    for index in range(30):
        sender.publish(topic, b"%d" % index, qos)
    left = 30
    while left:
        for granted, member in enumerate(members):
            member.ping()
            for _ in [p for p in list(member.inbox) if p.kind == wire.PUBLISH]:
                assert member.message().qos == min(qos, granted)
                left -= 1


def test_shared_filters_of_the_same_text_are_not_replaced_by_plain_ones(client, name):
    """v5:MQTT-3.8.4-3 v5:MQTT-3.10.4-1"""
    own, topic = client(5), name("t")
    own.subscribe((topic, 0), (f"$share/g/{topic}", 1))
    own.unsubscribe(topic)
    own.publish(topic, b"x", 1)
    assert own.message().qos == 1
    own.subscribe((topic, 0))
    assert own.unsubscribe(f"$share/g/{topic}", f"$share/h/{topic}").codes == [0, 0x11]
    own.publish(topic, b"y", 1)
    assert own.message().qos == 0


def test_retained_messages_are_not_sent_to_shared_subscriptions(client, name):
    """v5:MQTT-3.3.1-9"""
    own, topic = client(5), name("t")
    own.publish(topic, b"kept", 1, retain=True)
    own.subscribe((f"$share/g/{topic}", 1))
    own.nothing_before_ping()
    own.publish(topic, b"", 1, retain=True)


def test_a_begun_qos_2_delivery_is_completed_to_the_same_client(client, name):
    """v5:MQTT-4.8.2-4"""
    topic, sender = name("t"), client(5)
    shared = f"$share/g{topic}/{topic}"
    chosen = client(5, name("id"), props=KEEP)
    chosen.subscribe((shared, 2))
    sender.publish(topic, b"begun", 2)
    begun = chosen.expect(wire.PUBLISH)
    other = client(5)
    other.subscribe((shared, 2))
    chosen.drop()
    # The other member gets what is new, and not what was begun.
    assert collect([other], sender, topic)[0] == []
    chosen = client(5, chosen.client_id, clean=False, props=KEEP)
    again = chosen.expect(wire.PUBLISH)
    assert (again.pid, again.payload, again.dup) == (begun.pid, b"begun", True)
    chosen.complete(again)
    assert collect([other], sender, topic, b"second marker")[0] == []


def test_a_begun_qos_2_delivery_ends_with_the_session(client, name):
    """v5:MQTT-4.8.2-5"""
    topic, sender = name("t"), client(5)
    shared = f"$share/g{topic}/{topic}"
    chosen = client(5, name("id"), props=KEEP)
    chosen.subscribe((shared, 2))
    sender.publish(topic, b"begun", 2)
    chosen.expect(wire.PUBLISH)
    other = client(5)
    other.subscribe((shared, 2))
    chosen.drop()
    client(5, chosen.client_id, clean=True).disconnect()
    sender.publish(topic, b"marker", 2)
    assert other.until(b"marker") == []


@pytest.mark.parametrize("kind", [wire.PUBACK, wire.PUBREC], ids=["PUBACK", "PUBREC"])
def test_a_refused_message_goes_to_nobody_else(client, group, kind):
    """v5:MQTT-4.8.2-6"""
    qos = 1 if kind == wire.PUBACK else 2
    _, topic, members = group(2, qos)
    sender = client(5)
    sender.publish(topic, b"refused", qos)
    chosen = other = None
    while chosen is None:
        for index, member in enumerate(members):
            member.ping()
            if any(p.kind == wire.PUBLISH for p in member.inbox):
                chosen, other = member, members[1 - index]
    message = chosen.wait(wire.PUBLISH)
    chosen.ack(kind, message.pid, 0x83)
    chosen.nothing_before_ping()
    got = collect([chosen, other], sender, topic)
    assert b"refused" not in got[0] and b"refused" not in got[1]


def test_members_that_leave_get_nothing_more(client, group):
    """v5:MQTT-3.10.4-2"""
    shared, topic, members = group(4)
    sender = client(5)
    members[0].unsubscribe(shared)
    members[1].disconnect()
    members[2].drop()
    for index in range(20):
        sender.publish(topic, b"%d" % index, 1)
    assert [members[3].message().payload for _ in range(20)] == [b"%d" % i for i in range(20)]
    members[0].nothing_before_ping()
