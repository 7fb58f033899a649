"""The command line: what it prints, how it ends, and how signals end it.

The binary is that of BIFROST_BIN, or .build/release/bifrost. Each test starts its own processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import resource
import selectors
import signal
import socket
import subprocess
import tempfile
import time

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("BIFROST_BIN", REPOSITORY / ".build/release/bifrost"))
if not BINARY.is_absolute():
    BINARY = REPOSITORY / BINARY

# Seconds that no step takes unless it hangs.
DEADLINE = 15

USAGE, NO_INPUT, UNAVAILABLE, SYSTEM, PERMISSION, CONFIGURATION = 64, 66, 69, 71, 77, 78
LISTENING = re.compile(r"listening on (\S+):(\d+)")
CONNECT = bytes.fromhex("101000044d5154540402003c0004") + b"cli1"
CONNACK = bytes.fromhex("20020000")


DATA = tempfile.TemporaryDirectory(prefix="bifrost-cli-")


def environment(**variables: str) -> dict[str, str]:
    """Ours without what would configure the broker."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BIFROST_")}
    # No two brokers share a store.
    return kept | {"BIFROST_DATA_DIR": tempfile.mkdtemp(dir=DATA.name)} | variables


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BINARY, *words],
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def the_line(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that a run wrote to standard error, and nothing to standard output."""
    assert result.stdout == ""
    assert result.stderr.startswith("bifrost: "), result.stderr
    assert result.stderr.endswith("\n")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.strip().removeprefix("bifrost: ")


class Broker:
    """A process of `bifrost serve`, and the lines of its log as they come."""

    def __init__(self, *words: str, limit_open_files: int | None = None, **variables: str):
        def limit() -> None:
            if limit_open_files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit_open_files, limit_open_files))

        self.process = subprocess.Popen(
            [BINARY, "serve", *words],
            env=environment(**({"BIFROST_GRPC_LISTEN": "off"} | variables)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=limit,
        )
        assert self.process.stderr is not None
        self._stream = self.process.stderr.fileno()
        self._pending = b""
        self.lines: list[str] = []

    def wait_for(self, pattern: re.Pattern[str] | str) -> re.Match[str]:
        """The first line from now on in which the pattern is found."""
        deadline = time.monotonic() + DEADLINE
        with selectors.DefaultSelector() as selector:
            selector.register(self._stream, selectors.EVENT_READ)
            while True:
                while b"\n" in self._pending:
                    line, self._pending = self._pending.split(b"\n", 1)
                    self.lines.append(line.decode())
                    if found := re.search(pattern, self.lines[-1]):
                        return found
                assert selector.select(max(0, deadline - time.monotonic())), self.log()
                block = os.read(self._stream, 65536)
                assert block, f"it ended with {self.process.wait(DEADLINE)}:\n{self.log()}"
                self._pending += block

    def log(self) -> str:
        return "\n".join(self.lines) + "\n" + self._pending.decode(errors="replace")

    def address(self) -> tuple[str, int]:
        found = self.wait_for(LISTENING)
        return found[1].strip("[]"), int(found[2])

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)


@contextlib.contextmanager
def broker(*words: str, **options):
    started = Broker(*words, **options)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait(DEADLINE)
        started.process.stderr.close()


def connect(address: tuple[str, int]) -> socket.socket:
    """A connection that the broker has answered."""
    stream = socket.create_connection(address, timeout=DEADLINE)
    stream.sendall(CONNECT)
    answer = b""
    while len(answer) < len(CONNACK):
        block = stream.recv(len(CONNACK) - len(answer))
        assert block, "the broker closed the connection"
        answer += block
    assert answer == CONNACK
    return stream


ANY = ("--mqtt-tcp-listen", "127.0.0.1:0")


# Help


@pytest.mark.parametrize("words", [(), ("help",), ("--help",), ("-h",)])
def test_help_names_the_subcommands(words):
    result = run(*words)
    assert result.returncode == 0
    assert "serve" in result.stdout and "config" in result.stdout
    assert result.stderr == ""


def test_version():
    result = run("--version")
    assert result.returncode == 0
    assert re.fullmatch(r"bifrost \d+\.\d+\.\d+\n", result.stdout)


@pytest.mark.parametrize("words", [("serve", "--help"), ("help", "serve")])
def test_help_of_serve_names_every_key(words):
    text = run(*words).stdout
    keys = [line.split(":")[0] for line in run("config", "--print").stdout.splitlines()]
    assert len(keys) > 20
    for key in keys:
        assert f"--{key.replace('.', '-')} " in text
    assert "--config" in text


@pytest.mark.parametrize(
    "words",
    [("serv",), ("--nonsense",), ("config",), ("config", "--print", "--check"), ("serve", "--config")],
)
def test_a_wrong_command_line_ends_with_64(words):
    result = run(*words)
    assert result.returncode == USAGE
    assert result.stderr != ""


# Configuration


def test_print_shows_each_value_and_its_source(tmp_path):
    file = tmp_path / "broker.yaml"
    file.write_text("mqtt:\n  max-qos: 1\n  max-inflight: 7\nlog.level: debug\n")
    result = run(
        "config", "--print", "--config", str(file), "--mqtt-max-qos", "0",
        BIFROST_LOG_LEVEL="error",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    shown = {}
    for line in result.stdout.splitlines():
        value, source = line.split("  # ")
        shown[value.split(": ")[0]] = (value.split(": ")[1].strip(), source)
    assert shown["mqtt.max-qos"] == ("0", "flag --mqtt-max-qos")
    assert shown["log.level"] == ("error", "environment BIFROST_LOG_LEVEL")
    assert shown["mqtt.max-inflight"] == ("7", f"{file}:3")
    assert shown["mqtt.tcp.listen"] == ('"127.0.0.1:1883"', "default")
    assert shown["net.loops"] == (str(len(os.sched_getaffinity(0))), "default")


def test_what_is_printed_is_a_file_that_is_right(tmp_path):
    file = tmp_path / "printed.yaml"
    file.write_text(run("config", "--print", "--mqtt-tcp-listen", "[::1]:1883").stdout)
    result = run("config", "--check", "--config", str(file))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_environment_may_name_the_file(tmp_path):
    file = tmp_path / "broker.yaml"
    file.write_text("mqtt.max-qos: 9\n")
    result = run("config", "--check", BIFROST_CONFIG=str(file))
    assert result.returncode == CONFIGURATION
    assert the_line(result) == f"{file}:1: mqtt.max-qos: 9 is out of range; use 0 to 2"


@pytest.mark.parametrize("command", [("config", "--check"), ("serve",)])
@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("mqtt:\n  max-qoss: 1\n", 2, ["mqtt.max-qoss", "mqtt.max-qos?"]),
        ("mqtt:\n\n  receive-maximum: 0\n", 3, ["mqtt.receive-maximum", "1 to 65535"]),
        ("log:\n  level: [info]\n", 2, ["log.level"]),
        ("store.kind: disk\n", 1, ["store.kind", "sqlite", "memory"]),
        ("mqtt.tcp.listen: 0.0.0.0:0\n", 1, ["mqtt.tcp.listen", "auth.anonymous"]),
        ("log: {\n", 2, ["YAML"]),
    ],
)
def test_a_wrong_file_ends_with_78_and_one_line(tmp_path, command, text, line, words):
    file = tmp_path / "broker.yaml"
    file.write_text(text)
    result = run(*command, "--config", str(file))
    assert result.returncode == CONFIGURATION
    message = the_line(result)
    assert message.startswith(f"{file}:{line}: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize("command", [("config", "--check"), ("serve",)])
def test_a_missing_file_ends_with_66(tmp_path, command):
    result = run(*command, "--config", str(tmp_path / "none.yaml"))
    assert result.returncode == NO_INPUT
    assert "none.yaml" in the_line(result)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--mqtt-max-qoz", "1"], "did you mean --mqtt-max-qos?"),
        (["--mqtt-max-qos", "3"], "mqtt.max-qos (flag --mqtt-max-qos)"),
        (["--sys-interval"], "sys.interval (flag --sys-interval): needs a value"),
        (["--mqtt-tcp-listen=0.0.0.0:0"], "auth.anonymous"),
        (["surplus"], '"surplus"'),
    ],
)
def test_a_wrong_flag_ends_with_64_and_one_line(words, expected):
    result = run("serve", *words)
    assert result.returncode == USAGE
    assert expected in the_line(result)


def test_a_wrong_variable_ends_with_78_and_one_line():
    result = run("serve", BIFROST_LOG_LEVELS="info")
    assert result.returncode == CONFIGURATION
    assert "BIFROST_LOG_LEVELS" in the_line(result) and "BIFROST_LOG_LEVEL?" in result.stderr


def test_the_reference_is_the_page_in_docs():
    result = run("config", "--docs")
    assert result.returncode == 0
    assert result.stdout == (REPOSITORY / "docs/CONFIGURATION.md").read_text()


# Serving


def test_each_address_is_logged_with_its_port_and_serves():
    with broker("--mqtt-tcp-listen", "127.0.0.1:0,[::1]:0") as started:
        addresses = [started.address(), started.address()]
        assert [host for host, _ in addresses] == ["127.0.0.1", "::1"]
        assert all(port > 0 for _, port in addresses)
        for address in addresses:
            connect(address).close()
        assert started.end() == 0


def test_auth_anonymous_opens_other_addresses():
    with broker("--mqtt-tcp-listen", "0.0.0.0:0", "--auth-anonymous") as started:
        host, port = started.address()
        assert host == "0.0.0.0"
        connect(("127.0.0.1", port)).close()
        assert started.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_clients_connected(number):
    with broker(*ANY) as started, connect(started.address()) as client:
        start = time.monotonic()
        assert started.end(number) == 0
        assert time.monotonic() - start < 10, "shutdown.timeout has passed"
        assert client.recv(16) == b"", "the client's connection is closed"


def test_hang_ups_and_broken_pipes_do_not_end_it():
    with broker(*ANY) as started:
        address = started.address()
        for number in [signal.SIGHUP, signal.SIGPIPE]:
            started.process.send_signal(number)
            connect(address).close()
        assert started.end() == 0


def test_a_signal_while_stopped_by_the_shell_is_not_lost():
    with broker(*ANY) as started:
        started.address()
        started.process.send_signal(signal.SIGSTOP)
        started.process.send_signal(signal.SIGTERM)
        started.process.send_signal(signal.SIGCONT)
        assert started.process.wait(DEADLINE) == 0


def test_an_address_in_use_ends_with_69():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--mqtt-tcp-listen", f"127.0.0.1:{port}")
    assert result.returncode == UNAVAILABLE
    assert f"127.0.0.1:{port}" in the_line(result)


def test_a_second_broker_on_the_address_ends_with_69():
    # SO_REUSEPORT, which the loops use among themselves, must not let two brokers share a port.
    with broker(*ANY) as started:
        host, port = started.address()
        result = run("serve", "--mqtt-tcp-listen", f"{host}:{port}")
        assert result.returncode == UNAVAILABLE
        assert str(port) in the_line(result)
        connect((host, port)).close()


def test_an_address_of_grpc_in_use_ends_with_69():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", *ANY, "--grpc-listen", f"127.0.0.1:{port}")
    assert result.returncode == UNAVAILABLE
    assert f"127.0.0.1:{port}" in result.stderr and "grpc.listen" in result.stderr


def test_where_grpc_is_served():
    with broker(*ANY, BIFROST_GRPC_LISTEN="127.0.0.1:0") as started:
        started.address()
        found = started.wait_for(r"grpc: listening on 127\.0\.0\.1:(\d+)")
        socket.create_connection(("127.0.0.1", int(found[1])), timeout=DEADLINE).close()
        assert started.end() == 0


def test_an_address_of_another_machine_ends_with_69():
    # 192.0.2.0/24 is kept for documentation: no machine has it.
    result = run("serve", "--mqtt-tcp-listen", "192.0.2.1:0", "--auth-anonymous")
    assert result.returncode == UNAVAILABLE
    assert "192.0.2.1" in the_line(result)


def test_a_limit_on_open_files_that_is_too_low_ends_with_71():
    # Beside the three standard streams, a loop needs an epoll, a wake-up and a listening socket.
    with broker(*ANY, "--net-loops", "2", limit_open_files=5) as started:
        assert started.process.wait(DEADLINE) == SYSTEM
        text = started.process.stderr.read().decode()
        assert text.startswith("bifrost: ") and "open files" in text


# Log


def test_the_log_as_text():
    with broker(*ANY) as started:
        started.address()
        line = started.lines[-1]
        time_text = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        assert re.fullmatch(time_text + r" info  listening on 127\.0\.0\.1:\d+", line)


def test_the_log_as_json():
    with broker(*ANY, "--log-format", "json") as started:
        started.address()
        started.process.send_signal(signal.SIGTERM)
        found = started.wait_for("SIGTERM")
        assert json.loads(found.string)["signal"] == "SIGTERM"
        assert all(
            {"time", "level", "message"} <= json.loads(line).keys() for line in started.lines
        )
        assert started.process.wait(DEADLINE) == 0


def test_the_level_of_the_log():
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    listen = f"{address[0]}:{address[1]}"
    with broker("--mqtt-tcp-listen", listen, "--log-level", "error") as started:
        # No line says that it listens: the port does.
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                connect(address).close()
                break
            except ConnectionRefusedError:
                assert started.process.poll() is None and time.monotonic() < deadline
        assert started.end() == 0
        assert started.process.stderr.read() == b""
