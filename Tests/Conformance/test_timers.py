"""What takes time: keep alive, expiry of sessions and messages, will delay.

Each scenario needs a second or more of waiting; all of them start together, in threads, when the
first test asks for one, and each test takes the result of its own.
"""
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import wire
from wire import Will
from wire_client import Client

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


class World:
    """What a scenario needs: connected clients that end with it, and unique names."""

    def __init__(self, address, prefix):
        self.address, self.prefix, self.clients, self.count = address, prefix, [], 0

    def name(self, text="n"):
        self.count += 1
        return f"{self.prefix}{text}{self.count}"

    def client(self, version=4, client_id=None, **options):
        own = Client(self.address, version)
        self.clients.append(own)
        own.connect(self.name("id") if client_id is None else client_id, **options)
        return own

    def watch(self, version=4):
        """A client that is subscribed to a new topic, which it has as `topic`."""
        own = self.client(version)
        own.topic = self.name("t")
        own.subscribe((own.topic, 2))
        return own

    def close(self):
        for client in self.clients:
            client.close()


def run(function, address, prefix):
    world = World(address, prefix)
    try:
        return function(world)
    finally:
        world.close()


@pytest.fixture(scope="module")
def outcome(broker):
    """outcome(scenario): what it gives; its failure is the test's."""
    prefix = f"w{time.time_ns() % 10**12}x"
    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        running = {function: pool.submit(run, function, broker, f"{prefix}{index}y")
                   for index, function in enumerate(SCENARIOS)}
        yield lambda function: running[function].result(30)


def elapsed(since):
    return time.monotonic() - since


# Keep alive -----------------------------------------------------------------------------------

def silent(world, version):
    """How long a silent client with a keep alive of 1 s lives, and whether its will came."""
    watcher = world.watch(version)
    own = world.client(version, keep_alive=1, will=Will(watcher.topic, b"gone", 1))
    since = time.monotonic()
    last = own.closed(8)
    lived = elapsed(since)
    assert [p.reason for p in last] in ([], [0x8D])
    assert watcher.message().payload == b"gone"
    return lived


@scenario
def silent_v3(world):
    return silent(world, 4)


@scenario
def silent_v5(world):
    return silent(world, 5)


def test_a_silent_client_is_disconnected_in_3_1_1(outcome):
    """As if the network had failed: the will comes. v3:MQTT-3.1.2-24 v3:MQTT-3.1.2-8"""
    assert 1.4 <= outcome(silent_v3) <= 4


def test_a_silent_client_is_disconnected_in_5(outcome):
    """CONNACK named no keep alive, so the client's counts. v5:MQTT-3.1.2-22 v5:MQTT-3.2.2-22
    v5:MQTT-3.1.2-8"""
    assert 1.4 <= outcome(silent_v5) <= 4


@scenario
def busy(world):
    """Any packet keeps a client alive; a keep alive of 0 asks for none."""
    pinging, publishing = world.client(4, keep_alive=1), world.client(5, keep_alive=1)
    forever = world.client(4, keep_alive=0)
    topic = world.name("t")
    for index in range(5):
        time.sleep(0.6)
        pinging.ping()
        publishing.send(wire.publish(topic, b"x", 5, qos=1, pid=index + 1))
        publishing.expect(wire.PUBACK)
    forever.ping()
    return True


def test_a_client_that_sends_is_kept(outcome):
    """v3:MQTT-3.1.2-24 v5:MQTT-3.1.2-22 v3:MQTT-4.1.0-2"""
    assert outcome(busy)


# Sessions -------------------------------------------------------------------------------------

@scenario
def session_expiry(world):
    """A session of 1 s: there after 0.3 s, gone after 2.5 s, and its queue with it."""
    own_id, topic = world.name("id"), world.name("t")
    props = [(wire.SESSION_EXPIRY, 1)]
    own = world.client(5, own_id, props=props)
    own.subscribe((topic, 1))
    own.drop()
    time.sleep(0.3)
    own = world.client(5, own_id, clean=False, props=props)
    early = own.connack.session_present
    # The time counts from the end of the connection, not from its beginning.
    time.sleep(1.5)
    own.ping()
    world.client(5).publish(topic, b"held", 1)
    held = own.message().payload == b"held"
    own.disconnect()
    world.client(5).publish(topic, b"queued", 1)
    time.sleep(2.5)
    own = world.client(5, own_id, clean=False, props=props)
    late = own.connack.session_present
    own.nothing_before_ping()
    own.disconnect(0, [(wire.SESSION_EXPIRY, 0)])
    return early, held, late


def test_a_session_ends_when_its_expiry_has_passed(outcome):
    """v5:MQTT-4.1.0-2 v5:MQTT-3.1.2-23 v5:MQTT-4.1.0-1"""
    assert outcome(session_expiry) == (True, True, False)


@scenario
def disconnect_expiry(world):
    """DISCONNECT gives a session of 600 s one of 1 s."""
    own = world.client(5, props=[(wire.SESSION_EXPIRY, 600)])
    own.disconnect(0, [(wire.SESSION_EXPIRY, 1)])
    time.sleep(2.3)
    return world.client(5, own.client_id, clean=False).connack.session_present


def test_disconnect_can_shorten_the_expiry(outcome):
    """v5:MQTT-4.1.0-2"""
    assert outcome(disconnect_expiry) is False


# Wills ----------------------------------------------------------------------------------------

@scenario
def will_delay(world):
    watcher = world.watch(5)
    will = Will(watcher.topic, b"gone", 1, properties=[(wire.WILL_DELAY, 1)])
    own = world.client(5, will=will, props=[(wire.SESSION_EXPIRY, 60)])
    own.drop()
    since = time.monotonic()
    assert watcher.message(8).payload == b"gone"
    return elapsed(since)


def test_a_will_waits_for_its_delay(outcome):
    """v5:MQTT-3.1.2-8 v5:MQTT-3.1.2-7"""
    assert 0.8 <= outcome(will_delay) <= 3


@scenario
def will_of_an_ended_session(world):
    """The session ends before the delay, so the will comes with its end."""
    watcher = world.watch(5)
    will = Will(watcher.topic, b"gone", 1, properties=[(wire.WILL_DELAY, 600)])
    world.client(5, will=will, props=[(wire.SESSION_EXPIRY, 1)]).drop()
    since = time.monotonic()
    assert watcher.message(8).payload == b"gone"
    return elapsed(since)


def test_a_will_comes_when_the_session_ends(outcome):
    """v5:MQTT-3.1.2-8"""
    assert 0.8 <= outcome(will_of_an_ended_session) <= 3.5


@scenario
def will_without_session(world):
    """A session that ends with its connection does not hold back its will."""
    watcher = world.watch(5)
    will = Will(watcher.topic, b"gone", 1, properties=[(wire.WILL_DELAY, 600)])
    world.client(5, will=will).drop()
    return watcher.message().payload


def test_a_will_comes_at_once_where_the_session_ends_at_once(outcome):
    """v5:MQTT-3.1.2-8"""
    assert outcome(will_without_session) == b"gone"


@scenario
def will_and_return(world):
    """The client is back within the delay."""
    watcher = world.watch(5)
    will = Will(watcher.topic, b"wrong", 2, properties=[(wire.WILL_DELAY, 1)])
    own = world.client(5, will=will, props=[(wire.SESSION_EXPIRY, 60)])
    own.drop()
    again = world.client(5, own.client_id, clean=False, props=[(wire.SESSION_EXPIRY, 60)])
    assert again.connack.session_present
    time.sleep(2.2)
    world.client(5).publish(watcher.topic, b"marker", 2)
    again.ping()
    return [m.payload for m in watcher.until(b"marker")]


def test_a_return_within_the_delay_stops_the_will(outcome):
    """v5:MQTT-3.1.3-9 v5:MQTT-3.1.2-8"""
    assert outcome(will_and_return) == []


@scenario
def will_and_clean_return(world):
    """A clean start ends the old session, so its will comes."""
    watcher = world.watch(5)
    will = Will(watcher.topic, b"gone", 1, properties=[(wire.WILL_DELAY, 600)])
    own = world.client(5, will=will, props=[(wire.SESSION_EXPIRY, 60)])
    own.drop()
    world.client(5, own.client_id, clean=True)
    return watcher.message().payload


def test_a_clean_start_within_the_delay_ends_the_session(outcome):
    """v5:MQTT-3.1.2-8 v5:MQTT-3.1.2-4"""
    assert outcome(will_and_clean_return) == b"gone"


# Messages -------------------------------------------------------------------------------------

@scenario
def message_expiry(world):
    """Queued messages of 1 s and 100 s, and a retained one of 1 s, looked at after 2.2 s."""
    own_id, topic, kept = world.name("id"), world.name("t"), world.name("r")
    sender = world.client(5)
    own = world.client(5, own_id, props=[(wire.SESSION_EXPIRY, 60)])
    own.subscribe((topic, 2))
    own.disconnect()
    for qos in (1, 2):
        sender.publish(topic, b"short %d" % qos, qos, props=[(wire.MESSAGE_EXPIRY, 1)])
        sender.publish(topic, b"long %d" % qos, qos, props=[(wire.MESSAGE_EXPIRY, 100)])
        sender.publish(topic, b"for ever %d" % qos, qos)
    sender.publish(kept, b"short", 1, retain=True, props=[(wire.MESSAGE_EXPIRY, 1)])
    sender.publish(kept + "/2", b"long", 1, retain=True, props=[(wire.MESSAGE_EXPIRY, 100)])
    time.sleep(2.2)
    own = world.client(5, own_id, clean=False, props=[(wire.SESSION_EXPIRY, 60)])
    messages = [own.message() for _ in range(4)]
    own.nothing_before_ping()
    late = world.client(5)
    late.subscribe((kept, 1), (kept + "/2", 1))
    messages.append(late.message())
    late.nothing_before_ping()
    sender.publish(kept + "/2", b"", 1, retain=True)
    return [(m.payload, m.get(wire.MESSAGE_EXPIRY)) for m in messages]


def test_messages_expire_in_the_queue(outcome):
    """v5:MQTT-3.3.2-5"""
    assert sorted(payload for payload, _ in outcome(message_expiry)) == [
        b"for ever 1", b"for ever 2", b"long", b"long 1", b"long 2"]


def test_the_waiting_time_is_taken_off_the_expiry(outcome):
    """v5:MQTT-3.3.2-6"""
    for payload, expiry in outcome(message_expiry):
        if payload.startswith(b"long"):
            assert 96 <= expiry <= 98
        else:
            assert expiry is None


@scenario
def live_expiry(world):
    own = world.watch(5)
    world.client(5).publish(own.topic, b"x", 1, props=[(wire.MESSAGE_EXPIRY, 50)])
    return own.message().get(wire.MESSAGE_EXPIRY)


def test_a_message_that_does_not_wait_keeps_its_expiry(outcome):
    """v5:MQTT-3.3.2-6"""
    assert outcome(live_expiry) in (49, 50)


@scenario
def expiry_after_sending(world):
    """QoS 2 messages of 1 s whose PUBLISH, or PUBREL, was sent before they expired."""
    own_id, topic, sender = world.name("id"), world.name("t"), world.client(5)
    props = [(wire.SESSION_EXPIRY, 60)]
    own = world.client(5, own_id, props=props)
    own.subscribe((topic, 2))
    for index in range(2):
        sender.publish(topic, b"%d" % index, 2, props=[(wire.MESSAGE_EXPIRY, 1)])
    first = [own.expect(wire.PUBLISH) for _ in range(2)]
    own.ack(wire.PUBREC, first[0].pid)
    assert own.expect(wire.PUBREL).pid == first[0].pid
    own.drop()
    time.sleep(2.2)
    own = world.client(5, own_id, clean=False, props=props)
    again = sorted(((p.kind, p.pid) for p in (own.receive(), own.receive())))
    return again, [(wire.PUBLISH, first[1].pid), (wire.PUBREL, first[0].pid)]


def test_a_message_that_was_sent_does_not_expire(outcome):
    """v5:MQTT-4.3.3-7"""
    again, expected = outcome(expiry_after_sending)
    assert again == expected


@scenario
def expiry_between_pubrec_and_pubrel(world):
    """The sender's exchange goes on though the message has expired meanwhile."""
    topic, sender = world.name("t"), world.client(5)
    sender.send(wire.publish(topic, b"x", 5, qos=2, pid=9, props=[(wire.MESSAGE_EXPIRY, 1)]))
    assert sender.expect(wire.PUBREC).pid == 9
    time.sleep(2.2)
    sender.send(wire.publish(topic, b"x", 5, qos=2, pid=9, dup=True,
                             props=[(wire.MESSAGE_EXPIRY, 1)]))
    assert sender.expect(wire.PUBREC).pid == 9
    sender.send(wire.ack(wire.PUBREL, 9, 5))
    answer = sender.expect(wire.PUBCOMP)
    return answer.pid, answer.reason


def test_the_exchange_goes_on_after_expiry(outcome):
    """v5:MQTT-4.3.3-13"""
    assert outcome(expiry_between_pubrec_and_pubrel) == (9, 0)


# The server's own limits ----------------------------------------------------------------------

def test_the_server_can_shorten_the_keep_alive(open_client, special, name):
    """CONNACK names it, and it is what counts. v5:MQTT-3.1.2-22"""
    own = open_client(5, special("--mqtt-max-keep-alive", "1s", "--mqtt-connect-timeout", "1s"))
    # A connection that never says CONNECT is closed too.
    mute = open_client(5, own.address)
    assert own.connect(name("id"), keep_alive=0).get(wire.SERVER_KEEP_ALIVE) == 1
    since = time.monotonic()
    assert mute.closed(8) == []
    assert elapsed(since) <= 4
    assert [p.reason for p in own.closed(8)] in ([], [0x8D])
    assert 1.4 <= elapsed(since) <= 4
