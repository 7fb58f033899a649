"""Runs the load generator, `bifrost bench`, and asks a broker for its `$SYS` topics."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import subprocess
import tempfile
import time

from . import brokers
from .brokers import Broker, Failure

USAGE = 64


class UnknownOption(Failure):
    """The binary does not know an option of the load: it is older than this suite."""


def shown(words) -> str:
    """A command of the generator's as the page shows it: without paths and numbers of one run."""
    return " ".join(["bifrost bench", *map(str, words), "--port PORT --broker-pid PID --json"])


def _command(binary: str, broker: Broker, words) -> list:
    return [
        binary, "bench", *words, "--port", broker.port, "--broker-pid", broker.pid, "--json",
    ]  # fmt: skip


def _result(code: int, out: str, error: str, words, tolerant: bool) -> dict:
    last = (error.strip().splitlines() or [""])[-1]
    if code == USAGE:
        unknown = re.search(r"Unknown option '?(--[a-z-]+)", error)
        if unknown:
            raise UnknownOption(f"this binary's bench does not know {unknown.group(1)}")
        raise Failure(f"bench {words[0]} refused its command line: {last}")
    try:
        result = json.loads(out)["result"]
    except ValueError:
        raise Failure(f"bench {words[0]} ended with {code}: {last}") from None
    if code != 0 and not tolerant:
        raise Failure(f"bench {words[0]}: {result.get('error') or last}")
    return result


def bench(binary: str, broker: Broker, *words, tolerant: bool = False,
          timeout: float = 900) -> dict:  # fmt: skip
    """Runs a load on a broker and gives its result."""
    process = brokers.start(
        _command(binary, broker, [*words, "--quiet"]),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        out, error = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failure(f"bench {words[0]} took longer than {timeout} s") from None
    finally:
        brokers.end(process, 5)
    return _result(process.returncode, out, error, words, tolerant)


class Held:
    """Idle clients that a generator holds; `result` is there after the block."""

    def __init__(self, process: subprocess.Popen):
        self.process = process
        self.result: dict = {}


@contextlib.contextmanager
def held(binary: str, broker: Broker, *words, timeout: float = 900, to_the_end: bool = False):
    """Runs `bench idle` on the side. The block begins when all clients are connected, and has to
    end before the time of `--hold` does. Then the clients go, or, with `to_the_end`, the generator
    does all that it was told to, and there is a result."""
    with tempfile.TemporaryDirectory(prefix="bifrost-bench-") as folder:
        out, error = pathlib.Path(folder) / "out", pathlib.Path(folder) / "error"
        with out.open("wb") as stdout, error.open("wb") as stderr:
            process = brokers.start(_command(binary, broker, words), stdout=stdout, stderr=stderr)
        try:
            limit = time.monotonic() + timeout
            while "clients are ready; holding" not in error.read_text(errors="replace"):
                if process.poll() is not None or time.monotonic() > limit:
                    _result(process.poll() or 1, out.read_text(), error.read_text(), words, False)
                    raise Failure("the idle clients did not connect")
                time.sleep(0.05)
            holder = Held(process)
            yield holder
            if not to_the_end:
                if process.poll() is not None:
                    raise Failure("the idle clients did not stay: --hold is too short")
                return
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                raise Failure(f"bench idle took longer than {timeout} s") from None
            # What was lost is in the result, which took minutes to get.
            holder.result = _result(code, out.read_text(), error.read_text(), words, True)
        finally:
            brokers.end(process, 5)


def system_topics(binary: str, broker: Broker, *topics: str, count: int = 0) -> dict[str, int]:
    """Numbers that a broker shows below `$SYS/broker/`, by the rest of their topics. Waits for
    `count` of them, or for two seconds where it is not known how many there are."""
    words = [word for topic in topics for word in ("-t", f"$SYS/broker/{topic}")]
    enough = ["-C", count] if count else []
    process = brokers.start(
        [binary, "sub", "-p", broker.port, "-v", *words, "-W", 2, *enough],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        text, _ = process.communicate(timeout=30)
    finally:
        brokers.end(process, 5)
    found = re.findall(r"^\$SYS/broker/(.+) (\d+)$", text, re.MULTILINE)
    return {name: int(value) for name, value in found}
