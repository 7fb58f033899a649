"""Clients as bare sockets: for what a load generator does not do, such as to stop reading."""

from __future__ import annotations

import select
import socket
import struct
import sys
import time

from .brokers import Failure

# Clients from one source address: the kernel takes long to find a port where half are in use.
PER_ADDRESS = 10_000

PUBLISH, PUBACK = 3, 4


def text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def packet(first: int, body: bytes) -> bytes:
    length, count = b"", len(body)
    while True:
        count, digit = count >> 7, count & 127
        length += bytes([digit | (128 if count else 0)])
        if not count:
            return bytes([first]) + length + body


def connect(client_id: bytes, keep_alive: int = 0, clean: bool = True) -> bytes:
    head = text(b"MQTT") + (b"\x04\x02" if clean else b"\x04\x00") + struct.pack(">H", keep_alive)
    return packet(0x10, head + text(client_id))


def subscribe(topics: list[bytes], qos: int) -> bytes:
    filters = b"".join(text(topic) + bytes([qos]) for topic in topics)
    return packet(0x82, struct.pack(">H", 1) + filters)


def publish(topic: bytes, payload: bytes, qos: int = 0, identifier: int = 1) -> bytes:
    number = struct.pack(">H", identifier) if qos else b""
    return packet(0x30 | qos << 1, text(topic) + number + payload)


def read_exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    client.settimeout(30)
    while len(data) < count:
        part = client.recv(1 << 20)
        if not part:
            raise Failure("the broker closed a connection")
        data += part
    return data


def opened(port: int, index: int = 0) -> socket.socket:
    client = socket.socket()
    client.bind((f"127.0.0.{index // PER_ADDRESS + 1}", 0))
    client.connect(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def client(port: int, name: bytes, clean: bool = True) -> socket.socket:
    """A connected client."""
    made = opened(port)
    made.sendall(connect(name, clean=clean))
    if read_exactly(made, 4)[3]:
        raise Failure("the broker refused a client")
    return made


def frames(data: bytes):
    """The complete packets in front of some bytes, each as (first byte, start, end of body)."""
    at = 0
    while at + 2 <= len(data):
        length, shift, body = 0, 0, at + 1
        while True:
            if body >= len(data):
                return
            digit = data[body]
            length |= (digit & 127) << shift
            shift, body = shift + 7, body + 1
            if digit < 128:
                break
        if body + length > len(data):
            return
        yield data[at], body, body + length
        at = body + length


class Crowd:
    """Many clients on one epoll: each subscribes to a topic of its own and to a common one."""

    def __init__(self, port: int, common: bytes, qos: int):
        self.port, self.common, self.qos = port, common, qos
        self.sockets: dict[int, socket.socket] = {}
        self.rest: dict[int, bytes] = {}
        self.poll = select.epoll()
        self.deaf: set[int] = set()

    def add(self, names: range, *, slow: bool = False) -> None:
        """Connects clients, all at once, and waits until they are subscribed.

        What the kernel buffers for a `slow` one is as little as it is on a slow way: with the
        segments of the loopback it would be megabytes.
        """
        made = []
        for name in names:
            one = socket.socket()
            one.bind((f"127.0.0.{name // PER_ADDRESS + 1}", 0))
            if slow:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            one.connect(("127.0.0.1", self.port))
            topics = [b"push/device/%05d" % name] + ([self.common] if self.common else [])
            one.sendall(connect(b"client%06d" % name) + subscribe(topics, self.qos))
            made.append((one, 4 + 4 + len(topics)))
        for one, count in made:
            read_exactly(one, count)
            one.setblocking(False)
            self.sockets[one.fileno()] = one
            self.poll.register(one.fileno(), select.EPOLLIN)

    def stop_reading(self, count: int) -> list[int]:
        """Lets the last clients that were added read no more; gives their descriptors."""
        chosen = list(self.sockets)[-count:]
        for descriptor in chosen:
            self.poll.unregister(descriptor)
        self.deaf.update(chosen)
        return chosen

    def close(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            one = self.sockets.pop(descriptor)
            if descriptor not in self.deaf:
                self.poll.unregister(descriptor)
            self.deaf.discard(descriptor)
            self.rest.pop(descriptor, None)
            one.close()

    def close_all(self) -> None:
        self.close(list(self.sockets))
        self.poll.close()

    def receive(self, messages: int, patience: float = 30) -> None:
        """Reads, and acknowledges at QoS 1, until all who read have so many messages in all."""
        wanted = messages * (len(self.sockets) - len(self.deaf))
        limit = time.monotonic() + patience
        while wanted > 0:
            events = self.poll.poll(1)
            if not events and time.monotonic() > limit:
                raise Failure(f"{wanted} messages of a broadcast did not come")
            for descriptor, _ in events:
                limit = time.monotonic() + patience
                wanted -= self._receive_one(descriptor)

    def _receive_one(self, descriptor: int) -> int:
        one = self.sockets[descriptor]
        data = one.recv(1 << 18)
        if not data:
            raise Failure("the broker closed a connection")
        data = self.rest.pop(descriptor, b"") + data
        count, acknowledgements, end = 0, b"", 0
        for first, body, end in frames(data):
            if first >> 4 != PUBLISH:
                continue
            count += 1
            if first & 6:
                at = body + 2 + int.from_bytes(data[body : body + 2], "big")
                acknowledgements += bytes([PUBACK << 4, 2]) + data[at : at + 2]
        if end < len(data):
            self.rest[descriptor] = data[end:]
        if acknowledgements:
            one.sendall(acknowledgements)
        return count


def storm(port: int, count: int) -> None:
    """Connects clients, subscribes them, and closes them all. For a process of its own, whose
    limit of open files is not used up by others."""
    crowd = Crowd(port, b"", 1)
    crowd.add(range(500_000, 500_000 + count))
    crowd.close_all()


if __name__ == "__main__":
    storm(int(sys.argv[1]), int(sys.argv[2]))
