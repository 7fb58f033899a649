"""`bifrost store`: what its commands say of the store of a broker that runs, was stopped or was
killed, and that a store which was exported and imported goes on as the first would have."""
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

from broker import BINARY
from neighbours import Client, listening_port, wire

USAGE, DATA, NO_INPUT, UNAVAILABLE, CANT_CREATE, IO, CONFIGURATION = 64, 65, 66, 69, 73, 74, 78
DEADLINE = 60
EXPIRY = [(17, 0xFFFFFFFF)]
SUBSCRIPTION_IDENTIFIER, RECEIVE_MAXIMUM = 11, 33


class Broker:
    """A broker on a data directory."""

    def __init__(self, data, loops=1, *flags):
        self.data, self.log = data, data.parent / f"{data.name}.log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BIFROST_")}
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--grpc-listen", "off", "--mqtt-tcp-listen", "127.0.0.1:0",
                 "--log-level", "info",
                 "--net-loops", str(loops), "--data-dir", data, *flags],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                env=environment)
        deadline = time.monotonic() + DEADLINE
        while (port := listening_port(self.log, self.process)) is None:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)
        self.address = ("127.0.0.1", port)

    def client(self, name, **options):
        own = Client(self.address, 5)
        own.connect(name, **options)
        return own

    def stored(self, name, **options):
        """A client whose session is kept."""
        options.setdefault("props", EXPIRY)
        return self.client(name, clean=False, **options)

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            code = self.process.wait(DEADLINE)
        finally:
            self.process.kill()
        assert code == (0 if how == signal.SIGTERM else -how), self.log.read_text()


@pytest.fixture
def start(tmp_path):
    """Starts brokers, which end with the test."""
    brokers = []

    def start(name="data", *flags, loops=1):
        broker = Broker(tmp_path / name, loops, *flags)
        brokers.append(broker)
        return broker

    yield start
    for broker in brokers:
        if broker.process.poll() is None:
            broker.process.kill()
            broker.process.wait()


def store(verb, data, *words, status=0, text=None, environment=None):
    """Runs a command; gives what it wrote to both outputs."""
    done = subprocess.run(
        [BINARY, "store", verb, *([] if data is None else ["--data-dir", data]), *words],
        input=text, capture_output=True, text=True, timeout=DEADLINE,
        env=dict(os.environ, **(environment or {})))
    assert done.returncode == status, done
    if status not in (0, DATA):
        assert done.stdout == "", done
        assert re.fullmatch(r"(bifrost|Error): .+\n(.*\n)*", done.stderr), done
    return done


def inspect(data, *words):
    return json.loads(store("inspect", data, "--json", *words).stdout)


def listed(data, what):
    return [json.loads(line) for line in store("inspect", data, what).stdout.splitlines()]


def export(data):
    return store("export", data).stdout.splitlines()


def verify(data):
    """The store is sound; gives the notices."""
    lines = store("verify", data).stdout.splitlines()
    assert lines[-1] == "sound"
    return lines[:-1]


def populate(broker):
    """Something of each kind: what is owed, in flight in both directions, retained and due."""
    watcher = broker.stored("watcher", props=[(17, 3600)], will=wire.Will(
        "status/watcher", b"\xff\x00gone", 1, True, [(24, 5)]))
    watcher.subscribe(("light/+", 2), ("light/#", 1 | 4 | 8), props=[(SUBSCRIPTION_IDENTIFIER, 7)])
    watcher.subscribe(("news", 0), ("$share/group/jobs", 1))
    slow = broker.stored("slow", props=EXPIRY + [(RECEIVE_MAXIMUM, 2)])
    slow.subscribe(("light/#", 2))
    writer = broker.stored("writer")
    for number in range(5):
        writer.publish("light/1", f"grüße {number}".encode(), 2)
    writer.publish("light/raw", b"\x00\xfe\xff", 1, props=[(3, "application/octet-stream"), (1, 1)])
    writer.publish("light/kept", b"line\nwith \"quotes\" and \ttabs", 1, retain=True)
    writer.publish("light/late", b"soon gone", 1, props=[(2, 3600)])
    # One that the broker has and that is not released.
    writer.send(wire.publish("light/2", b"half", 5, qos=2, pid=77))
    writer.wait(wire.PUBREC)
    # Taken and not acknowledged, and halfway acknowledged.
    first = slow.wait(wire.PUBLISH)
    slow.ack(wire.PUBREC, first.pid)
    slow.wait(wire.PUBREL)
    # Connected as long as the broker is needed, whether the test has a use for them or not.
    broker.clients = watcher, slow, writer
    return broker.clients


# Inspect


def test_inspect_a_running_broker(start):
    broker = start()
    watcher, slow, writer = populate(broker)
    watcher.disconnect(reason=0)
    found = inspect(broker.data)
    assert found["process"] == broker.process.pid
    assert (found["sessions"], found["connected"], found["away"]) == (3, 2, 1)
    assert (found["subscriptions"], found["filters"]) == (5, 5)
    assert found["messages"] == 9 and found["segments"] >= 1 and found["next_sequence"] >= 10
    assert found["retained"] == 1 and found["retained_bytes"] > 0 and found["unread"] == 0
    assert 0 <= found["oldest_age"] < DEADLINE
    assert found["file_bytes"] == os.path.getsize(found["path"])
    assert found["wal_bytes"] == os.path.getsize(found["path"] + "-wal")
    text = store("inspect", broker.data).stdout
    assert f"process {broker.process.pid}" in text and "9 messages" in text
    # It goes on: nothing was blocked, and nothing has changed.
    writer.publish("light/3", b"more", 1)
    assert inspect(broker.data)["messages"] == 10
    broker.stop()


def test_inspect_a_session(start):
    broker = start()
    watcher, slow, writer = populate(broker)
    watcher.drop()
    writer.publish("light/3", b"missed", 1)
    found = inspect(broker.data, "--client", "slow")
    assert found["connected"] and found["expiry_interval"] is None and found["unread"] == 0
    window = found["window"]
    assert window[0]["state"] == "pubcomp" and window[1]["state"] == "pubrec"
    assert len(window) + found["backlog"] == 10 and found["backlog_complete"]
    watched = inspect(broker.data, "--client", "watcher")
    assert watched["expiry_interval"] == 3600
    assert watched["backlog"] + len(watched["window"]) == 10
    assert watched["will"] == {
        "topic": "status/watcher", "qos": 1, "retain": True, "delay": 5, "payload64": "/wBnb25l"}
    filters = {s["filter"]: s for s in watched["subscriptions"]}
    assert filters["light/#"] == {
        "filter": "light/#", "qos": 1, "no_local": True, "retain_as_published": True,
        "identifier": 7, "position": 0}
    assert set(filters) == {"light/+", "light/#", "news", "$share/group/jobs"}
    assert inspect(broker.data, "--client", "writer")["inbound"] == [77]
    text = store("inspect", broker.data, "--client", "slow").stdout
    assert "awaits pubcomp" in text and "light/#, QoS 2" in text
    store("inspect", broker.data, "--client", "nobody", status=NO_INPUT)
    broker.stop()


def test_lists(start):
    broker = start()
    populate(broker)
    sessions = listed(broker.data, "--sessions")
    assert [s["client"] for s in sessions] == ["watcher", "slow", "writer"]
    assert [s["subscriptions"] for s in sessions] == [4, 1, 0] and sessions[2]["inbound"] == 1
    filters = listed(broker.data, "--filters")
    assert {f["filter"]: f["readers"] for f in filters} == {
        "light/+": 1, "light/#": 2, "news": 0, "$share/group/jobs": 1, "jobs": 1}
    retained = store("inspect", broker.data, "--retained").stdout
    assert json.loads(retained) == {"topic": "light/kept", "qos": 1, "payload_bytes": 28}
    broker.stop()


def test_nothing_is_made_where_there_is_no_store(tmp_path):
    for verb in ["inspect", "verify", "compact", "export"]:
        store(verb, tmp_path / "missing", status=NO_INPUT)
        store(verb, tmp_path, status=NO_INPUT)
    (tmp_path / "file").write_text("{}")
    store("export", tmp_path, "--output", tmp_path / "out", status=NO_INPUT)
    assert sorted(os.listdir(tmp_path)) == ["file"]


def test_command_lines(tmp_path):
    store("inspect", tmp_path, "--client", "x", "--sessions", status=USAGE)
    store("inspect", tmp_path, "--wrong", status=USAGE)
    store("import", tmp_path, status=USAGE)
    store("import", tmp_path, tmp_path / "no-file", status=NO_INPUT)
    # Without --data-dir, the configuration says where.
    nowhere = {"BIFROST_DATA_DIR": str(tmp_path / "elsewhere")}
    done = store("inspect", None, status=NO_INPUT, environment=nowhere)
    assert "elsewhere" in done.stderr
    store("inspect", None, status=CONFIGURATION, environment={"BIFROST_NET_LOOPS": "many"})


# Verify


def test_what_brokers_leave_is_sound(start):
    broker = start()
    clients = populate(broker)
    assert verify(broker.data) == []
    broker.stop(signal.SIGKILL)
    assert verify(broker.data) == []
    broker = start()
    assert verify(broker.data) == []
    for name in ["watcher", "slow", "writer"]:
        client = broker.client(name, clean=True)
        client.disconnect(reason=0)
    broker.stop()
    assert verify(broker.data) == []
    assert inspect(broker.data)["messages"] == 0 and len(clients) == 3


def test_verify_under_load(start, seed):
    """While a broker writes, each look sees one moment, and finds it sound."""
    broker = start(loops=2)
    chance = random.Random(seed)
    readers = [broker.stored(f"r{n}") for n in range(6)]
    for number, reader in enumerate(readers):
        reader.subscribe((f"a/{number % 3}/#", 1 + number % 2), ("a/+/x", 1))
    ended = threading.Event()
    failures = []

    def publish():
        writer = broker.client("writer")
        try:
            while not ended.is_set():
                name = f"a/{chance.randrange(4)}/{chance.choice('xyz')}"
                payload = chance.randbytes(chance.randrange(2000))
                writer.publish(name, payload, chance.randrange(1, 3))
        except Exception as error:  # shown by the test
            failures.append(error)

    def read(own, chance):
        try:
            while not ended.is_set():
                own.send(wire.PING)
                packet = own.receive()
                if packet.kind == wire.PUBLISH and chance.random() < 0.9:
                    own.complete(packet)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=publish)] + [
        threading.Thread(target=read, args=(reader, random.Random(seed + n)))
        for n, reader in enumerate(readers[:4])]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            verify(broker.data)
            done = [json.loads(line) for line in export(broker.data)]
            assert done[-1]["lines"] == len(done) - 1
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not failures, failures
    broker.stop(signal.SIGKILL)
    verify(broker.data)


DAMAGE = {
    "UPDATE meta SET value = value + 1 WHERE name = 'messages'": "the number 'messages'",
    "UPDATE meta SET value = 0 WHERE name = 'retained-bytes'": "the number 'retained-bytes'",
    "DELETE FROM progress": "how far it has read",
    "DELETE FROM session WHERE client = CAST('watcher' AS BLOB)": "which does not exist",
    "DELETE FROM filter WHERE text = CAST('light/#' AS BLOB)": "which does not exist",
    "UPDATE filter SET readers = readers + 1": "that messages are kept for",
    "DELETE FROM entry": "is not found through filter",
    "UPDATE entry SET places = X'0100'": "is not found through filter",
    "INSERT INTO entry VALUES (99, 1, X'0000')": "rows name segments",
    "INSERT INTO owed VALUES (99999, X'00000000')": "counts are kept for segment 99999",
    "UPDATE log SET body = X'00'": "can't be decoded",
    "UPDATE log SET span = span + 100000": "ends behind the end of the log",
    "UPDATE progress SET window = X'00'": "damaged at its end",
    "UPDATE progress SET cursor = 1000000": "beyond the end of the log",
    "UPDATE progress SET inbound = X'0000'": "has published with",
    "INSERT INTO share VALUES (9, 1, 2, 0, X'')": "no shared subscription",
    "UPDATE retained SET qos = 3": "a QoS, expiry or payload",
}


@pytest.mark.parametrize("statement", DAMAGE)
def test_verify_finds(start, statement):
    broker = start()
    populate(broker)
    broker.stop(signal.SIGKILL)
    with sqlite3.connect(broker.data / "bifrost.db") as database:
        database.execute(statement)
    database.close()
    done = store("verify", broker.data, status=DATA)
    assert DAMAGE[statement] in done.stdout, done.stdout
    *findings, last = done.stdout.splitlines()
    assert all(line.startswith(("finding: ", "notice: ")) for line in findings)
    assert re.fullmatch(r"[1-9][0-9]* findings?", last)


def test_counts_that_would_lose_messages_are_found(start):
    broker = start()
    populate(broker)
    broker.stop(signal.SIGKILL)
    with sqlite3.connect(broker.data / "bifrost.db") as database:
        database.execute("UPDATE progress SET cursor = 0, window = X''")
    database.close()
    assert "may go too soon" in store("verify", broker.data, status=DATA).stdout


def test_a_damaged_file(start, tmp_path):
    broker = start()
    populate(broker)
    broker.stop()
    path = broker.data / "bifrost.db"
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096:page * 4096 + 64] = b"\xaa" * 64
    path.write_bytes(content)
    assert "SQLite: " in store("verify", broker.data, status=DATA).stdout
    path.write_bytes(b"no database at all, but as long as one is" * 100)
    assert "damaged" in store("verify", broker.data, status=DATA).stderr
    assert "damaged" in store("inspect", broker.data, status=DATA).stderr


# Compact


def fill(broker, messages=400, size=20_000):
    """Makes a store large, and leaves nearly nothing in it."""
    reader = broker.stored("reader")
    reader.subscribe(("big/#", 1))
    reader.drop()
    writer = broker.client("writer")
    for number in range(messages):
        writer.publish("big/1", number.to_bytes(4, "big") * (size // 4), 1)
    reader = broker.client("reader", clean=True)
    reader.ping()
    return writer


def test_compact_a_running_broker(start):
    broker = start()
    writer = fill(broker)
    before = inspect(broker.data)
    assert before["free_pages"] > 1000
    ended = threading.Event()
    waits = []

    def publish():
        keeper = broker.stored("keeper")
        keeper.subscribe(("small", 1))
        while not ended.is_set():
            begin = time.monotonic()
            writer.publish("small", b"x", 1)
            waits.append(time.monotonic() - begin)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        text = store("compact", broker.data).stdout
    finally:
        ended.set()
        thread.join()
    given = int(re.match(r"([0-9]+) bytes given back", text)[1])
    after = inspect(broker.data)
    assert after["free_pages"] < before["free_pages"] / 2
    assert given > 4_000_000, text
    # Far below what would be noticed; the figure is generous to a loaded machine.
    assert waits and max(waits) < 2
    verify(broker.data)
    broker.stop()


def test_compact_a_stopped_broker(start):
    broker = start()
    fill(broker, 200)
    broker.stop()
    before = os.path.getsize(broker.data / "bifrost.db")
    text = store("compact", broker.data).stdout
    assert os.path.getsize(broker.data / "bifrost.db") < before - 1_000_000
    assert not (broker.data / "bifrost.db-wal").exists()
    assert re.match(r"[0-9]{7,} bytes given back: [0-9]+ before, [0-9]+ now\n$", text), text
    assert store("compact", broker.data).stdout.startswith("0 bytes given back")
    verify(broker.data)


# Export and import


def test_the_lines_come_back(start, tmp_path):
    broker = start()
    populate(broker)
    lines = export(broker.data)
    head, *rest = map(json.loads, lines)
    assert head["format"] == "bifrost-store" and head["version"] == 2
    assert [line["type"] for line in rest] == (
        ["filter"] * 5 + ["share"] + ["session"] * 3 + ["message"] * 9 + ["retained", "end"])
    payloads = [line.get("payload") for line in rest if line["type"] == "message"]
    assert payloads[:5] == [f"grüße {n}" for n in range(5)]
    raw = next(line for line in rest if line.get("topic") == "light/raw")
    assert raw["payload64"] == "AP7/" and "payload" not in raw and "properties64" in raw
    # Of a killed broker's store it is the same.
    broker.stop(signal.SIGKILL)
    assert export(broker.data) == lines
    output = tmp_path / "out" / "lines"
    store("export", broker.data, "--output", output, status=CANT_CREATE)
    output.parent.mkdir()
    output.write_text("what was there before")
    store("export", broker.data, "--output", output)
    assert output.read_text().splitlines() == lines
    assert os.listdir(output.parent) == ["lines"]
    copy = tmp_path / "new" / "copy"
    done = store("import", copy, output)
    assert done.stdout == done.stderr == ""
    verify(copy)
    assert export(copy) == lines
    # Once more, through a pipe.
    again = tmp_path / "again"
    store("import", again, "-", text="\n".join(lines) + "\n")
    assert export(again) == lines


def with_a_message_to(client, lines):
    """The lines of a store, with a message to one client and the key of a request."""
    head, *rest = map(json.loads, lines)
    sequence = head["next_sequence"]
    head["next_sequence"] += 1
    of = {kind: [line for line in rest if line["type"] == kind] for kind in (
        "filter", "share", "session", "message", "retained")}
    session = next(line for line in of["session"] if line["client"] == client)
    session["inbox"] = sequence - 1
    of["filter"].append({"type": "filter", "id": 99, "inbox": session["id"]})
    of["message"].append({
        "type": "message", "sequence": sequence, "appended_at": head["clock"], "qos": 1,
        "filters": [99], "session": session["id"], "client": client, "topic": "news/own",
        "payload": "for you"})
    things = [line for lines in of.values() for line in lines]
    things.append({"type": "request", "key": "publish-1", "until": head["clock"] + 100000})
    things.append({"type": "end", "lines": len(things) + 1})
    return [json.dumps(line) for line in [head, *things]]


def test_messages_to_one_client_come_back(start, tmp_path):
    broker = start()
    populate(broker)
    before = inspect(broker.data)
    assert (before["inboxes"], before["requests"]) == (0, 0)
    owed = inspect(broker.data, "--client", "slow")
    assert "light/1" in [entry.get("topic") for entry in owed["window"]]
    assert "inbox" not in owed
    lines = with_a_message_to("slow", export(broker.data))
    broker.stop()
    copy = tmp_path / "copy"
    store("import", copy, "-", text="\n".join(lines))
    verify(copy)
    found = inspect(copy)
    assert (found["inboxes"], found["requests"]) == (1, 1)
    for what in "subscriptions", "filters":
        assert found[what] == before[what]
    assert all("filter" in line for line in listed(copy, "--filters"))
    slow = inspect(copy, "--client", "slow")
    assert slow["backlog"] == owed["backlog"] + 1
    assert slow["subscriptions"] == owed["subscriptions"] and slow["inbox"] > 0
    assert "messages to this client" in store("inspect", copy, "--client", "slow").stdout
    again = export(copy)
    own = next(line for line in map(json.loads, again) if line.get("topic") == "news/own")
    assert own["client"] == "slow" and own["session"] == slow["id"]
    second = tmp_path / "second"
    store("import", second, "-", text="\n".join(again))
    assert export(second) == again
    # For a client that has another session, it can't be.
    wrong = "\n".join(line.replace('"client": "slow", "topic"', '"client": "writer", "topic"')
                      for line in lines)
    done = store("import", tmp_path / "third", "-", text=wrong, status=DATA)
    assert "no such session" in done.stderr


def test_lines_of_version_1_are_taken(start, tmp_path):
    broker = start()
    populate(broker)
    lines = export(broker.data)
    broker.stop()
    old = [lines[0].replace('"version":2', '"version":1'), *lines[1:]]
    copy = tmp_path / "copy"
    store("import", copy, "-", text="\n".join(old))
    assert export(copy) == lines


def test_export_to_nobody(start):
    broker = start()
    populate(broker)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [BINARY, "store", "export", "--data-dir", broker.data], stdout=full,
            stderr=subprocess.PIPE, timeout=DEADLINE)
    assert done.returncode == IO and b"standard output" in done.stderr
    broker.stop()


def test_an_imported_store_goes_on(start, tmp_path):
    """Queued messages of QoS 1 and 2, some of them in flight, come in order and once each."""
    broker = start()
    reader = broker.stored("reader", props=EXPIRY + [(RECEIVE_MAXIMUM, 3)])
    reader.subscribe(("q/#", 2))
    writer = broker.stored("writer")
    for number in range(40):
        writer.publish(f"q/{number % 3}", b"%d" % number, 1 + number % 2)
    # Half of a message of each QoS: taken and released, and taken.
    done = [reader.message().payload for _ in range(6)]
    one = reader.wait(wire.PUBLISH)
    two = reader.wait(wire.PUBLISH)
    assert (one.qos, two.qos) == (1, 2)
    reader.ack(wire.PUBREC, two.pid)
    reader.wait(wire.PUBREL)
    writer.send(wire.publish("q/half", b"half", 5, qos=2, pid=900))
    writer.wait(wire.PUBREC)
    writer.publish("q/kept", b"retained", 1, retain=True)
    broker.stop(signal.SIGKILL)
    lines = export(broker.data)

    store("import", tmp_path / "copy", "-", text="\n".join(lines))
    copy = start("copy")
    reader = copy.stored("reader")
    assert reader.connack.session_present
    again = reader.wait(wire.PUBLISH)
    assert again.dup and (again.pid, again.payload) == (one.pid, one.payload)
    reader.complete(again)
    assert reader.wait(wire.PUBREL).pid == two.pid
    reader.ack(wire.PUBCOMP, two.pid)
    rest = [reader.message().payload for _ in range(40 - 8)]
    assert done + [one.payload, two.payload] + rest == [b"%d" % n for n in range(40)]
    assert [reader.message().payload for _ in range(2)] == [b"half", b"retained"]
    reader.nothing_before_ping()
    # The publisher's message is known, and not passed on once more.
    writer = copy.stored("writer")
    writer.send(wire.publish("q/half", b"half", 5, qos=2, dup=True, pid=900))
    writer.wait(wire.PUBREC)
    writer.send(wire.ack(wire.PUBREL, 900, 5))
    writer.wait(wire.PUBCOMP)
    reader.nothing_before_ping()
    # What is new comes too, and new clients find what is retained.
    writer.publish("q/new", b"new", 2)
    assert reader.message().payload == b"new"
    late = copy.client("late")
    late.subscribe(("q/kept", 1))
    assert late.message().payload == b"retained"
    copy.stop()
    verify(copy.data)


def test_import_refuses_what_it_would_overwrite(start, tmp_path):
    broker = start()
    populate(broker)
    lines = "\n".join(export(broker.data))
    before = export(broker.data)
    done = store("import", broker.data, "-", text=lines, status=UNAVAILABLE)
    assert "in use" in done.stderr
    broker.stop(signal.SIGKILL)
    store("import", broker.data, "-", text=lines, status=CANT_CREATE)
    assert export(broker.data) == before and not (broker.data / "bifrost.db.import").exists()
    # An empty store gives way, also one that a broker was killed on.
    empty = start("empty")
    empty.stop(signal.SIGKILL)
    store("import", empty.data, "-", text=lines)
    assert export(empty.data) == before


WRONG = {
    "not JSON": (lambda lines: lines[:3] + ["{"] + lines[4:], 4, "not a JSON object"),
    "other format": (lambda lines: [lines[0].replace("bifrost-store", "x")], 1, "the format is"),
    "newer": (lambda lines: [lines[0].replace('"version":2', '"version":3')], 1, "version 3"),
    "no head": (lambda lines: lines[1:], 1, "can't stand here"),
    "cut off": (lambda lines: lines[:-1], 20, "the end is missing"),
    "a line missing": (lambda lines: lines[:-2] + lines[-1:], 20, "should have come"),
    "twice": (lambda lines: lines[:2] + lines[1:], 3, "was there before"),
    "out of order": (lambda lines: lines[:1] + lines[-2:-1] + lines[1:], 3, "can't stand here"),
    "unknown type": (lambda lines: lines[:1] + ['{"type":"x"}'], 2, "'x' is not known"),
    "unknown member": (
        lambda lines: [lines[0][:-1] + ',"more":1}'], 1, "'more' is not known"),
    "member missing": (
        lambda lines: [lines[0].replace('"epoch"', '"era"')], 1, "'epoch' is missing"),
    "no base64": (
        lambda lines: [line.replace('"AP7/"', '"%"') for line in lines], 16, "not base64"),
    "wrong kind": (
        lambda lines: [line.replace('"sequence":3', '"sequence":"3"') for line in lines], 13,
        "'sequence' is not what"),
    "number too large": (
        lambda lines: [line.replace('"protocol":5', '"protocol":500') for line in lines], 8,
        "'protocol' is not what"),
    "unknown filter": (
        lambda lines: [line.replace('{"filter":"news"', '{"filter":"olds"') for line in lines], 8,
        "'olds' was not told"),
    "wildcard in a topic": (
        lambda lines: [line.replace('"topic":"light/late"', '"topic":"a/#"') for line in lines], 18,
        "can't be"),
    "nothing": (lambda lines: [], 0, "the end is missing"),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The lines of a store with something of each kind."""
    broker = Broker(tmp_path_factory.mktemp("exported") / "data")
    try:
        populate(broker)
        lines = export(broker.data)
        broker.stop()
    finally:
        broker.process.kill()
    return lines


@pytest.mark.parametrize("case", WRONG)
def test_import_refuses_wrong_lines(exported, tmp_path, case):
    change, line, words = WRONG[case]
    text = "".join(line + "\n" for line in change(exported))
    data = tmp_path / "data"
    done = store("import", data, "-", text=text, status=DATA)
    assert words in done.stderr and f"line {line}: " in done.stderr, done.stderr
    # Nothing is there but the file that brokers lock.
    assert os.listdir(data) == ["bifrost.lock"]


def test_an_import_that_is_killed_leaves_nothing(exported, tmp_path):
    data = tmp_path / "data"
    process = subprocess.Popen(
        [BINARY, "store", "import", "--data-dir", data, "-"], stdin=subprocess.PIPE)
    process.stdin.write("\n".join(exported[:-3]).encode())
    process.stdin.flush()
    deadline = time.monotonic() + DEADLINE
    while not (data / "bifrost.db.import").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (data / "bifrost.db").exists()
    store("import", data, "-", text="\n".join(exported))
    assert export(data) == exported
    assert sorted(f for f in os.listdir(data) if not f.endswith(("-wal", "-shm"))) == [
        "bifrost.db", "bifrost.lock"]
