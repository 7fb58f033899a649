"""The broker under test, with an MQTT and a gRPC port that the system chose."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys

import pytest

from api import REPOSITORY

sys.path.append(str(REPOSITORY / "Tests/Interop"))

import interop_support as support  # noqa: E402  the path above comes first

# How much of the broker's log a failure shows.
LOG_TAIL_BYTES = 16 * 1024

# All hooks, as the names of their settings have them.
HOOKS = ("connect", "subscribe", "publish", "delivered", "unsubscribe", "disconnect", "offline")


def hook_flags(hook: str, *ports: int, **settings: str) -> list[str]:
    """Flags that turn a hook on: `hook_flags("connect", 5061, on_failure="allow")`."""
    assert hook in HOOKS
    flags = [f"--hooks-{hook}-endpoints", ",".join(f"127.0.0.1:{port}" for port in ports)]
    for name, value in settings.items():
        flags += [f"--hooks-{hook}-{name.replace('_', '-')}", str(value)]
    return flags


@dataclasses.dataclass(frozen=True)
class Broker:
    """A broker that runs. `host` and `port` are MQTT's, as helpers of Tests/Interop want them."""

    host: str
    port: int
    grpc: str
    process: subprocess.Popen
    log: pathlib.Path
    data: pathlib.Path

    def tail(self, start: int = 0) -> str:
        with self.log.open("rb") as file:
            file.seek(max(start, self.log.stat().st_size - LOG_TAIL_BYTES))
            return file.read().decode(errors="replace")

    def stop(self) -> None:
        """SIGTERM must end it, cleanly and in time; a crash is found here at the latest."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=support.DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"the broker did not end within {support.DEADLINE} s of SIGTERM")
        assert code == 0, f"the broker ended with {code}; its log:\n{self.tail()}"

    def kill(self) -> None:
        """SIGKILL: what comes back afterwards was durable."""
        self.process.kill()
        self.process.wait()


def binary() -> pathlib.Path:
    path = REPOSITORY / os.environ.get("BIFROST_BIN", ".build/release/bifrost")
    if not os.access(path, os.X_OK):
        pytest.exit(f"there is no broker at {path}: build it, or set BIFROST_BIN", returncode=2)
    return path


def environment() -> dict[str, str]:
    """The settings are the flags alone, whatever the environment names."""
    return {key: value for key, value in os.environ.items() if not key.startswith("BIFROST_")}


def command(data: pathlib.Path, *flags: str) -> list[str]:
    return [
        os.fspath(binary()), "serve", "--mqtt-tcp-listen", "127.0.0.1:0", "--grpc-listen",
        "127.0.0.1:0", "--log-level", "info", "--data-dir", os.fspath(data), *flags]


def start(directory: pathlib.Path, *flags: str) -> Broker:
    """Starts a broker whose data and log are in `directory`: again, to come back to that data."""
    data, log = directory / "data", directory / "broker.log"
    data.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command(data, *flags), cwd=directory, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=stderr, env=environment())
    try:
        mqtt, grpc = support.wait_for(
            lambda: listening(log, process), "the broker to say where it listens")
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Broker("127.0.0.1", mqtt, f"127.0.0.1:{grpc}", process, log, data)


def listening(log: pathlib.Path, process: subprocess.Popen) -> tuple[int, int] | None:
    """The MQTT and the gRPC port, once the log names both."""
    ended = process.poll()
    text = log.read_text(errors="replace")
    ports = {}
    for line in text.splitlines(keepends=True):
        found = re.search(r"listening on \S*?:([1-9][0-9]*)", line)
        if found and line.endswith("\n"):
            ports.setdefault("grpc" if "grpc:" in line else "mqtt", int(found.group(1)))
    if len(ports) == 2:
        return ports["mqtt"], ports["grpc"]
    if ended is not None:
        raise AssertionError(f"the broker ended with {ended} at once:\n{text}")
    return None


def raise_open_files_limit() -> None:
    """Many streams and devices need it, and the broker is started with what we have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
