"""The examples under Examples/: each is started by its one command, and shows what its page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from api import REPOSITORY
from backend_broker import binary, environment

# Seconds for all of it: the first run installs packages, and compiles some in Swift.
BUILD_DEADLINE = 1800


def expected(name: str) -> list[str]:
    """The lines that the example's page shows."""
    page = (REPOSITORY / "Examples" / name / "README.md").read_text()
    found = re.search(r"```text\n(.*?)```", page, re.DOTALL)
    assert found
    return found[1].splitlines()


@pytest.mark.parametrize("name", ("push-python", "push-swift"))
def test_an_example_does_what_its_page_says(name):
    if name == "push-swift" and shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto_sub is not installed (Debian's package mosquitto-clients)")
    done = subprocess.run(
        [REPOSITORY / "Examples" / name / "run"], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=BUILD_DEADLINE,
        env={**environment(), "BIFROST_BIN": os.fspath(binary())})
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    missing = [line for line in expected(name) if line not in lines]
    assert not missing, done.stdout + done.stderr
    assert lines[-1] == "done"
