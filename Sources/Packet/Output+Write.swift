import Util

/// Bytes of a variable byte integer, 1 to 4.
@inlinable
public func variableByteCount(_ value: Int) -> Int {
  if value < 0x80 { return 1 }
  if value < 0x4000 { return 2 }
  return value < 0x20_0000 ? 3 : 4
}

extension OutputSpan where Element == UInt8 {
  /// Appends all of `bytes`; the loop becomes a copy of whole vectors.
  @inlinable
  @_lifetime(self: copy self)
  mutating func append(copying bytes: Span<UInt8>) {
    for index in bytes.indices { append(bytes[index]) }
  }

  @inlinable
  @_lifetime(self: copy self)
  mutating func append(uint16 value: UInt16) {
    append(UInt8(truncatingIfNeeded: value &>> 8))
    append(UInt8(truncatingIfNeeded: value))
  }

  @inlinable
  @_lifetime(self: copy self)
  mutating func append(uint32 value: UInt32) {
    append(uint16: UInt16(truncatingIfNeeded: value &>> 16))
    append(uint16: UInt16(truncatingIfNeeded: value))
  }

  /// Appends a variable byte integer; `value` is 0 to 268,435,455.
  @inlinable
  @_lifetime(self: copy self)
  mutating func append(variable value: Int) {
    precondition(value >= 0 && value <= maximumRemainingLength, "too large for four bytes")
    var rest = value
    while rest >= 0x80 {
      append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest &>>= 7
    }
    append(UInt8(truncatingIfNeeded: rest))
  }

  /// Appends a string or binary data with its two bytes of length; at most 65,535 bytes.
  @inlinable
  @_lifetime(self: copy self)
  mutating func append(counted bytes: Span<UInt8>) {
    precondition(bytes.count <= 65_535, "too long for two bytes of length")
    append(uint16: UInt16(truncatingIfNeeded: bytes.count))
    append(copying: bytes)
  }

  /// Appends the first byte and the remaining length.
  @inlinable
  @_lifetime(self: copy self)
  mutating func append(fixedHeader type: PacketType, flags: UInt8 = 0, remaining: Int) {
    append(type.rawValue &<< 4 | flags)
    append(variable: remaining)
  }

  @_lifetime(self: copy self)
  mutating func append(_ id: PropertyID, byte value: UInt8?) {
    guard let value else { return }
    append(id.rawValue)
    append(value)
  }

  @_lifetime(self: copy self)
  mutating func append(_ id: PropertyID, flag value: Bool?) {
    append(id, byte: value.map { $0 ? 1 : 0 })
  }

  @_lifetime(self: copy self)
  mutating func append(_ id: PropertyID, uint16 value: UInt16?) {
    guard let value else { return }
    append(id.rawValue)
    append(uint16: value)
  }

  @_lifetime(self: copy self)
  mutating func append(_ id: PropertyID, uint32 value: UInt32?) {
    guard let value else { return }
    append(id.rawValue)
    append(uint32: value)
  }

  @_lifetime(self: copy self)
  mutating func append(_ id: PropertyID, bytes value: [UInt8]?) {
    guard let value else { return }
    append(id.rawValue)
    append(counted: value.span)
  }
}

/// Bytes of a property with a string or binary value, with its identifier; 0 if it is absent.
func propertyCount(_ value: [UInt8]?) -> Int {
  guard let value else { return 0 }
  return 3 + value.count
}

/// `count` if a property of a fixed size is present, else 0.
func propertyCount<Value>(_ value: Value?, _ count: Int) -> Int {
  value == nil ? 0 : count
}

/// Bytes of a whole packet whose variable header and payload have `remaining` bytes.
@inlinable
public func packetCount(remaining: Int) -> Int {
  1 &+ variableByteCount(remaining) &+ remaining
}

/// Appends a user property in its encoded form to `block`, for the `userProperties` of a packet.
///
/// Both strings are at most 65,535 bytes of UTF-8 without U+0000.
public func appendUserProperty(
  name: Span<UInt8>, value: Span<UInt8>, to block: inout [UInt8]
) {
  precondition(name.count <= 65_535 && value.count <= 65_535, "too long for two bytes of length")
  block.reserveCapacity(block.count + 5 + name.count + value.count)
  block.append(PropertyID.userProperty.rawValue)
  appendCounted(name, to: &block)
  appendCounted(value, to: &block)
}

private func appendCounted(_ bytes: Span<UInt8>, to block: inout [UInt8]) {
  block.append(UInt8(truncatingIfNeeded: bytes.count >> 8))
  block.append(UInt8(truncatingIfNeeded: bytes.count))
  for index in bytes.indices { block.append(bytes[index]) }
}
