"""A broker for the tests, started once for each kind, and clients that end with them.

BIFROST_BIN        the broker's binary (.build/release/bifrost)
BROKER_ADDRESS     host:port of a running broker instead; tests that need flags of their own skip
CONFORMANCE_KINDS  the kinds of broker to test: loops/store (1/sqlite,2/sqlite,2/memory)
"""
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from wire_client import Client  # noqa: E402  the path above comes first

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("BIFROST_BIN", os.path.join(ROOT, ".build/release/bifrost"))
RUNNING = os.environ.get("BROKER_ADDRESS")
KINDS = ["running"] if RUNNING else os.environ.get(
    "CONFORMANCE_KINDS", "1/sqlite,2/sqlite,2/memory").split(",")
# Names are unique over the whole run, also against a broker that has run tests before.
numbers = itertools.count(1)
PREFIX = f"c{os.getpid()}x{int(time.time()) % 100000}"


class Broker:
    """A broker process of our own, with its log."""

    def __init__(self, kind, *flags):
        loops, store = kind.split("/")
        self.data = tempfile.TemporaryDirectory(prefix="bifrost-")
        command = [BINARY, "serve", "--grpc-listen", "off",
                   "--mqtt-tcp-listen", "127.0.0.1:0", "--log-level", "info",
                   "--net-loops", loops, "--store-kind", store, "--data-dir", self.data.name]
        # The settings are the flags alone, whatever the environment of the tests names.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BIFROST_")}
        self.process = subprocess.Popen(
            command + list(flags), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, env=environment)
        self.log, self.address, self.ready = [], None, threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if not self.ready.wait(20) or self.address is None:
            self.process.kill()
            raise RuntimeError(f"{command + list(flags)} did not listen:\n" + "".join(self.log))

    def read(self):
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"listening.*?127\.0\.0\.1:(\d+)", line)
            if found and self.address is None:
                self.address = ("127.0.0.1", int(found[1]))
                self.ready.set()
        self.ready.set()

    def stop(self):
        """Ends the process; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self.data.cleanup()


def ended(broker, flags=""):
    status = broker.stop()
    assert status == 0, f"broker {flags} ended with {status}:\n" + "".join(broker.log[-50:])


@pytest.fixture(scope="session", params=KINDS, ids=lambda kind: kind.replace("/", "-"))
def broker_kind(request):
    return request.param


@pytest.fixture(scope="session")
def broker(broker_kind):
    """The address of the broker that most tests share."""
    if RUNNING:
        host, port = RUNNING.rsplit(":", 1)
        yield (host, int(port))
        return
    own = Broker(broker_kind)
    yield own.address
    ended(own)


@pytest.fixture(scope="session")
def special(broker_kind):
    """Starts brokers with flags of their own, each once; gives the address."""
    if RUNNING:
        pytest.skip("needs a broker with flags of its own, and BROKER_ADDRESS is set")
    brokers = {}

    def start(*flags):
        if flags not in brokers:
            brokers[flags] = Broker(broker_kind, *flags)
        return brokers[flags].address

    yield start
    for flags, own in brokers.items():
        ended(own, flags)


@pytest.fixture
def name():
    """Makes names that nothing else in this run has."""
    return lambda text="n": f"{PREFIX}{text}{next(numbers)}"


@pytest.fixture
def open_client(broker):
    """Opens connections without CONNECT; all are closed after the test."""
    clients = []

    def start(version=4, address=None):
        clients.append(Client(address or broker, version))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def client(open_client, name):
    """Connects clients: client(version, client_id=None, **what wire.connect takes)."""

    def start(version=4, client_id=None, address=None, **options):
        own = open_client(version, address)
        own.connect(name("id") if client_id is None else client_id, **options)
        return own

    return start
