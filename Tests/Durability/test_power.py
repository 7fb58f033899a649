"""The power fails under load: with `store.sync` full nothing that was acknowledged is lost, with
normal the store is whole."""
import errno
import random
import shutil
import sqlite3

import pytest

from disk import Broker
from faults import SYNCS, reconstruct
from kill import Options, run
from promises import Promises, missing

pytestmark = pytest.mark.usefixtures("binary")

LOSSES = 8
CUTS = 10
ROUNDS = 6


@pytest.mark.parametrize("loops", [1, 2], ids=lambda n: f"loops-{n}")
def test_a_power_loss_keeps_what_was_acknowledged(loops, seed):
    report = run(Options(LOSSES, seed, loops=loops, settle=4, power=True))
    print(report.text())
    assert not report.failures, report.failures[0].text
    assert report.summary["kills"] == LOSSES


@pytest.mark.parametrize("sync, faulty", [("full", False), ("full", True), ("normal", False)],
                         ids=["full", "full-after-syncs-that-failed", "normal"])
def test_the_power_fails_at_any_call(tmp_path, seed, sync, faulty):
    source = random.Random(f"{seed} cuts")
    (tmp_path / "run").mkdir()
    broker = Broker(tmp_path / "run", "--store-sync", sync, keeps_syncs=False)
    disk = broker.disk
    promises = Promises(disk)
    promises.begin(broker)
    for _ in range(ROUNDS):
        if faulty:
            disk.fail(errno.EIO, ops=SYNCS, first=disk.calls + source.randint(1, 50), times=1)
        promises.round()
    broker.kill()
    assert disk.faults >= (ROUNDS / 2 if faulty else 0)
    journal, marks, rounds, last = disk.journal(), list(disk.marks), promises.rounds, disk.calls
    losses = 0
    for place in range(CUTS):
        cut, own = source.randint(1, last + 1), source.randrange(1 << 32)
        directory = tmp_path / f"image-{place}"
        directory.mkdir()
        reconstruct(journal, cut, own, directory / "data")
        shutil.copytree(directory / "data", directory / "copy")
        check_whole(directory / "copy")
        image = Broker(directory, "--store-sync", sync)
        promised = [label for number, label in marks if number < cut]
        lost = missing(image, promised, rounds)
        losses += bool(lost)
        writer = image.stored("another")
        writer.subscribe(("new", 1))
        writer.publish("new", b"new", 1)
        assert writer.message().payload == b"new"
        image.kill()
        assert sync == "normal" or not lost, f"cut {cut} of {last}, seed {own}: {lost}"
    # Else the images would be those of a disk that loses nothing.
    assert sync == "full" or losses > 0


def check_whole(directory):
    """SQLite finds nothing wrong with what a power loss left."""
    path = directory / "bifrost.db"
    if path.exists():
        database = sqlite3.connect(path)
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        database.close()
