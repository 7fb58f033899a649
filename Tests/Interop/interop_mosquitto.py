"""mosquitto's command line clients as processes whose output a test can wait for."""

from __future__ import annotations

import collections
import shutil
import subprocess
import threading
import time

import pytest

from interop_support import DEADLINE, Broker

FLAGS = {"3.1": "mqttv31", "3.1.1": "mqttv311", "5": "mqttv5"}

# Starts each line that is a message: all others are what `-d` prints.
MARK = "\x01"
SEPARATOR = "\x02"


def require(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed (Debian's package mosquitto-clients)")
    return path


def _command(tool: str, broker: Broker, version: str, arguments) -> list[str]:
    address = ["-h", broker.host, "-p", str(broker.port)]
    return [require(tool), *address, "-V", FLAGS[version], *map(str, arguments)]


def run(tool: str, broker: Broker, version: str, *arguments, stdin: bytes | None = None):
    """Runs one of the tools to its end, which must be a success; returns its output."""
    done = subprocess.run(
        _command(tool, broker, version, arguments),
        input=stdin,
        capture_output=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, (done.returncode, done.stdout[-500:], done.stderr[-500:])
    return done.stdout


def publish(broker: Broker, version: str, *arguments, stdin: bytes | None = None) -> None:
    run("mosquitto_pub", broker, version, *arguments, stdin=stdin)


class Subscriber:
    """A running mosquitto_sub. `fields` are the letters of its output format (see its manual)."""

    def __init__(self, broker: Broker, version: str, *arguments, fields: str = "tqrp"):
        layout = MARK + SEPARATOR.join(f"%{letter}" for letter in fields)
        command = _command("mosquitto_sub", broker, version, ["-d", "-F", layout, *arguments])
        # Line buffering, for its output is a pipe and we wait for single lines.
        self.process = subprocess.Popen(
            [require("stdbuf"), "-oL", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._changed = threading.Condition()
        self._messages: collections.deque[list[str]] = collections.deque()
        self._debug: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            with self._changed:
                if text.startswith(MARK):
                    self._messages.append(text[len(MARK) :].split(SEPARATOR))
                else:
                    self._debug.append(text)
                self._changed.notify_all()
        with self._changed:
            self._debug.append("(end of output)")
            self._changed.notify_all()

    def _wait(self, condition, what: str, timeout: float = DEADLINE):
        end = time.monotonic() + timeout
        with self._changed:
            while not condition():
                left = end - time.monotonic()
                if left <= 0 or "(end of output)" in self._debug:
                    raise AssertionError(f"no {what}; it printed {self._debug[-20:]}")
                self._changed.wait(left)

    def wait_subscribed(self) -> Subscriber:
        self._wait(lambda: any(t.startswith("Subscribed") for t in self._debug), "SUBACK")
        return self

    def wait_debug(self, part: str) -> str:
        """Waits for a line of `-d` that contains `part`, and returns it."""
        found = []

        def look():
            found[:] = [line for line in self._debug if part in line]
            return found

        self._wait(look, f"line with {part!r}")
        return found[0]

    def receive(self, count: int, timeout: float = DEADLINE) -> list[list[str]]:
        self._wait(lambda: len(self._messages) >= count, f"{count} messages", timeout)
        with self._changed:
            return [self._messages.popleft() for _ in range(count)]

    def wait_end(self) -> int:
        """Waits for the process to end by itself, and returns its exit code."""
        code = self.process.wait(timeout=DEADLINE)
        self._reader.join(DEADLINE)
        return code

    def kill(self) -> None:
        """SIGKILL: the connection ends without DISCONNECT."""
        self.process.kill()
        self.wait_end()

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(DEADLINE)
        self.process.stdout.close()
