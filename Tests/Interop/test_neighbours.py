"""Clients that misbehave do no harm to those beside them."""

from __future__ import annotations

import contextlib
import random
import socket
import struct

import pytest

from interop_support import (
    DEADLINE,
    connect_packet,
    packet,
    publish_packet,
    read_packet,
    subscribe_packet,
)


@pytest.fixture
def raw(broker):
    """Makes sockets to the broker, and closes them after the test."""
    with contextlib.ExitStack() as stack:

        def make() -> socket.socket:
            made = socket.create_connection((broker.host, broker.port), timeout=DEADLINE)
            return stack.enter_context(made)

        yield make


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the broker closes, which it must do before the deadline."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            data += piece
    return data


def reset(connection: socket.socket) -> None:
    """Closes with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def exchange(subscriber, publisher, topic: str, numbers: range) -> None:
    for number in numbers:
        publisher.publish(topic, str(number), 1, wait=False)
    assert [int(m.payload) for m in subscriber.receive(len(numbers))] == list(numbers)


@pytest.mark.parametrize("version", ("3.1.1", "5"))
def test_broken_clients_beside_good_ones(paho, unique, raw, version):
    level = {"3.1.1": 4, "5": 5}[version]
    topic = unique()
    subscriber, publisher = paho(version), paho(version)
    subscriber.subscribe(topic, 1)
    noise = random.Random(7)

    def hello(connection: socket.socket) -> socket.socket:
        connection.sendall(connect_packet(unique("bad"), level))
        assert read_packet(connection)[0] == 0x20
        return connection

    def garbage():
        connection = raw()
        # What starts like no CONNECT must be refused at once.
        connection.sendall(b"\xff" + noise.randbytes(5000))
        read_to_end(connection)

    def http():
        connection = raw()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        read_to_end(connection)

    def endless_length():
        connection = raw()
        connection.sendall(b"\x10\xff\xff\xff\xff\xff")
        read_to_end(connection)

    def no_connect_first():
        connection = raw()
        connection.sendall(publish_packet(topic, b"-1", 1, 1, level))
        read_to_end(connection)

    def second_connect():
        connection = hello(raw())
        connection.sendall(connect_packet(unique("bad"), level))
        read_to_end(connection)

    def wildcard_in_topic():
        connection = hello(raw())
        connection.sendall(publish_packet("#", b"-1", 0, 0, level))
        read_to_end(connection)

    def qos_three():
        connection = hello(raw())
        connection.sendall(packet(0x36, struct.pack("!H", 1) + b"x" + b"\0\1"))
        read_to_end(connection)

    def bad_utf8():
        connection = hello(raw())
        connection.sendall(packet(0x82, b"\0\1" + b"\0" * (level == 5) + b"\0\2\xc3\x28\0"))
        read_to_end(connection)

    def half_a_packet_then_reset():
        connection = hello(raw())
        whole = publish_packet(topic, b"-1" * 1000, 1, 1, level)
        connection.sendall(whole[: len(whole) // 2])
        reset(connection)

    def half_a_packet_then_silence():
        connection = hello(raw())
        whole = publish_packet(topic, b"-1" * 100_000, 1, 1, level)
        connection.sendall(whole[: len(whole) // 2])

    def nothing_at_all():
        raw()

    def byte_by_byte():
        """Slow, but right: this one is served."""
        connection = raw()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in connect_packet(unique("slow"), level):
            connection.sendall(bytes([byte]))
        assert read_packet(connection)[0] == 0x20
        for byte in b"\xc0\0":
            connection.sendall(bytes([byte]))
        assert read_packet(connection) == (0xD0, b"")

    crowd = (
        garbage,
        http,
        endless_length,
        no_connect_first,
        second_connect,
        wildcard_in_topic,
        qos_three,
        bad_utf8,
        half_a_packet_then_reset,
        half_a_packet_then_silence,
        nothing_at_all,
        byte_by_byte,
    )
    for round, misbehave in enumerate(crowd * 3):
        misbehave()
        exchange(subscriber, publisher, topic, range(round * 20, round * 20 + 20))


@pytest.mark.parametrize("qos", (0, 1))
def test_a_subscriber_that_does_not_read(paho, unique, raw, qos):
    """30 MB for a client that takes none of it: the others get theirs."""
    topic, total = unique(), 300
    sleeper = raw()
    sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sleeper.sendall(connect_packet(unique("asleep")) + subscribe_packet([(topic, qos)]))
    assert read_packet(sleeper)[0] == 0x20
    assert read_packet(sleeper)[0] == 0x90
    subscriber, publisher = paho(), paho()
    subscriber.subscribe(topic, 1)
    payload = bytes(100_000)
    for number in range(total):
        publisher.publish(topic, struct.pack("!I", number) + payload, 1, wait=False)
        # The one that reads is never far behind, so nothing may be dropped for it.
        (message,) = subscriber.receive(1)
        assert struct.unpack_from("!I", message.payload)[0] == number
    # The broker is well, and so is the publisher.
    publisher.publish(topic, struct.pack("!I", total), 1)
    assert subscriber.next().payload == struct.pack("!I", total)


def test_connections_that_come_and_go(paho, unique, raw):
    """A thousand clients that connect, and leave in four ways, beside a pair that talks."""
    topic = unique()
    subscriber, publisher = paho(), paho()
    subscriber.subscribe(topic, 1)
    for number in range(1000):
        connection = raw()
        connection.sendall(connect_packet(unique("brief")))
        way = number % 4
        if way < 3:
            assert read_packet(connection)[0] == 0x20
        if way == 0:
            connection.sendall(b"\xe0\0")
            connection.close()
        elif way == 1:
            connection.close()
        else:
            reset(connection)
        if number % 50 == 49:
            exchange(subscriber, publisher, topic, range(number, number + 10))
