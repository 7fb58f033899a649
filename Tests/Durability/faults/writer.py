"""The program under test: writes numbered rows to an SQLite database, and says what was promised.

It reads a line of JSON for each run from its standard input, with the fields of `Run`, and answers
in lines of JSON: {"acknowledged": [rows], "calls": n} once their transaction is committed, with how
many numbered calls were made by then; {"failed": step, ...} for each error of SQLite, after which
it waits for a line before it tries again; and {"done": true} at the end of the run.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import sys

from faults import Control

# How often a step is tried. A fault that hits once must not need a third try.
TRIES = 3
# Rows of one transaction that does not fit in the cache: pages go to the log before its end.
GROUP = tuple(range(6, 18))
# What is done in order: rows in transactions of their own, the group, checkpoints.
PLAN = (0, 1, 2, "PASSIVE", 3, 4, 5, GROUP, 18, "TRUNCATE", 19, 20)


@dataclasses.dataclass
class Run:
    database: str
    synchronous: str = "FULL"
    # Pages of the log after which SQLite makes a checkpoint by itself; 0 for none.
    automatic: int = 0
    # Whether PLAN's checkpoints are made.
    explicit: bool = True
    # How often the plan is made, each time with new rows, and the number of the first time.
    rounds: int = 1
    first: int = 0


def rounds(run: Run) -> range:
    return range(run.first, run.first + run.rounds)


def rows(run: Run) -> list[int]:
    """The rows that a whole run writes."""
    one = [row for step in PLAN if not isinstance(step, str)
           for row in (step if isinstance(step, tuple) else (step,))]  # fmt: skip
    return [round * 1000 + row for round in rounds(run) for row in one]


def value(row: int) -> bytes:
    """The content of a row: within a page, or with pages of its own."""
    return row.to_bytes(4, "big") * (10 + row * 373 % 1100)


class Writer:
    def __init__(self, run: Run, control: Control):
        self.run, self.control = run, control
        self.connection: sqlite3.Connection | None = None
        self.last = ""  # the statement that was tried last

    @property
    def is_in_transaction(self) -> bool:
        return self.connection is not None and self.connection.in_transaction

    def whole(self) -> None:
        self.step("open", self.open)
        for round in rounds(self.run):
            for step in PLAN:
                if isinstance(step, str):
                    if self.run.explicit:
                        self.step("checkpoint", lambda: self.checkpoint(step))
                    continue
                found = step if isinstance(step, tuple) else (step,)
                written = [round * 1000 + row for row in found]
                if self.step("write", lambda: self.write(written), written):
                    say(acknowledged=written, calls=self.control.calls)
        self.connection.close()  # makes a last checkpoint, and deletes the log
        say(done=True, calls=self.control.calls)

    def open(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        self.last = "open"
        self.connection = sqlite3.connect(self.run.database, isolation_level=None)
        for setting in ("cache_size = 4", "journal_mode = WAL",
                        f"synchronous = {self.run.synchronous}",
                        f"wal_autocheckpoint = {self.run.automatic}"):  # fmt: skip
            self.statement(f"PRAGMA {setting}")
        self.statement("CREATE TABLE IF NOT EXISTS row (number INTEGER PRIMARY KEY, value BLOB)")

    def write(self, written: list[int]) -> None:
        self.statement("BEGIN IMMEDIATE")
        for row in written:
            self.statement("INSERT INTO row VALUES (?, ?)", (row, value(row)))
        self.statement("COMMIT")

    def checkpoint(self, mode: str) -> None:
        self.statement(f"PRAGMA wal_checkpoint({mode})")

    def statement(self, text: str, values: tuple = ()) -> None:
        self.last = text.split("(")[0].strip()
        self.connection.execute(text, values).fetchall()

    def step(self, name: str, action, written: list[int] = []) -> bool:
        for _ in range(TRIES):
            try:
                action()
                return True
            except sqlite3.Error as error:
                say(failed=name, rows=written, statement=self.last, calls=self.control.calls,
                    error=getattr(error, "sqlite_errorname", str(error)),
                    in_transaction=self.is_in_transaction)  # fmt: skip
                sys.stdin.readline()
                if self.is_in_transaction:
                    self.connection.execute("ROLLBACK")
        return False


def say(**event) -> None:
    print(json.dumps(event), flush=True)


def main() -> None:
    control = Control.mapped(os.environ["FAULTS_CONTROL"])
    for line in sys.stdin:
        Writer(Run(**json.loads(line)), control).whole()


if __name__ == "__main__":
    main()
