"""`bifrost bench`, `pub` and `sub`: the binary's own client, against the broker and mosquitto's."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading

import pytest

import interop_mosquitto as mosquitto
from interop_support import DEADLINE, read_packet, wait_for

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("BIFROST_BIN", REPOSITORY / ".build/release/bifrost"))
if not BINARY.is_absolute():
    BINARY = REPOSITORY / BINARY

USAGE, UNAVAILABLE, TIMED_OUT = 64, 69, 27
VERSIONS = ("3.1", "3.1.1", "5")


def run(*words, stdin: bytes | None = None, timeout: float = 60) -> subprocess.CompletedProcess:
    return subprocess.run(
        [BINARY, *map(str, words)], input=stdin or b"", capture_output=True, timeout=timeout
    )


def client(tool: str, broker, *words, **options) -> subprocess.CompletedProcess:
    return run(tool, "-h", broker.host, "-p", broker.port, *words, **options)


def bench(broker, *words, code: int = 0) -> dict:
    """Runs a short load and gives its result."""
    done = run(
        "bench", *words, "--host", broker.host, "--port", broker.port, "--json", "--quiet", "--yes"
    )
    assert done.returncode == code, (done.returncode, done.stderr[-500:])
    return json.loads(done.stdout)


SHORT = ("--duration", "300ms", "--warm-up", "100ms")

FLOWS = {
    "pair": ("pair", "--pairs", 5),
    "fan-out": ("fan-out", "--subscribers", 20),
    "fan-in": ("fan-in", "--publishers", 20),
    "wildcard": ("wildcard", "--subscribers", 10, "--publishers", 2),
    "wildcard-one": ("wildcard", "--subscribers", 10, "--match", "one"),
    "share": ("share", "--subscribers", 3, "--publishers", 2),
}


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("flow", FLOWS)
def test_each_flow_loses_nothing(broker, flow, qos):
    version = VERSIONS[qos] if flow != "share" else "5"
    # A window that no broker's limit cuts off, so that nothing may be lost at QoS 0 either.
    found = bench(broker, *FLOWS[flow], *SHORT, "-q", qos, "-V", version, "--window", 20)
    result = found["result"]
    assert found["flow"] == FLOWS[flow][0]
    assert found["parameters"]["qos"] == qos
    assert result["deliveries"] > 0
    assert result["deliveries_per_second"] == pytest.approx(
        result["deliveries"] / result["seconds"], rel=0.01
    )
    assert result["complete"] is True
    for name in ("lost", "reordered", "duplicates", "foreign", "refused", "failed", "disconnected"):
        assert result[name] == 0, (name, result)


def test_loops_share_a_flow(broker):
    result = bench(broker, "fan-out", "--subscribers", 9, "--loops", 2, *SHORT, "-q", 1)["result"]
    assert result["deliveries"] > 0
    assert result["lost"] == result["reordered"] == 0


def test_messages_are_counted(broker):
    result = bench(
        broker, "fan-out", "--subscribers", 7, "--messages", 501, "--warm-up", "0s", "-q", 1
    )["result"]
    assert result["messages"] == 501
    assert result["deliveries"] == 7 * 501


@pytest.mark.parametrize("qos", [0, 1])
def test_a_paced_flow_keeps_its_rate(broker, qos):
    result = bench(
        broker, "pair", "--pairs", 3, "--rate", 500, "--duration", "1s", "--warm-up", "200ms",
        "-q", qos,
    )["result"]  # fmt: skip
    assert result["messages"] == pytest.approx(500, rel=0.2)
    latency = result["latency_us"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99.9"]
    assert latency["p99.9"] <= latency["max"]
    assert latency["count"] == pytest.approx(500, rel=0.2)
    assert result["lost"] == 0


def test_closed_loop_measures_latency_when_asked(broker):
    assert bench(broker, *FLOWS["pair"], *SHORT)["result"]["latency_us"] is None
    assert bench(broker, *FLOWS["pair"], *SHORT, "--latency")["result"]["latency_us"]["p50"] > 0


def test_the_broker_process_is_measured(broker):
    if not broker.is_bifrost:
        pytest.skip("the broker's process is not known")
    result = bench(broker, *FLOWS["pair"], *SHORT, "--broker-pid", broker.process.pid)["result"]
    assert result["broker_cpu_us_per_delivery"] > 0
    assert result["broker_resident_bytes"] > 1_000_000


@pytest.mark.parametrize("processes", [1, 3])
def test_idle_clients_are_held(broker, processes):
    found = bench(
        broker, "idle", "--clients", 200, "--processes", processes, "--source-addresses", 4,
        "--hold", "200ms", "-V", "5", "--keep-alive", 30,
    )  # fmt: skip
    assert found["parameters"]["clients"] == 200
    assert found["result"]["connected"] == 200
    assert found["result"]["failed"] == found["result"]["disconnected"] == 0
    assert found["result"]["connects_per_second"] > 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("loops", [1, 3])
def test_idle_clients_are_reached(broker, version, loops):
    found = bench(
        broker, "idle", "--clients", 300, "--loops", loops, "--hold", "50ms", "-V", version,
        "--reach", "--broadcast", "--payload", 5000,
    )  # fmt: skip
    result = found["result"]
    assert found["parameters"]["payload_bytes"] == 5000
    assert result["connected"] == 300 and result["duplicates"] == 0
    assert result["connect_progress"][-1]["connected"] == 300
    assert result["reach"]["reached"] == result["reach"]["clients"] == 300
    assert result["broadcast"]["reached"] == 300
    assert 0 < result["broadcast"]["first_ms"] <= result["broadcast"]["last_ms"]


def test_one_that_is_not_reached_is_told():
    """A server that takes all and delivers nothing."""

    def serve(connection):
        while (packet := read_packet(connection))[0] >> 4 != 14:
            first, body = packet
            if first >> 4 == 1:
                connection.sendall(bytes.fromhex("20020000"))
            elif first >> 4 == 8:
                connection.sendall(b"\x90\x03" + body[:2] + b"\x01")
            elif first >> 4 == 3:
                size = int.from_bytes(body[:2], "big")
                connection.sendall(b"\x40\x02" + body[2 + size : 4 + size])

    with impostor(serve) as port:
        words = ("--clients", 3, "--hold", "0s", "--reach", "--patience", 0.5, "--quiet", "--json")
        done = run("bench", "idle", "--port", port, *words)
    assert done.returncode == 1
    assert json.loads(done.stdout)["result"]["reach"] == {"clients": 3, "reached": 0, "seconds": 0}


def test_several_processes_are_not_reached(broker):
    done = run("bench", "idle", "--port", broker.port, "--processes", 2, "--reach")
    assert done.returncode == USAGE and b"one process" in done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_persistent_sessions_end_with_the_run(broker, version):
    found = bench(broker, *FLOWS["pair"], *SHORT, "-q", 1, "-V", version, "--persistent")
    assert found["parameters"]["persistent"] is True
    assert found["result"]["deliveries"] > 0 and found["result"]["lost"] == 0


def connects(*words) -> list[tuple[str, bool]]:
    """The client id of each CONNECT of a run, and whether its session is clean."""
    seen: list[tuple[str, bool]] = []

    def serve(connection):
        with contextlib.suppress(OSError, AssertionError):
            while (packet := read_packet(connection))[0] >> 4 != 14:
                first, body = packet
                if first >> 4 == 1:
                    seen.append((body[12:].decode(), bool(body[7] & 2)))
                    connection.sendall(bytes.fromhex("20020000"))
                elif first >> 4 == 8:
                    connection.sendall(b"\x90\x03" + body[:2] + body[-1:])

    with impostor(serve) as port:
        run("bench", *words, "--port", port, "--patience", 0.2, "--quiet")
    return seen


@pytest.mark.parametrize(
    "words",
    [("pair", "--pairs", 1, "--duration", "50ms", "--warm-up", "0s"),
     ("idle", "--clients", 2, "--hold", "0s"),
     ("idle", "--clients", 2, "--hold", "0s", "--processes", 2)],
)  # fmt: skip
def test_each_persistent_client_connects_clean_in_the_end(words):
    seen = connects(*words, "--persistent")
    names = sorted({name for name, _ in seen})
    assert len(names) == 2
    for name in names:
        assert [clean for other, clean in seen if other == name] == [False, True]


def test_sessions_are_kept_where_that_is_asked_for():
    words = ("idle", "--clients", 2, "--hold", "0s", "--persistent", "--keep-sessions")
    assert [clean for _, clean in connects(*words)] == [False, False]
    assert [clean for _, clean in connects(*words[:-2])] == [True, True]
    done = run("bench", "idle", "--keep-sessions", "--clients", 1)
    assert done.returncode == USAGE and b"--persistent" in done.stderr


@pytest.mark.parametrize("flow", ["pair", "fan-out", "fan-in", "wildcard"])
def test_other_filters_are_held(broker, flow):
    found = bench(
        broker, *FLOWS[flow], *SHORT, "-q", 1, "--window", 8,
        "--other-filters", 1200, "--other-wildcards", 30,
    )  # fmt: skip
    result = found["result"]
    assert result["lost"] == 0 and result["foreign"] == 0 and result["deliveries"] > 0
    assert found["parameters"]["other_filters"] == 1200
    assert found["parameters"]["other_wildcards"] == 30


def test_results_can_be_read_and_written(broker, tmp_path):
    file = tmp_path / "result.json"
    words = ("bench", *FLOWS["pair"], *SHORT, "--host", broker.host, "--port", broker.port)
    done = run(*words, "--json", "--output", file)
    assert done.returncode == 0 and done.stdout == b""
    assert json.loads(file.read_text())["result"]["deliveries"] > 0
    text = run(*words)
    assert b"deliveries " in text.stdout and b"lost, reordered" in text.stdout
    assert b"bench: " in text.stderr or text.stderr == b""


@contextlib.contextmanager
def impostor(serve):
    """A server of one's own: `serve` gets each connection, on a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.settimeout(DEADLINE)
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


def lossy(drop_every: int):
    """A broker of one topic that acknowledges every message and drops some of them."""
    subscribers: list[socket.socket] = []
    count = 0

    def serve(connection):
        nonlocal count
        with contextlib.suppress(OSError, AssertionError):
            while True:
                first, body = read_packet(connection)
                if first >> 4 == 1:
                    connection.sendall(b"\x20\x02\x00\x00")
                elif first >> 4 == 8:
                    subscribers.append(connection)
                    connection.sendall(b"\x90\x03" + body[:2] + body[-1:])
                elif first >> 4 == 3:
                    length = int.from_bytes(body[:2], "big")
                    connection.sendall(b"\x40\x02" + body[2 + length : 4 + length])
                    count += 1
                    if count % drop_every:
                        subscribers[0].sendall(bytes([first, len(body)]) + body)

    return serve


def test_a_lost_message_is_found():
    with impostor(lossy(10)) as port:
        done = run(
            "bench", "pair", "--pairs", 1, "-q", 1, "--messages", 35, "--warm-up", "0s",
            "--window", 20, "--port", port, "--json", "--quiet", "--patience", 1,
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)["result"]
    assert result["lost"] == 3
    assert result["complete"] is False
    assert b"lost" in done.stderr


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = run("bench", "pair", "--port", port, "--quiet")
    assert done.returncode == 1
    assert b"Connection refused" in done.stderr
    assert run("pub", "-h", "127.0.0.1", "-p", port, "-t", "t", "-m", "m").returncode == UNAVAILABLE
    assert run("sub", "-h", "127.0.0.1", "-p", port, "-t", "t").returncode == UNAVAILABLE


@pytest.mark.parametrize(
    "words",
    [
        ("bench", "pair", "--host", "192.0.2.1"),
        ("bench", "pair", "--window", "0"),
        ("bench", "pair", "--payload", "8", "--latency"),
        ("bench", "pair", "--broker-pid", "999999999"),
        ("pub", "-t", "t"),
        ("pub", "-t", "t", "-m", "m", "-n"),
        ("pub", "-t", "t/#", "-m", "m"),
        ("pub", "-t", "t", "-m", "m", "-D", "publish", "content-type", "text"),
        ("pub", "-t", "t", "-m", "m", "-V", "5", "-D", "publish", "no-such", "text"),
        ("sub", "-t", "t#"),
        ("sub", "-t", "t", "-c"),
        ("sub", "-t", "t", "--no-local"),
    ],
)
def test_wrong_command_lines_are_refused(words):
    done = run(*words)
    assert done.returncode == USAGE, done
    assert done.stdout == b"" and done.stderr


# pub and sub, crosswise with mosquitto's.


@contextlib.contextmanager
def subscriber(broker, *words):
    """`bifrost sub` as a process; its output is read when it has ended."""
    process = subprocess.Popen(
        [BINARY, "sub", "-h", broker.host, "-p", str(broker.port), *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def sub_ready(broker, topic: str, process) -> None:
    """Waits until `process` has its subscription: a retained message shows it by being printed."""
    line = process.stdout.readline()
    assert line == f"{topic}/ready ready\n".encode(), (line, process.poll())


@pytest.fixture
def ready(broker, unique):
    """A topic below which a retained message waits, as the sign of a subscription."""
    topic = unique("bench")
    mosquitto.publish(broker, "3.1.1", "-t", f"{topic}/ready", "-m", "ready", "-r", "-q", "1")
    yield topic
    mosquitto.publish(broker, "3.1.1", "-t", f"{topic}/ready", "-n", "-r", "-q", "1")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mosquitto_pub_to_our_sub(broker, ready, version, qos):
    with subscriber(
        broker, "-t", f"{ready}/#", "-q", qos, "-V", version, "-v", "-C", 3
    ) as process:
        sub_ready(broker, ready, process)
        for text in ("one", "two"):
            mosquitto.publish(
                broker, version, "-t", f"{ready}/x", "-m", text, "-q", str(qos)
            )
        out, error = process.communicate(timeout=DEADLINE)
        assert out == f"{ready}/x one\n{ready}/x two\n".encode()
        assert (process.returncode, error) == (0, b"")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_our_pub_to_mosquitto_sub(broker, unique, version, qos):
    topic = unique("bench")
    with mosquitto.Subscriber(broker, version, "-t", topic, "-q", qos) as listener:
        listener.wait_subscribed()
        done = client("pub", broker, "-t", topic, "-m", "hello", "-q", qos, "-V", version)
        assert (done.returncode, done.stderr) == (0, b"")
        assert listener.receive(1) == [[topic, str(qos), "0", "hello"]]


def test_lines_of_input(broker, unique):
    topic = unique("bench")
    with mosquitto.Subscriber(broker, "3.1.1", "-t", topic, "-q", "1") as listener:
        listener.wait_subscribed()
        lines = [f"line {number}" for number in range(900)]
        text = "\n".join(lines).encode()
        assert client("pub", broker, "-t", topic, "-l", "-q", 1, stdin=text).returncode == 0
        assert [fields[3] for fields in listener.receive(900)] == lines


def test_files_and_empty_messages(broker, unique, tmp_path):
    topic = unique("bench")
    body = os.urandom(100_000)
    (tmp_path / "body").write_bytes(body)
    words = ("-t", topic, "-r", "-q", 1)
    assert client("pub", broker, *words, "-f", tmp_path / "body").returncode == 0
    assert client("sub", broker, "-t", topic, "-C", 1, "-N").stdout == body
    assert client("pub", broker, *words, "-s", stdin=b"all of it\n").returncode == 0
    assert client("sub", broker, "-t", topic, "-C", 1).stdout == b"all of it\n\n"
    assert client("pub", broker, *words, "-n").returncode == 0
    done = client("sub", broker, "-t", topic, "-C", 1, "-W", 1)
    assert (done.returncode, done.stdout) == (TIMED_OUT, b"")


def test_properties_go_through(broker, unique):
    topic = unique("bench")
    with mosquitto.Subscriber(broker, "5", "-t", topic, fields="tpCRP") as listener:
        listener.wait_subscribed()
        done = client(
            "pub", broker, "-t", topic, "-m", "m", "-V", "5", "-D", "publish", "content-type",
            "text/plain", "-D", "publish", "response-topic", "answer", "-D", "publish",
            "user-property", "name", "value",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert listener.receive(1) == [[topic, "m", "text/plain", "answer", "name:value"]]


def test_a_kept_session_gets_what_it_missed(broker, unique):
    topic, name = unique("bench"), unique("keep")
    words = ("-t", topic, "-q", 1, "-c", "-i", name)
    assert client("sub", broker, *words, "-E").returncode == 0
    mosquitto.publish(broker, "3.1.1", "-t", topic, "-m", "missed", "-q", "1")
    assert client("sub", broker, *words, "-C", 1).stdout == b"missed\n"


def test_the_will_is_published(broker, ready):
    with (
        mosquitto.Subscriber(broker, "3.1.1", "-t", f"{ready}/will", "-q", "1") as listener,
        subscriber(
            broker, "-t", f"{ready}/#", "-v", "--will-topic", f"{ready}/will",
            "--will-payload", "gone", "--will-qos", 1,
        ) as process,
    ):  # fmt: skip
        listener.wait_subscribed()
        sub_ready(broker, ready, process)
        process.kill()
        assert listener.receive(1) == [[f"{ready}/will", "1", "0", "gone"]]


def test_a_signal_ends_sub_in_good_order(broker, ready):
    with (
        mosquitto.Subscriber(broker, "3.1.1", "-t", f"{ready}/will") as listener,
        subscriber(
            broker, "-t", f"{ready}/#", "-v", "--will-topic", f"{ready}/will"
        ) as process,
    ):
        listener.wait_subscribed()
        sub_ready(broker, ready, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
        # No will: what comes next is another message.
        mosquitto.publish(broker, "3.1.1", "-t", f"{ready}/will", "-m", "still here")
        assert listener.receive(1)[0][3] == "still here"


@pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto's broker is not installed")
@pytest.mark.parametrize("flow", ["pair", "fan-out", "share"])
def test_another_broker_can_be_measured(tmp_path, flow):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    process = subprocess.Popen(
        ["mosquitto", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:

        def is_there():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True

        wait_for(is_there, "mosquitto to listen")
        done = run(
            "bench", *FLOWS[flow], *SHORT, "--port", port, "-q", 1, "-V", "5", "--window", 10,
            "--broker-pid", process.pid, "--json", "--quiet",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)["result"]
        assert result["deliveries"] > 0 and result["lost"] == 0
        assert result["broker_cpu_us_per_delivery"] > 0
    finally:
        process.terminate()
        process.wait(DEADLINE)
