"""Chapters 4.8 of 3.1.1 and 4.13 of 5.0: what cannot be a packet ends its connection only."""
import os
import random

import pytest
import wire

BOTH = pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])


def empty(version):
    return b"\0" if version == 5 else b""


BAD_PACKETS = {
    "type 0": lambda v: b"\x00\x00",
    "type 15 in 3.1.1, bad flags in 5.0": lambda v: b"\xff\x00",  # v5:MQTT-3.15.1-1
    "CONNACK from a client": lambda v: b"\x20\x02\x00\x00",
    "SUBACK from a client": lambda v: b"\x90\x03\x00\x01\x00",
    "UNSUBACK from a client": lambda v: b"\xb0\x02\x00\x01",
    "PINGRESP from a client": lambda v: b"\xd0\x00",
    "remaining length of five bytes": lambda v: b"\x30\xff\xff\xff\xff\x01",
    "PUBLISH without topic": lambda v: b"\x30\x00",
    "PUBLISH with half a length": lambda v: b"\x30\x01\x00",
    "PUBLISH with its topic cut off": lambda v: b"\x30\x04\x00\x05ab",
    "PUBLISH without packet id": lambda v: b"\x32\x03\x00\x01a",
    "PUBACK without packet id": lambda v: b"\x40\x00",
    "PUBREL with flags of 3.1's retry": lambda v: b"\x6a\x02\x00\x01",
    "SUBSCRIBE without packet id": lambda v: b"\x82\x00",
    "SUBSCRIBE with its filter cut off": lambda v: wire.packet(
        0x82, b"\0\1" + empty(v) + b"\0\5ab"),
    "UNSUBSCRIBE without packet id": lambda v: b"\xa2\x01\x00",
    "PINGREQ with a body": lambda v: b"\xc0\x01\x00",
    "PINGREQ with flags": lambda v: b"\xc2\x00",
    "DISCONNECT with flags": lambda v: b"\xe8\x00",  # v3:MQTT-3.14.1-1 v5:MQTT-3.14.1-1
}


@BOTH
@pytest.mark.parametrize("case", BAD_PACKETS)
def test_a_malformed_packet_closes(client, version, case):
    """v3:MQTT-4.8.0-1 v3:MQTT-2.2.2-2 v5:MQTT-4.13.1-1 v5:MQTT-2.1.3-1 v5:MQTT-3.14.4-2"""
    own = client(version)
    own.send(BAD_PACKETS[case](version), wire.PING)
    assert own.refused(0x81, 0x82, 0x95) == []


@BOTH
def test_what_came_before_an_error_counts(client, name, version):
    """v3:MQTT-4.8.0-1 v5:MQTT-4.13.1-1"""
    watcher, topic, own = client(version), name("t"), client(version)
    watcher.subscribe((topic, 1))
    own.send(wire.publish(topic, b"before", version, qos=1, pid=1), b"\x00\x00",
             wire.publish(topic, b"after", version, qos=1, pid=2))
    before = own.refused()
    assert [p.pid for p in before if p.kind == wire.PUBACK] in ([1], [])
    client(version).publish(topic, b"marker", 1)
    assert b"after" not in [m.payload for m in watcher.until(b"marker")]


@BOTH
def test_random_bytes_hurt_nobody_else(client, open_client, name, version):
    """v3:MQTT-4.8.0-1 v5:MQTT-4.13.1-1"""
    # CONFORMANCE_SEED=... replays the run whose output names it.
    seed = int(os.environ.get("CONFORMANCE_SEED") or random.randrange(1 << 32))
    print(f"CONFORMANCE_SEED={seed}")
    source = random.Random(seed)
    good, topic = client(version), name("t")
    good.subscribe((topic, 1))
    models = [wire.connect(name("fuzz"), version, user="u", password="p"),
              wire.publish(topic + "x", b"payload", version, qos=1, pid=1),
              wire.subscribe(1, [(topic + "y", 1), ("a/+/#", 2)], version),
              wire.unsubscribe(2, ["a"], version), wire.ack(wire.PUBREL, 1, version),
              wire.disconnect()]
    for round_number in range(150):
        own = open_client(version)
        data = bytearray()
        if round_number % 2:
            data += wire.connect(name("fuzz"), version)
        for _ in range(source.randrange(1, 5)):
            part = bytearray(source.choice(models))
            for _ in range(source.randrange(0, 4)):
                part[source.randrange(len(part))] = source.randrange(256)
            data += part
        if round_number % 5 == 0:
            data = bytearray(source.randbytes(source.randrange(1, 200)))
        try:
            own.send(bytes(data))
        except OSError:
            pass  # the broker was quicker
        own.close()
        if round_number % 10 == 0:
            good.publish(topic, b"%d" % round_number, 1)
            assert good.message().payload == b"%d" % round_number
