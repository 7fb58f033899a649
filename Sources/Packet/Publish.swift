import Util

/// A PUBLISH packet. Ranges count from the packet's first byte.
public struct Publish: Equatable, Sendable, BitwiseCopyable {
  // The wide fields first: a decoder writes the whole value with aligned stores.

  /// What the packet says besides its topic and its payload; empty before MQTT 5.
  public var properties: PublishProperties
  /// A topic name, checked; empty only in MQTT 5 and together with a topic alias.
  public var topic: ByteRange
  /// Everything behind the properties; may be empty.
  public var payload: ByteRange
  /// 0 at QoS 0.
  public var packetID: UInt16
  /// The quality of service with which the sender sends.
  public var qos: QoS
  /// The RETAIN flag.
  public var retain: Bool
  /// The DUP flag: this is a repetition.
  public var dup: Bool

  @inlinable @inline(__always)
  init(
    dup: Bool, qos: QoS, retain: Bool, topic: ByteRange, packetID: UInt16,
    properties: PublishProperties, payload: ByteRange
  ) {
    self.properties = properties
    self.topic = topic
    self.payload = payload
    self.packetID = packetID
    self.qos = qos
    self.retain = retain
    self.dup = dup
  }
}

/// The properties of a PUBLISH, or those of a will that its message has.
///
/// Which of them are there is one word of bits, and what isn't there is 0: an empty value is made
/// with a few wide stores, where a row of optionals would take many narrow ones.
public struct PublishProperties: Equatable, Sendable, BitwiseCopyable {
  /// The whole block without its length.
  public var raw = ByteRange(offset: 0, count: 0)
  @usableFromInline var contentTypeRange = ByteRange(offset: 0, count: 0)
  @usableFromInline var responseTopicRange = ByteRange(offset: 0, count: 0)
  @usableFromInline var correlationDataRange = ByteRange(offset: 0, count: 0)
  @usableFromInline var present = PropertySet(bits: 0)
  /// Bytes of those properties in `raw` that a server forwards unaltered: payload format, content
  /// type, response topic, correlation data and user properties.
  public var forwardedCount: UInt32 = 0
  /// The first subscription identifier; 0 if there is none. A client must not send one
  /// [MQTT-3.3.4-6], which is for the server to check.
  public var subscriptionIdentifier: UInt32 = 0
  @usableFromInline var expiry: UInt32 = 0
  @usableFromInline var alias: UInt16 = 0
  @usableFromInline var payloadFormat: UInt16 = 0

  /// No properties.
  @inlinable
  public init() {}

  /// Whether `raw` holds nothing but forwarded properties, so that it may be copied as it is.
  @inlinable public var forwardedIsRaw: Bool { forwardedCount == raw.count }

  /// 0 for bytes, 1 for UTF-8 text; nil if the property is absent.
  @inlinable public var payloadFormatIndicator: UInt8? {
    present.contains(.payloadFormatIndicator) ? UInt8(truncatingIfNeeded: payloadFormat) : nil
  }

  /// Seconds; nil for a message that doesn't expire.
  @inlinable public var messageExpiryInterval: UInt32? {
    present.contains(.messageExpiryInterval) ? expiry : nil
  }

  /// 1 to 65,535; nil if the property is absent.
  @inlinable public var topicAlias: UInt16? { alias == 0 ? nil : alias }

  /// A string, nil if the property is absent.
  @inlinable public var contentType: ByteRange? {
    present.contains(.contentType) ? contentTypeRange : nil
  }

  /// A topic name, checked; nil if the property is absent.
  @inlinable public var responseTopic: ByteRange? {
    present.contains(.responseTopic) ? responseTopicRange : nil
  }

  /// Binary data; nil if the property is absent.
  @inlinable public var correlationData: ByteRange? {
    present.contains(.correlationData) ? correlationDataRange : nil
  }

  /// A cursor over the user properties.
  public func userProperties() -> UserPropertyCursor { UserPropertyCursor(block: raw) }

  /// A cursor over all subscription identifiers.
  public func subscriptionIdentifiers() -> SubscriptionIdentifierCursor {
    SubscriptionIdentifierCursor(block: raw)
  }

  /// Stores the value of a property that was read.
  @inlinable
  mutating func take(_ property: Property) {
    present.insert(property.id)
    switch property.id {
    case .payloadFormatIndicator: payloadFormat = UInt16(truncatingIfNeeded: property.number)
    case .messageExpiryInterval: expiry = property.number
    case .topicAlias: alias = UInt16(truncatingIfNeeded: property.number)
    case .contentType: contentTypeRange = property.range
    case .responseTopic: responseTopicRange = property.range
    case .correlationData: correlationDataRange = property.range
    case .subscriptionIdentifier where subscriptionIdentifier == 0:
      subscriptionIdentifier = property.number
    default: break
    }
  }
}
