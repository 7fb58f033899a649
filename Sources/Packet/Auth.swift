import Util

/// An AUTH packet, only in MQTT 5. Ranges count from the packet's first byte.
public struct Auth: Equatable, Sendable, BitwiseCopyable {
  /// Success, continue authentication or re-authenticate. Which of them may come from which side
  /// is for the receiver to check.
  public var reason: ReasonCode = .success
  /// nil only in the form without a body.
  public var authenticationMethod: ByteRange?
  /// What the method defines, or nil; any bytes.
  public var authenticationData: ByteRange?
  /// Text for people, or nil; UTF-8.
  public var reasonString: ByteRange?
  /// The whole block of properties, without its length.
  public var properties = ByteRange(offset: 0, count: 0)

  /// A cursor over the user properties.
  public func userProperties() -> UserPropertyCursor { UserPropertyCursor(block: properties) }

  /// Decodes an AUTH. Its shortest form has no body and means success (3.15.2.1).
  ///
  /// - Parameters:
  ///   - packet: Bytes from the packet's first one; must hold the whole packet.
  ///   - header: What `decodeFrame` found there.
  ///   - version: The version that CONNECT named; any but MQTT 5 is an error.
  public static func decode(
    _ packet: Span<UInt8>, header: FixedHeader, version: ProtocolVersion
  ) throws(DecodeError) -> Auth {
    guard version.hasProperties else { throw .notInThisVersion }
    var reader = PacketReader(packet, header: header)
    var auth = Auth()
    guard reader.remaining > 0 else { return auth }
    auth.reason = ReasonCode(rawValue: try reader.readByte())
    guard auth.reason.isAllowedInAuth else { throw .reasonCodeNotAllowed }
    auth.properties = try reader.readPropertyBlock()
    try reader.expectEnd()
    var block = PropertyReader(packet, block: auth.properties, allowed: .auth)
    while let property = try block.next() {
      switch property.id {
      case .authenticationMethod: auth.authenticationMethod = property.range
      case .authenticationData: auth.authenticationData = property.range
      case .reasonString: auth.reasonString = property.range
      default: break
      }
    }
    guard auth.authenticationMethod != nil else { throw .authenticationMethodMissing }
    return auth
  }
}
