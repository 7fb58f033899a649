"""bifrost.v1.Subscriber: a backend reads what devices publish, with and without a cursor."""

from __future__ import annotations

import pytest

from api import DEADLINE, QOS, Reader, Requests, pb, refused
from interop_support import wait_for


def opening(*filters, name="", window=0, qos=None):
    entries = [
        pb.SubscribeRequest.Filter(filter=one, qos=QOS[qos] if qos is not None else 0)
        for one in filters]
    return pb.SubscribeRequest(
        open=pb.SubscribeRequest.Open(name=name, filters=entries, window=window))


def acknowledging(*ids):
    return pb.SubscribeRequest(acknowledge=pb.SubscribeRequest.Acknowledge(ids=ids))


class Subscription(Reader):
    """A stream that is open."""

    def __init__(self, backend, *filters, **options):
        self.requests = Requests(opening(*filters, **options))
        super().__init__(backend.subscriber.Subscribe(iter(self.requests)))
        self.taken = 0
        self.wait(bool, "the subscription to open")
        assert self.seen[0].WhichOneof("response") == "opened"

    @property
    def resumed(self) -> bool:
        return self.seen[0].opened.resumed

    def deliveries(self) -> list:
        return [d for response in self.seen for d in response.deliveries.deliveries]

    def next(self, count=1, acknowledges=True) -> list:
        """The next deliveries."""
        def enough(_):
            return len(self.deliveries()) >= self.taken + count

        self.wait(enough, f"{count} deliveries behind {self.taken}")
        got = self.deliveries()[self.taken:self.taken + count]
        self.taken += count
        if acknowledges:
            self.acknowledge(*got)
        return got

    def acknowledge(self, *deliveries) -> None:
        ids = [delivery.id for delivery in deliveries if delivery.id]
        if ids:
            self.requests.send(acknowledging(*ids))

    def end(self) -> None:
        """Ends it as a backend does that has no more to say."""
        self.requests.end()
        assert self.wait_end() is None

    def cancel(self) -> None:
        """Ends it as a backend does that dies."""
        super().cancel()
        self.requests.end()


def payloads(deliveries) -> list[bytes]:
    return [delivery.message.payload for delivery in deliveries]


@pytest.mark.everywhere
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_what_devices_publish(backend, device, unique, qos):
    topic, one = unique("topic"), device()
    stream = Subscription(backend, topic + "/+/state", topic + "/#")
    assert not stream.resumed
    one.publish(
        topic + "/7/state", b"on", qos, ContentType="text/plain",
        UserProperty=[("a", "b"), ("message-key", "k-1")], ResponseTopic="answers")
    (delivery,) = stream.next()
    message = delivery.message
    assert (message.topic, message.payload) == (topic + "/7/state", b"on")
    assert message.content_type == "text/plain" and message.response_topic == "answers"
    assert message.key == "k-1"
    assert ("a", "b") in [(p.name, p.value) for p in message.user_properties]
    assert message.qos == QOS[min(qos, 1)]
    assert bool(delivery.id) == (qos > 0)
    assert not delivery.redelivered
    # Two filters that match deliver once, as the next one shows.
    one.publish(topic + "/end", b"end", 1)
    assert payloads(stream.next()) == [b"end"]
    stream.end()


@pytest.mark.everywhere
def test_order_and_many(backend, device, unique):
    topic, one = unique("topic"), device(inflight=0)
    stream = Subscription(backend, topic)
    for number in range(1000):
        one.publish(topic, b"%d" % number, 1, wait=False)
    got = []
    while len(got) < 1000:
        got += payloads(stream.next())
    assert [int(payload) for payload in got] == list(range(1000))
    stream.end()


@pytest.mark.everywhere
def test_what_backends_publish_comes_too(backend, unique):
    topic = unique("topic")
    stream = Subscription(backend, topic)
    (result,) = backend.publish(topic=topic, payload=b"x")
    assert (result.outcome, result.online) == (pb.TargetResult.OUTCOME_ACCEPTED, 1)
    assert payloads(stream.next()) == [b"x"]


@pytest.mark.everywhere
def test_at_most_once_if_asked(backend, device, unique):
    topic = unique("topic")
    stream = Subscription(backend, topic, qos=0, window=1)
    one = device()
    for number in range(10):
        one.publish(topic, b"%d" % number, 1)
    got = stream.next(10)
    assert [delivery.id for delivery in got] == [0] * 10


@pytest.mark.durable
@pytest.mark.parametrize("name", ("", "named"))
def test_the_window_bounds_what_is_not_acknowledged(backend, device, unique, name):
    topic, one = unique("topic"), device()
    stream = Subscription(backend, topic, window=3, name=name and unique("c"))
    for number in range(6):
        one.publish(topic, b"%d" % number, 1)
    first = stream.next(3, acknowledges=False)
    assert payloads(first) == [b"0", b"1", b"2"]
    # Acknowledged in any order; each makes room for one.
    stream.acknowledge(first[2])
    assert payloads(stream.next(1, acknowledges=False)) == [b"3"]
    stream.acknowledge(first[0], first[1])
    assert payloads(stream.next(2, acknowledges=False)) == [b"4", b"5"]
    assert len(stream.deliveries()) == 6
    stream.end()


# Durable cursors.


@pytest.mark.durable
def test_a_cursor_goes_on_where_it_was(backend, device, unique):
    topic, name, one = unique("topic"), unique("c"), device()
    stream = Subscription(backend, topic, name=name)
    assert not stream.resumed
    one.publish(topic, b"1", 1)
    stream.next()
    stream.end()
    one.publish(topic, b"2", 1)
    one.publish(topic, b"3", 2)
    again = Subscription(backend, topic, name=name)
    assert again.resumed
    got = again.next(2)
    assert payloads(got) == [b"2", b"3"]
    again.end()


@pytest.mark.durable
def test_what_is_not_acknowledged_comes_again(backend, device, unique):
    topic, name, one = unique("topic"), unique("c"), device()
    stream = Subscription(backend, topic, name=name)
    for number in range(4):
        one.publish(topic, b"%d" % number, 1)
    got = stream.next(4, acknowledges=False)
    stream.acknowledge(got[0], got[2])
    one.publish(topic, b"4", 1)
    stream.next(1)  # the broker has read the acknowledgements that stand before this one's
    stream.end()
    again = Subscription(backend, topic, name=name)
    rest = again.next(2)
    assert sorted(payloads(rest)) == [b"1", b"3"]
    again.end()


@pytest.mark.durable
def test_a_stream_that_breaks_loses_nothing(broker, connect, device, unique):
    topic, name, one = unique("topic"), unique("c"), device()
    backend = connect(broker)
    stream = Subscription(backend, topic, name=name)
    one.publish(topic, b"1", 1)
    stream.next(acknowledges=False)
    stream.cancel()
    backend.close()
    again = Subscription(connect(broker), topic, name=name)
    assert payloads(again.next()) == [b"1"]
    again.end()


def test_a_cursor_outlives_the_broker(start, connect, device, unique):
    broker = start()
    topic, name = unique("topic"), unique("c")
    stream = Subscription(connect(broker), topic, name=name)
    one = device(on=broker)
    for number in range(5):
        one.publish(topic, b"%d" % number, 1)
    stream.next(2)
    stream.next(3, acknowledges=False)
    stream.end()
    one.publish(topic, b"5", 1)
    broker.kill()
    again = Subscription(connect(start()), topic, name=name)
    assert again.resumed
    got = set()
    while not {b"2", b"3", b"4", b"5"} <= got:
        got |= set(payloads(again.next()))
    assert b"0" not in got and b"1" not in got


@pytest.mark.durable
def test_streams_of_one_name_share(backend, connect, broker, device, unique):
    topic, name, one = unique("topic"), unique("c"), device(inflight=0)
    streams = [Subscription(connect(broker), topic, name=name, window=10) for _ in range(3)]
    for number in range(90):
        one.publish(topic, b"%d" % number, 1, wait=False)
    seen_ids = [0, 0, 0]

    def all_there():
        for index, stream in enumerate(streams):
            new = stream.deliveries()[seen_ids[index]:]
            seen_ids[index] += len(new)
            stream.acknowledge(*new)
        return sum(seen_ids) >= 90

    wait_for(all_there, "90 messages", DEADLINE)
    got = [int(payload) for stream in streams for payload in payloads(stream.deliveries())]
    assert sorted(got) == list(range(90))
    assert all(stream.deliveries() for stream in streams)
    for stream in streams:
        stream.end()


@pytest.mark.durable
def test_what_one_held_goes_to_another(backend, device, unique):
    topic, name, one = unique("topic"), unique("c"), device()
    first = Subscription(backend, topic, name=name)
    one.publish(topic, b"1", 1)
    first.next(acknowledges=False)
    second = Subscription(backend, topic, name=name)
    first.cancel()
    assert payloads(second.next()) == [b"1"]
    second.end()


@pytest.mark.durable
def test_filters_of_a_cursor_change(backend, device, unique):
    topic, name, one = unique("topic"), unique("c"), device()
    Subscription(backend, topic + "/a", topic + "/b", name=name).end()
    one.publish(topic + "/a", b"old", 1)
    again = Subscription(backend, topic + "/b", topic + "/c", name=name)
    for letter in ("a", "b", "c"):
        one.publish(f"{topic}/{letter}", letter.encode(), 1)
    assert payloads(again.next(2)) == [b"b", b"c"]
    again.end()


@pytest.mark.durable
def test_two_names_have_a_cursor_each(backend, device, unique):
    topic, one = unique("topic"), device()
    streams = [Subscription(backend, topic, name=unique("c")) for _ in range(2)]
    one.publish(topic, b"x", 1)
    for stream in streams:
        assert payloads(stream.next()) == [b"x"]
        stream.end()


@pytest.mark.everywhere
def test_without_a_name_nothing_is_kept(backend, device, unique):
    topic, one = unique("topic"), device()
    Subscription(backend, topic).end()
    one.publish(topic, b"unheard", 1)
    again = Subscription(backend, topic)
    one.publish(topic, b"end", 1)
    assert payloads(again.next()) == [b"end"]


@pytest.mark.durable
def test_a_cursor_that_is_deleted(backend, device, unique):
    topic, name, one = unique("topic"), unique("c"), device()
    stream = Subscription(backend, topic, name=name)
    request = pb.DeleteCursorRequest(name=name)
    with refused("FAILED_PRECONDITION"):
        backend.subscriber.DeleteCursor(request, timeout=DEADLINE)
    stream.end()
    one.publish(topic, b"forgotten", 1)

    def delete():
        # The end of the stream may be heard of after its status was.
        try:
            backend.subscriber.DeleteCursor(request, timeout=DEADLINE)
        except Exception as error:
            assert error.code().name == "FAILED_PRECONDITION"
            return False
        return True

    wait_for(delete, "the cursor to go")
    with refused("NOT_FOUND"):
        backend.subscriber.DeleteCursor(request, timeout=DEADLINE)
    again = Subscription(backend, topic, name=name)
    assert not again.resumed
    one.publish(topic, b"end", 1)
    assert payloads(again.next()) == [b"end"]
    again.end()


# Refusals.


NAMES = ("a/b", "a+", "#", "x" * 129)
FILTERS = ("", "a/#/b", "a+", "$share/g/a", "nul\0")


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_that_is_none(backend, name):
    with refused("INVALID_ARGUMENT"):
        list(backend.subscriber.Subscribe(iter([opening("x", name=name)]), timeout=DEADLINE))
    with refused("INVALID_ARGUMENT"):
        backend.subscriber.DeleteCursor(pb.DeleteCursorRequest(name=name), timeout=DEADLINE)


@pytest.mark.parametrize("one", FILTERS, ids=range(len(FILTERS)))
def test_a_filter_that_is_none(backend, one):
    with refused("INVALID_ARGUMENT"):
        list(backend.subscriber.Subscribe(iter([opening("x", one)]), timeout=DEADLINE))


@pytest.mark.parametrize("case", (
    "no filter", "many filters", "window", "not opened", "nothing", "opened twice"))
def test_requests_that_are_invalid(backend, case):
    requests = {
        "no filter": [opening()],
        "many filters": [opening(*["x"] * 1001)],
        "window": [opening("x", window=65536)],
        "not opened": [acknowledging(1)],
        "nothing": [pb.SubscribeRequest()],
        "opened twice": [opening("x"), opening("x")],
    }[case]
    with refused("INVALID_ARGUMENT"):
        list(backend.subscriber.Subscribe(iter(requests), timeout=DEADLINE))


def test_a_name_without_a_store(start, connect, unique):
    backend = connect(start(store="memory"))
    with refused("FAILED_PRECONDITION", "NOT_DURABLE"):
        list(backend.subscriber.Subscribe(
            iter([opening("x", name=unique("c"))]), timeout=DEADLINE))


def test_an_acknowledgement_of_nothing(backend, unique):
    stream = Subscription(backend, unique("topic"))
    stream.requests.send(acknowledging(4711))
    refusal = stream.wait_end()
    assert refusal is not None and refusal.code.name == "INVALID_ARGUMENT"


def test_no_device_may_be_a_cursor(device):
    """What backends read with is not for devices to take."""
    for name in ("$backend/cursor/x", "$backend/member/x/1"):
        assert device(connect=False, client_id=name).attempt() == 0x85
