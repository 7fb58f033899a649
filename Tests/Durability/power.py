"""A disk that loses, with each kill of the broker, what was not synced: what a power loss does."""
import random
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))

from faults import FaultyDirectory, reconstruct  # noqa: E402  the path above comes first


class Power:
    """The power of one data directory. All choices of what is lost come from the seed."""

    def __init__(self, data, scratch, seed):
        self.source = random.Random(f"{seed} power")
        self.data, self.image = Path(data), Path(scratch) / "image"
        # A loss is only played, so a sync that is not made loses nothing but time.
        self.disk = FaultyDirectory(data, scratch, keeps_syncs=False)

    def environment(self, base):
        return self.disk.environment(base)

    def fail(self):
        """The broker has been killed: the directory becomes what a disk may have of it."""
        reconstruct(self.disk.journal(), None, self.source.randrange(1 << 32), self.image)
        shutil.rmtree(self.data)
        shutil.copytree(self.image, self.data)
        self.disk.restart_journal()
