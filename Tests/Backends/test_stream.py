"""bifrost.v1.Publisher.PublishStream: many publishes over one stream, in order."""

from __future__ import annotations

import threading

import pytest

from api import DEADLINE, QOS, Reader, Requests, pb, publish_request, refused
from interop_support import wait_for
from test_publisher import ACCEPTED, NO_SUBSCRIBERS, REFUSED, away, back


def batch(topic, values, *, wants_results=False, **message):
    return pb.PublishStreamRequest(
        publishes=[publish_request(topic=topic, payload=b"%d" % v, **message) for v in values],
        wants_results=wants_results)


@pytest.mark.everywhere
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_order_is_kept_and_each_request_is_answered(backend, device, unique, qos):
    topic, subscriber = unique("topic"), device(inflight=0)
    subscriber.subscribe(topic, 2)
    requests = [batch(topic, range(n * 40, n * 40 + 40), qos=QOS[qos]) for n in range(20)]
    answers = list(backend.publisher.PublishStream(iter(requests), timeout=DEADLINE))
    assert [answer.requests for answer in answers] == list(range(1, 21))
    assert [answer.publishes for answer in answers] == list(range(40, 801, 40))
    assert all(not answer.results and not answer.refused for answer in answers)
    assert [int(message.payload) for message in subscriber.receive(800)] == list(range(800))


@pytest.mark.everywhere
def test_results_where_they_are_wanted(backend, device, unique):
    topic, subscriber = unique("topic"), device()
    subscriber.subscribe(topic, 1)
    request = pb.PublishStreamRequest(
        publishes=[
            publish_request(topic=topic, payload=b"1"),
            publish_request(unique("nobody"), "bad/+", topic=topic, payload=b"2"),
            publish_request("@" + subscriber.client_id, topic=topic, payload=b"3"),
        ],
        wants_results=True)
    (answer,) = backend.publisher.PublishStream(iter([request]), timeout=DEADLINE)
    outcomes = [[result.outcome for result in one.results] for one in answer.results]
    assert outcomes == [[ACCEPTED], [NO_SUBSCRIBERS, REFUSED], [ACCEPTED]]
    assert list(answer.refused) == [1]
    assert [message.payload for message in subscriber.receive(2)] == [b"1", b"3"]


def test_refused_ones_are_named_without_results(backend, unique):
    request = batch(unique("topic"), range(5))
    request.publishes[1].targets.add(topic="a/#")
    request.publishes[4].targets.add(topic="$SYS/x")
    (answer,) = backend.publisher.PublishStream(iter([request]), timeout=DEADLINE)
    assert list(answer.refused) == [1, 4]
    assert not answer.results


@pytest.mark.everywhere
def test_a_stream_stays_open_between_requests(backend, device, unique):
    topic, subscriber, requests = unique("topic"), device(), Requests()
    subscriber.subscribe(topic, 1)
    reader = Reader(backend.publisher.PublishStream(iter(requests)))
    for number in range(5):
        requests.send(batch(topic, [number]))
        # The next is sent when this one is answered: no answer waits for a later request.
        reader.wait(lambda seen: len(seen) == number + 1, f"answer {number}")
        assert int(subscriber.next().payload) == number
    requests.end()
    assert reader.wait_end() is None


@pytest.mark.everywhere
def test_keys_count_in_streams_too(backend, device, unique):
    topic, key, subscriber = unique("topic"), unique("key"), device()
    subscriber.subscribe(topic, 1)
    one = publish_request(topic=topic, payload=b"once", once=key)
    request = pb.PublishStreamRequest(publishes=[one, one], wants_results=True)
    answers = list(backend.publisher.PublishStream(iter([request, request]), timeout=DEADLINE))
    duplicates = [result.is_duplicate for answer in answers for result in answer.results]
    assert duplicates == [False, True, True, True]
    assert backend.publisher.Publish(one, timeout=DEADLINE).is_duplicate
    backend.publish(topic=topic, payload=b"end")
    assert [message.payload for message in subscriber.until(b"end")] == [b"once"]


@pytest.mark.everywhere
def test_absent_clients_get_all_of_it_later(backend, device, unique):
    topic = unique("topic")
    name = away(device, unique, topic)
    requests = [batch(topic, range(n * 50, n * 50 + 50)) for n in range(10)]
    list(backend.publisher.PublishStream(iter(requests), timeout=DEADLINE))
    assert [int(message.payload) for message in back(device, name).receive(500)] == list(range(500))


@pytest.mark.everywhere
def test_an_empty_request_is_answered(backend):
    requests = [pb.PublishStreamRequest()] * 3
    answers = list(backend.publisher.PublishStream(iter(requests), timeout=DEADLINE))
    assert [(answer.requests, answer.publishes) for answer in answers] == [(1, 0), (2, 0), (3, 0)]


def test_ten_thousand_publishes_in_one_request(backend, device, unique):
    topic, subscriber = unique("topic"), device(inflight=0)
    subscriber.subscribe(topic, 0)
    (answer,) = backend.publisher.PublishStream(
        iter([batch(topic, range(10_000), qos=QOS[0])]), timeout=DEADLINE)
    assert answer.publishes == 10_000
    assert [int(m.payload) for m in subscriber.receive(10_000)] == list(range(10_000))


def test_too_many_publishes_in_one_request(backend, unique):
    requests = [batch(unique("topic"), range(2)), batch(unique("topic"), range(10_001))]
    reader = Reader(backend.publisher.PublishStream(iter(requests), timeout=DEADLINE))
    refusal = reader.wait_end()
    assert refusal is not None and refusal.code.name == "INVALID_ARGUMENT"
    # What was before it is done, and answered.
    assert [answer.publishes for answer in reader.seen] == [2]


def test_an_invalid_publish_ends_the_stream(backend, unique):
    with refused("INVALID_ARGUMENT"):
        list(backend.publisher.PublishStream(
            iter([pb.PublishStreamRequest(publishes=[pb.PublishRequest()])]), timeout=DEADLINE))


def test_a_sender_that_reads_no_answers_is_held_back(broker, connect, unique):
    """Flow control: the broker stops reading while too many answers wait."""
    backend, topic = connect(broker), unique("topic")
    sent = threading.Semaphore(0)
    count, most = [0], 200_000
    stop = threading.Event()

    def requests():
        request = batch(topic, range(20), wants_results=True)
        while not stop.is_set() and count[0] < most:
            count[0] += 1
            sent.release()
            yield request

    call = backend.publisher.PublishStream(requests())
    # grpc's reader takes one answer at a time, when asked: this never asks.
    stable = [0, -1]

    def is_held():
        # Held back: the count has not moved in a hundred looks.
        stable[0] = stable[0] + 1 if stable[1] == count[0] else 0
        stable[1] = count[0]
        return stable[0] >= 100

    wait_for(is_held, "the sender to be held back", timeout=60)
    assert count[0] < most
    # Whoever else publishes is not held back.
    connect(broker).publish(topic=topic, payload=b"x")
    # And when it reads, it goes on.
    held = count[0]
    for _ in range(held):
        next(call)
    wait_for(lambda: count[0] > held, "the sender to go on")
    stop.set()
    call.cancel()


def test_a_stream_that_breaks_takes_nothing_with_it(broker, connect, device, unique):
    topic, subscriber = unique("topic"), device()
    subscriber.subscribe(topic, 1)
    backend, requests = connect(broker), Requests(batch(topic, [1]))
    call = backend.publisher.PublishStream(iter(requests))
    assert next(call).requests == 1
    backend.close()
    requests.end()
    connect(broker).publish(topic=topic, payload=b"2")
    assert [message.payload for message in subscriber.receive(2)] == [b"1", b"2"]
