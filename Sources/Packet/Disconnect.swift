import Util

/// A DISCONNECT packet. Ranges count from the packet's first byte.
public struct Disconnect: Equatable, Sendable, BitwiseCopyable {
  /// Normal disconnection in the short form, and always before MQTT 5.
  public var reason: ReasonCode = .normalDisconnection
  /// Seconds; nil if the interval of CONNECT stays. Only a client may send it [MQTT-3.14.2-2], and
  /// it may not raise 0 to something else; both are for the receiver to check.
  public var sessionExpiryInterval: UInt32?
  /// Text for people, or nil; UTF-8.
  public var reasonString: ByteRange?
  /// Where else to connect to, or nil; UTF-8.
  public var serverReference: ByteRange?
  /// The whole block of properties, without its length.
  public var properties = ByteRange(offset: 0, count: 0)

  /// A cursor over the user properties.
  public func userProperties() -> UserPropertyCursor { UserPropertyCursor(block: properties) }

  /// Decodes a DISCONNECT; in MQTT 5 the reason code and the properties may be left out (3.14.2.1).
  ///
  /// - Parameters:
  ///   - packet: Bytes from the packet's first one; must hold the whole packet.
  ///   - header: What `decodeFrame` found there.
  ///   - version: The version that CONNECT named.
  public static func decode(
    _ packet: Span<UInt8>, header: FixedHeader, version: ProtocolVersion
  ) throws(DecodeError) -> Disconnect {
    var reader = PacketReader(packet, header: header)
    var disconnect = Disconnect()
    guard reader.remaining > 0 else { return disconnect }
    guard version.hasProperties else { throw .bodyNotEmpty }
    disconnect.reason = ReasonCode(rawValue: try reader.readByte())
    guard disconnect.reason.isAllowedInDisconnect else { throw .reasonCodeNotAllowed }
    guard reader.remaining > 0 else { return disconnect }
    disconnect.properties = try reader.readPropertyBlock()
    try reader.expectEnd()
    var block = PropertyReader(packet, block: disconnect.properties, allowed: .disconnect)
    while let property = try block.next() {
      switch property.id {
      case .sessionExpiryInterval: disconnect.sessionExpiryInterval = property.number
      case .reasonString: disconnect.reasonString = property.range
      case .serverReference: disconnect.serverReference = property.range
      default: break
      }
    }
    return disconnect
  }
}
