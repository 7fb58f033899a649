"""Who takes part: every kind of client, in 3.1.1 and 5.

    load/{a,b,c}/{0,1}  the main stream, with all kinds of subscribers
    own/NAME/N          topics of one session that subscribes and unsubscribes
    group/N             shared subscriptions
    keep/N              retained messages
    brief/...           messages that expire
    will/NAME           wills
    direct/NAME/N       what backends publish to one client
"""
from backend_publishers import Addressee, BackendPublisher, StreamPublisher
from cursors import Cursor, CursorReader
from ledger import Group
from publishers import CleanPublisher, Publisher
from retained import Keeper, Listener, Reader, Slot
from sessions import Ender, ShortLived
from subscribers import Changer, Guest, Member, Mortal, Seldom, Subscriber, Wanderer
from wills import Testator

STREAM = [f"load/{x}/{n}" for x in "abc" for n in (0, 1)]
# Seconds of expiry: one that passes while a subscriber is away, and one that does not.
EXPIRES = {"brief/short": 1, "brief/long": 3600}


def population(load, without=()):
    """All clients, not yet connected; `without` names parts that stay away."""
    return [c for name, part in PARTS.items() if name not in without for c in part(load)]


def stream(load):
    return publishers(load) + subscribers(load)


def publishers(load):
    made = []
    for index in range(6):
        topics = [STREAM[(index + step) % len(STREAM)] for step in (0, 1, 3)]
        made.append(Publisher(load, f"pub{index}", 4 + index % 2, topics=topics,
                              delay=(0, 0, 0.02)[index % 3], window=(8, 12, 4)[index % 3]))
    made.append(CleanPublisher(load, "clean4", 4, topics=STREAM[:3]))
    made.append(CleanPublisher(load, "clean5", 5, topics=STREAM[3:]))
    return made


def subscribers(load):
    return [
        Subscriber(load, "exact4", 4, wanted={"load/a/0": 1, "load/b/1": 1}),
        Subscriber(load, "exact5", 5, wanted={"load/a/0": 2, "load/c/0": 2}),
        Subscriber(load, "hash5", 5, wanted={"load/#": 1}),
        Subscriber(load, "plus4", 4, wanted={"load/+/0": 2}, stays=0.5, rounds=2),
        Subscriber(load, "plus5", 5, wanted={"+/b/+": 2}, stays=0.3, identifier=7),
        Subscriber(load, "over4", 4, stays=0.4, rounds=1,
                   wanted={"load/b/#": 2, "load/b/0": 2, "+/b/0": 2}),
        Subscriber(load, "over5", 5,
                   wanted={"load/a/#": 2, "load/+/1": 1, "load/a/1": 0, "load/a/0": 1}),
        Subscriber(load, "zero4", 4, wanted={"load/a/+": 0}),
        Subscriber(load, "zero5", 5, wanted={"load/c/1": 0}, stays=0.3, rounds=1),
        Subscriber(load, "slow5", 5, wanted={"load/a/+": 2}, receive_maximum=5, delay=0.03),
        Subscriber(load, "tardy5", 5, wanted={"load/c/#": 1}, receive_maximum=5, delay=0.03,
                   stays=0.5),
        Subscriber(load, "late4", 4, wanted={"load/b/0": 2, "load/c/1": 1}, delay=0.02, stays=0.4),
        Subscriber(load, "away5", 5, wanted={"load/c/+": 2}, stays=0.1, rounds=6,
                   identifier=300),
        Subscriber(load, "away4", 4, wanted={"load/a/1": 1}, stays=0.1, rounds=6),
        Subscriber(load, "again5", 5, wanted={"load/b/+": 2, "load/a/0": 1}, stays=0.2,
                   again=True),
        Subscriber(load, "again4", 4, wanted={"load/c/0": 2}, stays=0.2, rounds=1, again=True),
    ]


def changers(load):
    """Subscriptions that come and go."""
    made = []
    for version, qos in ((4, 2), (5, 1), (5, 2)):
        name = f"change{version}{qos}"
        own = [f"own/{name}/{n}" for n in range(3)]
        made.append(Changer(load, name, version, topics=own, qos=qos))
        made.append(Publisher(load, f"for-{name}", 9 - version, topics=own, window=6, pace=0.02))
    return made


def enders(load):
    """Sessions that come and go."""
    return [
        Ender(load, "end4", 4, filters={"load/a/0": 2, "load/b/+": 1}),
        Ender(load, "end5", 5, filters={"load/a/0": 2, "load/b/+": 1}),
        Ender(load, "end5b", 5, filters={"load/c/0": 2}),
        ShortLived(load, "short5", 5, wanted={"load/c/1": 1}),
        ShortLived(load, "short5d", 5, wanted={"load/a/1": 2}, by_disconnect=True),
    ]


def sharers(load):
    """Groups with the same filter: each of them is owed all of it, whoever visits it."""
    topics = [f"group/{n}" for n in range(3)]
    made = [Publisher(load, "for-group4", 4, topics=topics),
            Publisher(load, "for-group5", 5, topics=topics)]
    for name, qos in (("exactly", 2), ("atleast", 1)):
        group = Group(load.ledger, f"$share/{name}")
        wanted = {f"$share/{name}/group/+": qos}
        for index, manner in enumerate(({}, {"stays": 0.3}, {"stays": 0.3, "rounds": 2})):
            made.append(Member(load, f"{name}{index}", 5, wanted=wanted, recipient=group,
                               receive_maximum=10, delay=0.005 * index, **manner))
        manner = {"wanted": wanted, "recipient": group, "receive_maximum": 5, "delay": 0.01}
        made.append(Wanderer(load, f"{name}-wanders", 5, stays=0.1, **manner))
        if qos == 1:
            made.append(Guest(load, f"{name}-guest", 5, stays=0.3, **manner))
            made.append(Guest(load, f"{name}-clean", 5, stays=0.5, rounds=1, **manner))
            made.append(Mortal(load, f"{name}-mortal", 5, stays=0.2, **manner))
    return made


def retainers(load):
    slots = [{f"keep/{n}": Slot(f"keep/{n}") for n in numbers}
             for numbers in ((0, 1, 2, 3), (4, 5, 6, 7))]
    every = slots[0] | slots[1]
    return [
        Keeper(load, "keep4", 4, slots=slots[0]), Keeper(load, "keep5", 5, slots=slots[1]),
        # Half of the topics have a durable subscriber; the others have none but the readers.
        Listener(load, "listen5", 5, wanted={f"keep/{n}": 1 for n in (0, 3, 4, 5)}),
        Reader(load, "read4", 4, slots=every, wanted={"keep/+": 1}),
        Reader(load, "read5", 5, slots=every, wanted={"keep/#": 0}),
    ]


def expiring(load):
    return [
        Publisher(load, "brief5", 5, topics=list(EXPIRES), qoses=(1,), expiry_of=EXPIRES,
                  pace=0.08),
        Seldom(load, "seldom4", 4, wanted={"brief/#": 1}, stays=0.2),
        Seldom(load, "seldom5", 5, wanted={"brief/#": 1}, stays=0.2),
    ]


def testators(load):
    """Clients with wills, and those who wait for them."""
    return [
        Subscriber(load, "heir5", 5, wanted={"will/#": 2}),
        Subscriber(load, "heir4", 4, wanted={"will/+": 1}, stays=0.3, rounds=2),
        Testator(load, "will41", 4, qos=1), Testator(load, "will42", 4, qos=2),
        Testator(load, "will51", 5, qos=1), Testator(load, "will52", 5, qos=2),
        Testator(load, "will52b", 5, qos=2),
    ]


def backends(load):
    """Those who publish over gRPC, to the subscribers of the stream and to single clients."""
    made = [
        BackendPublisher(load, "call", topics=STREAM[:3]),
        StreamPublisher(load, "flow", topics=STREAM),
    ]
    for version, manner in ((4, {"stays": 0.2, "rounds": 2}), (5, {})):
        device = Addressee(load, f"direct{version}", version, **manner)
        topics = [f"direct/{device.name}/{n}" for n in range(2)]
        made += [device, BackendPublisher(load, f"call-{version}", topics=topics, target=device),
                 StreamPublisher(load, f"flow-{version}", topics=topics, target=device)]
    return made


def cursors(load):
    """Those who read the stream over gRPC with durable cursors, alone and together."""
    made = []
    alone, shared = Cursor(load.ledger, "alone"), Cursor(load.ledger, "shared")
    made.append(CursorReader(load, "alone0", alone, filters=["load/a/+", "load/b/0"], stays=0.5))
    for index, stays in enumerate((None, 0.3)):
        made.append(CursorReader(load, f"shared{index}", shared, filters=["load/c/#"],
                                 window=(0, 5)[index], stays=stays))
    return made


PARTS = {"stream": stream, "backends": backends, "cursors": cursors, "changers": changers, "enders": enders, "groups": sharers,
         "retained": retainers, "expiry": expiring, "wills": testators}
