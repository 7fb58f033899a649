extension ConfigurationKey {
  /// Every key, in the order in which they are printed.
  public static let all: [ConfigurationKey] =
    listeners + limits + features + grpc + process + hooks

  /// The key of that name, or nil.
  public static func named(_ name: some StringProtocol) -> ConfigurationKey? {
    byName[String(name)].map { all[$0] }
  }

  private static let byName = Dictionary(
    uniqueKeysWithValues: zip(all.map(\.name), all.indices))

  /// The largest remaining length that the protocol can write, with its fixed header of 5 bytes.
  private static let protocolPacketBytes = 268_435_460

  /// Loops name each other by the bits of one word.
  static let maximumLoops = 64

  /// Records are named by 32-bit slots.
  private static let slots = 2_147_483_647

  /// A session's sizes: more than this for one client is another client's memory.
  private static let sessionBytes = 1 << 30

  /// The broker's sizes, far from any overflow of their sums.
  private static let brokerBytes = 1 << 40

  private static let listeners = [
    ConfigurationKey(
      "mqtt.tcp.listen", .listen(\.listen, canBeOff: false), default: "127.0.0.1:1883",
      "IP addresses and ports to serve MQTT on, such as 0.0.0.0:1883 or [::1]:1883"),
    ConfigurationKey(
      "mqtt.connect-timeout", .duration(\.connectTimeoutMilliseconds, 100...600_000, step: 1),
      default: "10s", "Time that a new connection has to send its CONNECT"),
    ConfigurationKey(
      "mqtt.max-keep-alive", .duration(\.maximumKeepAliveMilliseconds, 0...65_535_000, step: 1000),
      default: "0s", "Longest keep-alive granted to MQTT 5 clients, in whole seconds; 0s grants any"
    ),
    ConfigurationKey(
      "mqtt.max-session-expiry",
      .duration(\.maximumSessionExpiryMilliseconds, 0...4_294_967_295_000, step: 1000),
      default: "4294967295s",
      "Longest session expiry granted, in whole seconds; 4294967295s lets sessions last for ever"),
  ]

  private static let limits = [
    ConfigurationKey(
      "mqtt.max-connections", .integer(\.maximumConnections, 0...16_777_216), default: "0",
      "Connections at a time; 0 allows as many as the limit on open files does"),
    ConfigurationKey(
      "mqtt.max-packet-size", .size(\.maximumPacketBytes, 1024...protocolPacketBytes),
      default: "16MiB", "Largest packet accepted from a client"),
    ConfigurationKey(
      "mqtt.receive-maximum", .integer(\.receiveMaximum, 1...65_535), default: "1024",
      "Unacknowledged QoS 1 and 2 messages that a client may have on the way to the broker"),
    ConfigurationKey(
      "mqtt.max-inflight", .integer(\.maximumInflight, 1...65_535), default: "256",
      "Unacknowledged QoS 1 and 2 messages on the way to one client"),
    ConfigurationKey(
      "mqtt.max-queued-messages", .integer(\.maximumQueuedMessages, 0...slots), default: "1000",
      "Messages that may wait in one session"),
    ConfigurationKey(
      "mqtt.max-queued-bytes", .size(\.maximumQueuedBytes, 0...sessionBytes), default: "16MiB",
      "Bytes of messages that may wait in one session"),
    ConfigurationKey(
      "mqtt.max-output-bytes", .size(\.maximumOutputBytes, 4096...sessionBytes), default: "1MiB",
      "Bytes that a client that stopped reading may leave unsent"),
    ConfigurationKey(
      "mqtt.topic-alias-maximum", .integer(\.topicAliasMaximum, 0...65_535), default: "16",
      "Topic aliases that one client may use; 0 forbids them"),
    ConfigurationKey(
      "mqtt.max-subscriptions", .integer(\.maximumSubscriptions, 1...slots), default: "100000",
      "Subscriptions of one session"),
    ConfigurationKey(
      "mqtt.max-topic-levels", .integer(\.maximumTopicLevels, 1...65_535), default: "128",
      "Levels of a topic or a filter"),
    ConfigurationKey(
      "mqtt.max-client-id-bytes", .integer(\.maximumClientIDBytes, 23...65_535), default: "256",
      "Bytes of a client identifier"),
    ConfigurationKey(
      "mqtt.max-retained-messages", .integer(\.maximumRetainedMessages, 0...slots),
      default: "1000000", "Retained messages that the broker keeps"),
    ConfigurationKey(
      "mqtt.max-retained-bytes", .size(\.maximumRetainedBytes, 0...brokerBytes), default: "256MiB",
      "Bytes of retained messages that the broker keeps"),
  ]

  private static let features = [
    ConfigurationKey(
      "mqtt.check-payload-format", .flag(\.checksPayloadFormat), default: "false",
      "Check that a payload that is declared to be UTF-8 is UTF-8"),
    ConfigurationKey(
      "mqtt.max-qos", .integer(\.maximumQoS, 0...2), default: "2", "Highest QoS granted"),
    ConfigurationKey(
      "mqtt.retain-available", .flag(\.retainAvailable), default: "true",
      "Accept retained messages"),
    ConfigurationKey(
      "mqtt.wildcard-subscriptions", .flag(\.wildcardSubscriptions), default: "true",
      "Accept filters with + and #"),
    ConfigurationKey(
      "mqtt.shared-subscriptions", .flag(\.sharedSubscriptions), default: "true",
      "Accept filters of shared subscriptions ($share)"),
  ]

  private static let process = [
    ConfigurationKey(
      "auth.anonymous", .flag(\.allowsAnonymous), default: "false",
      "Let in clients without credentials on addresses that other machines can reach"),
    ConfigurationKey(
      "net.loops", .integer(\.loops, 1...maximumLoops), default: .processors,
      "Event loops, each one thread"),
    ConfigurationKey(
      "net.private-descriptors", .choice(\.privateDescriptors), default: "auto",
      "Give each loop a table of open files of its own, so that their limit counts for each loop"),
    ConfigurationKey(
      "store.kind", .choice(\.store), default: "sqlite",
      "Where sessions and messages are kept; memory is lost when the broker ends"),
    ConfigurationKey(
      "store.sync", .choice(\.storeSync), default: "full",
      "What power loss may cost: full nothing that was acknowledged, normal the last moments"),
    ConfigurationKey(
      "store.max-messages", .integer(\.maximumStoredMessages, 0...1_000_000_000_000), default: "0",
      "Messages that are kept for stored sessions in all, the oldest go first; 0 for any number"),
    ConfigurationKey(
      "store.max-bytes", .size(\.maximumStoredBytes, 0...(1 << 50)), default: "8GiB",
      "Bytes of messages that are kept for stored sessions in all, the oldest go first; 0 for any"),
    ConfigurationKey(
      "store.max-session-messages", .integer(\.maximumSessionMessages, 0...1_000_000_000),
      default: "100000",
      "Messages that are kept for one session whose client is away, the oldest go first; 0 for any"),
    ConfigurationKey(
      "store.max-session-bytes", .size(\.maximumSessionBytes, 0...(1 << 50)), default: "256MiB",
      "Bytes of messages that are kept for one session whose client is away, about; 0 for any"),
    ConfigurationKey(
      "store.max-age",
      .duration(\.maximumStoredAgeMilliseconds, 0...4_294_967_294_000, step: 1000), default: "0s",
      "Time that a message waits for stored sessions, in whole seconds; 0s for ever"),
    ConfigurationKey(
      "session.park-after", .duration(\.parkAfterMilliseconds, 0...86_400_000, step: 1),
      default: "1m", "Time after which a stored session without a connection leaves memory"),
    ConfigurationKey(
      "data-dir", .directory(\.dataDirectory), default: "/var/lib/bifrost",
      "Directory of stores that outlive the broker; the memory store does not use it"),
    ConfigurationKey(
      "log.level", .choice(\.logLevel), default: "info", "Least severe level that is logged"),
    ConfigurationKey(
      "log.format", .choice(\.logFormat), default: "text", "How a line of the log is written"),
    ConfigurationKey(
      "shutdown.timeout", .duration(\.shutdownTimeoutMilliseconds, 0...3_600_000, step: 1),
      default: "10s", "Time that a graceful stop may take"),
    ConfigurationKey(
      "sys.interval", .duration(\.systemIntervalMilliseconds, 0...86_400_000, step: 1),
      default: "10s", "Time between two publications of the $SYS topics; 0 turns them off"),
  ]
}
