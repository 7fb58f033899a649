import Util

extension Publish {
  /// Decodes a PUBLISH in one pass, without an allocation.
  ///
  /// - Parameters:
  ///   - packet: Bytes from the packet's first one; must hold the whole packet.
  ///   - header: What `decodeFrame` found there.
  ///   - version: The version that CONNECT named.
  @inlinable
  public static func decode(
    _ packet: Span<UInt8>, header: FixedHeader, version: ProtocolVersion
  ) throws(DecodeError) -> Publish {
    guard let qos = QoS(rawValue: (header.flags >> 1) & 0x03) else { throw .publishQoSOutOfRange }
    let dup = header.flags & 0x08 != 0
    guard qos != .atMostOnce || !dup else { throw .duplicateFlagAtQoS0 }
    var reader = PacketReader(packet, header: header)
    let (topic, hasWildcard) = try reader.scanString()
    guard !hasWildcard else { throw .topicHasWildcard }
    let packetID: UInt16 = qos == .atMostOnce ? 0 : try reader.readPacketID()
    var properties = PublishProperties()
    if version.hasProperties {
      properties.raw = try reader.readPropertyBlock()
      if !properties.raw.isEmpty { try properties.decode(packet) }
    }
    if topic.isEmpty, properties.topicAlias == nil {
      throw version.hasProperties ? .topicMissing : .topicEmpty
    }
    return Publish(
      dup: dup, qos: qos, retain: header.flags & 0x01 != 0, topic: topic, packetID: packetID,
      properties: properties, payload: reader.readRest())
  }

  /// Offset of the two bytes of the packet identifier in the packet, for a copy of the packet that
  /// gets another one; -1 at QoS 0.
  @inlinable public var packetIDOffset: Int {
    qos == .atMostOnce ? -1 : Int(topic.offset) &+ Int(topic.count)
  }
}

extension PublishProperties {
  /// Reads the block `raw` of a PUBLISH (3.3.2.3).
  @usableFromInline
  mutating func decode(_ packet: Span<UInt8>) throws(DecodeError) {
    var reader = PropertyReader(packet, block: raw, allowed: .publish, repeatsIdentifier: true)
    var start = reader.reader.offset
    while let property = try reader.next() {
      take(property)
      let end = reader.reader.offset
      if property.id.isForwarded {
        forwardedCount &+= UInt32(truncatingIfNeeded: end &- start)
      }
      start = end
    }
  }
}
