"""The model: which message is owed to whom, and whether what arrives was owed.

All clients live in one thread, so what they do and see has one order, which `now` counts. The
broker did its part of an exchange somewhere between what a client sent and the answer that it got.
What follows from that for certain is demanded; everything else is allowed. So an answer that the
broker gave and nobody received costs the model nothing but knowledge.
"""
import math
from collections import Counter

from neighbours import matches

OPEN = math.inf
# How long after its expiry a message may still arrive: a broker may count in whole seconds.
EXPIRY_SLACK = 3.0
# Failures that are kept with their histories; one bug makes hundreds of them.
KEPT_FAILURES = 20
# Of a publisher's history: what belongs to one message's exchange, and how many lines of it.
EXCHANGE = ("PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP")
SHOWN_LINES = 20


class Message:
    """One publication, whatever number of times it was sent."""
    __slots__ = ("head", "payload", "topic", "qos", "retain", "order", "sequence", "expiry",
                 "first_sent", "last_sent", "attempts", "acked", "acked_at", "end", "releases",
                 "abandoned", "forbidden", "properties", "author")
    is_will = False

    def __init__(self, head, payload, topic, qos, sequence):
        self.head, self.payload, self.topic, self.qos = head, payload, topic, qos
        self.sequence, self.retain, self.expiry = sequence, False, None
        self.author = None  # the client whose history tells how it was sent
        self.properties = []  # those that the broker hands on as they are (5 only)
        self.order = None  # what shares this is delivered in the order of `sequence`
        self.first_sent = self.last_sent = OPEN
        self.attempts = self.releases = 0  # PUBLISH and PUBREL packets sent
        self.acked, self.acked_at = None, None  # PUBACK or PUBREC: the broker has it
        self.end = OPEN  # from here on it makes no new copies
        self.abandoned = self.forbidden = False

    def sent(self, now):
        self.first_sent = min(self.first_sent, now)
        self.last_sent = now
        self.attempts += 1

    def may_be_lost(self):
        return self.acked is None or self.forbidden or self.expires_soon()

    def expires_soon(self):
        return self.expiry is not None and self.expiry < 60

    def copies(self):
        """How many copies a broker may make of it: a repeated QoS 1 PUBLISH may be a new one, and
        a QoS 1 will may be published again by a broker that was killed while it did."""
        return 1 if self.qos == 2 else OPEN if self.is_will or self.retain else self.attempts

    def __str__(self):
        acked = "not acknowledged" if self.acked is None else f"acknowledged at #{self.acked}"
        return (f"{self.head.decode()} first sent at #{self.first_sent}, last at "
                f"#{self.last_sent}, {self.attempts} times, {acked}, over at #{self.end}")


class Subscription:
    """One filter of a session from SUBSCRIBE to UNSUBACK; the four moments, as far as they came."""
    __slots__ = ("filter", "qos", "asked", "since", "leaving", "gone")

    def __init__(self, text, qos, asked):
        self.filter, self.qos, self.asked = text, qos, asked
        self.since = self.leaving = self.gone = None

    def may_take(self, message):
        return self.asked < message.end and (
            self.gone is None or message.first_sent < self.gone)

    def must_take(self, message):
        return (self.since is not None and self.since < message.first_sent
                and self.leaving is None)

    def in_force(self):
        return self.since is not None and self.leaving is None

    def __str__(self):
        return (f"{self.filter} QoS {self.qos}: SUBSCRIBE #{self.asked}, SUBACK #{self.since}, "
                f"UNSUBSCRIBE #{self.leaving}, UNSUBACK #{self.gone}")


class Recipient:
    """What receives a message once: a session, with all its subscriptions."""

    def __init__(self, ledger, name):
        self.ledger, self.name = ledger, name
        self.subscriptions, self.by_topic = [], {}
        self.arrivals = {}  # head -> [count, connection of the last one, count on that]
        self.newest = {}  # order -> highest sequence that came
        self.owing = True  # False: what comes has to be right, and none of it has to come
        ledger.recipients.append(self)

    # Subscribing

    def asked(self, text, qos):
        """SUBSCRIBE is about to be sent; a repeated one does not interrupt what is in force."""
        for own in self.subscriptions:
            if own.filter == text and own.leaving is None:
                return own
        own = Subscription(text, qos, self.ledger.now())
        self.subscriptions.append(own)
        self.by_topic.clear()
        return own

    def granted(self, own):
        if own.since is None:
            own.since = self.ledger.now()

    def leaving(self, text):
        """UNSUBSCRIBE is about to be sent; the subscriptions that it ends."""
        ends = [s for s in self.subscriptions if s.filter == text and s.gone is None]
        for own in ends:
            own.leaving = own.leaving or self.ledger.now()
        return ends

    def gone(self, ends):
        for own in ends:
            own.gone = self.ledger.now()

    def current(self, text):
        """The subscription to this filter that is surely in force, or None."""
        return next((s for s in self.subscriptions if s.filter == text and s.in_force()), None)

    def on(self, topic):
        """The subscriptions that match a topic."""
        found = self.by_topic.get(topic)
        if found is None:
            found = self.by_topic[topic] = [
                s for s in self.subscriptions if matches(plain(s.filter), topic)]
        return found

    def end(self):
        """The session has ended: nothing is owed to it any more."""
        self.ledger.recipients.remove(self)

    # Receiving

    def owed(self, message):
        """Whether it has to arrive here, sooner or later."""
        return self.owing and not message.may_be_lost() and any(
            s.qos and s.must_take(message) for s in self.on(message.topic))

    def arrived(self, message, packet, connection):
        """A PUBLISH came; what is wrong with it, or None."""
        if packet.retain and message.retain:
            # Sent because of a SUBSCRIBE; that it comes, and which, is what readers look at.
            return None if self.on(message.topic) else "a retained message of no subscription"
        possible = [s for s in self.on(message.topic) if s.may_take(message)]
        if message.forbidden:
            return "a will that must never be published"
        if not possible:
            return "a message of no subscription"
        sure = [s for s in possible if s.must_take(message)]
        low = max((s.qos for s in sure), default=min(s.qos for s in possible))
        high = max(s.qos for s in possible)
        if not min(message.qos, low) <= packet.qos <= min(message.qos, high):
            return f"QoS {packet.qos} where {low} to {high} was granted"
        if packet.retain and not message.retain:
            return "RETAIN 1 on a message that was not retained"
        entry = self.arrivals.setdefault(message.head, [0, None, 0])
        if entry[1] is not connection:
            entry[1], entry[2] = connection, 0
        entry[0] += 1
        entry[2] += 1
        if entry[0] > 1:
            self.ledger.stats[f"duplicates_qos{packet.qos}"] += 1
        return self.too_often(message, packet, entry) or self.out_of_order(
            message, packet, entry, sure)

    def too_often(self, message, packet, entry):
        if packet.qos == 2 and entry[0] > 1:
            return "a QoS 2 message twice"
        # Repetition needs a reason: a new connection, or a publisher that repeated.
        if entry[2] > message.copies():
            return (f"copy {entry[2]} on one connection of what was published "
                    f"{message.copies()} times")
        return None

    def out_of_order(self, message, packet, entry, sure):
        """First arrivals come in the order of publishing, where each of them was owed the first
        time that it was sent (else only the repeated copy may have been)."""
        if message.order is None or entry[0] > 1:
            return None
        newest = self.newest.get(message.order, 0)
        if message.sequence > newest:
            self.newest[message.order] = message.sequence
            return None
        if sure and (packet.qos or message.attempts == 1):
            return f"out of order: {newest} of the same publisher, topic and QoS came before"
        return None


class Group(Recipient):
    """A shared subscription: a message is owed to one of the members, whichever."""

    def too_often(self, message, packet, entry):
        if packet.qos == 2 and entry[0] > 1:
            return "a QoS 2 message twice in the group"
        return None

    def out_of_order(self, message, packet, entry, sure):
        return None  # each member has its own pace


def plain(text):
    """The filter that a shared subscription matches with."""
    return text.split("/", 2)[2] if text.startswith("$share/") else text


class Ledger:
    """All messages, all recipients, and what went wrong."""

    def __init__(self):
        self.clock = 0
        self.messages = {}  # head -> Message
        self.recipients = []
        self.settled = {}  # (publisher, topic, QoS) -> highest sequence that was taken out
        self.stats = Counter()
        self.failures = []
        self.shown = set()  # clients and messages whose history a failure has
        self.round = 0

    def now(self):
        self.clock += 1
        return self.clock

    def message(self, publisher, topic, qos, sequence, size=0, kind=Message):
        """A message that is going to be published; its payload is its name, and `size` bytes."""
        head = f"{publisher}|{topic}|{qos}|{sequence}|".encode()
        own = kind(head, head + b"." * size, topic, qos, sequence)
        self.messages[head] = own
        return own

    def find(self, packet):
        """The message of a PUBLISH and what is wrong with it: (Message or None, text or None)."""
        head = packet.payload[:packet.payload.rfind(b"|") + 1]
        own = self.messages.get(head)
        if own is None:
            return None, self.old(head, packet)
        if packet.payload != own.payload or packet.topic != own.topic:
            return own, "a message that was altered"
        return own, None

    def old(self, head, packet):
        """A message that was taken out, after all that it was owed to had had it."""
        fields = head.decode(errors="replace").split("|")
        if len(fields) != 5 or not fields[3].isdigit() or (
                int(fields[3]) > self.settled.get(tuple(fields[:3]), 0)):
            return "a message that nobody published"
        self.stats["repeated_after_settling"] += 1
        return "a QoS 2 message again, after it was settled" if packet.qos == 2 else None

    def outstanding(self):
        """What has not arrived and has to: (Recipient, Message) pairs."""
        return [(r, m) for m in self.messages.values() if not m.may_be_lost()
                for r in self.recipients if m.head not in r.arrivals and r.owed(m)]

    def take_out(self):
        """Forgets what is over, so that a run of thousands of rounds keeps its size."""
        over = [m for m in self.messages.values()
                if not m.forbidden and (m.end != OPEN or m.abandoned)]
        for message in over:
            publisher, topic, qos, sequence, _ = message.head.decode().split("|")
            key = publisher, topic, qos
            self.settled[key] = max(int(sequence), self.settled.get(key, 0))
            del self.messages[message.head]
        for recipient in self.recipients:
            recipient.arrivals = {
                h: entry for h, entry in recipient.arrivals.items() if h in self.messages}
            recipient.subscriptions = [s for s in recipient.subscriptions if s.gone is None]
            recipient.by_topic.clear()
            recipient.newest.clear()  # all that is still to come is newer

    def fail(self, text, client=None, message=None):
        """Notes what went wrong, with what is known of it at this moment."""
        self.stats["failures"] += 1
        if len(self.failures) < KEPT_FAILURES:
            self.failures.append(Failure(self, text, client, message))


class Failure:
    """One thing that went wrong, as text, and the history of the client that saw it."""

    def __init__(self, ledger, text, client, message):
        who = f"{client.name}: " if client else ""
        self.text = f"round {ledger.round}, #{ledger.clock}: {who}{text}"
        self.lines = []
        if message is not None:
            self.lines.append(f"message: {message}")
            if message.author is not None and message.head not in ledger.shown:
                ledger.shown.add(message.head)
                self.lines += self.sending(message)
        # Once is enough: what follows on a client's first failure is in what it saw before.
        if client is not None and client.name not in ledger.shown:
            ledger.shown.add(client.name)
            subscriptions = client.recipient.subscriptions[-12:]
            self.lines += [f"subscription: {s}" for s in subscriptions]
            self.lines += client.history_lines()

    @staticmethod
    def sending(message):
        """What its publisher did and saw, as far as it is about the message or its connections."""
        head, pid, lines = message.head.decode(), None, []
        for line in message.author.history_lines():
            words = line.split()
            if head in line and words[5] == "PUBLISH":
                pid = words[6]
            about = pid is not None and words[5] in EXCHANGE and words[6:7] == [pid]
            if about or words[5] == "CONNACK" or words[4] == "-":
                lines.append(f"{message.author.name}: {line}")
        return lines[-SHOWN_LINES:]

    def __str__(self):
        return "\n    ".join([self.text] + self.lines)


def late(message, connection):
    """Whether it came so long after its expiry that its delivery can't have begun in time: its
    connection was opened when it was over."""
    return (message.expiry is not None and message.acked_at is not None
            and connection.opened > message.acked_at + message.expiry + EXPIRY_SLACK)

