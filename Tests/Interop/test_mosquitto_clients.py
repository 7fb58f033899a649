"""Debian's mosquitto_pub, mosquitto_sub and mosquitto_rr, as their users run them."""

from __future__ import annotations

import hashlib
import random
import string
import threading
import time

import pytest

import interop_mosquitto as mosquitto
from interop_mosquitto import Subscriber
from interop_support import DEADLINE, VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_publish_and_subscribe_at_each_qos(broker, unique, version):
    topic = unique()
    with Subscriber(broker, version, "-t", topic, "-q", "2", "-C", "3") as subscriber:
        subscriber.wait_subscribed()
        for qos in range(3):
            mosquitto.publish(broker, version, "-t", topic, "-m", f"m{qos}", "-q", qos)
            assert subscriber.receive(1) == [[topic, str(qos), "0", f"m{qos}"]]
        assert subscriber.wait_end() == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_lines_from_standard_input(broker, unique, version):
    """One connection, many messages; with version 5 after the first only a topic alias is sent."""
    topic, lines = unique(), [f"line {number}" for number in range(500)]
    alias = ["-D", "publish", "topic-alias", "1"] if version == "5" else []
    with Subscriber(broker, version, "-t", topic, "-q", "1") as subscriber:
        subscriber.wait_subscribed()
        mosquitto.publish(
            broker, version, "-t", topic, "-q", "1", "-l", *alias, stdin="\n".join(lines).encode()
        )
        assert subscriber.receive(500) == [[topic, "1", "0", line] for line in lines]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_one_megabyte(broker, unique, version, tmp_path):
    topic, file = unique(), tmp_path / "payload"
    payload = "".join(random.choices(string.ascii_letters, k=1_000_000))
    file.write_text(payload)
    with Subscriber(broker, version, "-t", topic, "-q", "2") as subscriber:
        subscriber.wait_subscribed()
        for qos in range(3):
            mosquitto.publish(broker, version, "-t", topic, "-f", file, "-q", qos)
        for message in subscriber.receive(3):
            assert (
                hashlib.sha256(message[3].encode()).digest()
                == hashlib.sha256(payload.encode()).digest()
            )


@pytest.mark.parametrize("version", VERSIONS)
def test_retained(broker, unique, version):
    base = unique()
    mosquitto.publish(broker, version, "-t", f"{base}/a", "-m", "old", "-r", "-q", "1")
    mosquitto.publish(broker, version, "-t", f"{base}/a", "-m", "kept", "-r", "-q", "1")
    mosquitto.publish(broker, version, "-t", f"{base}/b", "-m", "kept too", "-r", "-q", "2")
    arguments = ["-t", f"{base}/#", "-q", "2", "-C", "2"]
    with Subscriber(broker, version, *arguments) as subscriber:
        assert sorted(subscriber.receive(2)) == [
            [f"{base}/a", "1", "1", "kept"],
            [f"{base}/b", "2", "1", "kept too"],
        ]
        assert subscriber.wait_end() == 0
    # mosquitto_sub's own way to clear them; a watcher sees the empty messages that do it. (It is
    # killed, because 2.0.11 waits for ever for the end of what it published.)
    with Subscriber(broker, version, "-t", f"{base}/#", "-R") as watcher:
        watcher.wait_subscribed()
        with Subscriber(broker, version, "-t", f"{base}/#", "--remove-retained") as clearing:
            assert sorted(watcher.receive(2)) == [
                [f"{base}/a", "0", "0", ""],
                [f"{base}/b", "0", "0", ""],
            ]
            clearing.kill()
    with Subscriber(broker, version, "-t", f"{base}/#", "-C", "1") as subscriber:
        subscriber.wait_subscribed()
        mosquitto.publish(broker, version, "-t", f"{base}/c", "-m", "marker")
        assert subscriber.receive(1) == [[f"{base}/c", "0", "0", "marker"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_will(broker, unique, version):
    topic, other = unique("will"), unique()
    will = ["--will-topic", topic, "--will-payload", "gone", "--will-qos", "1"]
    with Subscriber(broker, version, "-t", topic, "-q", "1") as watcher:
        watcher.wait_subscribed()
        with Subscriber(broker, version, "-t", other, *will) as mortal:
            mortal.wait_subscribed()
            mortal.kill()
        assert watcher.receive(1) == [[topic, "1", "0", "gone"]]
        mosquitto.run("mosquitto_sub", broker, version, "-t", other, *will, "-E")
        mosquitto.publish(broker, version, "-t", topic, "-m", "marker", "-q", "1")
        assert watcher.receive(1) == [[topic, "1", "0", "marker"]]


def test_disconnect_with_will(broker, unique):
    """On SIGTERM mosquitto_sub says DISCONNECT and asks, with version 5, for the will."""
    topic = unique("will")
    will = ["--will-topic", topic, "--will-payload", "asked for", "--will-qos", "1"]
    with Subscriber(broker, "5", "-t", topic, "-q", "1") as watcher:
        watcher.wait_subscribed()
        with Subscriber(broker, "5", "-t", unique(), *will) as mortal:
            mortal.wait_subscribed()
            mortal.process.terminate()
            mortal.wait_end()
        assert watcher.receive(1) == [[topic, "1", "0", "asked for"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_keeps_what_came_meanwhile(broker, unique, version):
    topic, name = unique(), unique("s")
    session = ["-i", name, "-c", "-t", topic, "-q", "1"]
    if version == "5":
        session += ["-x", "60"]
    # -E: ends as soon as the subscription stands.
    mosquitto.run("mosquitto_sub", broker, version, *session, "-E")
    for number in range(20):
        mosquitto.publish(broker, version, "-t", topic, "-m", number, "-q", "1")
    # (Not with -C: at the last message it closes with SUBACK unread, and the reset that follows
    # takes its acknowledgements with it.)
    with Subscriber(broker, version, *session) as subscriber:
        subscriber.wait_subscribed()
        assert [int(m[3]) for m in subscriber.receive(20)] == list(range(20))
    # What was acknowledged does not come again.
    mosquitto.publish(broker, version, "-t", topic, "-m", "marker", "-q", "1")
    with Subscriber(broker, version, *session) as subscriber:
        subscriber.wait_subscribed()
        assert subscriber.receive(1)[0][3] == "marker"
    # Without -c: the session ends, and leaves nothing behind.
    mosquitto.run("mosquitto_sub", broker, version, "-i", session[1], "-t", topic, "-E")


@pytest.mark.parametrize("version", VERSIONS)
def test_shared_subscription(broker, unique, version):
    topic, group, total = unique(), unique("g"), 60
    share = ["-t", f"$share/{group}/{topic}", "-t", f"{topic}/end", "-q", "1"]
    with Subscriber(broker, version, *share) as one, Subscriber(broker, version, *share) as two:
        one.wait_subscribed()
        two.wait_subscribed()
        lines = "\n".join(map(str, range(total))).encode()
        mosquitto.publish(broker, version, "-t", topic, "-q", "1", "-l", stdin=lines)
        mosquitto.publish(broker, version, "-t", f"{topic}/end", "-m", "end", "-q", "1")
        shares = []
        for member in (one, two):
            share = []
            while (message := member.receive(1)[0])[3] != "end":
                share.append(int(message[3]))
            shares.append(share)
        assert sorted(shares[0] + shares[1]) == list(range(total))
        assert shares[0] and shares[1]


@pytest.mark.parametrize("version", VERSIONS)
def test_unsubscribe(broker, unique, version):
    """-U is sent when mosquitto_sub connects: a session's filter is gone after it."""
    one, two, name = unique(), unique(), unique("s")
    session = ["-i", name, "-c", "-q", "1"]
    mosquitto.run("mosquitto_sub", broker, version, *session, "-t", one, "-t", two, "-E")
    with Subscriber(broker, version, *session, "-t", two, "-U", one) as subscriber:
        subscriber.wait_debug("received UNSUBACK")
        subscriber.wait_subscribed()
        mosquitto.publish(broker, version, "-t", one, "-m", "unheard", "-q", "1")
        mosquitto.publish(broker, version, "-t", two, "-m", "heard", "-q", "1")
        assert subscriber.receive(1)[0][3] == "heard"
    # Without -c: the session ends, and leaves nothing behind.
    mosquitto.run("mosquitto_sub", broker, version, "-i", name, "-t", two, "-E")


def test_properties_of_version_5(broker, unique):
    topic = unique()
    properties = [
        ("content-type", "text/plain"),
        ("correlation-data", "tag"),
        ("message-expiry-interval", "100"),
        ("payload-format-indicator", "1"),
        ("response-topic", "answers"),
    ]
    arguments = [word for pair in properties for word in ("-D", "publish", *pair)]
    for key, value in (("k", "1"), ("a", "2"), ("k", "3")):
        arguments += ["-D", "publish", "user-property", key, value]
    with Subscriber(broker, "5", "-t", topic, "-q", "1", fields="CDEFRPp") as subscriber:
        subscriber.wait_subscribed()
        mosquitto.publish(broker, "5", "-t", topic, "-m", "body", "-q", "1", *arguments)
        (message,) = subscriber.receive(1)
    content, tag, expiry, form, response, users, body = message
    assert (content, tag, form, response, body) == ("text/plain", "tag", "1", "answers", "body")
    assert 95 <= int(expiry) <= 100
    assert users.split() == ["k:1", "a:2", "k:3"]


def test_subscription_identifier(broker, unique):
    topic = unique()
    identifier = ["-D", "subscribe", "subscription-identifier", "12345"]
    with Subscriber(broker, "5", "-t", topic, "-q", "1", *identifier, fields="Sp") as subscriber:
        subscriber.wait_subscribed()
        mosquitto.publish(broker, "5", "-t", topic, "-m", "x", "-q", "1")
        assert subscriber.receive(1) == [["12345", "x"]]


@pytest.mark.parametrize("version", ("3.1.1", "5"))
def test_request_and_response(broker, paho, unique, version):
    """mosquitto_rr asks, and waits for one answer; with version 5 it names the answer's topic."""
    question, answer = unique("ask"), unique("ans")
    server = paho(version)
    server.subscribe(question, 1)

    def serve():
        request = server.next()
        extras = {}
        if version == "5":
            assert request.properties.ResponseTopic == answer
            if hasattr(request.properties, "CorrelationData"):
                extras["CorrelationData"] = request.properties.CorrelationData
        server.publish(answer, request.payload[::-1], 1, **extras)

    serving = threading.Thread(target=serve)
    serving.start()
    arguments = ["-t", question, "-e", answer, "-m", "stressed", "-q", "1", "-W", "8"]
    correlation = ["-D", "publish", "correlation-data", "tag"] if version == "5" else []
    said = mosquitto.run("mosquitto_rr", broker, version, *arguments, *correlation)
    serving.join()
    assert said == b"desserts\n"


# What people who know mosquitto put on their dashboards.
SYSTEM_TOPICS = {
    "bytes/received",
    "bytes/sent",
    "clients/connected",
    "clients/disconnected",
    "clients/total",
    "messages/received",
    "messages/sent",
    "publish/messages/received",
    "publish/messages/sent",
    "retained messages/count",
    "subscriptions/count",
    "uptime",
    "version",
}

# Seconds between two updates, in mosquitto and by default in ours.
SYSTEM_INTERVAL = 10.0

# mosquitto publishes these only when they change, and forgets them a minute later.
ALSO_OURS = {"clients/maximum", "publish/messages/dropped"}


@pytest.mark.parametrize("version", VERSIONS)
def test_system_topics(broker, unique, version):
    """The names are all there, and `#` does not match them."""
    topic = unique()
    wanted = SYSTEM_TOPICS | ALSO_OURS if broker.is_bifrost else SYSTEM_TOPICS
    with Subscriber(broker, version, "-t", "$SYS/broker/#") as subscriber:
        values: dict[str, str] = {}
        # All the names, and figures that are newer than the first client's CONNECT.
        end = time.monotonic() + SYSTEM_INTERVAL + DEADLINE
        while not (wanted <= values.keys() and int(values["messages/received"]) > 0):
            try:
                left = max(end - time.monotonic(), 0)
                name, _, _, value = subscriber.receive(1, left)[0]
            except AssertionError:
                pytest.fail(f"did not come: {sorted(wanted - values.keys())}; came: {values}")
            assert time.monotonic() < end, f"messages/received is still 0; came: {values}"
            values[name.removeprefix("$SYS/broker/")] = value
    assert values["version"]
    numbers = wanted - {"version", "uptime"}
    assert all(values[name].isdigit() for name in numbers), values

    with Subscriber(broker, version, "-t", "#") as subscriber:
        subscriber.wait_subscribed()
        mosquitto.publish(broker, version, "-t", topic, "-m", "marker")
        while (message := subscriber.receive(1)[0])[0] != topic:
            assert not message[0].startswith("$")
