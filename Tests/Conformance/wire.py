"""MQTT 3.1, 3.1.1 and 5.0 on bytes: builders that can be made to break the rules, and a parser
that lets nothing pass that a server must not send.

Versions are the protocol levels: 3 is 3.1, 4 is 3.1.1, 5 is 5.0.
"""
import struct
from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = (
    8, 9, 10, 11, 12, 13, 14, 15)
NAMES = {1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL",
         7: "PUBCOMP", 8: "SUBSCRIBE", 9: "SUBACK", 10: "UNSUBSCRIBE", 11: "UNSUBACK",
         12: "PINGREQ", 13: "PINGRESP", 14: "DISCONNECT", 15: "AUTH"}

# Properties: name, id, form.
BYTE, TWO, FOUR, VARIABLE, STRING, BINARY, PAIR = range(7)
PAYLOAD_FORMAT, MESSAGE_EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION = 1, 2, 3, 8, 9
SUBSCRIPTION_ID, SESSION_EXPIRY, ASSIGNED_ID, SERVER_KEEP_ALIVE = 11, 17, 18, 19
AUTH_METHOD, AUTH_DATA, PROBLEM_INFO, WILL_DELAY, RESPONSE_INFO_WANTED = 21, 22, 23, 24, 25
RESPONSE_INFO, SERVER_REFERENCE, REASON_STRING, RECEIVE_MAXIMUM = 26, 28, 31, 33
ALIAS_MAXIMUM, TOPIC_ALIAS, MAXIMUM_QOS, RETAIN_AVAILABLE, USER_PROPERTY = 34, 35, 36, 37, 38
MAXIMUM_PACKET, WILDCARD_AVAILABLE, SUBSCRIPTION_ID_AVAILABLE, SHARED_AVAILABLE = 39, 40, 41, 42
FORMS = {1: BYTE, 2: FOUR, 3: STRING, 8: STRING, 9: BINARY, 11: VARIABLE, 17: FOUR, 18: STRING,
         19: TWO, 21: STRING, 22: BINARY, 23: BYTE, 24: FOUR, 25: BYTE, 26: STRING, 28: STRING,
         31: STRING, 33: TWO, 34: TWO, 35: TWO, 36: BYTE, 37: BYTE, 38: PAIR, 39: FOUR, 40: BYTE,
         41: BYTE, 42: BYTE}
# What a server may put into each of its packets.
ALLOWED = {
    CONNACK: {17, 18, 19, 21, 22, 26, 28, 31, 33, 34, 36, 37, 38, 39, 40, 41, 42},
    PUBLISH: {1, 2, 3, 8, 9, 11, 35, 38},
    PUBACK: {31, 38}, PUBREC: {31, 38}, PUBREL: {31, 38}, PUBCOMP: {31, 38},
    SUBACK: {31, 38}, UNSUBACK: {31, 38},
    DISCONNECT: {28, 31, 38},  # the session expiry interval is the client's alone
    AUTH: {21, 22, 31, 38},
}
BOOLEANS = {1, 36, 37, 40, 41, 42}
REASONS = {
    CONNACK: {0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
              0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
    PUBACK: {0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
    PUBREC: {0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
    PUBREL: {0, 0x92}, PUBCOMP: {0, 0x92},
    SUBACK: {0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    UNSUBACK: {0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    DISCONNECT: {0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
                 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1,
                 0xA2},
    AUTH: {0, 0x18},
}


class Violation(AssertionError):
    """The server sent what no server may send."""


def require(condition, text):
    if not condition:
        raise Violation(text)


# Builders -------------------------------------------------------------------------------------

def variable(value):
    """A variable byte integer in its shortest form."""
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        out.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(out)


def raw(value):
    return value.encode("utf-8") if isinstance(value, str) else bytes(value)


def string(value):
    """A length of two bytes and the bytes; str or, to send ill-formed UTF-8, bytes."""
    data = raw(value)
    return struct.pack(">H", len(data)) + data


def property_bytes(identifier, value):
    form = FORMS[identifier]
    if form == BYTE:
        data = bytes([value])
    elif form == TWO:
        data = struct.pack(">H", value)
    elif form == FOUR:
        data = struct.pack(">I", value)
    elif form == VARIABLE:
        data = variable(value)
    elif form == PAIR:
        data = string(value[0]) + string(value[1])
    else:
        data = string(value)
    return bytes([identifier]) + data


def properties(pairs):
    """A property block from (id, value) pairs; bytes are taken as they are, without the length."""
    body = pairs if isinstance(pairs, bytes) else b"".join(property_bytes(*p) for p in pairs)
    return variable(len(body)) + body


def packet(first, body=b""):
    return bytes([first]) + variable(len(body)) + body


@dataclass
class Will:
    """A will message of CONNECT."""
    topic: object
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    properties: object = ()


def connect(client_id="", version=4, *, clean=True, keep_alive=0, will=None, user=None,
            password=None, props=(), flags=None, name=None, level=None):
    """CONNECT. `flags`, `name` and `level` override what the other arguments would give."""
    own = 0x02 if clean else 0
    payload = string(client_id)
    if will is not None:
        own |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        if version == 5:
            payload += properties(will.properties)
        payload += string(will.topic) + string(will.payload)
    if user is not None:
        own |= 0x80
        payload += string(user)
    if password is not None:
        own |= 0x40
        payload += string(password)
    if name is None:
        name = "MQIsdp" if version == 3 else "MQTT"
    level = version if level is None else level
    head = string(name) + bytes([level, own if flags is None else flags])
    head += struct.pack(">H", keep_alive)
    if version == 5:
        head += properties(props)
    return packet(CONNECT << 4, head + payload)


def publish(topic, payload=b"", version=4, *, qos=0, retain=False, dup=False, pid=None, props=()):
    body = string(topic)
    if pid is not None:
        body += struct.pack(">H", pid)
    if version == 5:
        body += properties(props)
    return packet(PUBLISH << 4 | dup << 3 | qos << 1 | retain, body + raw(payload))


def ack(kind, pid, version=4, reason=None, props=None):
    """PUBACK, PUBREC, PUBREL or PUBCOMP; the short form where there is no reason."""
    body = struct.pack(">H", pid)
    if reason is not None:
        body += bytes([reason])
        if props is not None:
            body += properties(props)
    return packet(kind << 4 | (2 if kind == PUBREL else 0), body)


def subscribe(pid, filters, version=4, props=()):
    """SUBSCRIBE of (filter, options byte) pairs."""
    body = struct.pack(">H", pid) + (properties(props) if version == 5 else b"")
    return packet(SUBSCRIBE << 4 | 2, body + b"".join(string(f) + bytes([o]) for f, o in filters))


def unsubscribe(pid, filters, version=4, props=()):
    body = struct.pack(">H", pid) + (properties(props) if version == 5 else b"")
    return packet(UNSUBSCRIBE << 4 | 2, body + b"".join(string(f) for f in filters))


def disconnect(reason=None, props=None):
    if reason is None:
        return packet(DISCONNECT << 4)
    return packet(DISCONNECT << 4, bytes([reason]) + (b"" if props is None else properties(props)))


PING = packet(PINGREQ << 4)


# Parser ---------------------------------------------------------------------------------------

@dataclass
class Packet:
    """A packet that came from the server. Fields that a type has not are left as they are here."""
    kind: int
    size: int
    dup: bool = False
    qos: int = 0
    retain: bool = False
    topic: str = ""
    payload: bytes = b""
    pid: int = 0
    reason: int = 0
    codes: list = field(default_factory=list)
    session_present: bool = False
    props: list = field(default_factory=list)

    def get(self, identifier, default=None):
        """The property's value; the first one where there are several."""
        return next((v for i, v in self.props if i == identifier), default)

    def all(self, identifier):
        return [v for i, v in self.props if i == identifier]

    def __str__(self):
        return f"{NAMES[self.kind]} {self.__dict__}"


class Reader:
    """Takes fields from a packet's body."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        require(self.at + count <= len(self.data), "a packet ends inside a field")
        self.at += count
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def two(self):
        return struct.unpack(">H", self.take(2))[0]

    def four(self):
        return struct.unpack(">I", self.take(4))[0]

    def binary(self):
        return self.take(self.two())

    def string(self):
        data = self.binary()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Violation(f"a string that is not UTF-8: {data!r}") from error
        require("\0" not in text, "a string with U+0000")
        return text

    def variable(self):
        value = shift = 0
        for count in range(1, 5):
            digit = self.byte()
            value |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                require(digit or count == 1, "a variable byte integer with a byte too many")
                return value
        raise Violation("a variable byte integer of more than 4 bytes")

    def properties(self, kind):
        length = self.variable()
        block = Reader(self.take(length))
        found = []
        while block.at < length:
            identifier = block.variable()
            require(identifier in ALLOWED[kind], f"property {identifier} in {NAMES[kind]}")
            form = FORMS[identifier]
            value = {BYTE: block.byte, TWO: block.two, FOUR: block.four,
                     VARIABLE: block.variable, STRING: block.string, BINARY: block.binary,
                     PAIR: lambda: (block.string(), block.string())}[form]()
            repeatable = identifier == USER_PROPERTY or (
                identifier == SUBSCRIPTION_ID and kind == PUBLISH)
            require(repeatable or identifier not in [i for i, _ in found],
                    f"property {identifier} twice in {NAMES[kind]}")
            if identifier in BOOLEANS:
                require(value <= 1, f"property {identifier} is {value}")
            if identifier in (SUBSCRIPTION_ID, RECEIVE_MAXIMUM, MAXIMUM_PACKET, TOPIC_ALIAS):
                require(value > 0, f"property {identifier} is 0")
            found.append((identifier, value))
        return found

    def rest(self):
        return self.take(len(self.data) - self.at)


def parse_length(data):
    """(bytes of the fixed header, remaining length), or None while more bytes are needed."""
    value = shift = 0
    for index in range(1, 5):
        if index >= len(data):
            return None
        value |= (data[index] & 0x7F) << shift
        shift += 7
        if not data[index] & 0x80:
            require(data[index] or index == 1, "a remaining length with a byte too many")
            return index + 1, value
    raise Violation("a remaining length of more than 4 bytes")


def parse(data, version):
    """One whole packet from a server, strictly."""
    kind, flags = data[0] >> 4, data[0] & 15
    head, _ = parse_length(data)
    body = Reader(data[head:])
    result = Packet(kind, len(data))
    legal = {CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP}
    require(kind in legal or (version == 5 and kind in (DISCONNECT, AUTH)),
            f"a server of this version sends no {NAMES.get(kind, kind)}")
    if kind != PUBLISH:
        require(flags == (2 if kind == PUBREL else 0), f"{NAMES[kind]} has flags {flags:04b}")
    if kind == CONNACK:
        parse_connack(result, body, version)
    elif kind == PUBLISH:
        result.dup, result.qos, result.retain = bool(flags & 8), flags >> 1 & 3, bool(flags & 1)
        require(result.qos < 3, "PUBLISH with QoS 3")
        require(result.qos or not result.dup, "PUBLISH with QoS 0 and DUP 1")
        result.topic = body.string()
        if result.qos:
            result.pid = body.two()
        if version == 5:
            result.props = body.properties(PUBLISH)
        require("+" not in result.topic and "#" not in result.topic, "a wildcard in PUBLISH")
        require(result.topic or result.get(TOPIC_ALIAS), "PUBLISH without a topic")
        result.payload = body.rest()
    elif kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        result.pid = body.two()
        if version == 5 and body.at < len(body.data):
            result.reason = body.byte()
            if body.at < len(body.data):
                result.props = body.properties(kind)
        require(result.reason in REASONS[kind], f"{NAMES[kind]} reason {result.reason:#x}")
    elif kind in (SUBACK, UNSUBACK):
        result.pid = body.two()
        if version == 5:
            result.props = body.properties(kind)
        if kind == SUBACK or version == 5:
            result.codes = list(body.rest())
            legal = REASONS[kind] if version == 5 else {0, 1, 2, 0x80}
            require(result.codes and set(result.codes) <= legal,
                    f"{NAMES[kind]} codes {result.codes}")
    elif kind in (DISCONNECT, AUTH) and body.data:
        result.reason = body.byte()
        if body.at < len(body.data):
            result.props = body.properties(kind)
        require(result.reason in REASONS[kind], f"{NAMES[kind]} reason {result.reason:#x}")
    if result.qos or PUBACK <= kind <= UNSUBACK:
        require(result.pid, f"{NAMES[kind]} with packet id 0")
    require(body.at == len(body.data), f"{NAMES[kind]} with bytes left over")
    return result


def parse_connack(result, body, version):
    flags = body.byte()
    require(flags <= 1, f"CONNACK flags {flags:#x}")
    result.session_present = bool(flags)
    result.reason = body.byte()
    if version == 5:
        # A server that refuses the version may answer in the form of 3.1.1.
        if body.at == len(body.data) and result.reason in (1, 0x84):
            return
        result.props = body.properties(CONNACK)
        require(result.reason in REASONS[CONNACK], f"CONNACK reason {result.reason:#x}")
    else:
        # The other way round: CONNACK 0x84 of 5.0, for a level that is no 3.x.
        if result.reason == 0x84:
            result.props = body.properties(CONNACK)
            return
        require(result.reason <= 5, f"CONNACK return code {result.reason}")
    require(version != 3 or not flags, "CONNACK of 3.1 has no session present")
    require(not (result.reason and flags), "a refusing CONNACK with session present")
