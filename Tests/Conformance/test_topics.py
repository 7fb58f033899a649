"""Chapter 4.7: topic names, topic filters and how they match."""
import pytest
import wire

BOTH = pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])

# A filter, topics that match it, and topics that do not, all below a base of the test's own.
MATCHES = [
    # v3:MQTT-4.7.1-2 v5:MQTT-4.7.1-1
    ("a/b/#", ["a/b", "a/b/c", "a/b/c/d", "a/b/"], ["a", "a/bb", "a/c/b", "b/a/b"]),
    ("#", ["a", "a/b", "/", "/a", "a/"], []),
    # v3:MQTT-4.7.1-3 v5:MQTT-4.7.1-2
    ("a/+", ["a/b", "a/"], ["a", "a/b/c", "a/b/", "b/a", "/a/b"]),
    ("a/+/c", ["a/b/c", "a//c"], ["a/c", "a/b/b/c", "a/b/c/d"]),
    ("+/b/#", ["a/b", "/b", "a/b/c"], ["a", "b", "a/a/b"]),
    ("+", ["a", "ab"], ["/", "a/", "/a", "a/b"]),
    ("+/+", ["a/b", "/a", "a/", "/"], ["a", "a/b/c", "//"]),
    ("/+", ["/a", "/"], ["a", "//", "/a/b"]),
    # v3:MQTT-4.7.3-4 v5:MQTT-4.7.3-4
    ("Account", ["Account"], ["ACCOUNT", "account", "Account/", "/Account", " Account"]),
    ("a//b", ["a//b"], ["a/b", "a///b"]),
    ("\u00e9", ["\u00e9"], ["e\u0301", "e"]),
    ("\ufeffx", ["\ufeffx"], ["x"]),  # v3:MQTT-1.5.3-3 v5:MQTT-1.5.4-3
    ("a b/ c", ["a b/ c"], ["a b/c", "ab/ c"]),
]


@BOTH
@pytest.mark.parametrize("case", MATCHES, ids=[repr(m[0]) for m in MATCHES])
def test_matching(client, name, version, case):
    """v3:MQTT-3.3.2-3 v5:MQTT-3.3.2-3"""
    pattern, yes, no = case
    base = name("t")
    own, sender = client(version), client(version)
    own.subscribe((f"{base}/{pattern}", 1))
    for topic in yes + no:
        sender.publish(f"{base}/{topic}", b"x", 1)
    # A level outside of the base would be a match of something else.
    own.subscribe((base + "marker", 1))
    sender.publish(base + "marker", b"marker", 1)
    assert [m.topic for m in own.until(b"marker")] == [f"{base}/{topic}" for topic in yes]


BAD_FILTERS = {
    "sport/tennis#": "",  # v3:MQTT-4.7.1-2 v5:MQTT-4.7.1-1
    "sport/#/ranking": "",  # v3:MQTT-4.7.1-2 v5:MQTT-4.7.1-1
    "##": "",  # v3:MQTT-4.7.1-2 v5:MQTT-4.7.1-1
    "#/": "",  # v3:MQTT-4.7.1-2 v5:MQTT-4.7.1-1
    "sport+": "",  # v3:MQTT-4.7.1-3 v5:MQTT-4.7.1-2
    "+sport/a": "",  # v3:MQTT-4.7.1-3 v5:MQTT-4.7.1-2
    "a/++": "",  # v3:MQTT-4.7.1-3 v5:MQTT-4.7.1-2
    "a/+#": "",  # v3:MQTT-4.7.1-2 v5:MQTT-4.7.1-1
    "": "",  # v3:MQTT-4.7.3-1 v5:MQTT-4.7.3-1
}


@BOTH
@pytest.mark.parametrize("pattern", BAD_FILTERS)
def test_a_wrong_filter_is_refused(client, version, pattern):
    """With a code of failure, or by closing the connection."""
    own = client(version)
    own.send(wire.subscribe(1, [(pattern, 0)], version), wire.PING)
    first = own.receive_or_none()
    if first is not None and first.kind == wire.SUBACK:
        assert first.codes == [0x80] if version == 4 else first.codes[0] in (0x80, 0x8F)
        own.expect(wire.PINGRESP)
    else:
        assert first is None or first.kind == wire.DISCONNECT and first.reason >= 0x80
        own.closed()


@BOTH
@pytest.mark.parametrize("pattern", ["#", "+/x/#", "+/+/+"])
def test_leading_wildcards_do_not_match_dollar_topics(client, name, version, pattern):
    """v3:MQTT-4.7.2-1 v5:MQTT-4.7.2-1"""
    tag = name("d")
    topic = f"$c{tag}/x/{tag}"
    own, right, sender = client(version), client(version), client(version)
    own.subscribe((pattern, 1))
    right.subscribe((f"$c{tag}/#", 1), (f"$c{tag}/+/{tag}", 0))
    sender.publish(topic, b"dollar", 1)
    assert right.message().payload == b"dollar"
    sender.publish(f"{tag}/x/{tag}", b"marker" + tag.encode(), 1)
    assert topic not in [m.topic for m in own.until(b"marker" + tag.encode())]


@BOTH
def test_leading_wildcards_do_not_show_the_servers_own_topics(client, name, version):
    """v3:MQTT-4.7.2-1 v5:MQTT-4.7.2-1"""
    own, tag = client(version), name("d")
    own.subscribe("#", "+/#", "+/broker/#")
    own.publish(tag, b"marker" + tag.encode(), 1)
    assert not [m for m in own.until(b"marker" + tag.encode()) if m.topic.startswith("$")]


@BOTH
def test_retained_dollar_topics_are_not_sent_for_leading_wildcards(client, name, version):
    """v3:MQTT-4.7.2-1 v5:MQTT-4.7.2-1"""
    tag = name("d")
    sender, own, right = client(version), client(version), client(version)
    sender.publish(f"$c{tag}/x", b"dollar", 1, retain=True)
    sender.publish(f"c{tag}/x", b"plain", 1, retain=True)
    own.subscribe(("+/x", 1))
    own.ping()
    topics = [p.topic for p in own.inbox if p.kind == wire.PUBLISH]
    assert f"c{tag}/x" in topics and f"$c{tag}/x" not in topics
    right.subscribe((f"$c{tag}/+", 1))
    assert right.message().payload == b"dollar"
    sender.publish(f"$c{tag}/x", b"", 1, retain=True)
    sender.publish(f"c{tag}/x", b"", 1, retain=True)


@BOTH
def test_filters_with_many_wildcards(client, name, version):
    """v3:MQTT-4.7.1-3 v5:MQTT-4.7.1-2 v3:MQTT-3.3.5-1 v5:MQTT-3.3.4-2"""
    base = name("t")
    levels = [base] + ["x"] * 10
    own = client(version)
    own.subscribe(*(("/".join([base] + ["+" if i >> k & 1 else "x" for k in range(10)]), 1)
                    for i in range(0, 1024, 7)))
    own.subscribe((base + "/#", 2))
    own.publish("/".join(levels), b"x", 2)
    own.publish("/".join(levels), b"marker", 2)
    assert max(m.qos for m in own.until(b"marker")) == 2
