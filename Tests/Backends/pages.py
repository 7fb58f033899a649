"""Runs what a page of docs/ tells its reader to do, and looks for what it promises.

Blocks of code, in order; the first word behind the fence is what it is:

- `python` and `yaml`: a file, whose name stands in the first line (`# push.py`)
- `sh`: commands that must succeed; `sh background`: what another terminal would run
- `text`: lines that the commands before have printed; `text WORD`: those that the last background
  command which has this word has printed by and by
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import signal
import socket
import subprocess

import backend_broker
from api import REPOSITORY
from interop_support import wait_for

# Seconds for one command: the slowest installs packages.
COMMAND_DEADLINE = 300
LINES_DEADLINE = 30

FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclasses.dataclass
class Block:
    kind: str
    word: str | None
    text: str
    line: int


def blocks(page: pathlib.Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(found[1], found[2], found[3], text.count("\n", 0, found.start()) + 1)
        for found in FENCE.finditer(text)]


class Reader:
    """Follows a page in a directory of its own. Fixed ports of the page become free ones."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        (directory / "Protos").symlink_to(REPOSITORY / "Protos")
        self.background: list[tuple[str, subprocess.Popen, pathlib.Path]] = []
        self.brokers: list[backend_broker.Broker] = []
        self.output = ""
        self.places = {"127.0.0.1:6051": f"127.0.0.1:{free_port()}"}

    def follow(self, block: Block) -> None:
        if block.kind in ("python", "yaml"):
            name = re.match(r"# (\S+)\n", block.text)
            assert name, f"line {block.line}: the first line names no file"
            path = self.directory / name[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(self.localize(block.text))
        elif block.kind == "sh" and block.word == "background":
            self.start(block)
        elif block.kind == "sh":
            self.run(block)
        elif block.kind == "text":
            self.expect(block)
        else:
            raise AssertionError(f"line {block.line}: nobody knows what to do with {block.kind}")

    def localize(self, text: str) -> str:
        """The text with this run's ports."""
        for written, real in self.places.items():
            text = text.replace(written, real)
        return text

    def run(self, block: Block) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.localize(block.text)], cwd=self.directory,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=COMMAND_DEADLINE, env=backend_broker.environment())
        self.output = done.stdout
        assert done.returncode == 0, f"line {block.line}: status {done.returncode}\n{done.stdout}"

    def start(self, block: Block) -> None:
        command = block.text.strip()
        if command.startswith(".build/release/bifrost serve"):
            self.serve(command)
            return
        log = self.directory / f"terminal-{len(self.background)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {self.localize(command)}"], cwd=self.directory,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=backend_broker.environment())
        self.background.append((command, process, log))
        # A device of the page prints nothing when it is there: the broker knows.
        self.output = ""

    def serve(self, command: str) -> None:
        """A broker in place of the one before, with its data."""
        for broker in self.brokers:
            if broker.process.poll() is None:
                broker.stop()
        flags = [
            word.strip('"').replace("$PWD", str(self.directory))
            for word in self.localize(command).split()[2:]]
        place = flags.index("--data-dir")
        del flags[place:place + 2]
        broker = backend_broker.start(self.directory, *flags)
        self.brokers.append(broker)
        self.places["127.0.0.1:5051"] = broker.grpc
        self.places["-p 1883"] = f"-p {broker.port}"
        # Files that name the broker name it anew.
        for path in self.directory.glob("my-backend/*.py"):
            text = path.read_text()
            for old in self.brokers[:-1]:
                text = text.replace(f'"{old.grpc}"', f'"{broker.grpc}"')
            path.write_text(text)

    def expect(self, block: Block) -> None:
        if block.word is None and self.output:
            self.compare(block, self.output)
            return
        named = [
            log for command, _, log in self.background if (block.word or "") in command]
        assert named, f"line {block.line}: no command has {block.word}"
        lines = block.text.splitlines()

        def all_there():
            return set(lines) <= set(named[-1].read_text().splitlines())

        try:
            wait_for(all_there, "the lines", LINES_DEADLINE)
        except AssertionError:
            self.compare(block, named[-1].read_text())

    def compare(self, block: Block, output: str) -> None:
        missing = [line for line in block.text.splitlines() if line not in output.splitlines()]
        assert not missing, f"line {block.line}: {missing} is not in\n{output}"

    def close(self) -> None:
        for _, process, _ in self.background:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
        for broker in self.brokers:
            if broker.process.poll() is None:
                broker.stop()


def free_port() -> int:
    """A port for a program of the page that can't choose one itself."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
