"""A directory whose file system lies, for a program that runs: faults.c, and what drives it.

    disk = FaultyDirectory(data, scratch)
    program = subprocess.Popen(command, env=disk.environment())
    disk.fail(errno.EIO, ops=SYNCS, file="-wal", times=1)   # the next sync of the log fails
    disk.fill(); ...; disk.empty()                          # the disk is full for a while
    disk.slow(500, ops=SYNCS); ...; disk.heal()             # and slow
    disk.mark("order 17")                                   # what was promised by now
    for cut in range(1, disk.calls + 2):
        reconstruct(disk.journal(), cut, seed, image)       # the disk after a power loss
        assert set(disk.marked(cut)) <= what_a_program_finds_in(image)

Works with any program that calls the C library: SQLite may be linked in statically. Several
programs may run one after the other, not at the same time.
"""

from __future__ import annotations

import atexit
import ctypes
import enum
import errno
import functools
import mmap
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping

import power_loss
from power_loss import Call, Journal, JournalError, Op, reconstruct

__all__ = ["ALL", "CHANGES", "SYNCS", "Call", "Control", "FaultyDirectory", "Journal",
           "JournalError", "Mode", "Op", "build", "calls", "reconstruct"]  # fmt: skip

SOURCE = pathlib.Path(__file__).with_name("faults.c")
MAGIC = 0x31544C46
EVERY_NUMBER = (1 << 64) - 1
SUFFIX_LIMIT = 32

# Sets of calls. Reading and opening are only made to fail where a rule names them.
SYNCS = (Op.SYNC, Op.DIRECTORY_SYNC)
CHANGES = (Op.CREATE, Op.WRITE, Op.TRUNCATE, Op.ALLOCATE, *SYNCS, Op.UNLINK, Op.RENAME)
ALL = (Op.OPEN, Op.READ, *CHANGES)


class Mode(enum.IntEnum):
    """What is done to a call that a rule is for. In step with faults.c."""

    OFF = 0
    # Nothing happens, and it fails.
    FAIL = 1
    # Half of a write is made and counted, as POSIX allows at any time. Other calls pass.
    SHORT = 2
    # The first write is cut short, what follows fails: how a disk becomes full.
    SHORT_THEN_FAIL = 3
    # Half of a write is made, yet it fails. Other calls fail.
    TORN = 4
    # The program is killed (SIGKILL) in place of the call.
    KILL = 5


class Control(ctypes.Structure):
    """The page that the program and the test share: `struct control` of faults.c."""

    _fields_ = [
        ("magic", ctypes.c_uint32),
        ("record", ctypes.c_uint32),
        ("mode", ctypes.c_uint32),
        ("ops", ctypes.c_uint32),
        ("error", ctypes.c_int32),
        ("keeps_syncs", ctypes.c_uint32),
        ("first", ctypes.c_uint64),
        ("last", ctypes.c_uint64),
        ("times", ctypes.c_int64),
        ("space", ctypes.c_int64),
        ("slow_ops", ctypes.c_uint32),
        ("slow_milliseconds", ctypes.c_uint32),
        ("suffix", ctypes.c_char * SUFFIX_LIMIT),
        ("slow_suffix", ctypes.c_char * SUFFIX_LIMIT),
        ("includes_shm", ctypes.c_uint32),
        ("waiting", ctypes.c_uint32),
        ("next_id", ctypes.c_uint32),
        ("hits", ctypes.c_uint32),
        ("calls", ctypes.c_uint64),
        ("faults", ctypes.c_uint64),
        ("full", ctypes.c_uint64),
    ]

    @classmethod
    def mapped(cls, path: os.PathLike | str) -> Control:
        """The page of a file that exists."""
        with open(path, "r+b") as file:
            return cls.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(cls)))


@functools.cache
def build() -> pathlib.Path:
    """Compiles faults.c, once for each run of the tests. Returns the library's path."""
    compiler = os.environ.get("CC") or shutil.which("clang") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError("faults.c needs a C compiler: clang or cc")
    folder = tempfile.mkdtemp(prefix="bifrost-faults-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = pathlib.Path(folder) / "faults.so"
    subprocess.run(
        [compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
         "-pthread", "-o", library, SOURCE],
        check=True,
    )  # fmt: skip
    return library


def calls(journal: Journal) -> list[Call]:
    """The calls that have a number, in order; `str` of each says which file, where and how much."""
    return power_loss.numbered(journal)


class FaultyDirectory:
    """One directory, the faults of its file system, and what is recorded of it.

    At first nothing fails, and everything is recorded. The directory need not exist yet.

    - `scratch`: a directory elsewhere, for the page and the journal
    - `keeps_syncs`: whether syncs are really made. A power loss is only played, so False changes
      nothing but the time that they take.
    - `includes_shm`: whether the -shm files of SQLite count too. They are memory shared between
      programs, so what is in them is never part of an image; but on a full disk they cannot grow.
    """

    def __init__(self, directory: os.PathLike | str, scratch: os.PathLike | str, *,
                 keeps_syncs: bool = True, includes_shm: bool = False):  # fmt: skip
        self.directory = pathlib.Path(directory)
        self.journal_path = pathlib.Path(scratch) / "faults.journal"
        self.control_path = pathlib.Path(scratch) / "faults.control"
        self.control_path.write_bytes(bytes(Control(
            magic=MAGIC, record=2, times=-1, space=-1, next_id=1, keeps_syncs=keeps_syncs,
            includes_shm=includes_shm)))  # fmt: skip
        self.control = Control.mapped(self.control_path)
        self.marks: list[tuple[int, object]] = []
        self.base: dict[str, bytes] = {}
        self.restart_journal()

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment for the program: `base`, or this process's, and what preloads faults.c.

        To be asked for anew for each program that is started."""
        power_loss.trim_journal(self.journal_path)
        found = dict(os.environ if base is None else base)
        preloaded = [str(build()), *found.get("LD_PRELOAD", "").split()]
        return found | {
            "LD_PRELOAD": " ".join(preloaded),
            "FAULTS_DIRECTORY": str(self.directory.absolute()),
            "FAULTS_CONTROL": str(self.control_path.absolute()),
            "FAULTS_JOURNAL": str(self.journal_path.absolute()),
        }

    # What the program did

    @property
    def calls(self) -> int:
        """How many calls had a number so far: the number of the last."""
        return self.control.calls

    @property
    def faults(self) -> int:
        """How many calls were hit by rules so far."""
        return self.control.faults

    @property
    def refused(self) -> int:
        """How many writes did not fit on the full disk, or not as a whole."""
        return self.control.full

    @property
    def waiting(self) -> int:
        """How many calls are being delayed at this moment."""
        return self.control.waiting

    def wait_for(self, what: str, more_than: int, timeout: float = 10.0) -> int:
        """Waits until `calls`, `faults`, `refused` or `waiting` is more than a number."""
        end = time.monotonic() + timeout
        while (value := getattr(self, what)) <= more_than:
            if time.monotonic() > end:
                raise AssertionError(f"{what} was still {value} after {timeout} s")
            time.sleep(0.001)
        return value

    def mark(self, label: object) -> None:
        """Notes what the program has promised by now."""
        self.marks.append((self.calls, label))

    def marked(self, cut: int | None) -> list[object]:
        """What was promised before call `cut` was made: what a power loss then must not take."""
        return [label for number, label in self.marks if cut is None or number < cut]

    # Recording

    def record(self, what: str) -> None:
        """What the journal gets from now on: "nothing", "calls", or "data", which images need."""
        self.control.record = ("nothing", "calls", "data").index(what)

    def restart_journal(self) -> None:
        """Forgets journal and marks; what the directory has now counts as synced. Only for programs
        that start afterwards; the numbers of calls go on."""
        self.journal_path.write_bytes(b"")
        self.marks.clear()
        files = self.directory.iterdir() if self.directory.is_dir() else ()
        self.base = {file.name: file.read_bytes() for file in files
                     if file.is_file() and not file.name.endswith("-shm")}  # fmt: skip

    def journal(self) -> Journal:
        """What was recorded so far."""
        return power_loss.read_journal(self.journal_path, self.base)

    # Faults

    def fail(self, error: int = errno.EIO, *, ops: Iterable[Op] = CHANGES, file: str = "",
             at: int | None = None, first: int = 0, last: int = EVERY_NUMBER,
             times: int | None = None, mode: int = Mode.FAIL) -> None:  # fmt: skip
        """Makes calls fail from now on, in place of the rule before: calls of a kind in `ops`, of
        files whose names end with `file`, with a number from `first` to `last` (or just `at`), and
        of those the next `times` (None: all)."""
        if at is not None:
            first = last = at
        control = self.control
        control.mode = Mode.OFF
        control.ops = bits(ops)
        control.error = error
        control.first, control.last = first, last
        control.times = -1 if times is None else times
        control.suffix = suffix(file)
        control.hits = 0
        control.mode = mode

    def kill(self, number: int, **which) -> None:
        """Kills the program in place of call `number`."""
        self.fail(at=number, mode=Mode.KILL, **which)

    def fill(self, space: int = 0) -> None:
        """The files may grow by `space` bytes more: a write beyond it is cut short, the next gets
        ENOSPC. What lies within a file can be written still, and what is cut off is free again."""
        self.control.space = space

    def empty(self) -> None:
        """There is room again."""
        self.control.space = -1

    def slow(self, milliseconds: int, *, ops: Iterable[Op] = (Op.WRITE, *SYNCS),
             file: str = "") -> None:  # fmt: skip
        """Delays each write, truncation, allocation or sync by a time; beside the other faults."""
        control = self.control
        control.slow_ops = 0
        control.slow_milliseconds = milliseconds
        control.slow_suffix = suffix(file)
        control.slow_ops = bits(ops)

    def heal(self) -> None:
        """No fault from now on; calls that are being delayed go on at once."""
        self.control.mode = Mode.OFF
        self.control.slow_ops = 0
        self.empty()


def bits(ops: Iterable[Op]) -> int:
    return sum({1 << op for op in ops})


def suffix(file: str) -> bytes:
    ending = os.fsencode(file)
    if len(ending) > SUFFIX_LIMIT:
        raise ValueError(f"{file} is longer than {SUFFIX_LIMIT} bytes")
    return ending
