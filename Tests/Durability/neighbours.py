"""What the other suites have that this one uses: the codec, the matching of filters, the client of
bifrost.v1, and how to find the port of a broker that was told to choose one."""
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
# Behind this directory, whose modules come first where a name is used twice.
sys.path += [str(TESTS / name) for name in ("Conformance", "Interop", "Backends")]

import api  # noqa: E402  the paths above come first
import wire  # noqa: E402
from interop_support import listening_port  # noqa: E402
from model import matches  # noqa: E402
from wire_client import Client  # noqa: E402

__all__ = ["Client", "TESTS", "api", "listening_port", "matches", "wire"]
