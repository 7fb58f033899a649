"""What a directory may look like after a power loss: images made from a journal of faults.c.

The model of the disk:

- What a file had when a sync of it began is there, once that sync has succeeded.
- Each later change may be there or not, torn at the borders of sectors (`STYLES`). Bytes that
  nobody wrote do not change, and a sector is old or new, never a mixture. A truncation is there as
  a whole or not at all.
- After a sync that failed, no later one helps: the system has forgotten what was not written, and
  any part of it may be missing for ever (Linux marks such pages as clean).
- Names change in the order of the calls. A sync of the directory makes them last; with
  `journaled_names` a sync of any of its files does too, as on ext4, XFS and Btrfs.
"""

from __future__ import annotations

import dataclasses
import enum
import os
import pathlib
import random
import struct
from collections.abc import Iterator

RECORD_MAGIC = 0x31434552
# `struct record` of faults.c.
RECORD = struct.Struct("<IHHQIiqqqII")

# How much of what was not synced is there: nothing; all; what was written up to some moment; some
# of the writes; each sector as it was at a moment of its own.
STYLES = ("lost", "kept", "prefix", "writes", "sectors")
# Bytes that a disk writes as a whole.
SECTORS = (512, 4096)

FALLOC_FL_KEEP_SIZE = 1


class Op(enum.IntEnum):
    """What a call does; those from CREATE to RENAME have a number. In step with faults.c."""

    OPEN = 0
    READ = 1
    CREATE = 2
    WRITE = 3
    TRUNCATE = 4
    ALLOCATE = 5
    SYNC = 6
    DIRECTORY_SYNC = 7
    UNLINK = 8
    RENAME = 9
    RESULT = 10
    ESCAPE = 11


class JournalError(Exception):
    """The journal does not tell enough to make an image."""


@dataclasses.dataclass
class Call:
    """One call that was recorded.

    `error` is the errno it failed with, 0 for none. `offset` is a truncation's new size. `done` is
    how many bytes were written, also where the call failed after that. `target` is a rename's.
    `number` is 0 for OPEN and ESCAPE, and that of the sync for a sync's RESULT.
    """

    op: Op
    number: int
    file: int
    name: str
    error: int = 0
    offset: int = 0
    length: int = 0
    done: int = 0
    flags: int = 0
    target: str = ""
    data: bytes = b""

    def __str__(self) -> str:
        what = f"{self.number}: {self.op.name.lower()} {self.name}"
        if self.target:
            what += f" to {self.target}"
        if self.op in (Op.WRITE, Op.ALLOCATE):
            what += f" at {self.offset}, {self.length} bytes"
        elif self.op is Op.TRUNCATE:
            what += f" to {self.offset} bytes"
        if self.op is Op.WRITE and self.done != self.length:
            what += f", {self.done} done"
        return what + (f": {os.strerror(self.error)}" if self.error else "")


@dataclasses.dataclass
class Journal:
    """What was recorded, and what the directory had before, which counts as synced."""

    calls: list[Call]
    base: dict[str, bytes] = dataclasses.field(default_factory=dict)


def records(data: bytes) -> Iterator[tuple[Call, int]]:
    """The records of a journal, each with where it ends. A last one that is incomplete, of a
    program that was killed, is left out."""
    at = 0
    while at + RECORD.size <= len(data):
        (magic, op, flags, number, file, error, offset, length, done, name_length,
         data_length) = RECORD.unpack_from(data, at)  # fmt: skip
        if magic != RECORD_MAGIC:
            raise JournalError(f"no record at byte {at} of the journal")
        names = at + RECORD.size
        content = names + name_length
        at = content + data_length
        if at > len(data):
            return
        name, _, target = os.fsdecode(data[names:content]).partition("\0")
        yield Call(Op(op), number, file, name, error, offset, length, done, flags, target,
                   data[content:at]), at  # fmt: skip


def read_journal(path: pathlib.Path, base: dict[str, bytes] | None = None) -> Journal:
    """Reads what was recorded so far, also while the program runs."""
    data = path.read_bytes() if path.exists() else b""
    return Journal([call for call, _ in records(data)], dict(base or {}))


def trim_journal(path: pathlib.Path) -> None:
    """Removes an incomplete last record, so that another program can go on behind it."""
    if path.exists():
        end = max((end for _, end in records(path.read_bytes())), default=0)
        os.truncate(path, end)


def numbered(journal: Journal) -> list[Call]:
    """The calls that have a number, in order; a sync has the error that it ended with."""
    found = {call.number: dataclasses.replace(call) for call in journal.calls
             if Op.CREATE <= call.op <= Op.RENAME}  # fmt: skip
    for call in journal.calls:
        if call.op is Op.RESULT and call.number in found:
            found[call.number].error = call.error
    return list(found.values())


@dataclasses.dataclass
class Change:
    """Bytes at a place of a file, or its new size where there are none."""

    offset: int
    data: bytes | None

    @property
    def end(self) -> int:
        return self.offset + len(self.data or b"")

    def cuts(self, size: int) -> bool:
        """Whether it takes something from a file of a size."""
        return self.data is None and self.offset < size

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            if self.offset < len(content):
                del content[self.offset :]
            else:
                content.extend(bytes(self.offset - len(content)))
            return
        if self.offset > len(content):
            content.extend(bytes(self.offset - len(content)))
        content[self.offset : self.end] = self.data

    def pieces(self, sector: int) -> list[Change]:
        """The change in parts that a sector holds."""
        if self.data is None:
            return [self]
        borders = [self.offset]
        borders += range(self.offset // sector * sector + sector, self.end, sector)
        return [
            Change(start, self.data[start - self.offset : stop - self.offset])
            for start, stop in zip(borders, [*borders[1:], self.end])
        ]


class Inode:
    """A file: what the disk has for certain, and what was changed since."""

    def __init__(self, stable: bytes = b""):
        self.stable = bytearray(stable)
        self.pending: list[Change] = []
        self.settled = 0  # changes that were once pending

    @property
    def size(self) -> int:
        content = bytearray(self.stable)
        apply(content, self.pending)
        return len(content)

    def settle(self, count: int) -> None:
        """The changes up to the one with this number are on the disk."""
        known = max(count - self.settled, 0)
        apply(self.stable, self.pending[:known])
        self._forget(known)

    def lose(self, count: int, chance: random.Random) -> None:
        """A sync failed: of the changes up to this number the disk has whatever it has."""
        known = max(count - self.settled, 0)
        self.stable = self.image(chance, self.pending[:known])
        self._forget(known)

    def _forget(self, known: int) -> None:
        del self.pending[:known]
        self.settled += known

    def image(self, chance: random.Random, pending: list[Change] | None = None,
              style: str | None = None, sector: int | None = None) -> bytearray:  # fmt: skip
        """What the disk may have."""
        pending = self.pending if pending is None else pending
        style = style or chance.choice(STYLES)
        sector = sector or chance.choice(SECTORS)
        content = bytearray(self.stable)
        if style == "kept":
            apply(content, pending)
        elif style == "prefix":
            count = chance.randint(0, len(pending))
            torn = pending[count].pieces(sector) if count < len(pending) else []
            apply(content, pending[:count] + torn[: chance.randint(0, len(torn))])
        elif style != "lost":
            parts = stages(len(content), pending)
            for stage in parts[: chance.randint(1, len(parts))]:
                if stage and stage[0].cuts(len(content)):
                    stage.pop(0).apply(content)
                if style == "writes":
                    apply(content, some_writes(chance, stage, sector))
                else:
                    content = some_sectors(chance, content, stage, sector)
        return content


def apply(content: bytearray, changes: list[Change]) -> None:
    for change in changes:
        change.apply(content)


def stages(size: int, pending: list[Change]) -> list[list[Change]]:
    """The changes in parts that begin with a truncation. The system frees a file's end as a whole,
    in the order of the calls, and what is written afterwards is written to new places: so it is
    there only if the end is gone."""
    found: list[list[Change]] = [[]]
    for change in pending:
        if change.cuts(size):
            found.append([])
        found[-1].append(change)
        size = change.offset if change.data is None else max(size, change.end)
    return found


def some_writes(chance: random.Random, changes: list[Change], sector: int) -> list[Change]:
    found = []
    for change in changes:
        if chance.random() < 0.5:
            found.append(change)
        elif chance.random() < 0.5:
            found += [part for part in change.pieces(sector) if chance.random() < 0.5]
    return found


def some_sectors(chance: random.Random, stable: bytearray, changes: list[Change], sector: int
                 ) -> bytearray:  # fmt: skip
    content, sizes = bytearray(stable), [len(stable)]
    versions: dict[int, list[bytes]] = {}
    for change in changes:
        start = min(change.offset, len(content)) // sector * sector
        change.apply(content)
        for at in range(start, change.end, sector):
            first = bytes(stable[at : at + sector])
            versions.setdefault(at, [first]).append(bytes(content[at : at + sector]))
        sizes.append(len(content))
    size = chance.choice(sizes)
    image = stable[:size]
    image.extend(bytes(size - len(image)))
    for at, found in versions.items():
        if at < size:
            part = chance.choice(found)[: size - at]
            image[at : at + sector] = part.ljust(min(sector, size - at), b"\0")
    return image


class Disk:
    """The directory: follows the calls, and knows what a power loss would leave."""

    def __init__(self, base: dict[str, bytes], chance: random.Random, journaled_names: bool):
        self.chance, self.journaled_names = chance, journaled_names
        self.names = {name: Inode(data) for name, data in base.items()}
        self.stable_names = dict(self.names)
        self.renamings: list[dict[str, Inode | None]] = []  # changes of names, not synced yet
        self.settled_renamings = 0
        self.files: dict[int, Inode] = {}
        self.syncs: dict[int, tuple[Inode | None, int, int]] = {}

    def follow(self, call: Call) -> None:
        if call.op is Op.ESCAPE and not call.error:
            raise JournalError(f"not recorded in full: {call}")
        if call.op is Op.RESULT:
            self._synced(call)
        elif call.op in (Op.SYNC, Op.DIRECTORY_SYNC):
            file = self._file(call) if call.op is Op.SYNC else None
            count = file.settled + len(file.pending) if file else 0
            self.syncs[call.number] = (file, count, self.settled_renamings + len(self.renamings))
        elif call.op is Op.WRITE:
            if len(call.data) < call.done:
                raise JournalError(f"recorded without its data: {call}")
            if call.done:
                self._file(call).pending.append(Change(call.offset, call.data))
        elif call.error:
            pass
        elif call.op is Op.TRUNCATE:
            self._file(call).pending.append(Change(call.offset, None))
        elif call.op is Op.ALLOCATE:
            self._allocated(call)
        else:
            self._named(call)

    def _file(self, call: Call) -> Inode:
        if call.file not in self.files:
            raise JournalError(f"a file that was opened before the journal began: {call}")
        return self.files[call.file]

    def _allocated(self, call: Call) -> None:
        if call.flags & ~FALLOC_FL_KEEP_SIZE:
            raise JournalError(f"a way to allocate that has no model: {call}")
        file, end = self._file(call), call.offset + call.length
        if call.flags == 0 and end > file.size:
            file.pending.append(Change(end, None))

    def _named(self, call: Call) -> None:
        if call.op is Op.OPEN:
            if call.name not in self.names:
                raise JournalError(f"a file that the journal has not: {call}")
            self.files[call.file] = self.names[call.name]
            return
        if call.op is Op.CREATE:
            self.files[call.file] = Inode()
            change = {call.name: self.files[call.file]}
        elif call.op is Op.UNLINK:
            change = {call.name: None}
        else:
            change = {call.name: None, call.target: self.names.get(call.name)}
        self.renamings.append(change)
        rename(self.names, change)

    def _synced(self, result: Call) -> None:
        file, count, names = self.syncs.pop(result.number)
        if file and result.error:
            file.lose(count, self.chance)
        elif file:
            file.settle(count)
        if not result.error and (file is None or self.journaled_names):
            known = max(names - self.settled_renamings, 0)
            for change in self.renamings[:known]:
                rename(self.stable_names, change)
            del self.renamings[:known]
            self.settled_renamings += known

    def image(self, style: str | None, sector: int | None) -> dict[str, bytes]:
        style = style or self.chance.choice(STYLES)
        sector = sector or self.chance.choice(SECTORS)
        count = {"lost": 0, "kept": len(self.renamings)}.get(style)
        if count is None:
            count = self.chance.randint(0, len(self.renamings))
        names = dict(self.stable_names)
        for change in self.renamings[:count]:
            rename(names, change)
        return {name: bytes(file.image(self.chance, None, style, sector))
                for name, file in sorted(names.items(), key=lambda entry: entry[0])}  # fmt: skip


def rename(names: dict[str, Inode], change: dict[str, Inode | None]) -> None:
    for name, file in change.items():
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file


def reconstruct(
    journal: Journal,
    cut: int | None,
    seed: int,
    target: pathlib.Path,
    *,
    style: str | None = None,
    sector: int | None = None,
    journaled_names: bool = False,
) -> list[str]:
    """Writes to the directory `target`, which is emptied, what a power loss may leave at the moment
    before call `cut` is made (None: after the last). The same seed gives the same image.

    `style` (one of STYLES) and `sector` (bytes) are chosen by the seed where they are None.
    Returns the names of the files. Raises JournalError where the journal does not tell enough.
    """
    chance = random.Random(f"{seed} {cut}")
    disk = Disk(journal.base, chance, journaled_names)
    for call in journal.calls:
        if cut is not None and call.number >= cut and call.op is not Op.RESULT:
            break
        disk.follow(call)
    image = disk.image(style, sector)
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        old.unlink()
    for name, data in image.items():
        (target / name).write_bytes(data)
    return list(image)
