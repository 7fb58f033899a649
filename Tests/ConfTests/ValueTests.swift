import Testing

@testable import Conf

@Suite("Values")
struct ValueTests {
  @Test(
    "sizes",
    arguments: [
      ("0", 0), ("1", 1), ("17B", 17), ("256KB", 256_000), ("256KiB", 262_144), ("1MB", 1_000_000),
      ("1MiB", 1_048_576), ("2GB", 2_000_000_000), ("2GiB", 2_147_483_648), ("3 KiB", 3072),
    ])
  func size(text: String, bytes: Int) throws {
    #expect(try Quantity.size(text) == bytes)
  }

  @Test(
    "texts that are no sizes",
    arguments: [
      "", "KB", "1K", "1kb", "1.5MiB", "-1", "1MiBx", "0x10", "١", " 1", "1e3",
      "99999999999999999999", "9223372036854775807KiB",
    ])
  func noSize(text: String) {
    #expect(throws: ValueError.self) { try Quantity.size(text) }
  }

  @Test(
    "durations, in milliseconds",
    arguments: [
      ("0", 0), ("0s", 0), ("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("2h", 7_200_000),
      ("1d", 86_400_000), ("1h30m", 5_400_000), ("1d1ms", 86_400_001), ("1m30s", 90_000),
      ("4294967295s", 4_294_967_295_000),
    ])
  func duration(text: String, milliseconds: Int) throws {
    #expect(try Quantity.duration(text) == milliseconds)
  }

  @Test(
    "texts that are no durations",
    arguments: [
      "", "10", "s", "1s1h", "1s1s", "-1s", "1.5s", "1 s", "1s ", "1sec", "99999999999999999999s",
      "9223372036854775807d", "106751991167d24h",
    ])
  func noDuration(text: String) {
    #expect(throws: ValueError.self) { try Quantity.duration(text) }
  }

  @Test(
    "whole numbers",
    arguments: [("0", 0), ("007", 7), ("-3", -3), ("9223372036854775807", Int.max)])
  func integer(text: String, value: Int) throws {
    #expect(try Quantity.integer(text) == value)
  }

  @Test(
    "texts that are no whole numbers",
    arguments: ["", "-", "+1", "1_000", "1.0", "0x1", "١", "9223372036854775808", "1 "])
  func noInteger(text: String) {
    #expect(throws: ValueError.self) { try Quantity.integer(text) }
  }

  @Test("bounds are written with the largest unit that divides them")
  func quantityTexts() {
    #expect(Quantity.sizeText(0) == "0")
    #expect(Quantity.sizeText(1000) == "1000")
    #expect(Quantity.sizeText(1024) == "1KiB")
    #expect(Quantity.sizeText(16 << 20) == "16MiB")
    #expect(Quantity.sizeText(1 << 40) == "1024GiB")
    #expect(Quantity.durationText(0) == "0s")
    #expect(Quantity.durationText(100) == "100ms")
    #expect(Quantity.durationText(60_000) == "60s")
  }

  @Test(
    "addresses",
    arguments: [
      ("127.0.0.1:1883", "127.0.0.1:1883", true), ("localhost:0", "127.0.0.1:0", true),
      ("[::1]:65535", "[::1]:65535", true), ("[0:0:0:0:0:0:0:1]:1", "[::1]:1", true),
      ("0.0.0.0:1", "0.0.0.0:1", false), ("[::]:1", "[::]:1", false),
      ("[2001:DB8::1]:1", "[2001:db8::1]:1", false), ("128.0.0.1:1", "128.0.0.1:1", false),
      ("[::ffff:127.0.0.2]:1", "[::ffff:127.0.0.2]:1", true),
      ("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:1", false), ("[fe80::1]:1", "[fe80::1]:1", false),
    ])
  func address(text: String, canonical: String, isLoopback: Bool) throws {
    let address = try ListenAddress(parsing: text)
    #expect(address.description == canonical)
    #expect(address.isLoopback == isLoopback)
  }

  @Test(
    "texts that are no addresses",
    arguments: [
      "", ":", "1883", ":1883", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
      "127.0.0.1:+1", "127.1:1", "127.0.0.256:1", "example.org:1883", "::1:1883", "[::1]",
      "[::1]1883",
      "[::1", "[]:1", "[127.0.0.1]:1", "[::g]:1", "[fe80::1%lo]:1", "*:1883", "127.0.0.1:0x1",
      "127.0.0.1 :1", "[::1]:",
    ])
  func noAddress(text: String) {
    #expect(throws: ValueError.self) { try ListenAddress(parsing: text) }
  }

  @Test("an address may not be listed twice, whatever its form, unless the port is to be chosen")
  func repeatedAddress() throws {
    let key = try #require(ConfigurationKey.named("mqtt.tcp.listen"))
    var values = BrokerConfiguration()
    #expect(throws: ValueError("[::1]:1 is listed twice; remove one")) {
      try key.apply("[::1]:1,[0::1]:1", to: &values)
    }
    try key.apply("127.0.0.1:0,127.0.0.1:0", to: &values)
    #expect(values.listen.count == 2)
    let many = (1...65).map { "127.0.0.1:\($0)" }.joined(separator: ",")
    #expect(throws: ValueError.self) { try key.apply(many, to: &values) }
    #expect(throws: ValueError.self) { try key.apply("127.0.0.1:1,", to: &values) }
  }

  @Test("whole seconds are whole seconds")
  func wholeSeconds() throws {
    var values = BrokerConfiguration()
    for name in ["mqtt.max-keep-alive", "mqtt.max-session-expiry"] {
      let key = try #require(ConfigurationKey.named(name))
      #expect(throws: ValueError.self) { try key.apply("1500ms", to: &values) }
      try key.apply("2000ms", to: &values)
    }
    #expect(values.maximumKeepAliveMilliseconds == 2000)
    #expect(values.maximumSessionExpiryMilliseconds == 2000)
  }

  @Test("a value outside its range is refused at both ends", arguments: bounds)
  func ranges(name: String, below: String?, lowest: String, highest: String, above: String) throws {
    let key = try #require(ConfigurationKey.named(name))
    var values = BrokerConfiguration()
    if let below { #expect(throws: ValueError.self) { try key.apply(below, to: &values) } }
    #expect(throws: ValueError.self) { try key.apply(above, to: &values) }
    #expect(values == BrokerConfiguration())
    try key.apply(lowest, to: &values)
    try key.apply(highest, to: &values)
  }

  static let bounds: [(String, String?, String, String, String)] = [
    ("mqtt.receive-maximum", "0", "1", "65535", "65536"),
    ("mqtt.max-inflight", "0", "1", "65535", "65536"),
    ("mqtt.topic-alias-maximum", "-1", "0", "65535", "65536"),
    ("mqtt.max-packet-size", "1023", "1KiB", "268435460", "268435461"),
    ("mqtt.max-qos", "-1", "0", "2", "3"),
    ("mqtt.max-keep-alive", nil, "0", "65535s", "65536s"),
    ("mqtt.max-session-expiry", nil, "0s", "4294967295s", "4294967296s"),
    ("mqtt.max-client-id-bytes", "22", "23", "65535", "65536"),
    ("mqtt.connect-timeout", "99ms", "100ms", "10m", "601s"),
    ("mqtt.max-queued-messages", "-1", "0", "2147483647", "2147483648"),
    ("mqtt.max-queued-bytes", nil, "0", "1GiB", "1073741825"),
    ("mqtt.max-output-bytes", "4095", "4KiB", "1GiB", "2GiB"),
    ("mqtt.max-retained-bytes", nil, "0", "1024GiB", "1025GiB"),
    ("net.loops", "0", "1", "64", "65"),
    ("shutdown.timeout", nil, "0", "1h", "3601s"),
    ("sys.interval", nil, "0", "1d", "86401s"),
  ]

  @Test("a value that is shown in an error is short and on one line")
  func quotedTexts() {
    #expect(quoted("a\"b\\c") == #""a\"b\\c""#)
    #expect(quoted("a\nb\u{7F}") == #""a\u{a}b\u{7f}""#)
    #expect(quoted(String(repeating: "x", count: 65)).count == 67)
  }
}
