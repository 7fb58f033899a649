/// Where a field lies inside the bytes that a packet was decoded from.
///
/// A decoded packet holds ranges instead of copies or views, so that it is plain data and may
/// outlive the span it was read from; the caller applies it to the same bytes again.
public struct ByteRange: Equatable, Hashable, Sendable, BitwiseCopyable {
  /// Offset of the first byte, from the start of the packet.
  public var offset: UInt32
  /// Number of bytes; at most 268,435,455, the largest remaining length of MQTT.
  public var count: UInt32

  /// Both must lie in 0 to `UInt32.max`, which every offset into a packet does; nothing is checked.
  @inlinable
  public init(offset: Int, count: Int) {
    self.offset = UInt32(truncatingIfNeeded: offset)
    self.count = UInt32(truncatingIfNeeded: count)
  }

  /// A field that is absent or empty.
  public static var empty: ByteRange { ByteRange(offset: 0, count: 0) }

  /// Whether the field has no bytes, be it absent or empty.
  @inlinable public var isEmpty: Bool { count == 0 }

  /// The same as indices of the packet's span.
  @inlinable public var range: Range<Int> { Int(offset)..<Int(offset) + Int(count) }
}

extension Span where Element == UInt8 {
  /// The bytes of `range`, which must lie inside this span.
  @inlinable
  @_lifetime(copy self)
  public func extracting(_ range: ByteRange) -> Span<UInt8> {
    extracting(range.range)
  }
}
