"""Shared subscriptions with stored members: what they are owed waits for them, whoever is away and
whatever is killed."""
import os
import signal
import sqlite3
import subprocess
import time

import pytest

from broker import BINARY
from neighbours import Client, listening_port, wire

KEEP = [(wire.SESSION_EXPIRY, 3600)]
DEADLINE = 15.0
POLL = 0.01


class Broker:
    """One life of the broker after the other, on one data directory."""

    def __init__(self, directory, loops, flags=()):
        self.directory, self.life, self.process = directory, 0, None
        self.command = [
            BINARY, "serve", "--grpc-listen", "off", "--mqtt-tcp-listen", "127.0.0.1:0",
            "--net-loops", str(loops),
            "--data-dir", str(directory / "data"), *flags]
        self.clients = []

    def start(self):
        self.life += 1
        log = self.directory / f"log-{self.life}"
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                env={k: v for k, v in os.environ.items() if not k.startswith("BIFROST_")})
        self.address = ("127.0.0.1", until(lambda: listening_port(log, self.process)))

    def kill(self):
        """SIGKILL, and another life."""
        self.process.kill()
        self.process.wait()
        self.start()

    def stop(self):
        for client in self.clients:
            client.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(DEADLINE) == 0
        finally:
            self.process.kill()

    def client(self, name, *, clean=False, props=(), receive_maximum=None):
        """A client whose session is stored, unless it is a clean one."""
        own = Client(self.address, 5)
        self.clients.append(own)
        props = [*props, *([] if clean else KEEP)]
        if receive_maximum is not None:
            props.append((wire.RECEIVE_MAXIMUM, receive_maximum))
        own.present = own.connect(name, clean=clean, props=props).session_present
        return own

    def member(self, name, shared, qos=1, **options):
        own = self.client(name, **options)
        assert own.subscribe((shared, qos)).codes == [qos]
        return own

    def numbers(self, question):
        """What the store's file says."""
        file = f"file:{self.directory}/data/bifrost.db?mode=ro"
        database = sqlite3.connect(file, uri=True, timeout=DEADLINE)
        try:
            return [row[0] for row in database.execute(question)]
        finally:
            database.close()

    def forgets_all_messages(self):
        """Nobody is owed anything, sooner or later."""
        until(lambda: self.numbers("SELECT count(*) FROM log") == [0])


def until(condition):
    """Looks until a condition holds; what it gave."""
    deadline = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(POLL)


@pytest.fixture(params=[1, 2], ids=lambda n: f"loops-{n}")
def start(request, tmp_path, binary):
    """Starts a broker."""
    begun = []

    def begin(*flags):
        own = Broker(tmp_path, request.param, flags)
        begun.append(own)
        own.start()
        return own

    yield begin
    for own in begun:
        own.stop()


@pytest.fixture
def broker(start):
    return start()


def publish(client, count, topic="jobs/x", first=0, qos=1):
    for number in range(first, first + count):
        assert client.publish(topic, b"%d" % number, qos).reason < 0x80


def wait_for_store(client):
    """What a client sent is stored: the answer to a message that is retained comes behind it."""
    assert client.publish(f"kept/{client.client_id}", b"x", 1, retain=True).reason < 0x80


def held(client, count):
    """Messages that come and are not acknowledged."""
    return [client.wait(wire.PUBLISH, DEADLINE) for _ in range(count)]


def received(client, count):
    """The numbers of messages that come and are acknowledged."""
    return [int(client.message(DEADLINE).payload) for _ in range(count)]


def collect(clients, count):
    """The numbers that clients get together, one list for each."""
    found = [[] for _ in clients]

    def all_came():
        for client, own in zip(clients, found):
            client.ping()
            while any(p.kind == wire.PUBLISH for p in client.inbox):
                own.append(int(client.message(DEADLINE).payload))
        return sum(map(len, found)) >= count

    until(all_came)
    return found


def end_session(broker, name):
    """The session of a client, which is away, ends."""
    own = broker.client(name, clean=True)
    assert not own.present
    own.disconnect()


@pytest.mark.parametrize("kills", [False, True], ids=["alive", "killed"])
@pytest.mark.parametrize("qos", [1, 2])
def test_messages_wait_for_the_first_member_to_be_back(broker, qos, kills):
    shared = "$share/g/jobs/#"
    for name in ("one", "other"):
        broker.member(name, shared, qos).drop()
    publish(broker.client("writer", clean=True), 150, qos=qos)
    if kills:
        broker.kill()
    one = broker.client("one")
    assert one.present and received(one, 150) == list(range(150))
    # What comes now is for whoever is here.
    publish(broker.client("writer", clean=True), 20, first=150, qos=qos)
    assert received(one, 20) == list(range(150, 170))
    other = broker.client("other")
    other.nothing_before_ping()
    broker.forgets_all_messages()


def test_a_group_that_waits_is_served_anew_after_each_kill(broker):
    broker.member("one", "$share/g/jobs/#").drop()
    publish(broker.client("writer", clean=True), 60)
    for part in range(3):
        one = broker.client("one")
        assert received(one, 20) == list(range(20 * part, 20 * part + 20))
        wait_for_store(one)
        one.socket.close()
        broker.kill()
    broker.client("one").nothing_before_ping()
    broker.forgets_all_messages()


@pytest.mark.parametrize("kills", [False, True], ids=["alive", "killed"])
def test_what_is_in_flight_is_its_members_until_the_session_ends(broker, kills):
    shared = "$share/g/jobs/#"
    one = broker.member("one", shared, receive_maximum=5)
    publish(broker.client("writer", clean=True), 10)
    kept = [int(p.payload) for p in held(one, 5)]
    assert kept == list(range(5))
    other = broker.member("other", shared)
    assert received(other, 5) == list(range(5, 10))
    one.drop()
    publish(broker.client("writer", clean=True), 5, first=10)
    assert received(other, 5) == list(range(10, 15))
    if kills:
        wait_for_store(other)
        broker.kill()
        other = broker.client("other")
        assert other.present
    other.nothing_before_ping()
    end_session(broker, "one")
    assert received(other, 5) == kept
    broker.forgets_all_messages()


@pytest.mark.parametrize("kills", [False, True], ids=["alive", "killed"])
def test_qos_2_in_flight_stays_with_its_member(broker, kills):
    shared = "$share/g/jobs/#"
    one = broker.member("one", shared, 2, receive_maximum=4)
    publish(broker.client("writer", clean=True), 8, qos=2)
    first, *rest = held(one, 4)
    other = broker.member("other", shared, 2)
    assert received(other, 4) == list(range(4, 8))
    one.ack(wire.PUBREC, first.pid)
    assert one.wait(wire.PUBREL).pid == first.pid
    one.drop()
    if kills:
        wait_for_store(other)
        broker.kill()
        other = broker.client("other")
    one = broker.client("one", receive_maximum=4)
    assert one.present and one.wait(wire.PUBREL).pid == first.pid
    again = held(one, 3)
    assert [(p.pid, p.payload, p.dup) for p in again] == [
        (p.pid, p.payload, True) for p in rest]
    one.drop()
    end_session(broker, "one")
    # They may have been seen, so they are nobody else's [MQTT-4.8.2-5].
    broker.forgets_all_messages()
    other.nothing_before_ping()


@pytest.mark.parametrize("end", ["kill", "drop", "disconnect"])
def test_what_a_clean_member_holds_goes_to_a_stored_one(broker, end):
    shared = "$share/g/jobs/#"
    broker.member("stored", shared).drop()
    guest = broker.member("guest", shared, clean=True)
    publish(broker.client("writer", clean=True), 20)
    kept = [int(p.payload) for p in held(guest, 20)]
    assert kept == list(range(20))
    for pid in (3, 7):
        guest.ack(wire.PUBACK, pid)
    done = {kept[2], kept[6]}
    if end == "kill":
        wait_for_store(guest)
        broker.kill()
    elif end == "drop":
        guest.drop()
    else:
        guest.disconnect()
    stored = broker.client("stored")
    assert stored.present
    assert received(stored, 18) == [n for n in kept if n not in done]
    broker.forgets_all_messages()
    stored.nothing_before_ping()


def test_a_member_of_qos_0_beside_stored_ones(broker):
    shared = "$share/g/jobs/#"
    broker.member("stored", shared).drop()
    zero = broker.member("zero", shared, 0, clean=True)
    publish(broker.client("writer", clean=True), 10)
    assert received(zero, 10) == list(range(10))
    broker.forgets_all_messages()
    zero.disconnect()
    publish(broker.client("writer", clean=True), 10, first=10)
    assert received(broker.client("stored"), 10) == list(range(10, 20))
    broker.forgets_all_messages()


def test_no_member_gets_more_than_its_receive_maximum(broker):
    shared = "$share/g/jobs/#"
    # The client fails where there are more in flight.
    slow = broker.member("slow", shared, receive_maximum=3)
    publish(broker.client("writer", clean=True), 30)
    first = held(slow, 3)
    slow.nothing_before_ping()
    other = broker.member("other", shared, receive_maximum=2)
    assert received(other, 27) == list(range(3, 30))
    for packet in first:
        slow.complete(packet)
    publish(broker.client("writer", clean=True), 2, first=30)
    got = collect([slow, other], 2)
    assert sorted(got[0] + got[1]) == [30, 31]
    broker.forgets_all_messages()


def parked(observer, connected):
    """Waits until so many clients are connected and no session of an absent one is in memory."""
    fresh = False
    while True:
        packet = observer.wait(wire.PUBLISH, DEADLINE)
        if packet.topic.endswith("clients/connected"):
            fresh = int(packet.payload) == connected
        elif fresh and packet.topic.endswith("clients/disconnected") and packet.payload == b"0":
            return


def test_members_that_leave_memory(start):
    broker = start("--session-park-after", "100ms", "--sys-interval", "1s")
    observer = broker.client("observer", clean=True)
    observer.subscribe("$SYS/broker/clients/connected", "$SYS/broker/clients/disconnected")
    shared, names = "$share/g/jobs/#", ["one", "other", "third"]
    members = [broker.member(name, shared, receive_maximum=4) for name in names]
    writer = broker.client("writer", clean=True)
    publish(writer, 12)
    kept = [[int(p.payload) for p in held(member, 4)] for member in members]
    assert sorted(sum(kept, [])) == list(range(12))
    for member in members:
        member.drop()
    parked(observer, 2)
    publish(writer, 10, first=12)
    # What it had in flight first, then what waited.
    one = broker.client("one", receive_maximum=4)
    assert one.present and received(one, 14) == kept[0] + list(range(12, 22))
    one.drop()
    parked(observer, 2)
    # The session of one that is not in memory ends: what it had is for who comes.
    end_session(broker, "other")
    third = broker.client("third")
    assert sorted(received(third, 8)) == sorted(kept[1] + kept[2])
    third.drop()
    parked(observer, 2)
    publish(writer, 3, first=22)
    assert sorted(sum(collect([broker.client("one"), broker.client("third")], 3), [])) == [
        22, 23, 24]
    broker.forgets_all_messages()


def test_one_that_unsubscribes_keeps_what_is_in_flight(broker):
    shared = "$share/g/jobs/#"
    one = broker.member("one", shared, receive_maximum=3)
    publish(broker.client("writer", clean=True), 6)
    kept = held(one, 3)
    other = broker.member("other", shared)
    assert received(other, 3) == [3, 4, 5]
    one.unsubscribe(shared)
    publish(broker.client("writer", clean=True), 5, first=6)
    assert received(other, 5) == list(range(6, 11))
    one.complete(kept[0])
    one.nothing_before_ping()
    one.drop()
    # It comes back without its membership, and has what was in flight.
    one = broker.client("one", receive_maximum=3)
    assert [p.payload for p in held(one, 2)] == [p.payload for p in kept[1:]]
    one.drop()
    other.nothing_before_ping()
    end_session(broker, "one")
    assert received(other, 2) == [1, 2]
    broker.forgets_all_messages()


@pytest.mark.parametrize("kills", [False, True], ids=["alive", "killed"])
def test_groups_with_the_same_filter_are_each_owed_all(broker, kills):
    shares = ["$share/g/jobs/+", "$share/h/jobs/+", "$share/g/jobs/#"]
    for number, shared in enumerate(shares):
        broker.member(f"first{number}", shared).drop()
        broker.member(f"second{number}", shared, 2).drop()
    plain = broker.member("plain", "jobs/+", 2)
    publish(broker.client("writer", clean=True), 40, qos=2)
    assert received(plain, 40) == list(range(40))
    plain.drop()
    if kills:
        broker.kill()
    for number in range(3):
        pair = [broker.client(f"{name}{number}", receive_maximum=10)
                for name in ("first", "second")]
        assert sorted(sum(collect(pair, 40), [])) == list(range(40))
        for one in pair:
            one.nothing_before_ping()
    broker.forgets_all_messages()


def leave_by_unsubscribing(broker, name, shared):
    own = broker.client(name, receive_maximum=2)
    own.unsubscribe(shared)
    own.drop()


def leave_by_qos_0(broker, name, shared):
    own = broker.client(name, receive_maximum=2)
    own.subscribe((shared, 0))
    own.drop()


def leave_by_ending(broker, name, shared):
    end_session(broker, name)


@pytest.mark.parametrize("kills", [False, True], ids=["alive", "killed"])
@pytest.mark.parametrize(
    "leave", [leave_by_unsubscribing, leave_by_qos_0, leave_by_ending],
    ids=["unsubscribe", "qos-0", "session-end"])
def test_a_group_that_ends_is_owed_nothing(broker, leave, kills):
    shared = "$share/g/jobs/#"
    broker.member("one", shared, receive_maximum=2).drop()
    broker.member("other", shared, receive_maximum=2).drop()
    guest = broker.member("guest", shared, clean=True, receive_maximum=3)
    writer = broker.client("writer", clean=True)
    publish(writer, 30)
    held(guest, 3)
    if kills:
        broker.kill()
    leave(broker, "one", shared)
    assert broker.numbers("SELECT count(*) FROM share") == [1]
    leave(broker, "other", shared)
    assert broker.numbers("SELECT count(*) FROM share") == [0]
    # What is in flight is the sessions' alone.
    until(lambda: broker.numbers("SELECT count(*) FROM log")[0] <= 4)
    end_session(broker, "one")
    end_session(broker, "other")
    broker.forgets_all_messages()
    # It begins anew, and is owed what comes then.
    broker.member("one", shared).drop()
    publish(broker.client("writer", clean=True), 5, first=100)
    assert broker.numbers("SELECT id FROM share") == [2]
    # The one who is not stored, and has acknowledged nothing, takes no more of them.
    assert received(broker.client("one"), 5) == list(range(100, 105))
    broker.forgets_all_messages()


def test_what_a_restored_session_holds_goes_to_the_group_that_gave_it(broker):
    """Whichever of its groups that was."""
    first, second = "$share/a/jobs/#", "$share/b/jobs/#"
    both = broker.member("both", first)
    assert both.subscribe((second, 1)).codes == [1]
    publish(broker.client("writer", clean=True), 3)
    held(both, 6)
    one, other = broker.member("one", first), broker.member("other", second)
    for member in (one, other, both):
        member.drop()
    broker.kill()
    end_session(broker, "both")
    for name in ("one", "other"):
        assert sorted(received(broker.client(name), 3)) == [0, 1, 2]
    broker.forgets_all_messages()


def test_a_restored_session_that_left_gives_back_what_it_holds(broker):
    shared = "$share/g/jobs/#"
    one = broker.member("one", shared)
    publish(broker.client("writer", clean=True), 3)
    held(one, 3)
    broker.member("other", shared).drop()
    one.drop()
    for leaves in (True, False):
        broker.kill()
        if leaves:
            one = broker.client("one")
            held(one, 3)
            one.unsubscribe(shared)
            one.drop()
    end_session(broker, "one")
    assert sorted(received(broker.client("other"), 3)) == [0, 1, 2]
    broker.forgets_all_messages()


def test_many_members_on_all_loops(broker):
    """Each message to one of them, over kills, and none of QoS 2 twice."""
    shares = ["$share/g/jobs/+", "$share/h/jobs/#", "$share/i/jobs/x"]
    members = [broker.member(f"m{n}", shares[n % 3], 2, receive_maximum=7) for n in range(18)]
    seen = [[] for _ in shares]
    first = 0
    for _ in range(3):
        publish(broker.client("writer", clean=True), 60, first=first, qos=2)
        first += 60
        for number, own in enumerate(seen):
            group = members[number::3]
            for numbers in collect(group, first - len(own)):
                own.extend(numbers)
            assert sorted(own) == list(range(first))
        for member in members:
            wait_for_store(member)
            member.socket.close()
        broker.kill()
        members = [broker.client(f"m{n}", receive_maximum=7) for n in range(18)]
        assert all(member.present for member in members)
    for member in members:
        member.nothing_before_ping()
    broker.forgets_all_messages()
