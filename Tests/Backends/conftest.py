"""Fixtures of the backends' tests: brokers of some kinds for the whole run, names no test shares,
devices, backends, and what a hook asks.

BIFROST_BIN  the broker's binary (.build/release/bifrost)
"""

from __future__ import annotations

import itertools
import os
import time

import pytest

import backend_broker
from api import Backend
from backend_broker import hook_flags
from devices import Device
from hook_backend import HookBackend

_brokers_key = pytest.StashKey[list]()
_starts_key = pytest.StashKey[dict]()

# What most tests run on: two loops, so that clients meet across them, and the durable store.
USUAL = (2, "sqlite")
KINDS = [(1, "sqlite"), (2, "sqlite"), (1, "memory"), (2, "memory")]


def pytest_configure(config):
    config.addinivalue_line("markers", "everywhere: runs with 1 and 2 loops and each store")
    config.addinivalue_line("markers", "durable: runs with 1 and 2 loops and the durable store")
    config.stash[_brokers_key] = []
    backend_broker.raise_open_files_limit()


def pytest_generate_tests(metafunc):
    kinds = []
    if metafunc.definition.get_closest_marker("everywhere"):
        kinds = KINDS
    elif metafunc.definition.get_closest_marker("durable"):
        kinds = [kind for kind in KINDS if kind[1] == "sqlite"]
    if kinds:
        ids = [f"{loops}-{store}" for loops, store in kinds]
        metafunc.parametrize("broker", kinds, indirect=True, ids=ids)


@pytest.fixture(scope="session")
def shared_brokers(request, tmp_path_factory):
    """Gives the broker of a kind, started when it is first asked for."""
    made: dict = {}

    def give(kind):
        if kind not in made:
            loops, store = kind
            directory = tmp_path_factory.mktemp(f"broker-{loops}-{store}")
            flags = ("--net-loops", str(loops), "--store-kind", store)
            made[kind] = backend_broker.start(directory, *flags)
            request.config.stash[_brokers_key].append(made[kind])
        return made[kind]

    yield give
    for broker in made.values():
        broker.stop()


@pytest.fixture
def broker(request, shared_brokers):
    """A broker that other tests use, too: 2 loops and SQLite, or each kind with `everywhere`."""
    return shared_brokers(getattr(request, "param", USUAL))


@pytest.fixture
def start(request, tmp_path):
    """Starts brokers of the test's own. `start("--flag", "value")`; the same `name` comes back to
    the same data."""
    made = []

    def begin(*flags, name="own", loops=2, store="sqlite"):
        flags = ("--net-loops", str(loops), "--store-kind", store, *flags)
        broker = backend_broker.start(tmp_path / name, *flags)
        made.append(broker)
        request.config.stash[_brokers_key].append(broker)
        return broker

    yield begin
    for broker in made:
        request.config.stash[_brokers_key].remove(broker)
        if broker.process.poll() is None:
            broker.stop()
        else:
            # A test has stopped or killed it; all else is a crash.
            assert broker.process.returncode in (0, -9), broker.tail()


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
def device(request, unique):
    """Makes connected devices; whatever a test leaves open is closed after it."""
    made: list[Device] = []

    def make(version="5", *, on=None, connect=True, **options) -> Device:
        at = on if on is not None else request.getfixturevalue("broker")
        options.setdefault("client_id", unique("d"))
        client = Device(at, version, **options)
        made.append(client)
        if connect:
            client.connect()
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def connect():
    """Makes backends: `connect(broker, token="...")`; they are closed after the test."""
    made: list[Backend] = []

    def make(broker, **options) -> Backend:
        made.append(Backend(getattr(broker, "grpc", broker), **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def backend(broker, connect) -> Backend:
    """A backend of the shared broker."""
    return connect(broker)


@pytest.fixture
def make_hooks():
    """Makes backends that answer hooks; they end with the test."""
    made: list[HookBackend] = []

    def make(*arguments, **options) -> HookBackend:
        made.append(HookBackend(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def hooks(make_hooks) -> HookBackend:
    return make_hooks()


@pytest.fixture
def hooked(start, hooks):
    """Starts a broker that asks `hooks`: `hooked("connect", "publish", publish_topics="a/#")`."""

    def begin(*names, loops=2, store="sqlite", flags=(), name="own", **settings):
        every = []
        for hook in names:
            own = {
                key.removeprefix(f"{hook}_"): value for key, value in settings.items()
                if key.startswith(f"{hook}_")}
            every += hook_flags(hook, hooks.port, **own)
        return start(*every, *flags, loops=loops, store=store, name=name)

    return begin


def pytest_runtest_setup(item):
    brokers = item.config.stash[_brokers_key]
    item.stash[_starts_key] = {broker.log: broker.log.stat().st_size for broker in brokers}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what the brokers wrote while the test ran."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for broker in item.config.stash[_brokers_key]:
        code = broker.process.poll()
        state = "runs" if code is None else f"ended with {code}"
        text = broker.tail(item.stash.get(_starts_key, {}).get(broker.log, 0))
        if text:
            report.sections.append((f"broker's log (pid {broker.process.pid}, {state})", text))
