import Util

/// The first bytes of a packet: its type, its flags and how long it is.
public struct FixedHeader: Equatable, Sendable, BitwiseCopyable {
  /// What kind of packet follows.
  public var type: PacketType
  /// The low four bits of the first byte.
  public var flags: UInt8
  /// Bytes of the fixed header itself: 2 to 5.
  public var headerLength: Int
  /// Bytes after the fixed header: 0 to 268,435,455.
  public var remainingLength: Int

  /// A fixed header from its parts.
  @inlinable
  public init(type: PacketType, flags: UInt8, headerLength: Int, remainingLength: Int) {
    self.type = type
    self.flags = flags
    self.headerLength = headerLength
    self.remainingLength = remainingLength
  }

  /// Bytes of the whole packet.
  @inlinable public var totalLength: Int { headerLength &+ remainingLength }
}

/// What lies at the head of a stream of bytes.
public enum Frame: Equatable, Sendable, BitwiseCopyable {
  /// The packet is not complete; it has at least `needed` bytes, counted from its first one. The
  /// count is 2 or more, and exact as soon as the whole fixed header is there.
  case incomplete(needed: Int)
  /// A whole packet lies at the offset.
  case packet(FixedHeader)
}

/// The largest remaining length that four bytes of seven bits hold.
public let maximumRemainingLength = 268_435_455

/// The largest packet: a fixed header of five bytes and `maximumRemainingLength`.
public let maximumPossiblePacketSize = maximumRemainingLength + 5

/// Finds the packet that starts at `offset` of `bytes`, without looking at its body.
///
/// - Parameters:
///   - bytes: What was received; more packets may follow the one at `offset`.
///   - offset: 0 to `bytes.count`.
///   - maximumPacketSize: Bytes of the largest packet that is accepted, fixed header included. A
///     larger one is refused as soon as its length is known, so that nobody gathers its body.
///   - version: The version that CONNECT named. MQTT 3.1 lets a repeated PUBREL, SUBSCRIBE or
///     UNSUBSCRIBE set the DUP flag, and only MQTT 5 has AUTH.
/// - Throws: On a reserved type or flag, a remaining length that isn't minimal or has more than
///   four bytes, a ping with a body, and a packet that is too large.
@inlinable
public func decodeFrame(
  _ bytes: Span<UInt8>, from offset: Int, maximumPacketSize: Int, version: ProtocolVersion = .v5
) throws(DecodeError) -> Frame {
  guard offset < bytes.count else { return .incomplete(needed: 2) }
  let rest = bytes.extracting(offset..<bytes.count)
  let first = rest[0]
  guard let type = PacketType(rawValue: first >> 4) else { throw .reservedPacketType }
  if type != .publish { try checkFlags(first, of: type, version: version) }
  guard rest.count > 1 else { return .incomplete(needed: 2) }
  var remaining = Int(rest[1])
  var headerLength = 2
  if remaining >= 0x80 {
    remaining &= 0x7F
    var shift = 7
    while true {
      guard headerLength < 5 else { throw .remainingLengthMalformed }
      guard rest.count > headerLength else { return .incomplete(needed: headerLength &+ 1) }
      let byte = rest[headerLength]
      headerLength &+= 1
      remaining |= Int(byte & 0x7F) &<< shift
      shift &+= 7
      if byte < 0x80 {
        // A last byte of 0 adds nothing: the same number has a shorter form.
        guard byte != 0 else { throw .remainingLengthMalformed }
        break
      }
    }
  }
  let total = headerLength &+ remaining
  guard total <= maximumPacketSize else { throw .packetTooLarge }
  if remaining != 0, type == .pingReq || type == .pingResp { throw .bodyNotEmpty }
  guard rest.count >= total else { return .incomplete(needed: total) }
  return .packet(
    FixedHeader(
      type: type, flags: first & 0x0F, headerLength: headerLength, remainingLength: remaining))
}

/// Checks the low half of the first byte of a packet other than PUBLISH [MQTT-2.1.3-1].
@usableFromInline
func checkFlags(
  _ first: UInt8, of type: PacketType, version: ProtocolVersion
) throws(DecodeError) {
  var flags = first & 0x0F
  if version == .v3_1, type.requiredFlags != 0 {
    // MQTT 3.1 repeats these packets with DUP set; 3.1.1 took that away.
    flags &= 0b0111
  }
  guard flags == type.requiredFlags else { throw .reservedFlags }
  if type == .auth, version != .v5 { throw .notInThisVersion }
}
