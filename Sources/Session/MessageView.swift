import Packet
import Util

/// What is said of a message besides its bytes.
public struct MessageFacts: BitwiseCopyable, Sendable {
  /// The QoS it was published with.
  public var qos: QoS
  /// Whether it was published to be retained.
  public var retain: Bool
  /// Whether it was handed to the store to be appended to the log, from where stored sessions get it.
  public var isLogged = false
  /// Second of the monotonic clock at which it expires; 0 for never.
  public var expiresAt: UInt32
  /// The publisher's entry in the directory, for "no local"; 0 for the broker itself.
  public var publisher: UInt32

  /// Facts of a message that does not expire and comes from the broker, unless said otherwise.
  public init(qos: QoS, retain: Bool, expiresAt: UInt32 = 0, publisher: UInt32 = 0) {
    self.qos = qos
    self.retain = retain
    self.expiresAt = expiresAt
    self.publisher = publisher
  }

  /// The second at which a message expires that lives `interval` seconds from within `second`:
  /// never too early, so up to a second too late.
  public static func expiry(after interval: UInt32, at second: UInt32) -> UInt32 {
    let (sum, overflows) = second.addingReportingOverflow(interval)
    return overflows || sum == .max ? .max : sum + 1
  }

  /// Whether the message has expired at `second`.
  public func isExpired(at second: UInt32) -> Bool { expiresAt != 0 && expiresAt <= second }

  /// What is left of the expiry interval at `second`, to be sent on [MQTT-3.3.2-6]; nil when the
  /// message does not expire.
  public func intervalLeft(at second: UInt32) -> UInt32? {
    if expiresAt == 0 { return nil }
    return expiresAt > second ? expiresAt - second - 1 : 0
  }
}

/// A message in place, wherever its bytes lie: a loop's scratch buffer, a letter from another
/// loop, or a block that is kept.
public struct MessageView: ~Escapable {
  /// What is said of the message; those who hand it on may change it, the bytes stay.
  public var facts: MessageFacts
  /// The topic name, valid UTF-8 and without wildcards: 1 to 65,535 bytes.
  public let topic: Span<UInt8>
  /// Properties that are forwarded unaltered, encoded as MQTT 5 has them.
  public let properties: Span<UInt8>
  /// The bytes of the application; of a retained message, none means that the topic loses its own.
  public let payload: Span<UInt8>

  /// All that stood before the payload in the PUBLISH that the message came in, where a PUBLISH to
  /// a subscriber has the same but for its first byte and packet identifier; else empty.
  public let wire: Span<UInt8>
  /// Whether `wire` is of MQTT 5.
  public let wireHasProperties: Bool

  /// A view on bytes that were checked when they came in; it copies none of them.
  @_lifetime(copy topic, copy properties, copy payload)
  public init(
    facts: MessageFacts, topic: Span<UInt8>, properties: Span<UInt8>, payload: Span<UInt8>
  ) {
    self.facts = facts
    self.topic = topic
    self.properties = properties
    self.payload = payload
    wire = Span()
    wireHasProperties = false
  }

  /// A view on a PUBLISH whose properties are all forwarded and that has no other.
  /// - Parameter wire: the packet up to its payload. Its length is in as few bytes as can be, or it
  ///   would not have been taken [MQTT-1.5.5-1].
  @_lifetime(copy topic, copy properties, copy payload, copy wire)
  public init(
    facts: MessageFacts, topic: Span<UInt8>, properties: Span<UInt8>, payload: Span<UInt8>,
    wire: Span<UInt8>, hasProperties: Bool
  ) {
    self.facts = facts
    self.topic = topic
    self.properties = properties
    self.payload = payload
    self.wire = wire
    wireHasProperties = hasProperties
  }

  /// Where the topic starts in `wire`: behind the fixed header and its own length; 0 without `wire`.
  public var wireTopicOffset: Int {
    let total = wire.count + payload.count
    if wire.count == 0 { return 0 }
    var length = 1
    while variableByteCount(total - 1 - length) > length { length += 1 }
    return 1 + length + 2
  }

  /// Bytes of topic, properties and payload.
  public var byteCount: Int { topic.count + properties.count + payload.count }
}
