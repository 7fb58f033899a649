"""Fifteen thousand connections at once: each is served by name, and all of them together."""

from __future__ import annotations

import errno
import random
import resource
import select
import socket
import struct
import time

import pytest

from interop_support import (
    connect_packet,
    publish_packet,
    read_packet,
    subscribe_packet,
    take_packet,
)

CROWD = 15_000

# Open files that this process needs beside the crowd's, with room to spare.
OTHER_FILES = 1_500

# Connections on their way at any moment. Below the shortest backlog that a listener is likely to
# have, for a SYN that finds it full is sent again only after a second.
UNDERWAY = 100

# Loopback addresses that the connections come from: one has about 28,000 ports, and many of
# them may still be in TIME_WAIT after the tests before.
SOURCES = [f"127.0.0.{number}" for number in range(1, 9)]

# Python's socket module has no name for it before 3.12 (linux/in.h): the port is chosen at
# connect, where the kernel can use the same one towards several addresses.
IP_BIND_ADDRESS_NO_PORT = 24

DIRECT_MESSAGES = 100

# Seconds for each of the steps: on an idle machine all of them together take a few.
STEP = 20.0


class Member:
    __slots__ = ("buffer", "number", "socket", "started")

    def __init__(self, number: int, connection: socket.socket):
        self.number = number
        self.socket = connection
        self.buffer = b""
        self.started = False

    @property
    def version(self) -> int:
        return 4 + self.number % 2


class Crowd:
    """All connections behind one epoll; each packet goes to the handler of the present step."""

    def __init__(self, address: tuple[str, int], topic: str):
        self.address = address
        self.topic = topic
        self.poll = select.epoll()
        self.members: dict[int, Member] = {}
        self.end = 0.0

    def own_topic(self, number: int) -> str:
        return f"{self.topic}/{number}"

    def open(self, number: int) -> None:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        # Known before anything can fail, so that it is closed in any case.
        self.members[connection.fileno()] = Member(number, connection)
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind((SOURCES[number % len(SOURCES)], 0))
        code = connection.connect_ex(self.address)
        assert code in (0, errno.EINPROGRESS), errno.errorcode[code]
        self.poll.register(connection.fileno(), select.EPOLLOUT)

    def greet(self, member: Member) -> None:
        code = member.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        assert code == 0, f"client {member.number} can't connect: {errno.errorcode[code]}"
        filters = [(self.own_topic(member.number), 1), (f"{self.topic}/all", 1)]
        name = f"{self.topic}-{member.number}"
        data = connect_packet(name, member.version)
        data += subscribe_packet(filters, member.version)
        # The socket is new and its buffer empty: it takes these few bytes whole.
        assert member.socket.send(data) == len(data)
        member.started = True
        self.poll.modify(member.socket.fileno(), select.EPOLLIN)

    def packets(self, what: str):
        """Whatever arrives, one packet at a time, as (member, first byte, body)."""
        while True:
            left = self.end - time.monotonic()
            events = self.poll.poll(max(left, 0), 1024)
            assert events, f"nothing more came while waiting for {what}"
            for descriptor, _ in events:
                member = self.members[descriptor]
                if not member.started:
                    self.greet(member)
                    continue
                data = member.socket.recv(65536)
                assert data, f"client {member.number} was disconnected"
                data = member.buffer + data
                while (taken := take_packet(data)) is not None:
                    first, body, size = taken
                    data = data[size:]
                    yield member, first, body
                member.buffer = data

    def step(self) -> None:
        self.end = time.monotonic() + STEP

    def gather(self) -> None:
        """Connects and subscribes everyone."""
        self.step()
        opened = 0
        for opened in range(1, min(UNDERWAY, CROWD) + 1):
            self.open(opened - 1)
        settled = 0
        for member, first, body in self.packets("CONNACK and SUBACK"):
            if first == 0x20:
                assert body[1] == 0, f"client {member.number} was refused with {body[1]}"
                continue
            assert first == 0x90 and body[-2:] == b"\1\1", (member.number, hex(first), body)
            settled += 1
            if opened < CROWD:
                self.open(opened)
                opened += 1
            if settled == CROWD:
                return

    def deliveries(self, count: int, what: str):
        """The next `count` PUBLISH packets, acknowledged, as (member, topic, payload)."""
        self.step()
        for member, first, body in self.packets(what):
            assert first == 0x32, (member.number, hex(first), body[:40])
            size = struct.unpack_from("!H", body)[0]
            topic = body[2 : 2 + size].decode()
            at = 2 + size
            member.socket.send(b"\x40\x02" + body[at : at + 2])
            at += 2
            if member.version == 5:
                assert body[at] == 0, "properties that nobody sent"
                at += 1
            yield member, topic, body[at:]
            count -= 1
            if count == 0:
                return

    def close(self) -> None:
        self.poll.close()
        for member in self.members.values():
            member.socket.close()


@pytest.fixture
def crowd(broker, unique):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CROWD + OTHER_FILES:
        pytest.skip(f"{CROWD:,} connections need more open files than the hard limit of {hard:,}")
    made = Crowd((broker.host, broker.port), unique("crowd"))
    yield made
    made.close()


def publish(broker, name: str, messages: list[tuple[str, bytes]]) -> None:
    """Publishes at QoS 1 and waits for all acknowledgements."""
    with socket.create_connection((broker.host, broker.port), timeout=STEP) as connection:
        connection.sendall(connect_packet(name))
        assert read_packet(connection) == (0x20, b"\0\0")
        for mid, (topic, payload) in enumerate(messages, 1):
            connection.sendall(publish_packet(topic, payload, 1, mid))
            assert read_packet(connection) == (0x40, struct.pack("!H", mid))
        connection.sendall(b"\xe0\0")


def test_fifteen_thousand_stay(broker, crowd, unique):
    crowd.gather()
    assert len(crowd.members) == CROWD

    # A hundred of them, by name.
    chosen = random.Random(15_000).sample(range(CROWD), DIRECT_MESSAGES)
    messages = [(crowd.own_topic(number), f"for {number}".encode()) for number in chosen]
    publish(broker, unique("pub"), messages)
    got = [
        (member.number, topic, payload)
        for member, topic, payload in crowd.deliveries(DIRECT_MESSAGES, "the direct messages")
    ]
    assert sorted(got) == sorted(
        (number, crowd.own_topic(number), f"for {number}".encode()) for number in chosen
    )

    # All of them, twice: whoever acknowledged the first one gets the second as well.
    for text in (b"to all", b"and again"):
        publish(broker, unique("pub"), [(f"{crowd.topic}/all", text)])
        reached = set()
        for member, topic, payload in crowd.deliveries(CROWD, "the broadcast"):
            assert (topic, payload) == (f"{crowd.topic}/all", text)
            reached.add(member.number)
        assert len(reached) == CROWD

    # They all leave at once, and the broker still serves.
    crowd.close()
    publish(broker, unique("pub"), [(f"{crowd.topic}/all", b"to nobody")])
