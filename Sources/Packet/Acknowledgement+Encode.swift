import Util

/// Bytes of a PUBACK, PUBREC, PUBREL or PUBCOMP without properties: 4, or 5 in MQTT 5 with a reason
/// code other than success.
@inlinable
public func encodedAckCount(reason: ReasonCode, version: ProtocolVersion) -> Int {
  version.hasProperties && reason != .success ? 5 : 4
}

/// Writes a PUBACK, PUBREC, PUBREL or PUBCOMP in its shortest form (3.4.2.1).
///
/// - Parameters:
///   - type: One of the four.
///   - packetID: 1 to 65,535.
///   - reason: Left out before MQTT 5, and when it is success.
///   - out: Must have `encodedAckCount` bytes of capacity left.
@inlinable
public func encodeAck(
  type: PacketType, packetID: UInt16, reason: ReasonCode = .success, version: ProtocolVersion,
  into out: inout OutputSpan<UInt8>
) {
  let hasReason = version.hasProperties && reason != .success
  out.append(type.rawValue &<< 4 | type.requiredFlags)
  out.append(hasReason ? 3 : 2)
  out.append(uint16: packetID)
  if hasReason { out.append(reason.rawValue) }
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP with properties, to be encoded.
public struct AcknowledgementPacket: Sendable {
  /// One of the four.
  public var type: PacketType
  /// 1 to 65,535.
  public var packetID: UInt16
  /// Why; success leaves it out of the shortest form.
  public var reason: ReasonCode
  /// UTF-8. Left out before MQTT 5, as the user properties are.
  public var reasonString: [UInt8]?
  /// Encoded by `appendUserProperty`.
  public var userProperties: [UInt8]

  /// An acknowledgement with what is given.
  public init(
    type: PacketType, packetID: UInt16, reason: ReasonCode = .success,
    reasonString: [UInt8]? = nil, userProperties: [UInt8] = []
  ) {
    self.type = type
    self.packetID = packetID
    self.reason = reason
    self.reasonString = reasonString
    self.userProperties = userProperties
  }

  private var propertiesCount: Int { propertyCount(reasonString) + userProperties.count }

  private func remaining(_ version: ProtocolVersion) -> Int {
    guard version.hasProperties else { return 2 }
    let properties = propertiesCount
    if properties == 0 { return reason == .success ? 2 : 3 }
    return 3 + variableByteCount(properties) + properties
  }

  /// Bytes of the packet.
  public func encodedCount(_ version: ProtocolVersion) -> Int {
    packetCount(remaining: remaining(version))
  }

  /// Writes the packet; `out` must have `encodedCount` bytes of capacity left.
  public func encode(_ version: ProtocolVersion, into out: inout OutputSpan<UInt8>) {
    let properties = propertiesCount
    guard version.hasProperties, properties > 0 else {
      encodeAck(type: type, packetID: packetID, reason: reason, version: version, into: &out)
      return
    }
    out.append(fixedHeader: type, flags: type.requiredFlags, remaining: remaining(version))
    out.append(uint16: packetID)
    out.append(reason.rawValue)
    out.append(variable: properties)
    out.append(.reasonString, bytes: reasonString)
    out.append(copying: userProperties.span)
  }
}

/// Bytes of a PINGREQ or PINGRESP.
public let encodedPingCount = 2

/// Writes a PINGREQ.
@inlinable
public func encodePingReq(into out: inout OutputSpan<UInt8>) {
  out.append(fixedHeader: .pingReq, remaining: 0)
}

/// Writes a PINGRESP.
@inlinable
public func encodePingResp(into out: inout OutputSpan<UInt8>) {
  out.append(fixedHeader: .pingResp, remaining: 0)
}
