"""Publishers of three kinds: a connection of MQTT, a stream of gRPC, and calls of gRPC. What they
send is made before it is measured, so that a program in Python keeps a broker busy."""

from __future__ import annotations

import collections
import socket
import threading

from . import wire
from .brokers import Failure
from .devices import PAYLOAD, topic

# Messages of a burst, of one request of a stream, and of one of its answers.
BATCH = 500
# Bursts or requests that are under way at a time.
AHEAD = 4
# Calls that are under way at a time.
CALLS = 64
PATIENCE = 60.0
QOS_AT_LEAST_ONCE = 2


def field(number: int, value: bytes | int) -> bytes:
    """A field of protobuf: bytes, or a small number."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    length, size = b"", len(value)
    while True:
        size, digit = size >> 7, size & 127
        length += bytes([digit | (128 if size else 0)])
        if not size:
            return bytes([number << 3 | 2]) + length + value


def publish_request(index: int) -> bytes:
    """A bifrost.v1.PublishRequest for one device."""
    message = field(1, topic(index)) + field(2, PAYLOAD) + field(3, QOS_AT_LEAST_ONCE)
    return field(1, message)


class MQTT:
    """A client that publishes at QoS 1."""

    def __init__(self, broker, devices: int):
        self._client = wire.client(broker.port, b"publisher")
        self._client.settimeout(PATIENCE)
        # Each burst under way has packet identifiers of its own.
        self._bursts = [
            b"".join(
                wire.publish(topic(number % devices), PAYLOAD, 1, ahead * BATCH + number + 1)
                for number in range(BATCH))
            for ahead in range(AHEAD)
        ]  # fmt: skip

    def publish(self, batches: int) -> None:
        client = self._client
        for number in range(batches):
            if number >= AHEAD:
                self._answer()
            client.sendall(self._bursts[number % AHEAD])
        for _ in range(min(AHEAD, batches)):
            self._answer()

    def _answer(self) -> None:
        left = 4 * BATCH
        while left:
            data = self._client.recv(left)
            if not data:
                raise Failure("the broker closed the publisher's connection")
            left -= len(data)

    def close(self) -> None:
        self._client.close()


class _Channel:
    def __init__(self, broker):
        import grpc

        self.channel = grpc.insecure_channel(
            broker.backends, options=(("grpc.use_local_subchannel_pool", 1),))  # fmt: skip

    def close(self) -> None:
        self.channel.close()


class Stream(_Channel):
    """PublishStream, a few requests ahead of its answers."""

    def __init__(self, broker, devices: int):
        super().__init__(broker)
        self._request = b"".join(
            field(1, publish_request(number % devices)) for number in range(BATCH))
        self._call = self.channel.stream_stream("/bifrost.v1.Publisher/PublishStream")

    def publish(self, batches: int) -> None:
        room = threading.Semaphore(AHEAD)

        def requests():
            for _ in range(batches):
                room.acquire()
                yield self._request

        count = 0
        for _ in self._call(requests(), timeout=PATIENCE):
            room.release()
            count += 1
        if count != batches:
            raise Failure(f"{count} answers to {batches} requests")


class Calls(_Channel):
    """Publish, some calls at a time."""

    def __init__(self, broker, devices: int):
        super().__init__(broker)
        self._requests = [publish_request(index) for index in range(devices)]
        self._call = self.channel.unary_unary("/bifrost.v1.Publisher/Publish")

    def publish(self, batches: int) -> None:
        under_way: collections.deque = collections.deque()
        for number in range(batches * BATCH):
            if len(under_way) == CALLS:
                under_way.popleft().result()
            request = self._requests[number % len(self._requests)]
            under_way.append(self._call.future(request, timeout=PATIENCE))
        for call in under_way:
            call.result()


class Device:
    """One device that waits for its message, to measure how long that takes."""

    def __init__(self, broker):
        self._client = wire.client(broker.port, b"device000")
        self._client.sendall(wire.subscribe([topic(0)], 1))
        wire.read_exactly(self._client, 5)

    def take(self) -> None:
        data = self._client.recv(4096)
        for _, body, _ in wire.frames(data):
            at = body + 2 + int.from_bytes(data[body : body + 2], "big")
            self._client.sendall(b"\x40\x02" + data[at : at + 2])

    def close(self) -> None:
        self._client.shutdown(socket.SHUT_RDWR)
        self._client.close()


class Single:
    """A client of MQTT that publishes one message at a time."""

    def __init__(self, broker):
        self._client = wire.client(broker.port, b"publisher")
        self._packet = wire.publish(topic(0), PAYLOAD, 1, 1)

    def begin(self) -> None:
        self._client.sendall(self._packet)

    def finish(self) -> None:
        wire.read_exactly(self._client, 4)

    def close(self) -> None:
        self._client.close()


class Call(_Channel):
    """Publish, one call at a time."""

    def __init__(self, broker):
        super().__init__(broker)
        self._call = self.channel.unary_unary("/bifrost.v1.Publisher/Publish")
        self._request = publish_request(0)
        self._future = None

    def begin(self) -> None:
        self._future = self._call.future(self._request, timeout=PATIENCE)

    def finish(self) -> None:
        self._future.result()
