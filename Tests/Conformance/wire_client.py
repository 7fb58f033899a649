"""A blocking MQTT client over wire.py that checks all that it receives."""
import os
import socket
import time
from collections import deque

import wire

# How long an answer may take before a test gives up; a passing test never waits for it.
TIMEOUT = float(os.environ.get("CONFORMANCE_TIMEOUT", "5"))


class Closed(Exception):
    """The server closed the connection."""


class Client:
    """One network connection. What the server sends is checked against what CONNECT announced."""

    def __init__(self, address, version=4):
        self.address, self.version = address, version
        self.socket = socket.create_connection(address, timeout=TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.inbox = deque()
        self.client_id = None
        self.connack = None
        self.disconnected = False
        self.in_flight = set()
        self.aliases = {}
        self.next_pid = 0
        self.maximum_packet, self.receive_maximum, self.alias_maximum = None, 65535, 0
        self.problem_info, self.response_info, self.auth_method = 1, 0, None

    # Sending

    def send(self, *packets):
        """Sends packets, or any bytes, in one write."""
        self.socket.sendall(b"".join(packets))

    def send_connect(self, client_id="", **options):
        props = dict(p for p in options.get("props", ()) if not isinstance(p, int))
        self.client_id = client_id
        self.maximum_packet = props.get(wire.MAXIMUM_PACKET)
        self.receive_maximum = props.get(wire.RECEIVE_MAXIMUM, 65535)
        self.alias_maximum = props.get(wire.ALIAS_MAXIMUM, 0)
        self.problem_info = props.get(wire.PROBLEM_INFO, 1)
        self.response_info = props.get(wire.RESPONSE_INFO_WANTED, 0)
        self.auth_method = props.get(wire.AUTH_METHOD)
        self.send(wire.connect(client_id, self.version, **options))

    def connect(self, client_id="", **options):
        """CONNECT that has to succeed; gives the CONNACK."""
        self.send_connect(client_id, **options)
        answer = self.expect(wire.CONNACK)
        assert answer.reason == 0, f"refused: {answer}"
        return answer

    def pid(self):
        self.next_pid = self.next_pid % 65535 + 1
        return self.next_pid

    def subscribe(self, *filters, props=()):
        """Subscribes to filters or (filter, options) pairs; gives the SUBACK."""
        pairs = [(f, 0) if isinstance(f, (str, bytes)) else f for f in filters]
        pid = self.pid()
        self.send(wire.subscribe(pid, pairs, self.version, props))
        answer = self.wait(wire.SUBACK)
        assert answer.pid == pid
        assert len(answer.codes) == len(pairs)
        return answer

    def unsubscribe(self, *filters):
        pid = self.pid()
        self.send(wire.unsubscribe(pid, filters, self.version))
        answer = self.wait(wire.UNSUBACK)
        assert answer.pid == pid
        return answer

    def publish(self, topic, payload=b"", qos=0, **options):
        """Publishes and completes the exchange; gives the PUBACK or PUBREC. QoS 0 does a ping, so
        that the server has processed the message in every case."""
        if qos == 0:
            self.send(wire.publish(topic, payload, self.version, **options))
            self.ping()
            return None
        pid = options.pop("pid", None) or self.pid()
        self.send(wire.publish(topic, payload, self.version, qos=qos, pid=pid, **options))
        answer = self.wait(wire.PUBACK if qos == 1 else wire.PUBREC)
        assert answer.pid == pid
        if qos == 2 and answer.reason < 0x80:
            self.send(wire.ack(wire.PUBREL, pid, self.version))
            assert self.wait(wire.PUBCOMP).pid == pid
        return answer

    def ack(self, kind, pid, reason=None, props=None):
        """Answers a PUBLISH or PUBREL of the server."""
        self.send(wire.ack(kind, pid, self.version, reason, props))
        if kind in (wire.PUBACK, wire.PUBCOMP) or (reason or 0) >= 0x80:
            self.in_flight.discard(pid)

    def ping(self):
        """A round trip: all that was sent before has been read by the server."""
        self.send(wire.PING)
        self.wait(wire.PINGRESP)

    def disconnect(self, reason=None, props=None):
        """DISCONNECT, and waits until the server has closed."""
        self.send(wire.disconnect(reason, props))
        return self.end()

    def drop(self):
        """Ends the connection as a network failure would, and waits until the server noticed."""
        return self.end()

    def end(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server was quicker
        return self.closed()

    def close(self):
        self.socket.close()

    # Receiving

    def read(self, deadline):
        """One packet from the socket."""
        while True:
            head = wire.parse_length(self.buffer) if len(self.buffer) > 1 else None
            if head and len(self.buffer) >= sum(head):
                data = bytes(self.buffer[:sum(head)])
                del self.buffer[:sum(head)]
                return self.check(wire.parse(data, self.version))
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no packet within the time; {len(self.buffer)} bytes wait")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 18)
            except socket.timeout as error:
                raise AssertionError("no packet within the time") from error
            except ConnectionError as error:
                raise Closed() from error
            if not data:
                wire.require(not self.buffer, "the server closed inside a packet")
                raise Closed()
            self.buffer += data

    def check(self, packet):
        """The rules that need to know what this connection announced."""
        kind, require = packet.kind, wire.require
        require(not self.disconnected, "a packet after DISCONNECT")
        if self.connack is None:
            require(kind == wire.CONNACK or (kind == wire.AUTH and self.auth_method is not None),
                    f"{wire.NAMES[kind]} before CONNACK")
        else:
            require(kind != wire.CONNACK, "a second CONNACK")
            require(self.connack.reason == 0, "a packet after a refusing CONNACK")
        if self.maximum_packet is not None:
            require(packet.size <= self.maximum_packet,
                    f"{packet.size} bytes, above the maximum of {self.maximum_packet}")
        if not self.problem_info and kind not in (wire.PUBLISH, wire.CONNACK, wire.DISCONNECT):
            require(not packet.props, f"problem information in {packet}")
        if kind == wire.CONNACK:
            self.connack = packet
            require(self.response_info or packet.get(wire.RESPONSE_INFO) is None,
                    "response information that nobody asked for")
            require(packet.get(wire.AUTH_METHOD) == (self.auth_method if packet.reason == 0
                                                     else packet.get(wire.AUTH_METHOD)),
                    "an authentication method that the client did not name")
            require(self.auth_method is not None or packet.get(wire.AUTH_METHOD) is None,
                    "an authentication method in answer to none")
        elif kind == wire.PUBLISH:
            self.check_publish(packet)
        elif kind == wire.DISCONNECT:
            self.disconnected = True
        return packet

    def check_publish(self, packet):
        require = wire.require
        alias = packet.get(wire.TOPIC_ALIAS)
        if alias is not None:
            require(alias <= self.alias_maximum, f"topic alias {alias} of {self.alias_maximum}")
            if packet.topic:
                self.aliases[alias] = packet.topic
            require(alias in self.aliases, f"topic alias {alias} was never set")
            packet.topic = self.aliases[alias]
        if packet.qos:
            require(packet.dup or packet.pid not in self.in_flight,
                    f"packet id {packet.pid} is in use")
            self.in_flight.add(packet.pid)
            require(len(self.in_flight) <= self.receive_maximum,
                    f"{len(self.in_flight)} in flight, above {self.receive_maximum}")

    def receive(self, timeout=TIMEOUT):
        """The next packet."""
        return self.inbox.popleft() if self.inbox else self.read(time.monotonic() + timeout)

    def receive_or_none(self):
        """The next packet, or None where the server closes."""
        try:
            return self.receive()
        except Closed:
            return None

    def expect(self, kind, timeout=TIMEOUT):
        """The next packet, which is of this kind."""
        try:
            packet = self.receive(timeout)
        except Closed:
            raise AssertionError(f"closed, where {wire.NAMES[kind]} was due") from None
        assert packet.kind == kind, f"{packet} where {wire.NAMES[kind]} was due"
        return packet

    def wait(self, kind, timeout=TIMEOUT):
        """The next packet of this kind; others that come first stay for `receive`."""
        for index, packet in enumerate(self.inbox):
            if packet.kind == kind:
                del self.inbox[index]
                return packet
        deadline = time.monotonic() + timeout
        while True:
            try:
                packet = self.read(deadline)
            except Closed:
                raise AssertionError(f"closed, where {wire.NAMES[kind]} was due") from None
            if packet.kind == kind:
                return packet
            self.inbox.append(packet)

    def message(self, timeout=TIMEOUT):
        """The next PUBLISH, acknowledged to the end."""
        packet = self.wait(wire.PUBLISH, timeout)
        self.complete(packet)
        return packet

    def complete(self, packet):
        """Acknowledges a PUBLISH as its QoS asks."""
        if packet.qos == 1:
            self.ack(wire.PUBACK, packet.pid)
        elif packet.qos == 2:
            self.ack(wire.PUBREC, packet.pid)
            release = self.wait(wire.PUBREL)
            assert release.pid == packet.pid
            self.ack(wire.PUBCOMP, packet.pid)

    def until(self, payload, timeout=TIMEOUT):
        """The messages before the one with this payload, all acknowledged."""
        found = []
        while True:
            packet = self.message(timeout)
            if packet.payload == payload:
                return found
            found.append(packet)

    def nothing_before_ping(self):
        """After a round trip, nothing has come besides its answer."""
        self.ping()
        assert not self.inbox, f"unexpected: {[str(p) for p in self.inbox]}"

    def closed(self, timeout=TIMEOUT):
        """The server closes; gives the packets that came before."""
        before, deadline = list(self.inbox), time.monotonic() + timeout
        self.inbox.clear()
        try:
            while True:
                before.append(self.read(deadline))
        except Closed:
            self.close()
            return before
        except wire.Violation:
            raise
        except AssertionError as error:
            raise AssertionError(f"not closed; came: {[str(p) for p in before]}") from error

    def refused(self, *reasons):
        """The server ends the connection as an error: without a word, or in 5.0 with a DISCONNECT
        (before acceptance: a CONNACK) whose reason is one of these or, with none given, any
        error. Packets before it, such as messages, are given back."""
        before = self.closed()
        if before and before[-1].kind in (wire.DISCONNECT, wire.CONNACK):
            last = before[-1]
            if last.kind == wire.DISCONNECT or last.reason:
                assert self.version == 5 or last.kind == wire.CONNACK
                # A server may refuse a version in the form of 3.1.1.
                if last.kind == wire.DISCONNECT or last.reason != 1:
                    assert last.reason >= (0x80 if self.version == 5 else 1), f"no error: {last}"
                    assert not reasons or last.reason in reasons, f"not {reasons}: {last}"
                return before[:-1]
        return before
