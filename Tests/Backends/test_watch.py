"""bifrost.v1.Clients.Watch: what happens to clients, none of it missed after a broken stream."""

from __future__ import annotations

import pytest

from api import DEADLINE, QOS, Reader, pb, refused
from test_clients import subscribe, unsubscribe


def watch(backend, prefix="", token="") -> Reader:
    """A watch that has begun."""
    request = pb.WatchRequest(client_id_prefix=prefix, resume_token=token)
    reader = Reader(backend.clients.Watch(request))
    reader.wait(bool, "the watch to begin")
    assert reader.seen[0].WhichOneof("event") == "started"
    assert reader.seen[0].resume_token
    return reader


def told(events) -> list[tuple[str, str]]:
    """What happened to whom, without the beginning."""
    return [(e.client_id, e.WhichOneof("event")) for e in events[1:]]


@pytest.mark.everywhere
@pytest.mark.parametrize("version", ("3.1", "3.1.1", "5"))
def test_a_clients_life(backend, device, unique, version):
    prefix = unique("w")
    reader = watch(backend, prefix)
    one = device(version, client_id=prefix, user="gudrun", password="x")
    one.subscribe("a/b", 1)
    one.unsubscribe("a/b")
    one.disconnect()
    events = reader.wait(lambda all: len(all) >= 5 and all, "four events")
    assert told(events) == [
        (prefix, "connected"), (prefix, "subscribed"), (prefix, "unsubscribed"),
        (prefix, "disconnected")]
    connected, subscribed, unsubscribed, disconnected = events[1:]
    assert connected.connected.client.user_name == ""
    assert connected.connected.client.client_id == prefix
    assert not connected.connected.session_present
    assert subscribed.subscribed.filter == "a/b" and subscribed.subscribed.qos == QOS[1]
    assert unsubscribed.unsubscribed == "a/b"
    assert disconnected.disconnected.reason_code == 0
    assert disconnected.disconnected.reason
    times = [event.time_milliseconds for event in events[1:]]
    assert times == sorted(times) and times[0] > 1_600_000_000_000
    tokens = [event.resume_token for event in events]
    assert len(set(tokens)) == len(tokens)


@pytest.mark.everywhere
def test_how_a_connection_ended(backend, device, unique):
    prefix = unique("w")
    reader = watch(backend, prefix)

    def ending(count):
        events = reader.wait(
            lambda all: len([e for e in all if e.HasField("disconnected")]) >= count and all,
            "the end")
        return [e.disconnected for e in events if e.HasField("disconnected")][-1]

    device(client_id=prefix + "-1").kill()
    assert ending(1).reason_code >= 0x80
    first = device(client_id=prefix + "-2")
    device(client_id=prefix + "-2")
    first.wait_gone()
    assert ending(2).reason_code == 0x8E  # session taken over
    third = device(client_id=prefix + "-3")
    backend.clients.Disconnect(
        pb.DisconnectRequest(client_id=third.client_id, reason="enough", reason_code=0x9C),
        timeout=DEADLINE)
    assert ending(3).reason_code == 0x9C


@pytest.mark.everywhere
def test_a_session_that_was_found(backend, device, unique):
    name = unique("w")
    device(client_id=name, clean=False, session_expiry=600).disconnect()
    reader = watch(backend, name)
    device(client_id=name, clean=False, session_expiry=600)
    events = reader.wait(
        lambda all: [e for e in all if e.HasField("connected")], "the connection")
    assert events[0].connected.session_present


@pytest.mark.everywhere
def test_what_is_done_on_behalf_is_told(backend, device, unique):
    one = device()
    reader = watch(backend, one.client_id)
    subscribe(backend, one.client_id, pb.Subscription(filter="a/+"))
    unsubscribe(backend, one.client_id, "a/+")
    events = reader.wait(lambda all: len(all) >= 3 and all, "two events")
    assert [kind for _, kind in told(events)] == ["subscribed", "unsubscribed"]


@pytest.mark.everywhere
def test_a_broken_stream_goes_on(backend, device, unique):
    prefix = unique("w")
    reader = watch(backend, prefix)
    names = [f"{prefix}{number}" for number in range(6)]
    for name in names[:2]:
        device(client_id=name)
    events = reader.wait(lambda all: len(all) >= 3 and all, "two events")
    reader.cancel()
    for name in names[2:4]:
        device(client_id=name)
    # From the first event on, not from the last that was sent.
    again = watch(backend, prefix, events[1].resume_token)
    for name in names[4:]:
        device(client_id=name)
    events = again.wait(lambda all: len(all) >= 6 and all, "five events")
    assert [name for name, _ in told(events)] == names[1:]
    # The token of the beginning stands for the moment, too.
    third = watch(backend, prefix, reader.seen[0].resume_token)
    events = third.wait(lambda all: len(all) >= 7 and all, "six events")
    assert [name for name, _ in told(events)] == names


@pytest.mark.everywhere
def test_only_those_of_a_prefix(backend, device, unique):
    prefix = unique("w")
    some, every = watch(backend, prefix + "-a"), watch(backend)
    for name in ("-b", "-a1", "-c", "-a2"):
        device(client_id=prefix + name)
    events = some.wait(lambda all: len(all) >= 3 and all, "two events")
    assert [name for name, _ in told(events)] == [prefix + "-a1", prefix + "-a2"]
    own = every.wait(
        lambda all: [e for e in all if e.client_id.startswith(prefix)][3:] and all, "all events")
    assert len([e for e in own if e.client_id.startswith(prefix)]) == 4


def test_a_token_that_is_none(backend):
    for token in ("no token", "zz", "0", "x" * 10_000):
        with refused("INVALID_ARGUMENT"):
            list(backend.clients.Watch(pb.WatchRequest(resume_token=token), timeout=DEADLINE))


def test_a_token_of_another_run(start, connect, device, unique):
    broker = start()
    token = watch(connect(broker)).seen[0].resume_token
    broker.stop()
    with refused("OUT_OF_RANGE", "RESUME_TOKEN_EXPIRED"):
        list(connect(start()).clients.Watch(
            pb.WatchRequest(resume_token=token), timeout=DEADLINE))


def test_a_token_that_is_too_old(start, connect, device, unique):
    broker = start("--grpc-watch-events", "100")
    backend, prefix = connect(broker), unique("w")
    reader = watch(backend)
    token = reader.seen[0].resume_token
    reader.cancel()
    another = watch(backend)
    for number in range(101):
        device(on=broker, client_id=f"{prefix}{number}").close()
    another.wait(lambda all: len(all) > 150, "more events than are kept")
    with refused("OUT_OF_RANGE", "RESUME_TOKEN_EXPIRED"):
        list(backend.clients.Watch(pb.WatchRequest(resume_token=token), timeout=DEADLINE))
