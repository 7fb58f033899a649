import Util

/// What a PUBLISH says besides its topic, its forwarded properties and its payload.
public struct PublishHeader: Equatable, Sendable, BitwiseCopyable {
  /// The protocol version that the packet is for.
  public var version: ProtocolVersion
  /// The QoS of the message.
  public var qos: QoS
  /// The RETAIN flag of the message.
  public var retain: Bool
  /// The DUP flag; never with QoS 0.
  public var dup: Bool
  /// Ignored at QoS 0; 0 in a template that is patched for each receiver.
  public var packetID: UInt16
  /// Seconds that are left; nil for a message that does not expire. Only in MQTT 5.
  public var messageExpiryInterval: UInt32?
  /// 0 for none. Only in MQTT 5.
  public var topicAlias: UInt16

  /// The header of a message; without more it is a fresh one that does not expire.
  @inlinable
  public init(
    version: ProtocolVersion, qos: QoS, retain: Bool = false, dup: Bool = false,
    packetID: UInt16 = 0, messageExpiryInterval: UInt32? = nil, topicAlias: UInt16 = 0
  ) {
    self.version = version
    self.qos = qos
    self.retain = retain
    self.dup = dup
    self.packetID = packetID
    self.messageExpiryInterval = messageExpiryInterval
    self.topicAlias = topicAlias
  }
}

/// How a PUBLISH lies on the wire: `headerCount` bytes that `encodePublishHeader` writes, and the
/// payload behind them.
public struct PublishLayout: Equatable, Sendable, BitwiseCopyable {
  /// Bytes of everything before the payload.
  public var headerCount: Int
  /// Bytes of the whole packet: what a receiver's maximum packet size is held against.
  public var totalCount: Int
  /// Offset of the two bytes of the packet identifier; -1 at QoS 0.
  public var packetIDOffset: Int
  /// The remaining length of the fixed header.
  public var remainingLength: Int
  /// Bytes of the properties without their length; 0 before MQTT 5.
  public var propertiesCount: Int

  @inlinable
  init(
    headerCount: Int, totalCount: Int, packetIDOffset: Int, remainingLength: Int,
    propertiesCount: Int
  ) {
    self.headerCount = headerCount
    self.totalCount = totalCount
    self.packetIDOffset = packetIDOffset
    self.remainingLength = remainingLength
    self.propertiesCount = propertiesCount
  }
}

extension PublishHeader {
  /// Measures a PUBLISH without writing it. The sum may pass `maximumRemainingLength`; such a
  /// packet must not be encoded.
  ///
  /// - Parameters:
  ///   - topicCount: Bytes of the topic name.
  ///   - forwardedCount: Bytes of the encoded properties that are copied; left out before MQTT 5.
  ///   - identifiers: Subscription identifiers, each 1 to 268,435,455; left out before MQTT 5.
  ///   - payloadCount: Bytes of the payload.
  @inlinable
  public func layout(
    topicCount: Int, forwardedCount: Int = 0, identifiers: Span<UInt32> = Span(),
    payloadCount: Int
  ) -> PublishLayout {
    var properties = 0
    var remaining = 2 &+ topicCount
    if version.hasProperties {
      properties = forwardedCount
      if messageExpiryInterval != nil { properties &+= 5 }
      if topicAlias != 0 { properties &+= 3 }
      for index in identifiers.indices {
        properties &+= 1 &+ variableByteCount(Int(identifiers[index]))
      }
      remaining &+= variableByteCount(properties) &+ properties
    }
    if qos != .atMostOnce { remaining &+= 2 }
    let beforePayload = remaining
    remaining &+= payloadCount
    let fixed = 1 &+ variableByteCount(remaining)
    return PublishLayout(
      headerCount: fixed &+ beforePayload, totalCount: fixed &+ remaining,
      packetIDOffset: qos == .atMostOnce ? -1 : fixed &+ 2 &+ topicCount,
      remainingLength: remaining, propertiesCount: properties)
  }

  /// The first byte of the packet.
  @inlinable public var firstByte: UInt8 {
    PacketType.publish.rawValue &<< 4 | (dup ? 0x08 : 0) | qos.rawValue &<< 1 | (retain ? 1 : 0)
  }
}

/// Writes everything of a PUBLISH that stands before its payload.
///
/// For a fan-out it is called once for each version and QoS; each receiver gets a copy, with its
/// packet identifier patched in at `packetIDOffset`, and the shared payload behind it.
///
/// - Parameters:
///   - topic: A topic name; empty if the alias stands for it.
///   - forwarded: Encoded properties, as `appendForwardedProperties` writes them. They and
///     `identifiers` are left out before MQTT 5.
///   - identifiers: Subscription identifiers, each 1 to 268,435,455.
///   - payloadCount: Bytes that the caller puts behind the header.
///   - out: Must have `headerCount` bytes of capacity left.
/// - Returns: What `PublishHeader.layout` returns for the same packet.
@inlinable
@discardableResult
public func encodePublishHeader(
  _ header: PublishHeader, topic: Span<UInt8>, forwarded: Span<UInt8> = Span(),
  identifiers: Span<UInt32> = Span(), payloadCount: Int, into out: inout OutputSpan<UInt8>
) -> PublishLayout {
  let layout = header.layout(
    topicCount: topic.count, forwardedCount: forwarded.count, identifiers: identifiers,
    payloadCount: payloadCount)
  out.append(header.firstByte)
  out.append(variable: layout.remainingLength)
  out.append(counted: topic)
  if header.qos != .atMostOnce { out.append(uint16: header.packetID) }
  if header.version.hasProperties {
    out.append(variable: layout.propertiesCount)
    if let interval = header.messageExpiryInterval {
      out.append(PropertyID.messageExpiryInterval.rawValue)
      out.append(uint32: interval)
    }
    if header.topicAlias != 0 {
      out.append(PropertyID.topicAlias.rawValue)
      out.append(uint16: header.topicAlias)
    }
    for index in identifiers.indices {
      out.append(PropertyID.subscriptionIdentifier.rawValue)
      out.append(variable: Int(identifiers[index]))
    }
    out.append(copying: forwarded)
  }
  return layout
}

/// Writes a whole PUBLISH: the header and `payload`. `out` must have `totalCount` bytes left.
@discardableResult
public func encodePublish(
  _ header: PublishHeader, topic: Span<UInt8>, forwarded: Span<UInt8> = Span(),
  identifiers: Span<UInt32> = Span(), payload: Span<UInt8>, into out: inout OutputSpan<UInt8>
) -> PublishLayout {
  let layout = encodePublishHeader(
    header, topic: topic, forwarded: forwarded, identifiers: identifiers,
    payloadCount: payload.count, into: &out)
  out.append(copying: payload)
  return layout
}
