"""The test client itself: what it must not let pass, or the other tests could not fail.

Its parser has to agree with the project's table of packets on all that a server sends, and a
connection to a fake server has to notice each breach of what the connection announced.
"""
import os
import re
import socket
import threading

import pytest
import wire
from wire_client import Client, Closed

VECTORS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                       "Vectors/packets.txt")
LEVELS = {"3.1": 3, "3.1.1": 4, "5": 5}


def vectors():
    """(name, level, bytes, whether it is valid) for each packet from a server."""
    with open(VECTORS, encoding="utf-8") as file:
        rows = [line.split(" | ") for line in file if line.strip() and not line.startswith("#")]
    for name, _, versions, direction, text, outcome, *_ in rows:
        if direction.strip() != "s2c":
            continue
        data = b""
        for part in text.split():
            digits, _, times = part.partition("*")
            data += bytes.fromhex(digits) * int(times or 1)
        for version in versions.strip().split(","):
            yield name.strip(), LEVELS[version.strip()], data, outcome.strip()


# Rules on what a packet may hold that are left to `Client`, or that this client does not share:
# it takes what a server may send, and the table also has what only a client may.
OUTSIDE = re.compile(r"packetTooLarge|topicAliasInvalid")


def test_the_parser_agrees_with_the_table_of_packets():
    wrong, count = [], 0
    for name, level, data, outcome in vectors():
        count += 1
        try:
            head = wire.parse_length(data)
            wire.require(head and sum(head) == len(data), "the length is not the packet's")
            wire.parse(data, level)
            passed = True
        except wire.Violation:
            passed = False
        if passed != outcome.startswith("valid") and not OUTSIDE.search(outcome):
            wrong.append(f"{name} ({level}): {outcome}, but {'taken' if passed else 'refused'}")
    assert count > 50 and not wrong, "\n".join(wrong)


def connack(*props, flags=0, reason=0):
    return wire.packet(0x20, bytes([flags, reason]) + wire.properties(props))


def publish(pid=1, topic="t", payload=b"", dup=False, props=(), qos=1):
    return wire.publish(topic, payload, 5, qos=qos, dup=dup, pid=pid, props=props)


PINGRESP = b"\xd0\0"
REASON = wire.properties([(wire.REASON_STRING, "why")])
# What a fake server sends, and the properties of the CONNECT before it.
BREACHES = {
    "no CONNACK first": ([], PINGRESP),
    "two CONNACKs": ([], connack() * 2),
    "a packet after a refusal": ([], connack(reason=0x87) + PINGRESP),
    "AUTH without a method": ([], b"\xf0\x02\x18\0"),
    "a method that was not named": ([], connack((wire.AUTH_METHOD, "m"))),
    "response information": ([], connack((wire.RESPONSE_INFO, "r"))),
    "session present with an error": ([], connack(flags=1, reason=0x87)),
    "CONNACK flags": ([], connack(flags=2)),
    "too large": ([(wire.MAXIMUM_PACKET, 20)], connack() + publish(payload=b"x" * 20)),
    "above the receive maximum": ([(wire.RECEIVE_MAXIMUM, 2)],
                                  connack() + publish(1) + publish(2) + publish(3)),
    "a packet id in use": ([], connack() + publish(1) + publish(1)),
    "an alias where none is allowed": ([], connack() + publish(props=[(wire.TOPIC_ALIAS, 1)])),
    "an alias above the maximum": ([(wire.ALIAS_MAXIMUM, 1)],
                                   connack() + publish(props=[(wire.TOPIC_ALIAS, 2)])),
    "an alias that was never set": ([(wire.ALIAS_MAXIMUM, 1)],
                                    connack() + publish(topic="", props=[(wire.TOPIC_ALIAS, 1)])),
    "problem information": ([(wire.PROBLEM_INFO, 0)],
                            connack() + wire.packet(0x40, b"\0\1\0" + REASON)),
    "a packet after DISCONNECT": ([], connack() + b"\xe0\x01\x8e" + PINGRESP),
    "a session expiry in DISCONNECT": (
        [], connack() + wire.packet(0xE0, b"\x8e" + wire.properties([(wire.SESSION_EXPIRY, 1)]))),
    "an unlisted reason": ([], connack() + wire.packet(0x40, b"\0\1\x01")),
    "half a packet": ([], connack() + b"\x30\x05\0"),
    "an overlong length": ([], connack() + b"\xd0\x80\0"),
}


class FakeServer:
    """Accepts one connection, sends bytes once CONNECT has begun to come, and closes."""

    def __init__(self, data):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.thread = threading.Thread(target=self.serve, args=(data,), daemon=True)
        self.thread.start()

    def serve(self, data):
        connection, _ = self.listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass

    def close(self):
        self.listener.close()


def read_all(data, props=()):
    """What a client that announced these properties makes of the bytes."""
    server = FakeServer(data)
    client = Client(server.address, 5)
    try:
        client.send_connect("c", props=props)
        packets = []
        while True:
            packets.append(client.receive())
    except Closed:
        return packets
    finally:
        client.close()
        server.close()


@pytest.mark.parametrize("case", BREACHES)
def test_a_breach_is_noticed(case):
    props, data = BREACHES[case]
    with pytest.raises(wire.Violation):
        read_all(data, props)


def test_what_keeps_the_rules_passes():
    data = (connack((wire.RESPONSE_INFO, "r"), flags=1) + publish(1, payload=b"x" * 20)
            + publish(2, "u", props=[(wire.TOPIC_ALIAS, 1)])
            + publish(1, "t", dup=True) + publish(3, "", props=[(wire.TOPIC_ALIAS, 1)])
            + publish(None, qos=0, props=[(wire.SUBSCRIPTION_ID, 1), (wire.SUBSCRIPTION_ID, 2)])
            + PINGRESP + wire.packet(0x40, b"\0\1\x87" + REASON) + b"\xe0\x01\x8e")
    packets = read_all(data, [(wire.MAXIMUM_PACKET, 60), (wire.RECEIVE_MAXIMUM, 3),
                              (wire.ALIAS_MAXIMUM, 1), (wire.RESPONSE_INFO_WANTED, 1)])
    assert [p.topic for p in packets if p.kind == wire.PUBLISH] == ["t", "u", "t", "u", "t"]
    assert packets[-1].reason == 0x8E


def test_an_unanswered_wait_ends():
    server = socket.create_server(("127.0.0.1", 0))
    client = Client(server.getsockname(), 5)
    with pytest.raises(AssertionError, match="no packet within the time"):
        client.receive(timeout=0.05)
    with pytest.raises(AssertionError, match="not closed"):
        client.closed(timeout=0.05)
    client.close()
    server.close()
