"""A backend whose answers to the broker's questions a test decides, and that remembers them."""

from __future__ import annotations

import concurrent.futures
import threading

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from api import DEADLINE, pb, services

# Calls that may hang at a time: each keeps a thread.
WORKERS = 64

METHODS = (
    "OnConnect", "OnSubscribe", "OnPublish", "OnDelivered", "OnUnsubscribe", "OnDisconnect",
    "OnOffline")


def allow(request, context):
    return pb.OnConnectResponse(allow=pb.OnConnectResponse.Allow())


def allow_filters(request, context):
    return pb.OnSubscribeResponse(verdicts=[pb.FilterVerdict() for _ in request.filters])


def allow_messages(request, context):
    verdict = pb.PublishVerdict(action=pb.PublishVerdict.ACTION_ALLOW)
    return pb.OnPublishResponse(verdicts=[verdict] * len(request.messages))


DEFAULTS = {
    "OnConnect": allow,
    "OnSubscribe": allow_filters,
    "OnPublish": allow_messages,
    "OnDelivered": lambda request, context: pb.OnDeliveredResponse(),
    "OnUnsubscribe": lambda request, context: pb.OnUnsubscribeResponse(),
    "OnDisconnect": lambda request, context: pb.OnDisconnectResponse(),
    "OnOffline": lambda request, context: pb.OnOfflineResponse(),
}


class HookBackend:
    """Serves bifrost.v1.Hooks. `answer["OnConnect"] = function(request, context)` decides; bytes in
    place of a message are sent as they are."""

    def __init__(self, port: int = 0, *, credentials=None):
        self.answer = dict(DEFAULTS)
        # Lets all go that wait in `hang`.
        self.released = threading.Event()
        self.metadata: dict[str, dict] = {}
        self._calls: list[tuple[str, object]] = []
        self._changed = threading.Condition()
        # Without SO_REUSEPORT, so that two backends never share a port by mistake.
        self._server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(WORKERS), options=(("grpc.so_reuseport", 0),))
        methods = {name: self._method(name) for name in METHODS}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("bifrost.v1.Hooks", methods),))
        self.health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self._server.start()

    def _method(self, name: str):
        request_type = getattr(pb, f"{name}Request")

        def handle(request, context):
            with self._changed:
                self._calls.append((name, request))
                self.metadata[name] = dict(context.invocation_metadata())
                self._changed.notify_all()
            return self.answer[name](request, context)

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=request_type.FromString,
            response_serializer=lambda made: (
                made if isinstance(made, bytes) else made.SerializeToString()))

    def is_serving(self, serves: bool) -> None:
        """What it says when its health is asked for."""
        response = health_pb2.HealthCheckResponse
        state = response.SERVING if serves else response.NOT_SERVING
        self.health.set("", state)
        self.health.set("bifrost.v1.Hooks", state)

    def hang(self, then=None):
        """An answer that does not come until `released` is set."""

        def wait(request, context):
            self.released.wait(DEADLINE)
            return then(request, context) if then else context.abort(
                grpc.StatusCode.UNAVAILABLE, "it hung")

        return wait

    def calls(self, name: str) -> list:
        """The requests so far of one hook."""
        with self._changed:
            return [request for method, request in self._calls if method == name]

    def wait(self, name: str, condition=bool, timeout: float = DEADLINE):
        """Waits until `condition` of the requests of one hook holds; returns the requests."""
        def current():
            return [request for method, request in self._calls if method == name]

        with self._changed:
            if not self._changed.wait_for(lambda: condition(current()), timeout):
                raise AssertionError(f"waited {timeout} s in vain for {name}; seen: {current()}")
            return current()

    def notes(self, name: str, field: str, count: int) -> list:
        """The first `count` entries of a hook that tells, however they were batched."""
        def gather(requests):
            return [entry for request in requests for entry in getattr(request, field)]

        return gather(self.wait(name, lambda requests: len(gather(requests)) >= count))

    def stop(self) -> None:
        """Ends all calls at once, as a process that ends does."""
        self._server.stop(None).wait(DEADLINE)
        self.released.set()


if __name__ == "__main__":
    # A process of its own, to be killed while it is asked: it says where it listens and what it is
    # asked, and answers nothing.
    import sys

    backend = HookBackend()
    for method in METHODS:
        backend.answer[method] = backend.hang()
    print(backend.port, flush=True)
    backend.wait(sys.argv[1])
    print("asked", flush=True)
    threading.Event().wait()
