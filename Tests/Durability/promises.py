"""A small run of everything that is stored, step by step, and what it was promised.

Each step is answered before the next begins, so the same run makes about the same calls of the
disk; what is promised by a call is known to a step.
"""
import time

from disk import PATIENCE, drained, wire
from wire_client import Closed

# How long an answer may take before the disk is healed.
SHORT = 0.06
KEPT, TOPIC = "keep/one", "t/{}"


class Promises:
    """What clients were promised: (kind, value) pairs, each of them a mark of the disk as well."""

    def __init__(self, disk):
        self.disk = disk
        self.rounds = 0
        self.made = []

    def note(self, kind, value):
        self.made.append((kind, value))
        self.disk.mark((kind, value))

    def begin(self, broker):
        """The sessions that are owed what follows: one with its client there, and one without."""
        self.broker = broker
        self.reader = broker.stored("reader")
        self.reader.subscribe(("t/#", 2))
        away = broker.stored("away")
        away.subscribe(("t/#", 2))
        away.disconnect()
        self.note("session", "away")
        self.writer = broker.stored("writer")

    def round(self):
        """One of everything; a disk that fails is healed once an answer is late, or a refusal."""
        self.rounds += 1
        number = self.rounds
        for qos in (1, 2):
            payload = f"{number}/{qos}".encode()
            self.publish(f"t/{number}", payload, qos)
            self.note("message", payload)
        self.publish(KEPT, str(number).encode(), 1, retain=True)
        self.note("retained", number)
        client = self.connect(f"new-{number}")
        client.send(wire.disconnect())
        self.patiently(lambda: ended(client))
        self.note("session", f"new-{number}")
        wanted = {f"{number}/{qos}".encode() for qos in (1, 2)}
        while wanted:
            packet = self.patiently(lambda: self.reader.wait(wire.PUBLISH, SHORT))
            wanted.discard(packet.payload)
            if packet.qos == 2:
                self.reader.ack(wire.PUBREC, packet.pid)
                self.patiently(lambda: self.reader.wait(wire.PUBREL, SHORT))
                self.reader.ack(wire.PUBCOMP, packet.pid)
            else:
                self.reader.ack(wire.PUBACK, packet.pid)

    def publish(self, topic, payload, qos, **options):
        kind = wire.PUBACK if qos == 1 else wire.PUBREC
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            pid = self.writer.pid()
            self.writer.send(wire.publish(topic, payload, 5, qos=qos, pid=pid, **options))
            answer = self.patiently(lambda: self.writer.wait(kind, SHORT))
            assert answer.pid == pid
            if answer.reason < 0x80:
                if qos == 2:
                    self.writer.send(wire.ack(wire.PUBREL, pid, 5))
                    self.patiently(lambda: self.writer.wait(wire.PUBCOMP, SHORT))
                return
            assert answer.reason == 0x97
            self.disk.heal()
            time.sleep(0.01)
        raise AssertionError("publishing was refused for too long")

    def connect(self, name):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            client = self.broker.connecting(name)
            answer = self.patiently(lambda: client.receive(SHORT))
            if answer.reason == 0:
                return client
            assert answer.reason == 0x89
            self.disk.heal()
            time.sleep(0.01)
        raise AssertionError("a client was refused for too long")

    def patiently(self, attempt):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return attempt()
            except Closed:
                raise AssertionError("the broker has hung up") from None
            except AssertionError as error:
                if "within the time" not in str(error) or time.monotonic() > deadline:
                    raise
                # Nobody answers: the disk does nothing for ever, until it is healed.
                self.disk.heal()


def ended(client):
    """Waits until the broker has closed the connection."""
    try:
        packet = client.read(time.monotonic() + SHORT)
    except Closed:
        return client.close()
    raise AssertionError(f"{packet} after DISCONNECT")


def missing(broker, promised, rounds):
    """What a broker has forgotten, as text; nothing where it kept all that was promised."""
    found = []
    sessions = [value for kind, value in promised if kind == "session"]
    for name in sessions:
        client = broker.connecting(name)
        answer = client.receive(PATIENCE)
        assert answer.reason == 0
        if not answer.session_present:
            found.append(f"session {name}")
        elif name == "away":
            found += unread(broker, client, promised)
        client.close()
    kept = max((value for kind, value in promised if kind == "retained"), default=0)
    client = broker.client("asks")
    client.subscribe((KEPT, 0))
    client.ping()
    values = [int(packet.payload) for packet in client.inbox]
    if kept and (not values or not kept <= values[0] <= rounds):
        found.append(f"retained {kept}, where there is {values}")
    return found


def unread(broker, client, promised):
    """What the client whose session was away misses, or gets twice."""
    try:
        payloads = [packet.payload for packet in drained(broker, client)]
    except AssertionError as error:
        if "within the time" not in str(error):
            raise
        return ["the subscription"]
    wanted = {value for kind, value in promised if kind == "message"}
    return sorted(f"message {value}" for value in wanted - set(payloads)) + [
        f"message {value} twice" for value in set(payloads)
        if value.endswith(b"/2") and payloads.count(value) > 1]
