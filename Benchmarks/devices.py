"""Devices that take all messages for them as fast as a program in Python can: each message has the
same size, so a read is acknowledged without a look at its single packets.

usage: python -m Benchmarks.devices PORT COUNT FILE

The first eight bytes of FILE become the number of messages that have come; it is 0 when all devices
are subscribed.
"""

from __future__ import annotations

import contextlib
import mmap
import pathlib
import select
import struct
import subprocess
import sys
import tempfile
import time

from . import brokers, wire
from .brokers import Failure
from .context import ROOT

PAYLOAD = b"x" * 64
# Where a packet identifier begins in such a message.
HEAD = 2 + 2 + len(b"bench/device/000")
SIZE = HEAD + 2 + len(PAYLOAD)
NOT_READY = (1 << 64) - 1
COUNT = struct.Struct("<Q")
# Seconds that devices may take to subscribe, or messages to come.
PATIENCE = 60.0


def topic(index: int) -> bytes:
    return b"bench/device/%03d" % index


class Devices:
    """The process of devices, as those see it who publish to them."""

    def __init__(self, count: int, board: mmap.mmap):
        self.count, self._board = count, board

    @property
    def received(self) -> int:
        return COUNT.unpack_from(self._board)[0]

    def wait(self, wanted: int) -> None:
        """Waits until so many messages have come in all."""
        limit = time.monotonic() + PATIENCE
        while self.received < wanted:
            if time.monotonic() > limit:
                raise Failure(f"{wanted - self.received} of {wanted} messages did not come")
            time.sleep(0.0002)


@contextlib.contextmanager
def running(port: int, count: int):
    """Devices in a process of their own, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="bifrost-bench-") as folder:
        path = pathlib.Path(folder) / "count"
        path.write_bytes(COUNT.pack(NOT_READY))
        with path.open("r+b") as file, mmap.mmap(file.fileno(), COUNT.size) as board:
            process = brokers.start(
                [sys.executable, "-m", "Benchmarks.devices", port, count, path], cwd=ROOT,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                made = Devices(count, board)
                limit = time.monotonic() + PATIENCE
                while made.received == NOT_READY:
                    if process.poll() is not None or time.monotonic() > limit:
                        raise Failure("the devices did not subscribe")
                    time.sleep(0.01)
                yield made
            finally:
                brokers.end(process, 5)


def acknowledgements(data: bytes) -> bytes:
    """PUBACK for each of some whole messages of QoS 1."""
    made = bytearray(b"\x40\x02\0\0" * (len(data) // SIZE))
    made[2::4], made[3::4] = data[HEAD::SIZE], data[HEAD + 1 :: SIZE]
    return bytes(made)


def serve(port: int, count: int, board: mmap.mmap) -> None:
    poll = select.epoll()
    clients, rests = {}, {}
    for index in range(count):
        one = wire.client(port, b"device%03d" % index)
        one.sendall(wire.subscribe([topic(index)], 1))
        wire.read_exactly(one, 5)
        one.setblocking(False)
        clients[one.fileno()], rests[one.fileno()] = one, b""
        poll.register(one.fileno(), select.EPOLLIN)
    received = 0
    COUNT.pack_into(board, 0, received)
    while True:
        for descriptor, _ in poll.poll():
            one = clients[descriptor]
            data = rests[descriptor] + one.recv(1 << 18)
            whole = len(data) - len(data) % SIZE
            rests[descriptor] = data[whole:]
            if whole:
                one.setblocking(True)
                one.sendall(acknowledgements(data[:whole]))
                one.setblocking(False)
                received += whole // SIZE
        COUNT.pack_into(board, 0, received)


def main() -> None:
    with open(sys.argv[3], "r+b") as file, mmap.mmap(file.fileno(), COUNT.size) as board:
        serve(int(sys.argv[1]), int(sys.argv[2]), board)


if __name__ == "__main__":
    main()
