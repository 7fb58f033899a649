import Util

/// Reads the fields of one packet in order. Offsets count from the packet's first byte.
@usableFromInline
struct PacketReader: ~Escapable {
  /// The packet; nothing behind its end, or behind the end of a block of properties in it.
  @usableFromInline let bytes: Span<UInt8>
  @usableFromInline var offset: Int

  /// A reader behind the fixed header. `packet` must hold the whole packet; it may hold more.
  @inlinable
  @_lifetime(copy packet)
  init(_ packet: Span<UInt8>, header: FixedHeader) {
    precondition(packet.count >= header.totalLength, "the packet must be complete")
    self.bytes = packet.extracting(0..<header.totalLength)
    self.offset = header.headerLength
  }

  /// A reader of what lies from `offset` to `end`, 0 <= `offset` <= `end` <= `packet.count`.
  @inlinable
  @_lifetime(copy packet)
  init(_ packet: Span<UInt8>, from offset: Int, to end: Int) {
    self.bytes = packet.extracting(0..<end)
    self.offset = offset
  }

  @inlinable var remaining: Int { bytes.count &- offset }

  @inlinable @inline(__always)
  mutating func readByte() throws(DecodeError) -> UInt8 {
    guard remaining >= 1 else { throw .truncated }
    let value = bytes[offset]
    offset &+= 1
    return value
  }

  @inlinable @inline(__always)
  mutating func readUInt16() throws(DecodeError) -> UInt16 {
    guard remaining >= 2 else { throw .truncated }
    let value = UInt16(bytes[offset]) &<< 8 | UInt16(bytes[offset &+ 1])
    offset &+= 2
    return value
  }

  @inlinable
  mutating func readUInt32() throws(DecodeError) -> UInt32 {
    let high = try readUInt16()
    let low = try readUInt16()
    return UInt32(high) &<< 16 | UInt32(low)
  }

  /// A packet identifier, which is never 0 [MQTT-2.2.1-3].
  @inlinable @inline(__always)
  mutating func readPacketID() throws(DecodeError) -> UInt16 {
    let value = try readUInt16()
    guard value != 0 else { throw .packetIdentifierZero }
    return value
  }

  /// A variable byte integer of one to four bytes, in its shortest form [MQTT-1.5.5-1].
  @inlinable
  mutating func readVariable() throws(DecodeError) -> UInt32 {
    var byte = try readByte()
    if byte < 0x80 { return UInt32(byte) }
    var value = UInt32(byte & 0x7F)
    var shift: UInt32 = 7
    while shift <= 21 {
      byte = try readByte()
      value |= UInt32(byte & 0x7F) &<< shift
      if byte < 0x80 {
        guard byte != 0 else { throw .variableByteIntegerMalformed }
        return value
      }
      shift &+= 7
    }
    throw .variableByteIntegerMalformed
  }

  /// Two bytes of length and that many bytes.
  @inlinable @inline(__always)
  mutating func readBinary() throws(DecodeError) -> ByteRange {
    let count = Int(try readUInt16())
    guard remaining >= count else { throw .truncated }
    let range = ByteRange(offset: offset, count: count)
    offset &+= count
    return range
  }

  /// A string: binary data that is UTF-8 without U+0000. The result tells of wildcards.
  @inlinable @inline(__always)
  mutating func scanString() throws(DecodeError) -> (range: ByteRange, hasWildcard: Bool) {
    let range = try readBinary()
    switch Packet.scanString(bytes.extracting(range)) {
    case .plain: return (range, false)
    case .hasWildcard: return (range, true)
    case .hasNul: throw .nulCharacter
    case .notUTF8: throw .invalidUTF8
    }
  }

  /// A string whose characters may be any.
  @inlinable
  mutating func readString() throws(DecodeError) -> ByteRange {
    try scanString().range
  }

  /// A topic name: not empty, no wildcard.
  @inlinable
  mutating func readTopicName() throws(DecodeError) -> ByteRange {
    let (range, hasWildcard) = try scanString()
    guard !range.isEmpty else { throw .topicEmpty }
    guard !hasWildcard else { throw .topicHasWildcard }
    return range
  }

  /// Everything up to the end.
  @inlinable
  mutating func readRest() -> ByteRange {
    let range = ByteRange(offset: offset, count: remaining)
    offset = bytes.count
    return range
  }

  /// The length of a block of properties and where it lies; the reader stands behind it after.
  @inlinable
  mutating func readPropertyBlock() throws(DecodeError) -> ByteRange {
    let count = Int(try readVariable())
    guard remaining >= count else { throw .propertyLengthOutOfRange }
    let range = ByteRange(offset: offset, count: count)
    offset &+= count
    return range
  }

  @inlinable
  func expectEnd() throws(DecodeError) {
    guard offset == bytes.count else { throw .trailingBytes }
  }
}
