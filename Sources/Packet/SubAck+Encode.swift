import Util

/// A SUBACK or UNSUBACK to be encoded, without its reason codes.
public struct SubAckPacket: Sendable {
  /// `subAck` or `unsubAck`.
  public var type: PacketType
  /// 1 to 65,535.
  public var packetID: UInt16
  /// UTF-8. Left out before MQTT 5, as the user properties are.
  public var reasonString: [UInt8]?
  /// Encoded by `appendUserProperty`.
  public var userProperties: [UInt8]

  /// A SUBACK or UNSUBACK; its reason codes come with `encode`.
  public init(
    type: PacketType, packetID: UInt16, reasonString: [UInt8]? = nil, userProperties: [UInt8] = []
  ) {
    self.type = type
    self.packetID = packetID
    self.reasonString = reasonString
    self.userProperties = userProperties
  }

  private var propertiesCount: Int { propertyCount(reasonString) + userProperties.count }

  private func remaining(_ version: ProtocolVersion, reasonCount: Int) -> Int {
    guard version.hasProperties else { return type == .unsubAck ? 2 : 2 + reasonCount }
    let properties = propertiesCount
    return 2 + variableByteCount(properties) + properties + reasonCount
  }

  /// Bytes of the packet with `reasonCount` reason codes.
  public func encodedCount(_ version: ProtocolVersion, reasonCount: Int) -> Int {
    packetCount(remaining: remaining(version, reasonCount: reasonCount))
  }

  /// Writes the packet.
  ///
  /// - Parameters:
  ///   - reasons: One byte for each filter: a reason code. Before MQTT 5 any failure is written as
  ///     0x80, and an UNSUBACK has none.
  ///   - out: Must have `encodedCount` bytes of capacity left.
  public func encode(
    _ version: ProtocolVersion, reasons: Span<UInt8>, into out: inout OutputSpan<UInt8>
  ) {
    out.append(
      fixedHeader: type, remaining: remaining(version, reasonCount: reasons.count))
    out.append(uint16: packetID)
    if version.hasProperties {
      out.append(variable: propertiesCount)
      out.append(.reasonString, bytes: reasonString)
      out.append(copying: userProperties.span)
      out.append(copying: reasons)
    } else if type == .subAck {
      for index in reasons.indices { out.append(min(reasons[index], 0x80)) }
    }
  }
}
