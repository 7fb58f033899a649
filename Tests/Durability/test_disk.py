"""A broker whose disk fails for a while: nothing that it acknowledged is lost, what needs no disk
goes on, and the rest goes on by itself when the disk does."""
import errno
import sqlite3
import time

import pytest

from disk import FAILS, PATIENCE, QUOTA_EXCEEDED, SERVER_BUSY, WORKS, Broker, drained, settle, wire
from faults import CHANGES, SYNCS, Mode, Op

DATABASE, LOG = "bifrost.db", "bifrost.db-wal"
MESSAGE = 200_000  # bytes that are many pages


@pytest.fixture
def broker(tmp_path):
    own = Broker(tmp_path)
    yield own
    own.disk.heal()
    if own.process.poll() is None:
        own.kill()


def leave_messages(broker, count, size):
    """A broker that has ended, with messages that wait for an absent reader."""
    reader = broker.stored("reader")
    reader.subscribe(("t/#", 1))
    reader.disconnect()
    writer = broker.client("writer")
    for number in range(count):
        writer.publish(f"t/{number}", bytes([number]) * size, 1)
    writer.disconnect()
    broker.stop()


def test_a_full_disk_costs_nothing_but_time(broker):
    reader = broker.stored("reader")
    reader.subscribe(("t/#", 1))
    writer, other = broker.client("writer"), broker.client("other")
    writer.publish("t/before", b"before", 1)
    assert reader.message().payload == b"before"
    settle(reader)

    broker.disk.fill(0)
    # The first finds the disk full: it is not acknowledged, and not lost.
    writer.send(wire.publish("t/first", b"x" * MESSAGE, 5, qos=1, pid=1))
    broker.said(FAILS)
    other.send(wire.publish("t/second", b"second", 5, qos=1, pid=2))
    assert other.wait(wire.PUBACK).reason == QUOTA_EXCEEDED
    broker.refuses("late")
    # Without the store: a session that ends with its connection, and QoS 0.
    free = broker.client("free")
    free.subscribe(("q", 1))
    other.publish("q", b"free", 1)
    assert free.message().payload == b"free"
    other.send(wire.publish("t/zero", b"zero", 5, qos=0))
    assert reader.message().payload == b"zero"

    broker.disk.empty()
    broker.said(WORKS)
    assert writer.wait(wire.PUBACK).reason == 0
    assert len(reader.message().payload) == MESSAGE
    other.publish("t/after", b"after", 1)
    assert reader.message().payload == b"after"
    broker.stored("late")


OUTAGES = {
    "read-only": dict(error=errno.EROFS, ops=CHANGES),
    "every-call": dict(error=errno.EIO, ops=CHANGES),
    "writes-of-the-log": dict(error=errno.EIO, ops=[Op.WRITE], file=LOG),
    "half-writes-of-the-log": dict(error=errno.EIO, ops=[Op.WRITE], file=LOG, mode=Mode.TORN),
    "syncs-of-the-log": dict(error=errno.EIO, ops=SYNCS, file=LOG),
    "quota": dict(error=errno.EDQUOT, ops=[Op.WRITE], mode=Mode.SHORT_THEN_FAIL),
    "full-at-once": dict(error=errno.ENOSPC, ops=[Op.WRITE], file=LOG, mode=Mode.SHORT_THEN_FAIL),
}


@pytest.mark.parametrize("name", OUTAGES)
def test_a_disk_that_takes_nothing_for_a_while(broker, name):
    reader = broker.stored("reader")
    reader.subscribe(("t/#", 2))
    away = broker.stored("away")
    away.subscribe(("t/#", 2))
    away.disconnect()
    writer, sure, other = broker.client("writer"), broker.stored("sure"), broker.client("other")
    writer.publish("t/before", b"before", 2)
    assert reader.message().payload == b"before"
    settle(reader)

    # Both are with the store when the first call fails.
    broker.disk.slow(5000)
    writer.send(wire.publish("t/one", b"one", 5, qos=1, pid=1))
    broker.disk.wait_for("waiting", 0)
    sure.send(wire.publish("t/two", b"two", 5, qos=2, pid=2))
    other.ping()
    broker.disk.fail(**OUTAGES[name])
    broker.disk.slow(0)
    reason = broker.said(FAILS + ".*")[0]
    print(reason)
    other.send(wire.publish("t/refused", b"refused", 5, qos=2, pid=3))
    assert other.wait(wire.PUBREC).reason == QUOTA_EXCEEDED
    broker.refuses("late")
    broker.refuses("away")
    other.publish("t/zero", b"zero")
    assert reader.message().payload == b"zero"

    broker.disk.heal()
    broker.said(WORKS)
    assert writer.wait(wire.PUBACK).reason == 0
    assert sure.wait(wire.PUBREC).reason == 0
    # What its client was not told of may come a second time, and is taken once.
    sure.send(wire.publish("t/two", b"two", 5, qos=2, pid=2, dup=True))
    assert sure.wait(wire.PUBREC).reason == 0
    sure.send(wire.ack(wire.PUBREL, 2, 5))
    sure.wait(wire.PUBCOMP)
    other.publish("t/after", b"after", 2)
    assert sorted(reader.message().payload for _ in range(3)) == [b"after", b"one", b"two"]

    # What is in the file, another broker finds.
    broker.kill()
    again = broker.next()
    away = again.stored("away")
    expected = [b"after", b"before", b"one", b"two"]
    assert sorted(packet.payload for packet in drained(again, away)) == expected
    assert not drained(again, again.stored("reader"))
    again.kill()


def test_who_waits_is_told_when_the_disk_fails(broker):
    """A CONNECT that came before the disk failed does not wait until it works again."""
    reader = broker.stored("reader")
    reader.subscribe(("t/#", 1))
    reader.disconnect()
    writer = broker.client("writer")
    broker.disk.slow(5000, ops=SYNCS)
    writer.send(wire.publish("t", b"first", 5, qos=1, pid=1))
    broker.disk.wait_for("waiting", 0)
    waiting = [broker.connecting(name) for name in ("reader", "new")]
    writer.ping()
    broker.disk.fail(errno.EIO, ops=SYNCS)
    broker.disk.slow(0)
    for late in waiting:
        assert late.receive(PATIENCE).reason == SERVER_BUSY
    broker.refuses("reader")
    broker.disk.heal()
    assert writer.wait(wire.PUBACK).reason == 0
    broker.said(WORKS)
    assert drained(broker, broker.stored("reader"))[0].payload == b"first"
    broker.stored("new")


def test_a_disk_that_can_not_be_read_for_a_while(broker):
    leave_messages(broker, 40, 8000)
    # Nothing of it is in the memory of the next one, but for who its clients are: until that is known,
    # each client may have a session there.
    broker.flags += ("--log-level", "debug")
    own = broker.next()
    own.said("filters and clients of the store are known")
    own.disk.fail(errno.EIO, ops=[Op.READ])
    own.refuses("reader")
    print(own.said(FAILS + ".*")[0])
    free, other = own.client("free"), own.client("other")
    free.subscribe(("q", 1))
    other.publish("q", b"free", 1)
    assert free.message().payload == b"free"
    own.disk.heal()
    own.said(WORKS)
    found = [packet.payload[0] for packet in drained(own, own.stored("reader"))]
    assert found == list(range(40))
    own.kill()


def test_a_broker_that_ends_while_the_disk_fails(broker):
    reader = broker.stored("reader")
    reader.subscribe(("t/#", 1))
    reader.disconnect()
    writer = broker.client("writer")
    writer.publish("t", b"kept", 1)
    broker.disk.fail(errno.EIO)
    writer.send(wire.publish("t", b"lost", 5, qos=1, pid=9))
    broker.said(FAILS)
    broker.stop()
    # While it is so, no other begins; it says why.
    second = broker.next()
    assert second.wait() != 0
    print(second.text())
    assert "store" in second.text()
    broker.disk.heal()
    third = broker.next()
    found = [packet.payload for packet in drained(third, third.stored("reader"))]
    assert found == [b"kept"]
    third.kill()


def test_what_is_written_is_safe_while_the_file_can_not_be(broker):
    """Checkpoints fail: that is told, and stops nobody."""
    reader = broker.stored("reader")
    reader.subscribe(("t/#", 1))
    writer = broker.client("writer")
    broker.disk.record("nothing")
    for error, ops in ((errno.EIO, [Op.WRITE]), (errno.EIO, SYNCS)):
        broker.disk.fail(error, ops=ops, file=DATABASE)
        times = broker.text().count("can't be copied into its file")
        sent = 0
        while broker.text().count("can't be copied into its file") == times:
            writer.publish("t", b"x" * MESSAGE, 1)
            reader.message()
            sent += 1
            assert sent < 500, "the log was never to be copied"
        writer.publish("t", b"more", 1)
        assert reader.message().payload == b"more"
        assert FAILS not in broker.text()
        broker.disk.heal()
        broker.said("can be copied into its file again", times + 1)


def test_pages_that_are_damaged_while_it_runs(broker):
    """SQLite finds the damage, and the broker says so: nothing ends, nothing is made worse."""
    leave_messages(broker, 40, 8000)
    path = broker.disk.directory / DATABASE
    with sqlite3.connect(path) as database:
        (root,) = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'progress'").fetchone()
    database.close()
    good = path.read_bytes()
    # Nobody looks at sessions that are away, so that the page is not read before.
    broker.flags += ("--store-max-session-messages", "0", "--store-max-session-bytes", "0",
                     "--log-level", "debug")
    own = broker.next()
    own.said("filters and clients of the store are known")
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\x5a" * 4096)
    own.refuses("reader")
    print(own.said(FAILS + ".*malformed.*")[0])
    free, other = own.client("free"), own.client("other")
    free.subscribe(("q", 1))
    other.publish("q", b"free", 1)
    assert free.message().payload == b"free"
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(good[(root - 1) * 4096:root * 4096])
    own.said(WORKS)
    found = [packet.payload[0] for packet in drained(own, own.stored("reader"))]
    assert found == list(range(40))
    own.kill()


def test_a_part_of_the_log_that_is_damaged(broker):
    """The messages of one segment are lost; the others are not, and who asks is answered."""
    leave_messages(broker, 10, 20)
    with sqlite3.connect(broker.disk.directory / DATABASE) as database:
        assert database.execute("SELECT count(*) FROM log").fetchone() == (10,)
        database.execute("UPDATE log SET body = zeroblob(length(body)) WHERE sequence = 4")
    database.close()
    own = broker.next()
    found = [packet.payload[0] for packet in drained(own, own.stored("reader"))]
    assert found == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    own.said("segment 4 of the log is damaged")
    assert FAILS not in own.text()
    own.client("writer").publish("t/new", b"new", 1)
    assert drained(own, own.stored("reader"))[0].payload == b"new"
    own.kill()
