"""`bifrost top`: what it shows of a broker, and what it says where there is nothing to show."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from Benchmarks import brokers  # noqa: E402
from interop_support import DEADLINE  # noqa: E402

BINARY = pathlib.Path(os.environ.get("BIFROST_BIN", REPOSITORY / ".build/release/bifrost"))
if not BINARY.is_absolute():
    BINARY = REPOSITORY / BINARY

UNAVAILABLE = 69


def top(port: int, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [BINARY, "top", "-h", "127.0.0.1", "-p", str(port), *words],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def test_one_page():
    with brokers.bifrost(str(BINARY), 2, sys_interval="1s") as broker:
        shown = top(broker.port, "--once")
        values = json.loads(top(broker.port, "--json").stdout)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0].startswith(f"bifrost 0.1.0 at 127.0.0.1:{broker.port}, up ")
    kinds = [line.split()[0] for line in lines if line.startswith("  ")]
    assert kinds[0] == "connections" and kinds[-2:] == ["total", "resident"]
    assert all(f"memory/{kind}" in values for kind in kinds)
    assert values["memory/resident"] > values["memory/heap"] > 0


def test_it_goes_on_until_it_is_ended():
    with brokers.bifrost(str(BINARY), 1, sys_interval="1s") as broker:
        process = subprocess.Popen(
            [BINARY, "top", "-h", "127.0.0.1", "-p", str(broker.port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        with contextlib.closing(process.stdout):
            pages = 0
            for line in process.stdout:
                pages += line.startswith("bifrost 0.1.0 at ")
                if pages == 3:
                    break
            process.send_signal(signal.SIGINT)
            # What it still says is read, so that it can end.
            process.stdout.read()
            assert process.wait(DEADLINE) == 0
        assert pages == 3


def test_a_broker_without_system_topics():
    with brokers.bifrost(str(BINARY), 1, sys_interval="0s") as broker:
        done = top(broker.port, "--once")
    assert done.returncode == UNAVAILABLE
    assert done.stdout == "" and "sys.interval" in done.stderr


def test_nobody_is_there():
    port = brokers.free_port()
    done = top(port, "--once")
    assert done.returncode == UNAVAILABLE and str(port) in done.stderr

