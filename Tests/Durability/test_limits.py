"""What is kept for sessions whose clients are away is bounded; clients that come back are told what
they missed, and so is whoever reads the broker's own topics."""
import asyncio
import json
import subprocess
import time

import pytest

from broker import BINARY, Broker
from neighbours import Client, wire

EXPIRY = [(wire.SESSION_EXPIRY, 3600)]


@pytest.fixture
def start(tmp_path):
    """Starts a broker with settings; it ends with the test."""
    started = []

    def run(*flags):
        own = Broker(BINARY, tmp_path, 1, "sqlite", flags)
        asyncio.run(own.start())
        started.append(own)
        return own

    yield run
    for own in started:
        own.close()


def client(broker, name, **options):
    own = Client(broker.address, 5)
    own.connect(name, **options)
    return own


def comes_back(broker, name):
    """A stored client connects: the client, and how many messages it is told to have missed."""
    own = client(broker, name, clean=False, props=EXPIRY)
    told = [value for name, value in own.connack.props if name == wire.USER_PROPERTY]
    return own, int(dict(told).get("unread", 0))


def goes(broker, name, *filters):
    """A stored client subscribes and is away."""
    own = client(broker, name, clean=False, props=EXPIRY)
    own.subscribe(*filters)
    own.disconnect()


def received(own, count):
    """The payloads of that many messages, acknowledged."""
    payloads = []
    for _ in range(count):
        message = own.message()
        payloads.append(message.payload)
        own.ack(wire.PUBACK, message.pid)
    return payloads


def top(broker):
    done = subprocess.run(
        [BINARY, "top", "--json", "-p", str(broker.address[1])], capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def until(condition, what):
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("park", ["1m", "0s"])
def test_the_newest_messages_of_a_session_stay(start, park):
    """Whether the session is in memory or not, and though another one still waits for all of it."""
    broker = start(
        "--store-max-session-messages", "10", "--session-park-after", park, "--sys-interval", "1s")
    goes(broker, "one", ("t/1", 1))
    goes(broker, "both", ("t/1", 1), ("t/+", 1))
    writer = client(broker, "writer")
    for number in range(25):
        writer.publish("t/1", b"%d" % number, 1)
    own, unread = comes_back(broker, "one")
    assert unread == 15
    assert received(own, 10) == [b"%d" % n for n in range(15, 25)]
    own.disconnect()
    own, unread = comes_back(broker, "one")
    assert unread == 0
    own.disconnect()
    # A message that waits through two subscriptions is one.
    own, unread = comes_back(broker, "both")
    assert unread == 15
    assert received(own, 10) == [b"%d" % n for n in range(15, 25)]
    own.ping()
    own.disconnect()
    # A round of $SYS that has all of it.
    values = until(
        lambda: (seen := top(broker))
        and seen["store/unread"] == 30 and seen["store/log/messages"] == 0 and seen,
        "the log to be empty")
    assert values["store/sessions"] == 2
    assert values["memory/store"] > 0


def test_a_session_has_no_more_bytes_waiting(start):
    broker = start("--store-max-session-bytes", "64KiB", "--sys-interval", "1s")
    goes(broker, "one", ("t/1", 1))
    writer = client(broker, "writer")
    for number in range(20):
        writer.publish("t/1", b"%03d" % number + b"." * 10_000, 1)
    # It does not take the client to find that out.
    until(lambda: top(broker)["store/unread"] > 0, "the oldest messages to go")
    own, unread = comes_back(broker, "one")
    assert 0 < unread < 20
    assert [p[:3] for p in received(own, 20 - unread)] == [b"%03d" % n for n in range(unread, 20)]
    assert sum(10_000 for _ in range(20 - unread)) <= 65_536


def test_messages_that_expired_are_counted(start):
    broker = start("--session-park-after", "0s")
    goes(broker, "one", ("t/1", 1))
    writer = client(broker, "writer")
    for number in range(3):
        writer.publish("t/1", b"%d" % number, 1, props=[(wire.MESSAGE_EXPIRY, 1)])
    time.sleep(3.5)
    own, unread = comes_back(broker, "one")
    assert unread == 3
    own.ping()
    # One of MQTT 3.1.1 is not told, and gets what there is.
    own.disconnect()
    writer.publish("t/1", b"stays", 1)
    older = Client(broker.address, 4)
    older.connect("one", clean=False)
    assert received(older, 1) == [b"stays"]


def test_a_small_client_is_not_told(start):
    """What is only good to know does not make a CONNACK too large [MQTT-3.2.2-20]."""
    broker = start("--store-max-session-messages", "1")
    goes(broker, "one", ("t/1", 1))
    writer = client(broker, "writer")
    for number in range(3):
        writer.publish("t/1", b"%d" % number, 1)
    probe = client(broker, "probe")
    size = 64
    own = client(
        broker, "one", clean=False, props=EXPIRY + [(wire.MAXIMUM_PACKET, size)])
    assert own.connack.reason == 0
    assert received(own, 1) == [b"2"]
    probe.ping()
