"""Stores with many parked sessions and retained messages, written into the broker's own tables.

A million sessions take a broker minutes to make, a connection each. This takes seconds: the broker
makes the file and stops, the rows are added, and it starts again. What is measured is then
checked with sessions that really connect.
"""

from __future__ import annotations

import pathlib
import sqlite3

from . import brokers

# What all sessions subscribe to beside a topic of their own.
BROADCAST = "push/all"
# Numbers of sessions below those that any run of the broker gives.
FIRST_SESSION = 1
EVER = 0xFFFF_FFFF


def client(number: int) -> str:
    """A client id of 12 bytes."""
    return f"park-{number:07}"


def own_topic(number: int) -> str:
    """A topic of 17 bytes."""
    return f"push/{client(number)}"


def retained_topic(number: int) -> str:
    """A topic of 22 bytes: a thousand below each first level."""
    return f"state/{number // 1000:06}/{number % 1000:03}/value"


def fill(folder: pathlib.Path, sessions: int = 0, retained: int = 0, payload: int = 64) -> None:
    """Adds sessions that are away, with two subscriptions of QoS 1 each, and retained messages to
    the store in a data directory. No broker has it open, and it has nothing of the kind yet."""
    with sqlite3.connect(folder / "bifrost.db", isolation_level=None) as database:
        # Nothing is lost where this is interrupted: the file is then thrown away.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -262144")
        database.execute("BEGIN IMMEDIATE")
        if sessions:
            _add_sessions(database, sessions)
        if retained:
            _add_retained(database, retained, payload)
        database.execute("COMMIT")
        database.execute("PRAGMA journal_mode = WAL")
    database.close()


def _add_sessions(database: sqlite3.Connection, count: int) -> None:
    ids = range(FIRST_SESSION, FIRST_SESSION + count)
    # The filter of the broadcast behind those of the sessions, so that both have simple numbers.
    everyone = count + 1
    database.executemany(
        "INSERT INTO session (id, client, version, connected, expiry_interval, expires_at,"
        " will_due_at, due, will) VALUES (?, ?, 5, 0, ?, 0, 0, 0, NULL)",
        ((number, client(number).encode(), EVER) for number in ids),
    )
    database.executemany(
        "INSERT INTO progress (session, cursor, next_packet_id, window, inbound)"
        " VALUES (?, 0, 1, x'', x'')",
        ((number,) for number in ids),
    )
    database.executemany(
        "INSERT INTO filter (id, text, is_wildcard, subscriptions, readers) VALUES (?, ?, 0, 1, 1)",
        ((number, own_topic(number).encode()) for number in ids),
    )
    database.execute(
        "INSERT INTO filter (id, text, is_wildcard, subscriptions, readers) VALUES (?, ?, 0, ?, ?)",
        (everyone, BROADCAST.encode(), count, count),
    )
    database.executemany(
        "INSERT INTO subscription (session, filter, options, identifier, position)"
        " VALUES (?, ?, 1, 0, 0)",
        ((number, which) for number in ids for which in (number, everyone)),
    )
    database.execute("UPDATE meta SET value = ? WHERE name = 'sessions'", (count,))


def _add_retained(database: sqlite3.Connection, count: int, payload: int) -> None:
    body = b"x" * payload
    database.executemany(
        "INSERT INTO retained (id, topic, qos, expires_at, properties, payload)"
        " VALUES (?, ?, 1, 0, x'', ?)",
        ((number + 1, retained_topic(number).encode(), body) for number in range(count)),
    )
    size = sum(len(retained_topic(number)) for number in range(count)) + count * payload
    database.execute("UPDATE meta SET value = ? WHERE name = 'retained'", (count,))
    database.execute("UPDATE meta SET value = ? WHERE name = 'retained-bytes'", (size,))
