"""One network connection of a client, to one life of the broker."""
import asyncio
import itertools
import time
import traceback

from neighbours import wire

numbers = itertools.count(1)


class Connection(asyncio.Protocol):
    """Cuts the stream into packets and notes how it ended. What the packets mean is the client's
    matter, as long as this is the client's current connection."""

    def __init__(self, client, clean, expiry):
        self.client, self.version = client, client.version
        self.number = next(numbers)
        self.broker = client.load.broker
        self.life = self.broker.life
        self.clean = clean
        # The session ends with this connection: clean session 1, or an expiry interval of 0.
        self.temporary = expiry == 0 or (clean and self.version < 5)
        self.ending = False  # a DISCONNECT was sent that ends the session
        self.expected = None  # session present: True, False, or None where both are right
        self.ambiguous = False  # without an answer, nobody knows whose state is there afterwards
        self.accepted = self.lost = self.hung_up = False
        self.finished = False  # the broker has been told that nothing more will come
        # The broker closed it while it was alive: it has seen our end of stream or DISCONNECT.
        self.certain = False
        self.opened = self.last_heard = time.monotonic()
        self.unacked = set()  # ids of PUBLISH packets that came and were not answered to the end
        self.transport, self.rest = None, b""

    # What asyncio calls

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.last_heard = time.monotonic()
        data = self.rest + data if self.rest else data
        at, end = 0, len(data)
        try:
            while end - at >= 2:
                head = wire.parse_length(data[at:at + 5])
                if head is None or at + sum(head) > end:
                    break
                after = at + sum(head)
                packet = wire.parse(data[at:after], self.version)
                at = after
                self.client.received(self, packet)
        except wire.Violation as violation:
            self.client.fail(f"what no server may send: {violation}")
            self.hang_up()
        except Exception as error:  # a fault of the harness must not look like a lost connection
            self.client.fail(f"the harness itself: {traceback.format_exc()}")
            raise error
        self.rest = data[at:]
        self.client.nudge()

    def eof_received(self):
        self.certain = not self.hung_up and self.broker.alive_since(self.life)

    def connection_lost(self, error):
        self.lost = True
        how = "closed by the broker" if self.certain else "closed" if self.hung_up else "lost"
        self.note("-", how)
        self.client.disconnected(self)
        self.client.nudge()

    # What the client does with it

    def is_open(self):
        return not (self.lost or self.hung_up or self.finished)

    def send(self, data, *note):
        """Sends a packet; `note` is what the history keeps of it."""
        if self.is_open():
            self.note(">", *note)
            self.transport.write(data)

    def half_close(self):
        """Ends our stream, and leaves it to the broker to close the connection."""
        if self.is_open() and self.transport.can_write_eof():
            self.note(">", "end of stream")
            self.finished = True
            try:
                self.transport.write_eof()
            except OSError:
                pass  # the broker was killed a moment ago

    def hang_up(self, politely=False):
        """Closes it: at once, or after what was written is sent."""
        self.hung_up = True
        if self.transport is not None:
            if politely:
                self.transport.close()
            else:
                self.transport.abort()

    def broker_was_killed(self):
        return not self.broker.alive_since(self.life)

    def note(self, direction, *what):
        self.client.history.append((
            time.monotonic(), self.client.ledger.clock, self.number, direction, *what))

    def note_received(self, packet):
        kind = packet.kind
        if kind == wire.PUBLISH:
            head = packet.payload[:packet.payload.rfind(b"|") + 1]
            self.note("<", "PUBLISH", packet.pid, f"QoS {packet.qos}", "DUP" * packet.dup,
                      "RETAIN" * packet.retain, packet.topic, head)
        elif kind == wire.CONNACK:
            self.note("<", "CONNACK", hex(packet.reason),
                      "session present" if packet.session_present else "no session")
        else:
            self.note("<", wire.NAMES[kind], packet.pid or "", hex(packet.reason), *packet.codes)
