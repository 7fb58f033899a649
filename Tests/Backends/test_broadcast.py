"""bifrost.v1.Publisher.Broadcast: one message to all who are online, and how far it is."""

from __future__ import annotations

import pytest

from api import DEADLINE, QOS, Reader, pb, refused
from devices import seen
from hook_backend import HookBackend
from interop_support import wait_for


def order(topic="news", payload=b"all", qos=1, **audience):
    return pb.BroadcastRequest(
        message=pb.Message(topic=topic, payload=payload, qos=QOS[qos]), **audience)


def progress(backend, request):
    """All that the broadcast says; the last says that it is done."""
    answers = list(backend.publisher.Broadcast(request, timeout=DEADLINE))
    assert [answer.done for answer in answers] == [False] * (len(answers) - 1) + [True]
    for earlier, later in zip(answers, answers[1:]):
        assert later.sent >= earlier.sent and later.acknowledged >= earlier.acknowledged
    return answers[-1]


def figures(answer) -> tuple[int, int, int, int]:
    return answer.sent, answer.acknowledged, answer.lost, answer.skipped


@pytest.fixture
def own(start, connect):
    """A broker whose clients are this test's only, and a backend of it."""

    def begin(*flags, **options):
        broker = start(*flags, **options)
        return broker, connect(broker)

    return begin


@pytest.mark.parametrize("loops", (1, 2))
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_everyone_gets_it_once(own, device, loops, qos):
    broker, backend = own(loops=loops)
    devices = [device(version, on=broker) for version in ("3.1", "3.1.1", "5") * 10]
    # Subscribing makes no difference.
    devices[0].subscribe("#", 2)
    answer = progress(backend, order(qos=qos, everyone=True))
    assert figures(answer) == (30, 30, 0, 0)
    for one in devices:
        assert seen(one.next()) == ("news", b"all", qos, False)
    backend.publish(*["@" + one.client_id for one in devices], topic="end", payload=b"end")
    for one in devices:
        assert one.until(b"end") == []


@pytest.mark.parametrize("store", ("memory", "sqlite"))
def test_the_absent_do_not_get_it(own, device, unique, store):
    broker, backend = own(store=store)
    name = unique("away")
    options = {"on": broker, "client_id": name, "clean": False, "session_expiry": 3600}
    device(**options).disconnect()
    assert figures(progress(backend, order(everyone=True))) == (0, 0, 0, 0)
    here = device(on=broker)
    assert figures(progress(backend, order(everyone=True))) == (1, 1, 0, 0)
    assert here.next().payload == b"all"
    returned = device(**options)
    backend.publish("@" + name, topic="end", payload=b"end")
    assert returned.until(b"end") == []


def test_those_of_a_filter(backend, device, unique):
    topic = unique("topic")
    inside, outside = [device() for _ in range(3)], device()
    for one in inside:
        one.subscribe(topic + "/+", 1)
    outside.subscribe(topic + "/#", 1)
    answer = progress(backend, order(topic=topic + "/x", filter=topic + "/+"))
    assert figures(answer) == (3, 3, 0, 0)
    for one in inside:
        assert one.next().payload == b"all"
    backend.publish(topic=topic + "/x", payload=b"end")
    assert outside.until(b"end") == []


def test_those_of_a_tenant(hooked, hooks: HookBackend, connect, device):
    hooks.answer["OnConnect"] = lambda request, context: pb.OnConnectResponse(
        allow=pb.OnConnectResponse.Allow(tenant=request.client.user_name))
    broker = hooked("connect")
    backend = connect(broker)
    red = [device(on=broker, user="red") for _ in range(3)]
    blue = device(on=broker, user="blue")
    assert figures(progress(backend, order(tenant="red"))) == (3, 3, 0, 0)
    for one in red:
        assert one.next().payload == b"all"
    backend.publish("@" + blue.client_id, topic="end", payload=b"end")
    assert blue.until(b"end") == []
    assert figures(progress(backend, order(tenant="green"))) == (0, 0, 0, 0)


def test_it_lasts_until_the_last_one_has_it(own, device):
    broker, backend = own()
    quick, slow = device(on=broker), device(on=broker, manual=True)
    reader = Reader(backend.publisher.Broadcast(order(everyone=True)))
    message = slow.next()
    quick.next()
    reader.wait(lambda all: all and all[-1].acknowledged == 1 and all[-1].sent == 2, "one of two")
    assert not reader.seen[-1].done
    slow.acknowledge(message)
    reader.wait(lambda all: all[-1].done, "the end")
    assert reader.wait_end() is None
    assert figures(reader.seen[-1]) == (2, 2, 0, 0)


def test_one_that_goes_away_is_lost(own, device):
    broker, backend = own()
    device(on=broker)
    slow = device(on=broker, manual=True)
    reader = Reader(backend.publisher.Broadcast(order(everyone=True)))
    slow.next()
    slow.kill()
    reader.wait(lambda all: all and all[-1].done, "the end")
    assert figures(reader.seen[-1]) == (2, 1, 1, 0)


def test_the_rate_bounds_it(own, device):
    """At one client a second, some are sent it while others are not yet."""
    broker, backend = own()
    devices = [device(on=broker) for _ in range(4)]
    reader = Reader(backend.publisher.Broadcast(order(everyone=True, clients_per_second=1)))
    reader.wait(lambda all: any(0 < one.sent < 4 for one in all), "a part to be sent")
    reader.wait(lambda all: all[-1].done, "the end")
    assert figures(reader.seen[-1]) == (4, 4, 0, 0)
    for one in devices:
        one.next()


def test_a_call_that_ends_ends_it(own, device):
    broker, backend = own()
    devices = [device(on=broker) for _ in range(200)]
    reader = Reader(backend.publisher.Broadcast(order(everyone=True, clients_per_second=1)))
    reader.wait(lambda all: all and all[-1].sent > 0, "the first")
    reader.cancel()
    # It has a bounded number at a time, so new ones can be made when old ones have ended.
    for _ in range(20):
        other = Reader(backend.publisher.Broadcast(order(everyone=True, clients_per_second=1)))
        wait_for(lambda: other.seen or other.refusal, "the first word of the next one")
        other.cancel()
    for one in devices:
        one.close()


INVALID = {
    "audience": order(),
    "message": pb.BroadcastRequest(everyone=True),
    "topic": order(topic="a/#", everyone=True),
    "filter": order(filter="a/#/b"),
    "tenant": order(tenant=""),
    "everyone": order(everyone=False),
}


@pytest.mark.parametrize("what", INVALID)
def test_a_request_that_is_invalid(backend, what):
    with refused("INVALID_ARGUMENT") as refusal:
        list(backend.publisher.Broadcast(INVALID[what], timeout=DEADLINE))
    assert refusal.domain == "bifrost" and refusal.reason
