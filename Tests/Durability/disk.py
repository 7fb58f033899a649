"""A broker whose data directory can be made to fail, and clients that see what comes of it."""
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))

from broker import BINARY, FLAGS  # noqa: E402  the path above comes first
from faults import FaultyDirectory  # noqa: E402
from neighbours import Client, wire  # noqa: E402

QUOTA_EXCEEDED, SERVER_BUSY = 0x97, 0x89
EXPIRY = [(17, 3600)]
# How long a line of the log, or an answer that a healed disk lets come, may take.
PATIENCE = 20.0
# All that were started: a test that fails leaves none behind (conftest.py).
processes = []
FAILS, WORKS = "the store can't be written", "the store can be written again"


class Broker:
    """One life of a broker on a directory; the next life is another value on the same one."""

    def __init__(self, directory, *flags, disk=None, keeps_syncs=True):
        data, scratch = directory / "data", directory / "scratch"
        data.mkdir(exist_ok=True)
        scratch.mkdir(exist_ok=True)
        self.directory, self.flags = directory, flags
        self.disk = disk or FaultyDirectory(data, scratch, keeps_syncs=keeps_syncs)
        self.log = directory / "log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BIFROST_")}
        environment = self.disk.environment(environment)
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--grpc-listen", "off", "--mqtt-tcp-listen", "127.0.0.1:0",
                 "--net-loops", "1",
                 "--data-dir", str(data), *FLAGS, *flags], env=environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
        processes.append(self.process)
        self.port = None

    @property
    def address(self):
        if self.port is None:
            self.port = int(self.said(r"listening on 127\.0\.0\.1:(\d+)")[1])
        return "127.0.0.1", self.port

    def text(self):
        return self.log.read_text(errors="replace")

    def said(self, pattern, times=1):
        """Waits for a line of the log, or for the last of several."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = list(re.finditer(pattern, self.text()))
            if len(found) >= times:
                return found[times - 1]
            assert self.process.poll() is None, f"it has ended:\n{self.text()}"
            time.sleep(0.005)
        raise AssertionError(f"no line with {pattern}:\n{self.text()}")

    def client(self, name, **options):
        own = Client(self.address, 5)
        own.connect(name, **options)
        return own

    def stored(self, name):
        """A client whose session outlives its connection, and the broker."""
        return self.client(name, clean=False, props=EXPIRY)

    def connecting(self, name):
        """The same, before it has been answered."""
        own = Client(self.address, 5)
        own.send_connect(name, clean=False, props=EXPIRY)
        return own

    def refuses(self, name):
        """A client with a session to be stored is told at once that it can't be."""
        late = self.connecting(name)
        answer = late.receive(PATIENCE)
        late.close()
        assert answer.reason == SERVER_BUSY, answer

    def memory(self):
        """Bytes of the process that are in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def wait(self):
        """Until it ends; its status."""
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.wait() == 0, self.text()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def next(self):
        """The next life of the same directory, the last one having ended."""
        return Broker(self.directory, *self.flags, disk=self.disk)


def drained(broker, client):
    """All messages that a client with a subscription to t/# is owed, each acknowledged."""
    marker = broker.client("marker")
    marker.publish("t/end", b"end", 1)
    marker.close()
    return client.until(b"end")


def settle(client):
    """Until the store has what this client acknowledged, so that nothing else is written then."""
    client.subscribe(("settled", 0))
