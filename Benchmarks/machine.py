"""The machine that is measured on: what it is, its memory, and settings of its kernel."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time


def read(path: str) -> str:
    """A file of the system's; empty where it can't be read."""
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""


def first_match(pattern: str, text: str, default: str = "") -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1).strip() if found else default


def facts() -> dict:
    """What a reader has to know of a machine to compare it with another."""
    return {
        "cores": os.cpu_count() or 1,
        "cpu": first_match(r"^model name\s*:(.*)$", read("/proc/cpuinfo"), "unknown"),
        "memory_gib": round(meminfo().get("MemTotal", 0) / 2**30),
        "kernel": f"{os.uname().sysname} {os.uname().release}",
        "system": first_match(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), "unknown"),
        "virtual": bool(re.search(r"^flags.*\bhypervisor\b", read("/proc/cpuinfo"), re.MULTILINE)),
    }


def program(name: str) -> str | None:
    """Where a program is; Debian has brokers in sbin, which is not in everybody's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def output(name: str, *words: str) -> str:
    """What a program prints; empty where there is no such program."""
    where = program(name)
    if where is None:
        return ""
    done = subprocess.run(
        [where, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.stdout.decode(errors="replace")


def versions(binary: str) -> dict:
    """Versions of the brokers that are compared; those that are installed."""
    found = {
        "bifrost": output(binary, "--version").strip().removeprefix("bifrost "),
        "mosquitto": first_match(r"mosquitto version (\S+)", output("mosquitto", "-h")),
        "nats-server": first_match(r"\bv(\d\S*)", output("nats-server", "--version")),
    }
    return {name: version for name, version in found.items() if version}


def meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    found = re.findall(r"^(\S+):\s+(\d+) kB$", read("/proc/meminfo"), re.MULTILINE)
    return {name: int(value) * 1024 for name, value in found}


# What the kernel takes for itself. Pages of sockets' buffers are in sockstat; the vmalloc area has
# tables of open files, and also the stacks of threads, which KernelStack names once more.
KERNEL_KINDS = ("Slab", "PageTables", "SecPageTables", "Percpu", "VmallocUsed")


def kernel_memory() -> dict[str, int]:
    """Bytes that the kernel holds, by kind."""
    info = meminfo()
    pages = int(first_match(r"^TCP:.* mem (\d+)$", read("/proc/net/sockstat"), "0"))
    kinds = {kind: info.get(kind, 0) for kind in KERNEL_KINDS}
    kinds["socket buffers"] = pages * os.sysconf("SC_PAGESIZE")
    return kinds


def resident(process: int) -> int:
    """Bytes of memory that a process has."""
    return int(first_match(r"^VmRSS:\s+(\d+) kB", read(f"/proc/{process}/status"), "0")) * 1024


def cpu_seconds(process: int) -> float:
    """CPU time of all threads that are alive: finer than the ticks of /proc/PID/stat."""
    total = 0
    for thread in pathlib.Path(f"/proc/{process}/task").glob("*"):
        total += int((read(f"{thread}/schedstat").split() or ["0"])[0])
    return total / 1e9


def wakeups(process: int) -> dict[str, int]:
    """How often each thread of a process went to sleep, by name and number."""
    counts = {}
    for thread in pathlib.Path(f"/proc/{process}/task").glob("*"):
        name = read(f"{thread}/comm").strip()
        count = first_match(r"^voluntary_ctxt_switches:\s+(\d+)", read(f"{thread}/status"), "0")
        counts[f"{name} {thread.name}"] = int(count)
    return counts


@contextlib.contextmanager
def kernel_settings(wanted: dict[str, str]):
    """Settings of the kernel, by their paths below /proc/sys; put back afterwards."""
    before: dict[pathlib.Path, str] = {}
    try:
        for name, value in wanted.items():
            path = pathlib.Path("/proc/sys") / name
            old = path.read_text()
            if old.split() != value.split():
                path.write_text(value)
                before[path] = old
        yield
    finally:
        for path, old in before.items():
            path.write_text(old)


class Sampler(threading.Thread):
    """Looks at something every half second while others run."""

    def __init__(self, look):
        super().__init__(daemon=True)
        self.look = look
        self.samples: list[dict] = []
        self._done = threading.Event()

    def run(self):
        while not self._done.wait(0.5):
            self.samples.append({"time": time.monotonic(), **self.look()})

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self.join()

    def series(self, name: str, begun: float, most: int = 200) -> list:
        """What was seen of one thing since a moment, as pairs of seconds and value; thinned out
        where it is more than a plot can show."""
        later = [each for each in list(self.samples) if each["time"] >= begun]
        step = -(-len(later) // most) or 1
        return [[round(each["time"] - begun, 1), each[name]] for each in later[::step]]
