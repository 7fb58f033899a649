"""What every interoperability test needs: deadlines, the broker's address, raw packets."""

from __future__ import annotations

import asyncio
import dataclasses
import pathlib
import re
import socket
import struct
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

# Seconds that any one event may take. Far above what a loaded machine needs: it only bounds
# how long a failure takes to show.
DEADLINE = 10.0

# Seconds for a test's whole conversation in asyncio.
CONVERSATION_DEADLINE = 30.0

VERSIONS = ("3.1", "3.1.1", "5")


@dataclasses.dataclass(frozen=True)
class Broker:
    host: str
    port: int
    process: subprocess.Popen | None
    log: pathlib.Path | None

    @property
    def is_bifrost(self) -> bool:
        """False where BROKER_ADDRESS names the broker: then only the standard is checked."""
        return self.process is not None

    def log_size(self) -> int:
        return self.log.stat().st_size if self.log else 0

    def log_since(self, start: int, most: int) -> str:
        if self.log is None:
            return ""
        with self.log.open("rb") as file:
            file.seek(max(start, self.log_size() - most))
            return file.read().decode(errors="replace")


def wait_for(condition: Callable[[], T], what: str, timeout: float = DEADLINE) -> T:
    """Looks until `condition` holds, for things that give no event; returns what it gave."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(0.01)


def let_pass(seconds: float) -> None:
    """Time itself is what the test is about: something must expire, and expiry has no event."""
    time.sleep(seconds)


def listening_port(log: pathlib.Path, process: subprocess.Popen) -> int | None:
    """The port in the first complete line that says `listening`, or None while there is none."""
    text = log.read_text(errors="replace")
    for line in text.splitlines(keepends=True):
        found = re.search(r"127\.0\.0\.1:([1-9][0-9]*)", line)
        if line.endswith("\n") and "listening" in line and found:
            return int(found.group(1))
    if process.poll() is not None:
        raise AssertionError(f"the broker ended with {process.returncode} at once:\n{text}")
    return None


def converse(conversation: Awaitable[T]) -> T:
    """Runs one test's coroutine, with a limit on the whole of it."""

    async def limited() -> T:
        return await asyncio.wait_for(conversation, CONVERSATION_DEADLINE)

    return asyncio.run(limited())


# Packets by hand, for clients that misbehave and for crowds.


def _length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | (0x80 if size else 0))
        if not size:
            return bytes(out)


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _length(len(body)) + body


def connect_packet(client_id: str, version: int = 4, keep_alive: int = 0) -> bytes:
    """CONNECT with a clean session and no will, for protocol level 4 or 5."""
    properties = b"\0" if version == 5 else b""
    head = _text("MQTT") + bytes([version, 0x02]) + struct.pack("!H", keep_alive)
    return packet(0x10, head + properties + _text(client_id))


def subscribe_packet(filters: list[tuple[str, int]], version: int = 4, mid: int = 1) -> bytes:
    properties = b"\0" if version == 5 else b""
    entries = b"".join(_text(name) + bytes([qos]) for name, qos in filters)
    return packet(0x82, struct.pack("!H", mid) + properties + entries)


def publish_packet(topic: str, payload: bytes, qos: int = 0, mid: int = 0, version: int = 4):
    identifier = struct.pack("!H", mid) if qos else b""
    properties = b"\0" if version == 5 else b""
    return packet(0x30 | qos << 1, _text(topic) + identifier + properties + payload)


def take_packet(buffer: bytes | bytearray) -> tuple[int, bytes, int] | None:
    """First byte, body and whole size of the packet that starts `buffer`; None if it is cut."""
    size, shift, at = 0, 0, 1
    while True:
        if at >= len(buffer):
            return None
        byte = buffer[at]
        size |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if not byte & 0x80:
            break
        assert at <= 4, "the broker sent a length of more than four bytes"
    if len(buffer) < at + size:
        return None
    return buffer[0], bytes(buffer[at : at + size]), at + size


def read_packet(connection: socket.socket) -> tuple[int, bytes]:
    """One packet from a blocking socket that carries nothing else behind it."""
    buffer = bytearray()
    while (taken := take_packet(buffer)) is None:
        data = connection.recv(1)
        assert data, "the broker closed the connection"
        buffer += data
    return taken[0], taken[1]
