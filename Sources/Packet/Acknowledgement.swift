import Util

/// A PUBACK, PUBREC, PUBREL or PUBCOMP packet. Ranges count from the packet's first byte.
public struct Acknowledgement: Equatable, Sendable, BitwiseCopyable {
  /// Which of the four it is.
  public var type: PacketType
  /// 1 to 65,535.
  public var packetID: UInt16
  /// Success in the short forms, and always before MQTT 5.
  public var reason: ReasonCode = .success
  /// Text for people, or nil; UTF-8.
  public var reasonString: ByteRange?
  /// The whole block of properties, without its length.
  public var properties = ByteRange(offset: 0, count: 0)

  /// A cursor over the user properties.
  public func userProperties() -> UserPropertyCursor { UserPropertyCursor(block: properties) }

  /// Decodes one of the four, in the forms of 2, 3 and more bytes (3.4.2.1).
  ///
  /// - Parameters:
  ///   - packet: Bytes from the packet's first one; must hold the whole packet.
  ///   - header: What `decodeFrame` found there.
  ///   - version: The version that CONNECT named.
  @inlinable
  public static func decode(
    _ packet: Span<UInt8>, header: FixedHeader, version: ProtocolVersion
  ) throws(DecodeError) -> Acknowledgement {
    var reader = PacketReader(packet, header: header)
    var acknowledgement = Acknowledgement(type: header.type, packetID: try reader.readPacketID())
    if reader.remaining > 0 {
      guard version.hasProperties else { throw .trailingBytes }
      try acknowledgement.decodeReason(&reader, packet)
    }
    return acknowledgement
  }

  /// One of the four in its form of four bytes, which nearly all have; nil where there is anything
  /// else at `offset`, be it valid or not, and `decodeFrame` is to look at it.
  @inlinable
  public static func short(_ bytes: Span<UInt8>, at offset: Int) -> Acknowledgement? {
    guard bytes.count - offset >= 4, bytes[offset + 1] == 2 else { return nil }
    let packetID = UInt16(bytes[offset + 2]) << 8 | UInt16(bytes[offset + 3])
    guard packetID != 0 else { return nil }
    // The flags are part of the byte (2.1.3): 2 for PUBREL, 0 for the others.
    switch bytes[offset] {
    case 0x40: return Acknowledgement(type: .pubAck, packetID: packetID)
    case 0x50: return Acknowledgement(type: .pubRec, packetID: packetID)
    case 0x62: return Acknowledgement(type: .pubRel, packetID: packetID)
    case 0x70: return Acknowledgement(type: .pubComp, packetID: packetID)
    default: return nil
    }
  }

  @inlinable
  init(type: PacketType, packetID: UInt16) {
    self.type = type
    self.packetID = packetID
  }

  /// Reads the reason code and what follows it.
  @usableFromInline
  mutating func decodeReason(
    _ reader: inout PacketReader, _ packet: Span<UInt8>
  ) throws(DecodeError) {
    reason = ReasonCode(rawValue: try reader.readByte())
    let isRelease = type == .pubRel || type == .pubComp
    guard isRelease ? reason.isAllowedInPubRel : reason.isAllowedInPubAck else {
      throw .reasonCodeNotAllowed
    }
    guard reader.remaining > 0 else { return }
    properties = try reader.readPropertyBlock()
    try reader.expectEnd()
    var properties = PropertyReader(packet, block: properties, allowed: .acknowledgement)
    while let property = try properties.next() {
      if property.id == .reasonString { reasonString = property.range }
    }
  }
}
