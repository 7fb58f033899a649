"""Backends that hang, die, answer late or garbage: what is configured applies to that client."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import threading

import grpc
import pytest

from api import pb
from backend_broker import hook_flags
from hook_backend import allow, allow_filters, allow_messages
from interop_support import wait_for

HERE = pathlib.Path(__file__).resolve().parent

# When a question is given up: soon, or long after the test is done.
SHORT, LONG = "300ms", "15s"


def fail(request, context):
    context.abort(grpc.StatusCode.INTERNAL, "out of order")


def refuse_code(code: int) -> bool:
    return code >= 0x80


@pytest.fixture
def dead_port():
    """A port at which nobody listens, and nobody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def noise_port():
    """A port at which something answers that speaks no gRPC."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)

        def serve():
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.settimeout(5)
                        connection.recv(4096)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(range(256)))

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        stop.set()
        thread.join()


def ask(hook: str, one) -> bool:
    """Brings a device to the point where the hook is asked; whether it was let on."""
    if hook == "connect":
        return not refuse_code(one.attempt())
    one.connect()
    if hook == "subscribe":
        return not refuse_code(one.subscribe("t", 1)[0])
    return not refuse_code(one.begin_publish("t", b"x").wait(15))


ASKING = ("connect", "subscribe", "publish")
METHOD = {"connect": "OnConnect", "subscribe": "OnSubscribe", "publish": "OnPublish"}
GOOD = {"connect": allow, "subscribe": allow_filters, "publish": allow_messages}

GARBAGE = {
    "connect": (
        b"\xff\xff\xff", b"", pb.OnConnectResponse(),
        pb.OnConnectResponse(refuse=pb.OnConnectResponse.Refuse(reason_code=5)),
        pb.OnConnectResponse(allow=pb.OnConnectResponse.Allow(
            acl=[pb.AclRule(filter="a/#/b")])),
        pb.OnConnectResponse(allow=pb.OnConnectResponse.Allow(
            attributes={str(n): "x" for n in range(65)})),
        pb.OnConnectResponse(allow=pb.OnConnectResponse.Allow(attributes={"a": "x" * 1025})),
    ),
    "subscribe": (
        b"\xff\xff\xff", b"", pb.OnSubscribeResponse(),
        pb.OnSubscribeResponse(verdicts=[pb.FilterVerdict()] * 2),
        pb.OnSubscribeResponse(verdicts=[pb.FilterVerdict(refuse_code=5)]),
        pb.OnSubscribeResponse(verdicts=[pb.FilterVerdict(max_qos=17)]),
    ),
    "publish": (
        b"\xff\xff\xff", b"", pb.OnPublishResponse(verdicts=[pb.PublishVerdict()]),
        pb.OnPublishResponse(verdicts=[pb.PublishVerdict(action=1)] * 2),
        pb.OnPublishResponse(verdicts=[pb.PublishVerdict(action=17)]),
        pb.OnPublishResponse(verdicts=[pb.PublishVerdict(action=2, reason_code=5)]),
        pb.OnPublishResponse(verdicts=[pb.PublishVerdict(action=4)]),
        pb.OnPublishResponse(verdicts=[
            pb.PublishVerdict(action=4, rewritten=pb.Message(topic="a/#"))]),
        pb.OnPublishResponse(verdicts=[
            pb.PublishVerdict(action=4, rewritten=pb.Message(topic="$SYS/x"))]),
    ),
}


# Each way to fail, for each hook, with each policy.


@pytest.mark.parametrize("policy", ("allow", "refuse"))
@pytest.mark.parametrize("hook", ASKING)
class TestPolicy:
    def test_it_hangs(self, hooked, hooks, device, hook, policy):
        hooks.answer[METHOD[hook]] = hooks.hang()
        broker = hooked(hook, **{f"{hook}_timeout": SHORT, f"{hook}_on_failure": policy})
        assert ask(hook, device(on=broker, connect=False)) == (policy == "allow")
        assert hooks.calls(METHOD[hook])

    def test_it_fails(self, hooked, hooks, device, hook, policy):
        hooks.answer[METHOD[hook]] = fail
        broker = hooked(hook, **{f"{hook}_timeout": SHORT, f"{hook}_on_failure": policy})
        assert ask(hook, device(on=broker, connect=False)) == (policy == "allow")

    def test_nobody_listens(self, start, device, dead_port, hook, policy):
        broker = start(*hook_flags(hook, dead_port, timeout=SHORT, on_failure=policy))
        assert ask(hook, device(on=broker, connect=False)) == (policy == "allow")

    def test_it_speaks_something_else(self, start, device, noise_port, hook, policy):
        broker = start(*hook_flags(hook, noise_port, timeout=SHORT, on_failure=policy))
        assert ask(hook, device(on=broker, connect=False)) == (policy == "allow")

    def test_garbage(self, hooked, hooks, device, hook, policy):
        broker = hooked(hook, **{f"{hook}_timeout": SHORT, f"{hook}_on_failure": policy})
        for answer in GARBAGE[hook]:
            hooks.answer[METHOD[hook]] = lambda request, context: answer
            one = device(on=broker, connect=False)
            assert ask(hook, one) == (policy == "allow"), answer

    def test_it_does_not_implement_it(self, hooked, hooks, device, hook, policy):
        def unimplemented(request, context):
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such call")

        hooks.answer[METHOD[hook]] = unimplemented
        broker = hooked(hook, **{f"{hook}_timeout": SHORT, f"{hook}_on_failure": policy})
        assert ask(hook, device(on=broker, connect=False)) == (policy == "allow")


@pytest.mark.parametrize("hook", ASKING)
def test_it_is_refused_unless_said(hooked, hooks, device, hook):
    hooks.answer[METHOD[hook]] = fail
    assert not ask(hook, device(on=hooked(hook), connect=False))


def test_the_code_of_a_connect_that_could_not_be_asked(hooked, hooks, device):
    hooks.answer["OnConnect"] = fail
    assert device(on=hooked("connect"), connect=False).attempt() == 0x89


@pytest.mark.parametrize("hook", ASKING)
def test_waiting_until_there_is_an_answer(hooked, hooks, device, hook):
    """With `wait` the question is asked until it is answered, however often that fails."""
    failures = [fail] * 3

    def at_last(request, context):
        return (failures.pop() if failures else GOOD[hook])(request, context)

    hooks.answer[METHOD[hook]] = at_last
    broker = hooked(hook, **{f"{hook}_timeout": SHORT, f"{hook}_on_failure": "wait"})
    assert ask(hook, device(on=broker, connect=False))
    assert not failures


@pytest.mark.parametrize("hook", ASKING)
def test_a_late_answer_counts_for_nothing(hooked, hooks, device, hook):
    """What comes after the time is over does not undo what was decided without it."""
    hooks.answer[METHOD[hook]] = hooks.hang(GOOD[hook])
    broker = hooked(hook, **{f"{hook}_timeout": SHORT})
    late = device(on=broker, connect=False)
    assert not ask(hook, late)
    hooks.released.set()
    hooks.answer[METHOD[hook]] = GOOD[hook]
    one = device(on=broker, connect=False)
    wait_for(lambda: ask(hook, device(on=broker, connect=False)), "the backend to be asked again")
    assert ask(hook, one)


# A backend that dies.


class Process:
    """A backend in a process of its own, that hangs when asked."""

    def __init__(self, method: str):
        self.process = subprocess.Popen(
            [sys.executable, os.fspath(HERE / "hook_backend.py"), method],
            stdout=subprocess.PIPE, text=True)
        self.port = int(self.line())

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def processes():
    made = []

    def make(method: str) -> Process:
        made.append(Process(method))
        return made[-1]

    yield make
    for process in made:
        process.kill()


@pytest.mark.parametrize("policy", ("allow", "refuse"))
@pytest.mark.parametrize("hook", ASKING)
def test_it_dies_while_it_is_asked(start, processes, device, hook, policy):
    backend = processes(METHOD[hook])
    broker = start(*hook_flags(hook, backend.port, timeout="5s", on_failure=policy))
    let_on = []
    one = device(on=broker, connect=False)
    thread = threading.Thread(target=lambda: let_on.append(ask(hook, one)))
    thread.start()
    assert backend.line() == "asked"
    backend.kill()
    thread.join(20)
    assert let_on == [policy == "allow"]


def test_another_endpoint_is_asked(start, processes, hooks, device):
    """One dies while it is asked: the other is asked, and the client notices nothing."""
    dying = processes("OnConnect")
    broker = start(*hook_flags("connect", dying.port, hooks.port, timeout=LONG))
    results = []

    def come():
        results.append(device(on=broker, connect=False).attempt())

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert dying.line() == "asked"
    dying.kill()
    for thread in threads:
        thread.join(20)
    assert results == [0] * 4
    assert len(hooks.calls("OnConnect")) >= 4


def test_a_backend_that_comes_back(start, make_hooks, device):
    """What failed is tried again: the backend needs no word to the broker."""
    first = make_hooks()
    broker = start(
        *hook_flags("connect", first.port, timeout=SHORT), "--hooks-breaker-pause", "200ms")
    device(on=broker)
    first.stop()
    assert device(on=broker, connect=False).attempt() == 0x89
    second = make_hooks(first.port)
    wait_for(lambda: device(on=broker, connect=False).attempt() == 0, "the backend to be found")
    assert second.calls("OnConnect")


def test_endpoints_are_balanced(start, make_hooks, device):
    backends = [make_hooks() for _ in range(3)]
    broker = start(*hook_flags("connect", *[backend.port for backend in backends]))

    def all_asked():
        device(on=broker).disconnect()
        return all(backend.calls("OnConnect") for backend in backends)

    wait_for(all_asked, "each endpoint to be asked")


def test_an_endpoint_that_is_not_healthy_is_spared(start, make_hooks, device):
    ill, well = make_hooks(), make_hooks()
    ill.is_serving(False)
    well.is_serving(True)
    broker = start(
        *hook_flags("connect", ill.port, well.port, timeout=LONG),
        "--hooks-health-interval", "100ms")

    def is_spared():
        before = len(ill.calls("OnConnect"))
        for _ in range(6):
            device(on=broker).disconnect()
        return len(ill.calls("OnConnect")) == before

    wait_for(is_spared, "the broker to see who is ill")
    ill.is_serving(True)
    before = len(ill.calls("OnConnect"))

    def is_asked():
        device(on=broker).disconnect()
        return len(ill.calls("OnConnect")) > before

    wait_for(is_asked, "the broker to see who is well again")


def test_a_dead_endpoint_beside_a_live_one(start, hooks, device, dead_port):
    broker = start(*hook_flags("connect", dead_port, hooks.port, timeout=LONG))
    for _ in range(20):
        device(on=broker).disconnect()
    assert len(hooks.calls("OnConnect")) == 20


# Nobody else is held up.


@pytest.mark.parametrize("loops", (1, 2))
def test_others_go_on_while_one_waits(hooked, hooks, device, loops):
    def hang_for_slow(request, context):
        if request.client.user_name == "slow":
            hooks.released.wait(15)
        return allow(request, context)

    hooks.answer["OnConnect"] = hang_for_slow
    broker = hooked("connect", connect_timeout=LONG, loops=loops)
    slow = [device(on=broker, connect=False, user="slow") for _ in range(8)]
    for one in slow:
        one.begin()
    hooks.wait("OnConnect", lambda requests: len(requests) >= 8)
    subscriber = device(on=broker)
    subscriber.subscribe("t", 1)
    for number in range(100):
        device(on=broker).publish("t", b"%d" % number, 1)
    assert [int(m.payload) for m in subscriber.receive(100)] == list(range(100))
    assert not any(one.has_answer for one in slow)
    hooks.released.set()
    for one in slow:
        wait_for(lambda: one.has_answer, "CONNACK")


def test_more_questions_than_the_queue_holds(hooked, hooks, device):
    """What does not fit is answered at once by the policy; what fits is asked."""
    hooks.answer["OnConnect"] = hooks.hang(allow)
    broker = hooked(
        "connect", connect_timeout=LONG, connect_max_queued="10", connect_max_calls="5")
    many = [device(on=broker, connect=False) for _ in range(40)]
    for one in many:
        one.begin()
    wait_for(lambda: sum(one.has_answer for one in many) >= 25, "refusals")
    refused = [one for one in many if one.has_answer]
    assert all(one.connect_code.value == 0x89 for one in refused)
    hooks.released.set()
    for one in many:
        wait_for(lambda: one.has_answer, "CONNACK")
    assert any(one.connect_code.value == 0 for one in many)


@pytest.mark.parametrize("hook", ("delivered", "unsubscribe", "disconnect", "offline"))
def test_notes_that_nobody_takes_hold_nothing_up(start, connect, device, dead_port, hook):
    broker = start(*hook_flags(hook, dead_port, timeout=SHORT))
    backend, subscriber = connect(broker), device(on=broker)
    subscriber.subscribe("t", 1)
    for number in range(50):
        one = device(on=broker, clean=False, session_expiry=60)
        one.subscribe("t", 1)
        one.unsubscribe("t")
        one.subscribe("t", 1)
        one.disconnect()
        backend.publish(topic="t", payload=b"%d" % number, key="k")
    assert [int(m.payload) for m in subscriber.receive(50)] == list(range(50))


def test_the_broker_stops_while_it_asks(hooked, hooks, device):
    hooks.answer["OnConnect"] = hooks.hang()
    hooks.answer["OnDisconnect"] = hooks.hang()
    broker = hooked("connect", "disconnect", connect_timeout=LONG, disconnect_timeout=LONG)
    waiting = device(on=broker, connect=False)
    waiting.begin()
    hooks.wait("OnConnect")
    broker.stop()
