"""What the durability tests are told from outside.

BIFROST_BIN         the broker's binary (.build/release/bifrost)
BIFROST_SEED        replays the run whose output names it
BIFROST_STORE_KIND  the store that has to keep everything (sqlite)
BIFROST_KILLS       kills for each number of loops (25)
BIFROST_DISK_CASES  calls of the disk that are made to fail (60)
"""
import os
import random

import pytest

import disk
from broker import BINARY


@pytest.fixture(scope="session")
def binary():
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"there is no broker at {BINARY}: build it, or set BIFROST_BIN", returncode=2)
    return BINARY


@pytest.fixture(autouse=True)
def no_broker_is_left():
    yield
    while disk.processes:
        process = disk.processes.pop()
        process.kill()
        process.wait()


@pytest.fixture
def seed():
    """One for each test, printed where it fails."""
    value = int(os.environ.get("BIFROST_SEED") or random.randrange(1 << 32))
    print(f"BIFROST_SEED={value}")
    return value


@pytest.fixture(scope="session")
def store_kind():
    return os.environ.get("BIFROST_STORE_KIND", "sqlite")


@pytest.fixture(scope="session")
def kills():
    return int(os.environ.get("BIFROST_KILLS", "25"))
