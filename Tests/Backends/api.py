"""The Python client of Protos/, generated for this run, and what every test does with it.

`pb` has all messages and enumerations of bifrost.v1; the stubs are made by `Backend`.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import importlib
import pathlib
import queue
import shutil
import sys
import tempfile
import threading
import types
from collections.abc import Iterator

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROTOS = REPOSITORY / "Protos"

# Seconds that any one call may take. Far above what a loaded machine needs: it only bounds how long
# a failure takes to show.
DEADLINE = 20.0


def generate() -> pathlib.Path:
    """Makes the client's code in a directory that goes with the process."""
    directory = tempfile.mkdtemp(prefix="bifrost-api-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    sources = sorted(str(path) for path in (PROTOS / "bifrost").rglob("*.proto"))
    arguments = [
        "protoc", f"-I{PROTOS}", f"--python_out={directory}", f"--grpc_python_out={directory}"]
    status = protoc.main([*arguments, *sources])
    if status != 0:
        raise RuntimeError(f"protoc ended with {status}")
    return pathlib.Path(directory)


GENERATED = generate()
sys.path.insert(0, str(GENERATED))

MODULES = ("message", "publisher", "clients", "subscriber", "hooks")
pb = types.SimpleNamespace()
services = types.SimpleNamespace()
for _name in MODULES:
    vars(pb).update(vars(importlib.import_module(f"bifrost.v1.{_name}_pb2")))
    vars(services).update(vars(importlib.import_module(f"bifrost.v1.{_name}_pb2_grpc")))

QOS = {0: pb.QOS_AT_MOST_ONCE, 1: pb.QOS_AT_LEAST_ONCE, 2: pb.QOS_EXACTLY_ONCE}


class Backend:
    """A backend's channel to a broker, with a stub for each service."""

    def __init__(self, address: str, *, credentials=None, token: str | None = None, options=()):
        # Without this, channels to one address share a connection, and one test's end is another's.
        options = (("grpc.use_local_subchannel_pool", 1), *options)
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options=options)
        else:
            self.channel = grpc.secure_channel(address, credentials, options=options)
        if token is not None:
            self.channel = grpc.intercept_channel(self.channel, Bearer(token))
        self.publisher = services.PublisherStub(self.channel)
        self.clients = services.ClientsStub(self.channel)
        self.subscriber = services.SubscriberStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    # Short forms of what most tests do.

    def publish(self, *targets, **options):
        """Publishes, and gives the results; see `publish_request`."""
        return self.respond(*targets, **options).results

    def respond(self, *targets, **options):
        """Publishes, and gives the response; see `publish_request`."""
        request = publish_request(*targets, **options)
        return self.publisher.Publish(request, timeout=DEADLINE)


class Bearer(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Sends a token with each call."""

    def __init__(self, token: str):
        self.entry = ("authorization", f"Bearer {token}")

    def _with_token(self, continuation, details, request):
        metadata = [*(details.metadata or ()), self.entry]
        return continuation(details._replace(metadata=metadata), request)

    intercept_unary_unary = _with_token
    intercept_unary_stream = _with_token
    intercept_stream_unary = _with_token
    intercept_stream_stream = _with_token


def target(name: str):
    """A target: "@device-1" is a client, anything else a topic."""
    if name.startswith("@"):
        return pb.Target(client_id=name[1:])
    return pb.Target(topic=name)


def publish_request(*targets: str, once: str = "", **message):
    """A message of these fields for some targets; `once` is the idempotency key."""
    return pb.PublishRequest(
        message=pb.Message(**message), targets=[target(name) for name in targets],
        idempotency_key=once)


@dataclasses.dataclass
class Refusal:
    """What a call that failed says."""

    code: grpc.StatusCode | None = None
    text: str = ""
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)


def refusal_of(error: grpc.RpcError) -> Refusal:
    """The status of a failed call, with its ErrorInfo."""
    made = Refusal(error.code(), error.details() or "")
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            made.reason, made.domain, made.metadata = info.reason, info.domain, dict(info.metadata)
    return made


@contextlib.contextmanager
def refused(code: str, reason: str | None = None) -> Iterator[Refusal]:
    """Expects a call to fail with this status and, unless None, this reason."""
    seen = Refusal()
    try:
        yield seen
    except grpc.RpcError as error:
        vars(seen).update(vars(refusal_of(error)))
    else:
        raise AssertionError(f"the call succeeded; expected {code} {reason or ''}")
    assert seen.code is not None and seen.code.name == code, f"{seen} instead of {code}"
    if reason is not None:
        assert (seen.domain, seen.reason) == ("bifrost", reason), seen


class Requests:
    """The requests of a stream, sent when a test says so. Iterating ends with `end`."""

    _end = object()

    def __init__(self, *first):
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        for request in first:
            self.send(request)

    def send(self, request) -> None:
        self._queue.put(request)

    def end(self) -> None:
        self._queue.put(self._end)

    def __iter__(self):
        return iter(self._queue.get, self._end)


class Reader:
    """A stream of responses, read by a thread into something that a test can wait for."""

    def __init__(self, call):
        self.call = call
        self.refusal: Refusal | None = None
        self.seen: list = []
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for response in self.call:
                with self._changed:
                    self.seen.append(response)
                    self._changed.notify_all()
        except grpc.RpcError as error:
            self.refusal = refusal_of(error)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait(self, condition, what: str, timeout: float = DEADLINE):
        """Waits until `condition` of the responses so far holds; returns what it gave."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: condition(self.seen) or self._ended, timeout)
            value = condition(self.seen)
            if not value:
                state = "ended" if done else f"waited {timeout} s in vain"
                raise AssertionError(f"{state} for {what}; {self.refusal}; seen: {self.seen[-20:]}")
            return value

    def wait_end(self, timeout: float = DEADLINE) -> Refusal | None:
        """Waits until the stream has ended; how it failed, or None where it ended well."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended, timeout):
                raise AssertionError(f"the stream has not ended; seen: {self.seen[-20:]}")
        return self.refusal

    def cancel(self) -> None:
        self.call.cancel()
        self._thread.join(DEADLINE)
