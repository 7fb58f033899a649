import Util

/// A SUBACK or UNSUBACK packet. Ranges count from the packet's first byte.
public struct SubAck: Equatable, Sendable, BitwiseCopyable {
  /// `subAck` or `unsubAck`.
  public var type: PacketType
  /// 1 to 65,535.
  public var packetID: UInt16
  /// Text for people, or nil; UTF-8.
  public var reasonString: ByteRange?
  /// The whole block of properties, without its length.
  public var properties = ByteRange(offset: 0, count: 0)
  /// One byte for each filter, in the order of the request. Before MQTT 5 an UNSUBACK has none.
  public var reasons = ByteRange(offset: 0, count: 0)

  /// A cursor over the user properties.
  public func userProperties() -> UserPropertyCursor { UserPropertyCursor(block: properties) }

  /// Decodes a SUBACK or an UNSUBACK, whichever `header` says.
  ///
  /// - Parameters:
  ///   - packet: Bytes from the packet's first one; must hold the whole packet.
  ///   - header: What `decodeFrame` found there.
  ///   - version: The version that CONNECT named.
  public static func decode(
    _ packet: Span<UInt8>, header: FixedHeader, version: ProtocolVersion
  ) throws(DecodeError) -> SubAck {
    var reader = PacketReader(packet, header: header)
    var subAck = SubAck(type: header.type, packetID: try reader.readPacketID())
    if version.hasProperties {
      subAck.properties = try reader.readPropertyBlock()
      var block = PropertyReader(packet, block: subAck.properties, allowed: .acknowledgement)
      while let property = try block.next() {
        if property.id == .reasonString { subAck.reasonString = property.range }
      }
    } else if header.type == .unsubAck {
      try reader.expectEnd()
      return subAck
    }
    guard reader.remaining > 0 else { throw .noReasonCode }
    subAck.reasons = reader.readRest()
    for index in subAck.reasons.range {
      let reason = ReasonCode(rawValue: packet[index])
      guard reason.isAllowed(in: header.type, version: version) else {
        throw .reasonCodeNotAllowed
      }
    }
    return subAck
  }

  init(type: PacketType, packetID: UInt16) {
    self.type = type
    self.packetID = packetID
  }
}

extension ReasonCode {
  fileprivate func isAllowed(in type: PacketType, version: ProtocolVersion) -> Bool {
    if type == .unsubAck { return isAllowedInUnsubAck }
    return version.hasProperties ? isAllowedInSubAck : isAllowedInSubAck3
  }
}
