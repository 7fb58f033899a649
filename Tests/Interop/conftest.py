"""Fixtures of the interoperability tests: one broker for the whole run, names no test shares."""

from __future__ import annotations

import itertools
import os
import pathlib
import resource
import signal
import socket
import subprocess
import time

import pytest

import interop_support as support
from interop_paho import PahoClient

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

# How much of the broker's log a failure shows: the end of what it wrote during the test.
LOG_TAIL_BYTES = 16 * 1024

_broker_key = pytest.StashKey[support.Broker]()
_log_start_key = pytest.StashKey[int]()


def raise_open_files_limit() -> None:
    """The crowd needs it, and the broker is started with what we have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def start_broker(directory: pathlib.Path) -> support.Broker:
    binary = pathlib.Path(os.environ.get("BIFROST_BIN", REPOSITORY / ".build/release/bifrost"))
    if not binary.is_absolute():
        binary = REPOSITORY / binary
    if not os.access(binary, os.X_OK):
        pytest.exit(f"there is no broker at {binary}: build it, or set BIFROST_BIN", returncode=2)
    log = directory / "broker.log"
    command = [
        binary, "serve", "--grpc-listen", "off", "--mqtt-tcp-listen", "127.0.0.1:0",
        "--log-level", "info", "--data-dir", directory / "data",
    ]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [os.fspath(word) for word in command],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        port = support.wait_for(
            lambda: support.listening_port(log, process), "the broker to say where it listens"
        )
    except BaseException:
        process.kill()
        process.wait()
        raise
    return support.Broker("127.0.0.1", port, process, log)


def stop_broker(broker: support.Broker) -> None:
    """SIGTERM must end it, cleanly and in time; a crash in a test is found here at the latest."""
    process = broker.process
    assert process is not None
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(timeout=support.DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        pytest.fail(f"the broker did not end within {support.DEADLINE} s of SIGTERM")
    assert code == 0, (
        f"the broker ended with {code}; its log:\n{broker.log_since(0, LOG_TAIL_BYTES)}"
    )


@pytest.fixture(scope="session")
def broker(request, tmp_path_factory):
    """The broker under test, or the one that BROKER_ADDRESS names."""
    raise_open_files_limit()
    address = os.environ.get("BROKER_ADDRESS")
    if address:
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=support.DEADLINE).close()
        yield support.Broker(host, int(port), None, None)
        return
    started = start_broker(tmp_path_factory.mktemp("broker"))
    request.config.stash[_broker_key] = started
    yield started
    stop_broker(started)


_counter = itertools.count()
_run = f"{os.getpid():x}{time.monotonic_ns() & 0xFFFF:04x}"


@pytest.fixture
def unique():
    """A function that makes names: short enough for a client id of MQTT 3.1 (23 bytes)."""

    def make(prefix: str = "n") -> str:
        name = f"{prefix}-{_run}-{next(_counter)}"
        assert len(name) <= 23
        return name

    return make


@pytest.fixture
def paho(broker, unique):
    """Makes connected paho clients; whatever a test leaves open is closed after it."""
    made: list[PahoClient] = []

    def make(version: str = "5", *, connect: bool = True, **options) -> PahoClient:
        options.setdefault("client_id", unique("p"))
        client = PahoClient(broker, version, **options)
        made.append(client)
        if connect:
            client.connect()
        return client

    yield make
    for client in made:
        client.close()


def pytest_runtest_setup(item):
    broker = item.config.stash.get(_broker_key, None)
    item.stash[_log_start_key] = broker.log_size() if broker else 0


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what the broker wrote while the test ran."""
    outcome = yield
    report = outcome.get_result()
    broker = item.config.stash.get(_broker_key, None)
    if not report.failed or broker is None:
        return
    code = broker.process.poll()
    state = "runs" if code is None else f"ended with {code}"
    text = broker.log_since(item.stash.get(_log_start_key, 0), LOG_TAIL_BYTES)
    report.sections.append((f"broker's log (pid {broker.process.pid}, {state})", text))
