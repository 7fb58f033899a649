"""The receiving side of QoS 0, 1 and 2: what a client does with a PUBLISH, at once or late."""
import asyncio
from collections import deque

from ledger import late
from neighbours import wire

NOT_FOUND = 0x92
# The properties of messages in this load that the broker hands on.
HANDED_ON = {wire.CONTENT_TYPE, wire.CORRELATION, wire.USER_PROPERTY}


class Receiver:
    """A session's state as a receiver, which outlives its connections, and the acknowledgements
    that the current connection still has to send."""

    def __init__(self, load, name, version, recipient, receive_maximum, delay, identifier):
        self.load, self.ledger, self.name, self.version = load, load.ledger, name, version
        self.random = load.source(name)
        self.recipient = recipient
        self.receive_maximum, self.delay, self.identifier = receive_maximum, delay, identifier
        self.connection = None
        self.held = {}  # QoS 2 ids between PUBLISH and PUBREL -> head of the message
        self.late = deque()  # acknowledgements that wait: (kind, packet id, reason)
        self.late_timer = None

    def publish_received(self, own, packet):
        if packet.qos:
            if packet.pid in own.unacked and not packet.dup:
                self.fail(f"packet id {packet.pid} is in use")
            own.unacked.add(packet.pid)
            if self.receive_maximum and len(own.unacked) > self.receive_maximum:
                self.fail(f"{len(own.unacked)} messages in flight, above the receive maximum")
            held = self.held.get(packet.pid)
            if held is not None:
                self.repeated(own, packet, held)
                return
            if packet.qos == 2:
                self.held[packet.pid] = packet.payload[:packet.payload.rfind(b"|") + 1]
        self.ledger.stats[f"deliveries_qos{packet.qos}"] += 1
        self.arrived(own, packet)
        if packet.qos:
            self.answer(own, wire.PUBACK if packet.qos == 1 else wire.PUBREC, packet.pid)

    def repeated(self, own, packet, held):
        """A PUBLISH with an id that waits for its PUBREL can only be the same message again."""
        if packet.qos != 2 or not packet.payload.startswith(held):
            self.fail(f"packet id {packet.pid} belongs to {held} and came with "
                      f"{packet.payload[:80]}")
        elif not packet.dup:
            self.fail(f"packet id {packet.pid} repeated without DUP")
        self.ledger.stats["repetitions_qos2"] += 1
        self.answer(own, wire.PUBREC, packet.pid)

    def arrived(self, own, packet):
        """A message came to the application."""
        message, wrong = self.ledger.find(packet)
        if message is not None and wrong is None:
            wrong = self.recipient.arrived(message, packet, own)
            if wrong is None and late(message, own) and not packet.dup:
                wrong = "a message that had expired before the connection began"
            if wrong is None and self.version == 5:
                wrong = self.wrong_properties(message, packet)
            if wrong is None and message.is_will:
                wrong = message.seen(own)
        if wrong is not None:
            self.fail(f"{wrong}: packet id {packet.pid}, {packet.payload[:80]}", message)

    def wrong_properties(self, message, packet):
        """What of the message and the subscription has to come with the PUBLISH, and does not."""
        left = packet.get(wire.MESSAGE_EXPIRY)
        if message.expiry is not None and (left is None or left > message.expiry):
            return f"message expiry interval {left} of {message.expiry}"
        handed_on = [p for p in packet.props if p[0] in HANDED_ON]
        if sorted(handed_on) != sorted(message.properties):
            return f"properties {handed_on}, and not {message.properties}"
        if self.identifier and packet.all(wire.SUBSCRIPTION_ID) != [self.identifier]:
            return f"subscription identifiers {packet.all(wire.SUBSCRIPTION_ID)}"
        return None

    def pubrel_received(self, own, packet):
        known = self.held.pop(packet.pid, None) is not None
        self.answer(own, wire.PUBCOMP, packet.pid,
                    None if known or self.version < 5 else NOT_FOUND)

    # Acknowledging

    def answer(self, own, kind, pid, reason=None):
        """Acknowledges, at once or later, but always in the order in which packets came."""
        if self.late or (self.delay and not self.load.settling):
            self.late.append((kind, pid, reason))
            if self.late_timer is None:
                self.later()
        else:
            self.acknowledge(own, kind, pid, reason)

    def later(self):
        seconds = 0 if self.load.settling else self.random.uniform(0, self.delay)
        self.late_timer = asyncio.get_running_loop().call_later(seconds, self.answer_late)

    def answer_late(self):
        self.late_timer = None
        if self.late and self.connection is not None:
            for _ in range(len(self.late) if self.load.settling else 1):
                self.acknowledge(self.connection, *self.late.popleft())
            if self.late:
                self.later()
        self.nudge()

    def acknowledge(self, own, kind, pid, reason):
        own.send(wire.ack(kind, pid, self.version, reason), wire.NAMES[kind], pid)
        if kind in (wire.PUBACK, wire.PUBCOMP):
            own.unacked.discard(pid)
