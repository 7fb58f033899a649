"""The broker under test: started on one data directory again and again, and killed."""
import asyncio
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from neighbours import TESTS, listening_port

BINARY = TESTS.parent / os.environ.get("BIFROST_BIN", ".build/release/bifrost")
# A subscriber that is away for long must find all of it, whatever the default allows.
FLAGS = ("--mqtt-max-queued-messages", "1000000", "--mqtt-max-queued-bytes", "1GiB")
START_TIMEOUT = 20.0
START_POLL = 0.002
KEPT_LOGS = 3
LOG_TAIL = 4096


class BrokerFailed(Exception):
    """The broker did not start, or ended without being killed."""


def backends_address(log):
    """Where the broker listens for backends, or None while its log does not say so."""
    found = re.search(r"grpc: listening on (\S+:\d+)\n", log.read_text(errors="replace"))
    return found and found[1]


class Broker:
    """One life of the broker after the other. Each listens on a port of its own, so that no client
    can mistake the one for the other."""

    def __init__(self, binary, directory, loops, kind, flags=(), power=None):
        self.directory = Path(directory).resolve()
        self.data = self.directory / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.command = [
            str(Path(binary).resolve()), "serve", "--grpc-listen", "127.0.0.1:0",
            "--mqtt-tcp-listen", "127.0.0.1:0",
            "--log-level", "info", "--net-loops", str(loops), "--store-kind", kind,
            "--data-dir", str(self.data), *FLAGS, *flags]
        # The settings are the flags alone, whatever the environment names.
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("BIFROST_")}
        self.power = power and power(self.data, self.directory)
        self.process, self.address = None, None
        self.backends = None  # where gRPC listens
        self.life = 0
        self.killed = True  # set before the signal, so that who sees the end knows the reason
        self.up = asyncio.Event()
        self.kills = []  # [when it was killed, when the next life was ready or None]
        self.start_times = []

    def log(self, life):
        return self.directory / f"broker-{life}.log"

    def spawn(self):
        self.life += 1
        environment = self.environment
        if self.power is not None:
            environment = self.power.environment(environment)
        with self.log(self.life).open("wb") as stderr:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                env=environment, cwd=self.directory)
        self.log(self.life - KEPT_LOGS).unlink(missing_ok=True)

    async def start(self):
        """Starts it, and lets the clients go as soon as it listens, for backends too."""
        begin = time.monotonic()
        self.spawn()
        port = None
        while port is None or self.backends is None:
            await asyncio.sleep(START_POLL)
            try:
                port = listening_port(self.log(self.life), self.process)
                self.backends = backends_address(self.log(self.life))
            except AssertionError as error:
                raise BrokerFailed(str(error)) from None
            if time.monotonic() > begin + START_TIMEOUT:
                raise BrokerFailed(f"it does not listen after {START_TIMEOUT} s\n{self.tail()}")
        now = time.monotonic()
        self.start_times.append(now - begin)
        if self.kills and self.kills[-1][1] is None:
            self.kills[-1][1] = now
        self.address, self.killed = ("127.0.0.1", port), False
        self.up.set()

    async def wait_up(self):
        """Until there is a broker to connect to."""
        if self.killed:
            self.up.clear()
        await self.up.wait()

    async def kill_after(self, seconds):
        """SIGKILL after a time, from a thread of its own: the moment has nothing to do with what
        the clients are doing just then."""
        await asyncio.to_thread(self.kill_soon, seconds)

    def kill_soon(self, seconds):
        time.sleep(seconds)
        self.require_alive()
        self.killed = True
        self.kills.append([time.monotonic(), None])
        self.process.kill()
        self.process.wait()
        self.lose_power()

    def lose_power(self):
        if self.power is not None:
            self.power.fail()

    async def kill_while_starting(self, seconds):
        """A life that may be too short to listen; no client hears of it."""
        self.spawn()
        await asyncio.sleep(seconds)
        self.process.kill()
        await asyncio.to_thread(self.process.wait)
        if self.process.returncode != -signal.SIGKILL:
            raise BrokerFailed(f"it ended with {self.process.returncode}\n{self.tail()}")
        await asyncio.to_thread(self.lose_power)

    def require_alive(self):
        code = self.process.poll()
        if code is not None:
            self.killed = True
            raise BrokerFailed(f"it ended with {code}, and nobody had killed it\n{self.tail()}")

    def alive_since(self, life):
        """Whether the broker of that life still is the one that runs, and was not killed."""
        return life == self.life and not self.killed

    def next_ready_after_kill(self, since, until):
        """When the broker was ready again after its first kill in a time span, or None if there
        was none; infinity while it is not."""
        for killed, ready in self.kills:
            if since <= killed <= until:
                return float("inf") if ready is None else ready
        return None

    def tail(self):
        """The end of its log."""
        path = self.log(self.life)
        return path.read_bytes()[-LOG_TAIL:].decode(errors="replace") if path.exists() else ""

    def close(self):
        """Leaves no process behind."""
        if self.process is not None and self.process.poll() is None:
            self.killed = True
            self.process.kill()
            self.process.wait()
