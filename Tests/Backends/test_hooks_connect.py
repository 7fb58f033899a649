"""The hooks OnConnect and OnSubscribe: who may come in, as whom, and what for."""

from __future__ import annotations

import pytest

from api import QOS, pb
from hook_backend import HookBackend
from interop_support import wait_for
from test_clients import session, subscribe

VERSIONS = ("3.1", "3.1.1", "5")


def allowing(**allow):
    """An answer that lets everybody in as what is given."""
    cache = allow.pop("cache_seconds", 0)
    return lambda request, context: pb.OnConnectResponse(
        allow=pb.OnConnectResponse.Allow(**allow), cache_seconds=cache)


def refusing(**refuse):
    cache = refuse.pop("cache_seconds", 0)
    return lambda request, context: pb.OnConnectResponse(
        refuse=pb.OnConnectResponse.Refuse(**refuse), cache_seconds=cache)


def rule(action, filter, deny=False):
    return pb.AclRule(
        action=getattr(pb, f"ACL_ACTION_{action}"), filter=filter, deny=deny)


def with_verdicts(verdict, **more):
    """An answer to OnSubscribe that gives each filter what `verdict` says of it."""
    return lambda request, context: pb.OnSubscribeResponse(
        verdicts=[pb.FilterVerdict(**verdict(entry)) for entry in request.filters], **more)


# What the backend is told.


@pytest.mark.parametrize("loops", (1, 2))
@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_asked_with_all_that_the_client_said(hooked, hooks, device, unique, version, loops):
    broker, name = hooked("connect", loops=loops), unique("c")
    will = {"topic": "gone/" + name, "payload": b"bye", "qos": 1, "retain": True}
    one = device(
        version, on=broker, client_id=name, user="gudrun", password="secret", keepalive=51,
        will=will)
    (request,) = hooks.calls("OnConnect")
    client = request.client
    assert (client.client_id, client.user_name) == (name, "gudrun")
    assert client.protocol_version == {"3.1": 3, "3.1.1": 4, "5": 5}[version]
    assert client.peer == "127.0.0.1:%d" % one.raw.socket().getsockname()[1]
    assert not client.attributes and client.tenant == ""
    assert request.has_password and request.password == b"secret"
    assert request.clean_start and request.keep_alive_seconds == 51
    assert (request.will.topic, request.will.payload) == (will["topic"], b"bye")
    assert request.will.retain and request.will.qos == QOS[1]


def test_user_properties_of_connect(hooked, hooks, device):
    broker = hooked("connect")
    device(on=broker, UserProperty=[("firmware", "7.1"), ("firmware", "7.2")])
    (request,) = hooks.calls("OnConnect")
    assert [(p.name, p.value) for p in request.user_properties] == [
        ("firmware", "7.1"), ("firmware", "7.2")]


def test_without_user_name_and_password(hooked, hooks, device):
    broker = hooked("connect")
    device(on=broker)
    (request,) = hooks.calls("OnConnect")
    assert request.client.user_name == "" and not request.has_password
    assert not request.HasField("will")


def test_without_client_id(hooked, hooks, device):
    broker = hooked("connect")
    one = device(on=broker, client_id="")
    (request,) = hooks.calls("OnConnect")
    assert request.client.client_id == ""
    assert one.connack_properties.AssignedClientIdentifier


# What the answer does.


@pytest.mark.parametrize("loops", (1, 2))
def test_who_the_client_is(hooked, hooks, connect, device, loops):
    hooks.answer["OnConnect"] = allowing(
        user_name="Gudrun K.", tenant="north", attributes={"model": "b-17"})
    broker = hooked("connect", "subscribe", loops=loops)
    one = device(on=broker, user="gudrun", password="x")
    got = session(connect(broker), one.client_id).client
    assert (got.user_name, got.tenant) == ("Gudrun K.", "north")
    assert dict(got.attributes) == {"model": "b-17"}
    one.subscribe("a", 1)
    (request,) = hooks.calls("OnSubscribe")
    assert request.client.user_name == "Gudrun K." and request.client.tenant == "north"
    assert dict(request.client.attributes) == {"model": "b-17"}


@pytest.mark.parametrize("loops", (1, 2))
def test_refused_as_the_standard_has_it(hooked, hooks, device, loops):
    hooks.answer["OnConnect"] = refusing()
    broker = hooked("connect", loops=loops)
    assert device(on=broker, connect=False).attempt() == 0x87
    for version in ("3.1", "3.1.1"):
        one = device(version, on=broker, connect=False)
        assert one.attempt() >= 0x80
        one.wait_gone()


@pytest.mark.parametrize("code", (0x86, 0x8A, 0x97, 0x9F))
def test_refused_with_a_code_and_a_reason(hooked, hooks, device, code):
    hooks.answer["OnConnect"] = refusing(reason_code=code, reason="not today")
    one = device(on=hooked("connect"), connect=False)
    assert one.attempt() == code
    assert one.connack_properties.ReasonString == "not today"


def test_one_is_refused_and_another_is_not(hooked, hooks, device):
    def answer(request, context):
        right = request.password == b"right"
        return (allowing() if right else refusing(reason_code=0x86))(request, context)

    hooks.answer["OnConnect"] = answer
    broker = hooked("connect")
    assert device(on=broker, connect=False, user="u", password="wrong").attempt() == 0x86
    device(on=broker, user="u", password="right")


def test_a_refused_client_takes_nothing_over(hooked, hooks, device, unique):
    """The session of another with the same client id stays, and its connection."""
    broker, name = hooked("connect"), unique("c")
    first = device(on=broker, client_id=name, user="good", password="x")
    hooks.answer["OnConnect"] = refusing()
    assert device(on=broker, client_id=name, connect=False, user="bad").attempt() == 0x87
    first.subscribe("still/here", 1)
    first.publish("still/here", b"x", 1)
    assert first.next().payload == b"x"


def test_access_list(hooked, hooks, device, unique, connect):
    own = unique("u")
    hooks.answer["OnConnect"] = allowing(user_name=own, tenant="t-1", acl=[
        rule("PUBLISH", "up/%c/secret", deny=True),
        rule("PUBLISH", "up/%c/#"),
        rule("SUBSCRIBE", "down/%u/#"),
        rule("UNSPECIFIED", "shared/%t/+"),
    ])
    broker = hooked("connect")
    one, witness = device(on=broker), connect(broker)
    assert one.subscribe([
        (f"down/{own}/#", 1), (f"down/{own}/a/+", 1), ("shared/t-1/x", 1), ("shared/t-1/+", 1),
        (f"$share/g/down/{own}/q", 1),
        ("down/#", 1), ("#", 1), ("shared/t-1/#", 1), ("shared/t-2/x", 1), (f"up/{own}/x", 1),
    ]) == [1, 1, 1, 1, 1, 0x87, 0x87, 0x87, 0x87, 0x87]
    name = one.client_id
    answers = {
        topic: one.begin_publish(topic).wait(10)
        for topic in (f"up/{name}/x", f"up/{name}/secret", f"up/{name}", "up/other/x",
                      "shared/t-1/x", f"down/{own}/x")}
    allowed = {topic for topic, code in answers.items() if code < 0x80}
    assert allowed == {f"up/{name}/x", f"up/{name}", "shared/t-1/x"}
    assert {code for code in answers.values() if code >= 0x80} == {0x87}
    # What is pushed to it needs no rule.
    witness.publish("@" + name, topic="anything/else", payload=b"end")
    assert [m.topic for m in one.until(b"end")] == ["shared/t-1/x"]


def test_an_access_list_and_a_will(hooked, hooks, device):
    hooks.answer["OnConnect"] = allowing(acl=[rule("PUBLISH", "good/#")])
    broker = hooked("connect")
    device(on=broker, will={"topic": "good/will", "payload": b"x"})
    assert device(
        on=broker, connect=False, will={"topic": "bad/will", "payload": b"x"}).attempt() == 0x87


@pytest.mark.parametrize("client_id", ("#", "+", "a/b"))
def test_a_placeholder_can_not_widen_a_rule(hooked, hooks, device, client_id):
    hooks.answer["OnConnect"] = allowing(acl=[rule("UNSPECIFIED", "to/%c")])
    one = device(on=hooked("connect"), client_id=client_id)
    assert one.subscribe([("to/#", 1), ("to/x", 1)]) == [0x87, 0x87]
    assert one.begin_publish("to/x").wait(10) == 0x87


def test_limits(hooked, hooks, device, connect):
    hooks.answer["OnConnect"] = allowing(limits=pb.Limits(
        max_subscriptions=2, max_session_expiry_seconds=100, max_publishes_per_second=1000))
    broker = hooked("connect")
    one = device(on=broker, session_expiry=10_000)
    assert one.subscribe([("a", 1), ("b", 1), ("c", 1)]) == [1, 1, 0x97]
    assert one.connack_properties.SessionExpiryInterval == 100
    assert session(connect(broker), one.client_id).expiry_seconds == 100
    for number in range(50):
        one.publish("a", b"%d" % number, 1)
    assert [int(m.payload) for m in one.receive(50)] == list(range(50))


# Caching.


def test_a_cached_answer_is_not_asked_again(hooked, hooks, device, unique):
    hooks.answer["OnConnect"] = allowing(tenant="t", cache_seconds=600)
    broker, name = hooked("connect"), unique("c")
    for _ in range(3):
        device(on=broker, client_id=name, user="u", password="p").disconnect()
    assert len(hooks.calls("OnConnect")) == 1
    # Another password, user name or client id is another question.
    device(on=broker, client_id=name, user="u", password="q").disconnect()
    device(on=broker, client_id=name, user="v", password="p").disconnect()
    device(on=broker, client_id=name).disconnect()
    device(on=broker, client_id=unique("c"), user="u", password="p").disconnect()
    assert len(hooks.calls("OnConnect")) == 5


def test_a_refusal_is_cached_too(hooked, hooks, device, unique):
    hooks.answer["OnConnect"] = refusing(reason_code=0x8A, cache_seconds=600)
    broker, name = hooked("connect"), unique("c")
    for _ in range(3):
        assert device(on=broker, client_id=name, connect=False).attempt() == 0x8A
    assert len(hooks.calls("OnConnect")) == 1


def test_an_answer_without_a_time_is_not_cached(hooked, hooks, device, unique):
    broker, name = hooked("connect"), unique("c")
    for _ in range(3):
        device(on=broker, client_id=name).disconnect()
    assert len(hooks.calls("OnConnect")) == 3


def test_a_cached_answer_ends(hooked, hooks, device, unique):
    hooks.answer["OnConnect"] = allowing(cache_seconds=1)
    broker, name = hooked("connect"), unique("c")

    def asked_again():
        device(on=broker, client_id=name).disconnect()
        return len(hooks.calls("OnConnect")) > 1

    wait_for(asked_again, "the broker to ask again")


def test_cached_verdicts_of_filters(hooked, hooks, device, unique):
    hooks.answer["OnSubscribe"] = with_verdicts(
        lambda entry: {"max_qos": QOS[0]}, cache_seconds=600)
    broker = hooked("subscribe")
    one, other = device(on=broker), device(on=broker)
    for _ in range(3):
        assert one.subscribe("a", 1) == [0]
    assert len(hooks.calls("OnSubscribe")) == 1
    one.subscribe("b", 1)
    other.subscribe("a", 1)
    assert len(hooks.calls("OnSubscribe")) == 3


# OnSubscribe.


@pytest.mark.parametrize("loops", (1, 2))
@pytest.mark.parametrize("version", VERSIONS)
def test_filters_are_allowed_refused_and_bounded(
        hooked, hooks: HookBackend, device, version, loops):
    verdicts = {
        "yes": {}, "no": {"refuse_code": 0x87}, "full": {"refuse_code": 0x97},
        "zero": {"max_qos": QOS[0]}, "two": {"max_qos": QOS[2]}, "$share/g/x": {}}
    hooks.answer["OnSubscribe"] = with_verdicts(lambda entry: verdicts[entry.filter])
    broker = hooked("subscribe", loops=loops)
    one = device(version, on=broker)
    codes = one.subscribe([
        ("yes", 2), ("no", 1), ("full", 1), ("zero", 2), ("two", 1), ("$share/g/x", 1)])
    refused = (0x87, 0x97) if version == "5" else (0x80, 0x80)
    assert codes == [2, *refused, 0, 1, 1]
    (request,) = hooks.calls("OnSubscribe")
    assert request.client.client_id == one.client_id
    assert [(f.filter, f.qos) for f in request.filters][:3] == [
        ("yes", QOS[2]), ("no", QOS[1]), ("full", QOS[1])]
    for topic in ("no", "full", "zero", "yes"):
        one.publish(topic, topic.encode(), 1)
    assert [(m.topic, m.qos) for m in one.until(b"yes")] == [("zero", 0)]


def test_what_follows_a_subscribe_waits_for_its_verdict(hooked, hooks, device):
    """A client's packets stay in order: what it publishes behind its SUBSCRIBE comes back to it."""
    hooks.answer["OnSubscribe"] = hooks.hang(with_verdicts(lambda entry: {}))
    broker = hooked("subscribe", subscribe_timeout="15s")
    one, other = device(on=broker), device(on=broker)
    one.raw.subscribe("mine", 1)
    published = one.begin_publish("mine", b"behind")
    hooks.wait("OnSubscribe")
    # Another client goes on meanwhile.
    other.publish("elsewhere", b"x", 1)
    assert not published.is_done
    hooks.released.set()
    assert one.next().payload == b"behind"
    assert published.wait(10) < 0x80


def test_on_behalf_is_not_asked(hooked, hooks, connect, device):
    hooks.answer["OnSubscribe"] = with_verdicts(lambda entry: {"refuse_code": 0x87})
    broker = hooked("subscribe")
    one = device(on=broker)
    assert subscribe(connect(broker), one.client_id, pb.Subscription(filter="a")) == [1]
    assert hooks.calls("OnSubscribe") == []


def test_many_clients_at_once(hooked, hooks, device, connect):
    """Each gets its own answer."""
    hooks.answer["OnConnect"] = lambda request, context: allowing(
        tenant="of-" + request.client.client_id)(request, context)
    broker = hooked("connect")
    devices = [device(on=broker, connect=False) for _ in range(100)]
    for one in devices:
        one.begin()
    for one in devices:
        wait_for(lambda: one.has_answer, "CONNACK")
    backend = connect(broker)
    for one in devices:
        assert session(backend, one.client_id).client.tenant == "of-" + one.client_id


def test_the_answer_for_one_that_is_gone_already(hooked, hooks, device):
    hooks.answer["OnConnect"] = hooks.hang(allowing())
    broker = hooked("connect", connect_timeout="15s")
    gone = device(on=broker, connect=False)
    gone.begin()
    hooks.wait("OnConnect")
    gone.raw.socket().close()
    gone.raw.loop_stop()
    hooks.released.set()
    device(on=broker)
