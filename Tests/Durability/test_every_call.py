"""Each call of the disk that a small run makes fails in turn, once or from then on, wholly or
half-way: the broker goes on when the disk does, and has lost nothing that it had acknowledged."""
import errno
import os
import random

from disk import Broker
from faults import CHANGES, Mode
from promises import Promises, missing

# How a call fails, and whether those that follow fail with it until somebody heals the disk.
WAYS = {
    "EIO once": dict(error=errno.EIO, times=1),
    "EIO from then on": dict(error=errno.EIO),
    "EROFS from then on": dict(error=errno.EROFS),
    "full": dict(error=errno.ENOSPC, mode=Mode.SHORT_THEN_FAIL),
    "a short write": dict(error=errno.EIO, mode=Mode.SHORT, times=1),
    "a torn write": dict(error=errno.EIO, mode=Mode.TORN, times=1),
}
CASES = int(os.environ.get("BIFROST_DISK_CASES", "60"))
START_CASES = 12


def cases(source, calls, count):
    """(call, way) pairs: each call at least once where there are cases enough."""
    numbers = list(range(1, calls + 1))
    source.shuffle(numbers)
    ways = list(WAYS)
    chosen = [(numbers[index % calls], ways[index % len(ways)]) for index in range(count)]
    source.shuffle(chosen)
    return chosen


def test_each_call_of_a_run_fails(tmp_path, seed):
    source = random.Random(f"{seed} calls")
    broker = Broker(tmp_path, keeps_syncs=False)
    disk = broker.disk
    disk.record("nothing")
    promises = Promises(disk)
    promises.begin(broker)
    promises.round()
    before = disk.calls
    promises.round()
    calls = disk.calls - before
    hit = 0
    for number, way in cases(source, calls, CASES):
        faults = disk.faults
        disk.fail(ops=CHANGES, first=disk.calls + number, **WAYS[way])
        try:
            promises.round()
        except AssertionError as error:
            text = f"call {number} of {calls}, {way}: {error}\n{broker.text()}"
            raise AssertionError(text) from error
        disk.heal()
        hit += disk.faults > faults
    print(f"{calls} calls in a run, {CASES} runs with a fault, {hit} of them met")
    assert hit > CASES / 2
    broker.kill()
    again = broker.next()
    lost = missing(again, promises.made, promises.rounds)
    again.kill()
    assert not lost, lost


def test_each_call_of_a_start_fails(tmp_path, seed):
    """It starts all the same, or says why it can't, and nothing is lost."""
    source = random.Random(f"{seed} starts")
    broker = Broker(tmp_path, keeps_syncs=False)
    disk = broker.disk
    disk.record("nothing")
    promises = Promises(disk)
    promises.begin(broker)
    promises.round()
    before = disk.calls
    broker.kill()
    # A start, and an end with a last checkpoint.
    broker = broker.next()
    broker.address
    broker.stop()
    calls = disk.calls - before
    for number, way in cases(source, calls, START_CASES):
        disk.fail(ops=CHANGES, first=disk.calls + number, **WAYS[way])
        broker = broker.next()
        try:
            broker.said("listening on 127")
        except AssertionError:
            assert broker.wait() != 0 and "store" in broker.text(), broker.text()
        else:
            broker.stop()
        disk.heal()
    broker = broker.next()
    lost = missing(broker, promises.made, promises.rounds)
    broker.kill()
    assert not lost, lost
