import Util

/// A user property: two strings, as ranges of the packet it was found in.
public struct UserProperty: Equatable, Sendable, BitwiseCopyable {
  /// UTF-8; may be empty, and repeated.
  public var name: ByteRange
  /// UTF-8; may be empty.
  public var value: ByteRange
}

/// Walks the user properties of a block that a decoder has accepted.
public struct UserPropertyCursor: Sendable, BitwiseCopyable {
  @usableFromInline var offset: UInt32
  @usableFromInline let end: UInt32

  /// A cursor over `block`, which counts from the first byte of what `next` is given.
  @inlinable
  public init(block: ByteRange) {
    offset = block.offset
    end = block.offset &+ block.count
  }

  /// The next user property of `packet`; nil at the end, or if the block isn't well-formed.
  public mutating func next(_ packet: Span<UInt8>) -> UserProperty? {
    guard Int(end) <= packet.count else { return nil }
    while offset < end {
      let start = Int(offset)
      guard let size = propertySize(packet, at: start, end: Int(end)) else { return nil }
      offset &+= UInt32(truncatingIfNeeded: size)
      if packet[start] == PropertyID.userProperty.rawValue {
        let nameCount = Int(packet[start + 1]) << 8 | Int(packet[start + 2])
        return UserProperty(
          name: ByteRange(offset: start + 3, count: nameCount),
          value: ByteRange(offset: start + 5 + nameCount, count: size - 5 - nameCount))
      }
    }
    return nil
  }
}

/// Walks the subscription identifiers of a block that a decoder has accepted.
public struct SubscriptionIdentifierCursor: Sendable, BitwiseCopyable {
  @usableFromInline var offset: UInt32
  @usableFromInline let end: UInt32

  /// A cursor over `block`, which counts from the first byte of what `next` is given.
  @inlinable
  public init(block: ByteRange) {
    offset = block.offset
    end = block.offset &+ block.count
  }

  /// The next identifier of `packet`, 1 to 268,435,455; nil at the end, or if the block isn't
  /// well-formed.
  public mutating func next(_ packet: Span<UInt8>) -> UInt32? {
    guard Int(end) <= packet.count else { return nil }
    while offset < end {
      let start = Int(offset)
      guard let size = propertySize(packet, at: start, end: Int(end)) else { return nil }
      offset &+= UInt32(truncatingIfNeeded: size)
      if packet[start] == PropertyID.subscriptionIdentifier.rawValue {
        var reader = PacketReader(packet, from: start + 1, to: start + size)
        return try? reader.readVariable()
      }
    }
    return nil
  }
}

/// Bytes of the property at `offset` with its identifier, without a look at its value; nil if it
/// is unknown or runs past `end`, which must not be beyond the end of `bytes`.
func propertySize(_ bytes: Span<UInt8>, at offset: Int, end: Int) -> Int? {
  guard offset < end, let id = PropertyID(rawValue: bytes[offset]) else { return nil }
  var next = offset &+ 1
  switch id.form {
  case .byte: next &+= 1
  case .uint16: next &+= 2
  case .uint32: next &+= 4
  case .variable:
    var reader = PacketReader(bytes, from: next, to: end)
    guard (try? reader.readVariable()) != nil else { return nil }
    next = reader.offset
  case .string, .binary: next &+= 2 &+ stringCount(bytes, at: next, end: end)
  case .pair:
    next &+= 2 &+ stringCount(bytes, at: next, end: end)
    next &+= 2 &+ stringCount(bytes, at: next, end: end)
  }
  return next <= end ? next &- offset : nil
}

/// The two bytes of length at `offset`; beyond `end` they count as 0, and the caller sees that the
/// property runs past the end.
private func stringCount(_ bytes: Span<UInt8>, at offset: Int, end: Int) -> Int {
  guard offset &+ 2 <= end else { return 0 }
  return Int(bytes[offset]) &<< 8 | Int(bytes[offset &+ 1])
}

/// Bytes of the properties in the block `raw` that a server forwards unaltered: payload format,
/// content type, response topic, correlation data and user properties.
///
/// `raw` is the block of a PUBLISH or of a will that a decoder has accepted; the count stops at the
/// first property that isn't well-formed.
public func forwardedPropertiesCount(_ raw: Span<UInt8>) -> Int {
  var offset = 0
  var count = 0
  while let size = propertySize(raw, at: offset, end: raw.count) {
    if PropertySet.forwarded.contains(raw, at: offset) { count &+= size }
    offset &+= size
  }
  return count
}

/// Appends the properties that `forwardedPropertiesCount` counts to `out`, in their order
/// [MQTT-3.3.2-18]. `out` must have that much capacity left.
public func appendForwardedProperties(_ raw: Span<UInt8>, to out: inout OutputSpan<UInt8>) {
  var offset = 0
  while let size = propertySize(raw, at: offset, end: raw.count) {
    if PropertySet.forwarded.contains(raw, at: offset) {
      out.append(copying: raw.extracting(offset..<offset &+ size))
    }
    offset &+= size
  }
}

extension PropertySet {
  /// Whether the identifier at `offset` of `bytes`, which is a known one, is in the set.
  fileprivate func contains(_ bytes: Span<UInt8>, at offset: Int) -> Bool {
    bits & (1 &<< UInt64(bytes[offset])) != 0
  }
}
