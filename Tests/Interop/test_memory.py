"""What idle clients cost, where the broker says its memory is, and that it comes back.

Memory does not depend on how busy the machine is, so these hold figures, other than any test of
time would.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from Benchmarks import back, brokers  # noqa: E402
from Benchmarks.context import Context  # noqa: E402
from interop_support import DEADLINE, wait_for  # noqa: E402

BINARY = pathlib.Path(os.environ.get("BIFROST_BIN", REPOSITORY / ".build/release/bifrost"))
if not BINARY.is_absolute():
    BINARY = REPOSITORY / BINARY

CLIENTS = 15_000
# Bytes of a client: the records alone are 200 to 230. Below, a figure of the documents is wrong;
# above, an idle client has got something that it should not have.
LEAST, MOST = 190, 270
# The share of the growth that the ledger may leave unexplained.
LEDGER = 0.05


def top(port: int) -> dict:
    """The broker's values, once."""
    done = subprocess.run(
        [BINARY, "top", "--json", "-p", str(port)], capture_output=True, timeout=DEADLINE
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def hold(port: int, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [BINARY, "bench", "idle", "--port", str(port), "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module", autouse=True)
def room():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CLIENTS + 500:
        pytest.skip(f"{CLIENTS} clients need that many open files; the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def has_all(values: dict) -> bool:
    """Whether the broker says that it has all clients, and the ledger has their records."""
    return (
        values["subscriptions/count"] >= CLIENTS
        and values["memory/sessions"] >= CLIENTS * 48
        and values["memory/subscriptions"] >= CLIENTS * 28
    )


@pytest.mark.parametrize("loops", [1, 2])
def test_an_idle_client_takes_what_its_records_do(loops):
    with brokers.bifrost(str(BINARY), loops, sys_interval="1s") as broker:
        # What the first clients of all make the broker touch is not any client's.
        warm = hold(broker.port, "--clients", "10", "--hold", "100ms", "--quiet")
        assert warm.wait(DEADLINE) == 0
        wait_for(lambda: top(broker.port)["clients/connected"] <= 1, "the first clients to go")
        before = broker.resident()
        crowd = hold(
            broker.port, "--clients", str(CLIENTS), "--keep-alive", "60", "--hold", "600s"
        )
        try:
            # A round of $SYS that has them all; one comes each second. Loops show their part of the
            # ledger a moment after they have changed it.
            values = wait_for(
                lambda: (seen := top(broker.port))
                and (has_all(seen) and seen),
                "the clients",
                timeout=60,
            )
            each = (broker.resident() - before) / CLIENTS
        finally:
            brokers.end(crowd)
    assert LEAST <= each <= MOST, f"{each} bytes"
    assert values["memory/connections"] >= CLIENTS * 40
    grown = values["memory/resident"] - values["memory/started"]
    unexplained = abs(values["memory/resident"] - values["memory/total"])
    assert unexplained <= LEDGER * grown, values
    kinds = sum(
        size
        for name, size in values.items()
        if name.startswith("memory/") and name.split("/")[1] not in ("total", "resident", "started")
    )
    assert kinds == values["memory/total"]


def test_memory_comes_back():
    """After a broadcast to clients of whom some do not read, after a storm, and after a stream."""
    section = back.measure(Context(binary=str(BINARY)))
    for event, what in back.EVENTS.items():
        assert section.get(event).value <= back.TARGET, what
