"""Brokers as processes of their own: this one, Debian's mosquitto, and nats-server.

Each listens on a free port of the loopback and is ended by its process id, whatever happens.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

from . import machine

# Seconds that a broker may take to start or to stop. nats-server takes one to set up JetStream,
# and the end of a million connections takes some.
DEADLINE = 60

_running: set[subprocess.Popen] = set()


class Failure(Exception):
    """Something that is measured did not work; a sentence for the reader."""


def start(command: list, **options) -> subprocess.Popen:
    """Starts a process that ends with this one."""
    # A session of its own: Ctrl-C reaches only us, and we end what we started in good order.
    process = subprocess.Popen(
        [os.fspath(word) for word in map(str, command)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        **options,
    )
    _running.add(process)
    return process


def end(process: subprocess.Popen, deadline: float = DEADLINE) -> int:
    """Ends a process, at first kindly; gives its exit status."""
    try:
        if process.poll() is None:
            process.terminate()
        return process.wait(deadline)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
    finally:
        if process.poll() is not None:
            _running.discard(process)


@atexit.register
def end_all() -> None:
    for process in list(_running):
        if process.poll() is None:
            process.kill()
        process.wait()


def end_with_signals() -> None:
    """Makes SIGTERM and SIGHUP unwind the stack, so that what was started is ended."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Broker:
    """A running broker. `name` is for tables, `command` how it was started, without paths."""

    def __init__(self, name: str, process: subprocess.Popen, port: int, command: str):
        self.name = name
        self.process = process
        self.port = port
        self.command = command
        # Where it listens for backends, if it does.
        self.backends: str | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    def resident(self) -> int:
        return machine.resident(self.pid)

    def cpu(self) -> float:
        return machine.cpu_seconds(self.pid)


def _wait(condition, process: subprocess.Popen, log: pathlib.Path, what: str):
    limit = time.monotonic() + DEADLINE
    while True:
        found = condition()
        if found:
            return found
        if process.poll() is not None or time.monotonic() > limit:
            tail = log.read_text(errors="replace")[-500:]
            raise Failure(f"{what} did not start: {tail}")
        time.sleep(0.01)


@contextlib.contextmanager
def _running_broker(name: str, command: list, shown: str, find_port, environment=None):
    """Runs a broker in a folder of its own until the block ends."""
    with tempfile.TemporaryDirectory(prefix="bifrost-bench-") as folder:
        log = pathlib.Path(folder) / "log"
        words = [str(word).replace("FOLDER", folder) for word in command]
        with log.open("wb") as stream:
            process = start(
                words, stdout=stream, stderr=stream, cwd=folder,
                env={**os.environ, **(environment or {})},
            )  # fmt: skip
        try:
            yield Broker(name, process, _wait(lambda: find_port(log), process, log, name), shown)
        finally:
            end(process)


@contextlib.contextmanager
def bifrost(
    binary: str, loops: int = 1, *flags: str, environment=None, sys_interval: str = "0s", data=None,
    backends: bool = False,
):  # fmt: skip
    """This broker. `$SYS` is off unless asked for: nothing else then happens by itself. `data` is
    the folder of its store; one below "FOLDER" goes with the broker. `backends` turns gRPC on."""
    words = ["--net-loops", str(loops), "--sys-interval", sys_interval, *flags]

    for_backends = None

    def find_port(log: pathlib.Path) -> int | None:
        nonlocal for_backends
        text = log.read_text(errors="replace")
        found = re.search(r"(?<!grpc: )listening on 127\.0\.0\.1:(\d+)", text)
        if backends:
            other = re.search(r"grpc: listening on (127\.0\.0\.1:\d+)\n", text)
            if not other:
                return None
            for_backends = other.group(1)
        return int(found.group(1)) if found else None

    # Nothing that is measured is for a session that outlives its connection, unless it is said.
    words += ["--store-kind", "memory" if data is None else "sqlite"]
    where = [] if data is None else ["--data-dir", data]
    shown_where = where and ["--data-dir DIR"]
    with _running_broker(
        f"bifrost, {loops} loop{'s' if loops > 1 else ''}",
        [
            binary, "serve", "--grpc-listen", "127.0.0.1:0" if backends else "off",
            "--mqtt-tcp-listen", "127.0.0.1:0", *words, *where,
        ],  # fmt: skip
        " ".join(["bifrost serve --mqtt-tcp-listen 127.0.0.1:PORT", *words, *shown_where]),
        find_port,
        environment,
    ) as broker:
        broker.backends = for_backends
        yield broker


# No limit of mosquitto's own holds it back: its defaults of 20 messages in flight and 1,000 queued
# would. Nagle's algorithm, which it has on by default, saves it a third of its CPU time in a closed
# loop, and delays single messages.
MOSQUITTO_CONFIGURATION = """\
listener PORT 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay NODELAY
max_inflight_messages 0
max_queued_messages 0
max_queued_bytes 0
max_connections -1
sys_interval 0
log_dest none
"""

NATS_CONFIGURATION = """\
server_name: bench
listen: 127.0.0.1:OTHER
jetstream { store_dir: "FOLDER/jetstream" }
mqtt { listen: "127.0.0.1:PORT", max_ack_pending: 65535 }
"""


@contextlib.contextmanager
def _configured(name: str, configuration: str, flag: str):
    where = machine.program(name)
    if where is None:
        raise Failure(f"{name} is not installed: scripts/install bench")
    port, other = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="bifrost-bench-") as folder:
        text = configuration.replace("PORT", str(port)).replace("OTHER", str(other))
        file = pathlib.Path(folder) / "configuration"
        file.write_text(text.replace("FOLDER", folder))

        def find_port(_: pathlib.Path) -> int | None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return port

        with _running_broker(name, [where, flag, file], f"{name} {flag} FILE", find_port) as broker:
            yield broker


def mosquitto(nodelay: bool = False):
    words = MOSQUITTO_CONFIGURATION.replace("NODELAY", "true" if nodelay else "false")
    return _configured("mosquitto", words, "-c")


def nats():
    return _configured("nats-server", NATS_CONFIGURATION, "-c")
