"""The file system that lies, proved with SQLite: what it fails, loses and keeps, and that a
database in it is what SQLite promises."""

from __future__ import annotations

import collections
import dataclasses
import errno
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import writer
from faults import (
    ALL,
    SYNCS,
    Call,
    FaultyDirectory,
    Journal,
    JournalError,
    Mode,
    Op,
    calls,
    reconstruct,
)

FULL = Mode.SHORT_THEN_FAIL
SHORT = (Mode.SHORT, FULL, Mode.TORN)


# The database and the program that writes it


class Damaged(Exception):
    """A database that is not whole."""


def found(database: pathlib.Path) -> set[int]:
    """The rows of a database, once all of it was checked."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        answer = connection.execute("PRAGMA integrity_check").fetchall()
        if answer != [("ok",)]:
            raise Damaged(answer)
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'row'").fetchall():
            return set()
        rows = dict(connection.execute("SELECT number, value FROM row"))
    except sqlite3.DatabaseError as error:
        raise Damaged(str(error)) from error
    finally:
        connection.close()
    wrong = [row for row, content in rows.items() if content != writer.value(row)]
    groups = collections.Counter(row // 1000 for row in rows if row % 1000 in writer.GROUP)
    torn = [group for group, count in groups.items() if count != len(writer.GROUP)]
    if wrong or torn:
        raise Damaged(f"rows {wrong}, groups {torn}")
    return set(rows)


def is_shared_memory(name: str) -> bool:
    return name.endswith("-shm")


def copy(source: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """The files that another program would find if this one ended now. Returns the database."""
    clear(target)
    for file in source.iterdir():
        if not is_shared_memory(file.name):
            shutil.copy(file, target)
    return target / "d.db"


def clear(directory: pathlib.Path) -> None:
    directory.mkdir(exist_ok=True)
    for file in directory.iterdir():
        file.unlink()


class Program:
    """A writer, and the directory that it writes to."""

    def __init__(self, scratch: pathlib.Path):
        self.data, self.image = scratch / "data", scratch / "image"
        self.data.mkdir()
        self.database = self.data / "d.db"
        self.disk = FaultyDirectory(self.data, scratch, keeps_syncs=False)
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, writer.__file__], env=self.disk.environment(), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip

    def run(self, **options) -> Iterator[dict]:
        """The events of a run. A failure is answered when the next event is asked for."""
        if self.process is None:
            self.start()
        self._say(json.dumps(dataclasses.asdict(writer.Run(str(self.database), **options))))
        for line in self.process.stdout:
            event = json.loads(line)
            yield event
            if "done" in event:
                return
            if "failed" in event:
                self._say("go on")

    def _say(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def fresh(self, record: str = "data") -> None:
        """Begins again with an empty directory."""
        clear(self.data)
        self.disk.heal()
        self.disk.record(record)
        self.disk.restart_journal()

    def end(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def recorded(self, **options) -> tuple[list[Call], list[tuple[int, list[int]]]]:
        """What an undisturbed run did, and which rows were acknowledged after which number."""
        self.fresh()
        promised = [(event["calls"], event["acknowledged"]) for event in self.run(**options)
                    if "acknowledged" in event]  # fmt: skip
        return calls(self.disk.journal()), promised


@pytest.fixture
def program(tmp_path) -> Iterator[Program]:
    own = Program(tmp_path)
    yield own
    own.end()


def run_python(disk: FaultyDirectory, code: str) -> str:
    """What a small program prints; it runs in the directory, and has `os` and `errno`."""
    text = "import errno, os, threading\nC, W, R = os.O_CREAT, os.O_RDWR, os.O_RDONLY\n" + code
    done = subprocess.run([sys.executable, "-c", text], env=disk.environment(), check=True,
                          cwd=disk.directory, text=True, capture_output=True)  # fmt: skip
    return done.stdout


@pytest.fixture
def disk(tmp_path) -> FaultyDirectory:
    (tmp_path / "data").mkdir()
    return FaultyDirectory(tmp_path / "data", tmp_path, keeps_syncs=False)


# Which calls it sees


def test_each_change_is_counted_and_named(disk):
    os.symlink(disk.directory, disk.directory.parent / "link")
    run_python(disk, """
a = os.open("a", C | W)
os.write(a, b"12345")
again = os.dup(a)
os.close(a)
os.pwrite(again, b"678", 100)
os.ftruncate(again, 50)
os.posix_fallocate(again, 0, 60)
os.fdatasync(again)
os.fsync(again)
os.rename("a", "b")
os.write(os.open("b", W | os.O_APPEND), b"end")
os.writev(os.open("../link/c", C | W), [b"12", b"345"])
folder = os.open(".", R)
os.write(os.open("d", C | W, dir_fd=folder), b"d")
os.fsync(folder)
os.unlink("c")
os.close(os.open("b", W | os.O_TRUNC))
""")
    assert [str(call) for call in calls(disk.journal())] == [
        "1: create a",
        "2: write a at 0, 5 bytes",
        "3: write a at 100, 3 bytes",
        "4: truncate a to 50 bytes",
        "5: allocate a at 0, 60 bytes",
        "6: sync a",
        "7: sync a",
        "8: rename a to b",
        "9: write b at 60, 3 bytes",
        "10: create c",
        "11: write c at 0, 2 bytes",
        "12: write c at 2, 3 bytes",
        "13: create d",
        "14: write d at 0, 1 bytes",
        "15: directory_sync .",
        "16: unlink c",
        "17: truncate b to 0 bytes",
    ]  # fmt: skip
    assert disk.calls == 17


def test_other_files_are_left_alone(disk):
    disk.fail(ops=ALL)
    printed = run_python(disk, """
os.mkdir("below")
for path in ("below/a", "../a", "x-shm"):
    file = os.open(path, C | W)
    os.write(file, b"1")
    os.fsync(file)
    os.unlink(path)
# The number of an inode that was deleted goes to the next file, and that is not ours.
os.write(1, b"written")
""")
    assert printed == "written" and disk.calls == 0 and disk.faults == 0


def test_an_inode_that_another_file_got_is_not_ours(disk):
    run_python(disk, """
for turn in range(20):
    file = os.open("a", C | W)
    inode = os.fstat(file).st_ino
    os.unlink("a")
    os.close(file)
    other = os.open("../b", C | W)
    os.write(other, b"1")
    os.unlink("../b")
    os.close(other)
""")
    assert {call.op for call in calls(disk.journal())} == {Op.CREATE, Op.UNLINK}


def test_threads_make_one_order(disk, tmp_path):
    run_python(disk, """
def write(name):
    for turn in range(100):
        file = os.open(name, C | W)
        os.pwrite(file, name.encode() * 10, turn * 7)
        os.fsync(file)
        os.close(file)
threads = [threading.Thread(target=write, args=(name,)) for name in "abcdabcd"]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
""")
    recorded = calls(disk.journal())
    assert [call.number for call in recorded] == list(range(1, 4 + 2 * 800 + 1)) == list(
        range(1, disk.calls + 1))  # fmt: skip
    assert_kept(disk, tmp_path / "image")


def assert_kept(disk: FaultyDirectory, image: pathlib.Path) -> None:
    """An image that has everything is what the directory is."""
    reconstruct(disk.journal(), None, 0, image, style="kept")
    assert contents(image) == contents(disk.directory)


def contents(directory: pathlib.Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()
            if not is_shared_memory(file.name)}  # fmt: skip


# Rules


def test_rules_name_kinds_files_numbers_and_times(disk):
    code = """
def attempt(call, *what):
    try:
        return str(call(*what))
    except OSError as error:
        return errno.errorcode[error.errno]
a, b = os.open("a", C | W), os.open("b-wal", C | W)
print(*[attempt(os.write, file, b"1234") for file in (a, b, a, b, a, b)], attempt(os.fsync, b),
      attempt(os.pread, b, 4, 0))
"""
    def answers(**rule) -> list[str]:
        clear(disk.directory)
        if "at" in rule:
            rule["at"] += disk.calls
        disk.fail(**rule)
        return run_python(disk, code).split()

    passed = ["4"] * 6 + ["None", "b'1234'"]
    assert answers(times=0) == passed
    assert answers(error=errno.EDQUOT, file="-wal", ops=[Op.WRITE], times=2) == [
        "4", "EDQUOT", "4", "EDQUOT", "4", "4", "None", "b'1234'"]  # fmt: skip
    assert answers(at=4) == ["4", "EIO", *passed[2:]]
    assert answers(ops=SYNCS, error=errno.ENOSPC) == [*passed[:6], "ENOSPC", "b'1234'"]
    assert answers(ops=[Op.READ], file="b-wal") == [*passed[:7], "EIO"]
    assert answers(mode=Mode.SHORT, at=3) == ["2", *passed[1:]]
    assert answers(mode=Mode.SHORT_THEN_FAIL, ops=[Op.WRITE], error=errno.ENOSPC, times=3) == [
        "2", "ENOSPC", "ENOSPC", *passed[3:]]  # fmt: skip
    assert answers(mode=Mode.TORN, at=3) == ["EIO", *passed[1:]]
    assert (disk.directory / "a").read_bytes() == b"12" + b"1234" * 2


def test_a_full_disk_takes_what_fits(disk):
    disk.fill(10)
    printed = run_python(disk, """
def attempt(call, *what):
    try:
        return str(call(*what))
    except OSError as error:
        return errno.errorcode[error.errno]
a = os.open("a", C | W)
print(attempt(os.write, a, b"12345678"), attempt(os.write, a, b"12345678"),
      attempt(os.write, a, b"12345678"), attempt(os.pwrite, a, b"abc", 2))
os.ftruncate(a, 8)
print(attempt(os.pwrite, a, b"12345678", 8), attempt(os.write, os.open("b", C | W), b"1"))
os.unlink("a")
print(attempt(os.write, os.open("b", W), b"1"))
""")
    assert printed.split() == ["8", "2", "ENOSPC", "3", "2", "ENOSPC", "1"]
    assert disk.refused == 4


@pytest.mark.parametrize("counts", [False, True])
def test_shared_memory_needs_room_where_it_counts(tmp_path, counts):
    (tmp_path / "data").mkdir()
    disk = FaultyDirectory(tmp_path / "data", tmp_path, keeps_syncs=False, includes_shm=counts)
    disk.fill(20_000)
    printed = run_python(disk, """
import sqlite3
connection = sqlite3.connect("d.db")
try:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE a (b)")
except sqlite3.Error as error:
    print(error.sqlite_errorname)
""")
    assert printed == ("SQLITE_IOERR_SHMSIZE\n" if counts else "")


def test_delays_end_when_they_are_told_to(program):
    program.disk.slow(60_000, ops=SYNCS, file="-wal")
    events: list[dict] = []
    reader = threading.Thread(target=lambda: events.extend(program.run()))
    reader.start()
    program.disk.wait_for("waiting", 0)
    assert not events
    start = time.monotonic()
    program.disk.slow(10, ops=SYNCS, file="-wal")
    reader.join(10)
    assert not reader.is_alive() and "done" in events[-1]
    assert time.monotonic() - start >= 0.010 * (len(events) - 2)


# Every call of a run fails once


CASES = {
    # name: (mode, errno, every so manieth call)
    "ENOSPC": (Mode.FAIL, errno.ENOSPC, 1),
    "EIO": (Mode.FAIL, errno.EIO, 1),
    "EDQUOT": (Mode.FAIL, errno.EDQUOT, 5),
    "EROFS": (Mode.FAIL, errno.EROFS, 5),
    "short": (Mode.SHORT, 0, 3),
    "short-then-full": (FULL, errno.ENOSPC, 2),
    "torn": (Mode.TORN, errno.EIO, 2),
}


def is_silent(call: Call, last: int) -> bool:
    """Whether SQLite says nothing of a failure: of a directory's sync, and of whatever fails when
    a connection is closed, behind the last commit."""
    return call.op is Op.DIRECTORY_SYNC or call.number > last


@pytest.mark.parametrize("case", CASES)
def test_each_call_that_fails_is_told_and_nothing_is_lost(program, case):
    mode, error, every = CASES[case]
    recorded, promised = program.recorded()
    last, first = promised[-1][0], recorded[0].number
    for call in recorded[::every]:
        if mode in SHORT and call.op is not Op.WRITE:
            continue
        program.fresh(record="nothing")
        start = program.disk.calls + call.number - first + 1
        program.disk.fail(error, first=start, last=start + (mode == FULL), mode=mode)
        events = list(disturbed(program, str(call)))
        assert program.disk.faults, call
        failures = [event for event in events if "failed" in event]
        assert len(failures) == (0 if mode == Mode.SHORT or is_silent(call, last) else 1), call
        # SQLite has rolled back by itself, and the same connection did all of it afterwards.
        assert not any(event["in_transaction"] for event in failures), call
        assert found(program.database) == set(writer.rows(writer.Run(""))), call


def disturbed(program: Program, what: str, **options) -> Iterator[dict]:
    """The events of a run; at each failure, what another program would find is checked."""
    acknowledged: set[int] = set()
    for event in program.run(**options):
        acknowledged.update(event.get("acknowledged", ()))
        if "failed" in event:
            rows = found(copy(program.data, program.image))
            # What failed may be there all the same: where all was written, and the sync failed.
            assert acknowledged <= rows <= acknowledged | set(event["rows"]), (what, event)
        yield event


def test_what_a_failed_sync_was_for_may_come_back(program):
    recorded, promised = program.recorded()
    sync = next(call for call in recorded if call.number == promised[0][0])
    assert sync.op is Op.SYNC and sync.name == "d.db-wal"
    program.fresh()
    program.disk.fail(at=program.disk.calls + sync.number - recorded[0].number + 1)
    for event in program.run():
        if "failed" in event:
            assert event["error"] == "SQLITE_IOERR_FSYNC"
            assert found(copy(program.data, program.image)) == set(event["rows"])
            return
    raise AssertionError("the sync did not fail")


def test_checkpoints_that_sqlite_makes_by_itself_fail_in_silence(program):
    options = {"automatic": 8, "explicit": False}
    recorded, promised = program.recorded(**options)
    names = {call.number: call for call in recorded if call.number < promised[-1][0]}
    checkpoint = [number for number, call in names.items() if call.name == "d.db"
                  and number > promised[0][0]]  # fmt: skip
    assert checkpoint
    for number in checkpoint[::4]:
        program.fresh(record="nothing")
        program.disk.fail(at=program.disk.calls + number - recorded[0].number + 1)
        assert not any("failed" in event for event in program.run(**options))
        assert found(program.database) == set(writer.rows(writer.Run("")))


def test_a_disk_that_is_full_for_a_while(program):
    events, errors, refused = collections.Counter(), set(), program.disk.refused
    program.disk.fill(100_000)
    acknowledged: set[int] = set()
    for event in program.run(rounds=4):
        events.update(event.keys())
        acknowledged.update(event.get("acknowledged", ()))
        if "failed" in event:
            errors.add(event["error"])
            assert not event["in_transaction"]
            if events["failed"] == 20:
                assert program.disk.refused > refused
                program.disk.empty()
                full = set(acknowledged)
    assert errors == {"SQLITE_FULL"} and events["failed"] == 20
    # Some were given up while the disk was full; what was acknowledged is there, and all since.
    rows = found(program.database)
    assert full < acknowledged == rows < set(writer.rows(writer.Run("", rounds=4)))
    assert set(writer.rows(writer.Run("", rounds=1, first=3))) < rows


@pytest.mark.parametrize("error", ["EIO", "EROFS", "EDQUOT"])
def test_a_disk_that_takes_nothing_for_a_while(program, error):
    events, acknowledged, start = collections.Counter(), set(), 150
    program.disk.fail(getattr(errno, error), first=start)
    for event in program.run(rounds=3):
        events.update(event.keys())
        acknowledged.update(event.get("acknowledged", ()))
        if events["failed"] == 10 and "failed" in event:
            assert event["error"].startswith("SQLITE_IOERR_")
            assert found(copy(program.data, program.image)) >= acknowledged
            program.disk.heal()
    assert events["failed"] == 10 and found(program.database) == acknowledged
    assert set(writer.rows(writer.Run("", rounds=1, first=2))) < acknowledged


@pytest.mark.parametrize("number", [1, 10, 14, 22, 40, 64, 82, 101, 103, 125])
def test_a_program_that_is_killed(program, number):
    program.disk.kill(number)
    acknowledged = {row for event in program.run() for row in event.get("acknowledged", ())}
    assert program.process.wait(10) == -9 and program.disk.calls == number
    assert acknowledged <= found(copy(program.data, program.image))
    assert_kept(program.disk, program.image)


# Power loss


SEEDS = 2


def promised_before(promised: list[tuple[int, list[int]]], cut: int) -> set[int]:
    return {row for number, rows in promised if number < cut for row in rows}


@pytest.mark.parametrize("journaled_names", [False, True])
def test_no_power_loss_takes_what_was_promised(program, journaled_names):
    recorded, promised = program.recorded()
    journal, first = program.disk.journal(), recorded[0].number
    torn = 0
    for cut in range(first, recorded[-1].number + 2):
        for seed in range(SEEDS):
            names = reconstruct(journal, cut, seed, program.image,
                                journaled_names=journaled_names)  # fmt: skip
            assert set(names) <= {"d.db", "d.db-wal", "d.db-journal"}
            before = contents(program.image)
            rows = found(program.image / "d.db")
            assert promised_before(promised, cut) <= rows, (cut, seed)
            reconstruct(journal, cut, 0, program.image, style="kept")
            torn += before != contents(program.image)
    # The images were not all what the program saw.
    assert torn > len(recorded) // 2
    assert_kept(program.disk, program.image)


@pytest.mark.parametrize("synchronous, damages", [("OFF", True), ("NORMAL", False)])
def test_a_power_loss_takes_what_was_not_synced(program, synchronous, damages):
    """The proof that images can fail: with fewer syncs they do."""
    recorded, promised = program.recorded(synchronous=synchronous)
    journal, lost, damaged = program.disk.journal(), 0, 0
    for cut in range(recorded[0].number, recorded[-1].number + 2, 2):
        for seed in range(SEEDS):
            reconstruct(journal, cut, seed, program.image)
            try:
                rows = found(program.image / "d.db")
                lost += not promised_before(promised, cut) <= rows
            except Damaged:
                damaged += 1
    assert lost and bool(damaged) == damages, (lost, damaged)


def test_a_power_loss_after_a_sync_that_failed(program):
    recorded, _ = program.recorded()
    syncs = [call for call in recorded if call.op is Op.SYNC]
    for sync in syncs:
        program.fresh()
        first = program.disk.calls + 1
        program.disk.fail(at=first + sync.number - recorded[0].number)
        promised = [(event["calls"], event["acknowledged"]) for event in program.run()
                    if "acknowledged" in event]  # fmt: skip
        journal, last = program.disk.journal(), program.disk.calls
        failed = first + sync.number - recorded[0].number
        for seed, cut in enumerate([*range(failed + 1, last, 29), last + 1]):
            reconstruct(journal, cut, seed, program.image)
            rows = found(program.image / "d.db")
            assert promised_before(promised, cut) <= rows, (str(sync), cut, seed)


def test_a_journal_goes_on_with_the_next_program(program):
    program.disk.kill(70)
    for event in program.run():
        if "acknowledged" in event:
            program.disk.mark(event["acknowledged"])
    program.end()
    program.disk.heal()
    with program.disk.journal_path.open("ab") as file:
        file.write(b"FLT")  # as if it was killed in the middle of a record
    for event in program.run(first=1):
        if "acknowledged" in event:
            program.disk.mark(event["acknowledged"])
    journal = program.disk.journal()
    for cut in [*range(60, program.disk.calls, 7), None]:
        reconstruct(journal, cut, 1, program.image)
        promised = {row for rows in program.disk.marked(cut) for row in rows}
        assert promised <= found(program.image / "d.db")
    assert promised > set(writer.rows(writer.Run("", first=1)))
    assert_kept(program.disk, program.image)


# The model of the disk, without a program


class Recorded:
    """A journal that is made by hand."""

    def __init__(self, base: dict[str, bytes] | None = None):
        self.journal, self.number = Journal([], base or {}), 0

    def __call__(self, op: Op, name: str = "a", error: int = 0, **fields) -> Recorded:
        self.number += 1
        file = {"a": 1, "b": 2}.get(name, 3)
        fields.setdefault("done", len(fields.get("data", b"")))
        self.journal.calls.append(Call(op, self.number, file, name, error=error, **fields))
        if op in SYNCS:
            self.journal.calls.append(Call(Op.RESULT, self.number, file, name, error=error))
        return self

    def made(self) -> Recorded:
        return self(Op.CREATE)(Op.DIRECTORY_SYNC, ".")

    def images(self, target: pathlib.Path, **options) -> set[tuple[tuple[str, bytes], ...]]:
        """All that many seeds give."""
        every = set()
        for seed in range(60):
            reconstruct(self.journal, None, seed, target, **options)
            every.add(tuple(sorted(contents(target).items())))
        return every

    def files(self, target: pathlib.Path, **options) -> set[bytes | None]:
        return {dict(image).get("a") for image in self.images(target, **options)}


def write(data: bytes, offset: int = 0) -> dict:
    return {"data": data, "offset": offset, "length": len(data)}


def test_what_is_synced_is_there_and_the_rest_may_be(tmp_path):
    recorded = Recorded().made()(Op.WRITE, **write(b"1"))(Op.SYNC)(Op.WRITE, **write(b"2"))
    assert recorded.files(tmp_path) == {b"1", b"2"}
    assert recorded(Op.SYNC).files(tmp_path) == {b"2"}


def test_what_a_failed_sync_was_for_is_never_sure(tmp_path):
    recorded = Recorded().made()(Op.WRITE, **write(b"1"))(Op.SYNC, error=errno.EIO)
    assert recorded(Op.SYNC).files(tmp_path) == {b"1", b"", b"\0"}
    assert recorded(Op.WRITE, **write(b"2"))(Op.SYNC).files(tmp_path) == {b"2"}


def test_a_sync_covers_what_was_written_before_it_began(tmp_path):
    recorded = Recorded().made()(Op.WRITE, **write(b"1"))(Op.SYNC)
    end = recorded.journal.calls.pop()
    recorded(Op.WRITE, **write(b"2", 1))
    recorded.journal.calls.append(end)
    assert recorded.files(tmp_path) == {b"1", b"12", b"1\0"}


def test_a_write_is_torn_at_sectors(tmp_path):
    old, new = b"o" * 2048, b"n" * 2048
    recorded = Recorded({"a": old})(Op.OPEN)(Op.WRITE, **write(new))
    images = recorded.files(tmp_path, sector=512)
    sectors = {file[at : at + 512] for file in images for at in range(0, 2048, 512)}
    assert len(images) > 6 and sectors == {old[:512], new[:512]}
    assert recorded.files(tmp_path, sector=4096) == {old, new}


def test_names_are_there_once_the_directory_is_synced(tmp_path):
    recorded = Recorded({"b": b"old"})(Op.CREATE)(Op.WRITE, **write(b"1"))
    assert recorded.files(tmp_path, style="lost", journaled_names=True) == {None}
    recorded(Op.SYNC)
    assert recorded.files(tmp_path) == {None, b"1"}
    assert recorded.files(tmp_path, style="lost") == {None}
    assert recorded.files(tmp_path, style="lost", journaled_names=True) == {b"1"}
    recorded(Op.DIRECTORY_SYNC, ".")(Op.RENAME, target="b")
    before, after = (("a", b"1"), ("b", b"old")), (("b", b"1"),)
    assert recorded.images(tmp_path) == {before, after}
    assert recorded(Op.DIRECTORY_SYNC, ".").images(tmp_path) == {after}
    assert recorded(Op.UNLINK, "b").images(tmp_path) == {after, ()}


def test_sizes_change_like_contents(tmp_path):
    recorded = Recorded({"a": b"123"})(Op.OPEN)(Op.TRUNCATE, offset=1)(Op.TRUNCATE, offset=2)
    assert recorded.files(tmp_path) == {b"123", b"1", b"1\0"}
    recorded(Op.ALLOCATE, length=4)(Op.SYNC)
    assert recorded.files(tmp_path) == {b"1\0\0\0"}


def test_what_was_cut_off_is_gone_as_a_whole(tmp_path):
    """SQLite counts on it when it makes its log empty: half of an old log would undo commits."""
    recorded = Recorded({"a": b"o" * 2000})(Op.OPEN)(Op.TRUNCATE, offset=0)(Op.WRITE, **write(b"n"))
    assert recorded.files(tmp_path) == {b"o" * 2000, b"", b"\0", b"n"}


def test_a_journal_without_the_data_makes_no_image(disk, tmp_path):
    disk.record("calls")
    run_python(disk, "os.write(os.open('a', C | W), b'123')")
    assert [call.length for call in calls(disk.journal())] == [0, 3]
    with pytest.raises(JournalError, match="without its data"):
        reconstruct(disk.journal(), None, 0, tmp_path / "image")


def test_what_is_written_through_memory_makes_no_image(disk, tmp_path):
    run_python(disk, "import mmap; a = os.open('a', C | W); os.write(a, b'1'); mmap.mmap(a, 1)")
    with pytest.raises(JournalError, match="not recorded in full"):
        reconstruct(disk.journal(), None, 0, tmp_path / "image")
