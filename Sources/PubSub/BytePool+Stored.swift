import Glibc
import Util

/// Texts whose length is kept by their owner, beside the handle: filters and levels are compared on
/// the path of each publish, and this way a comparison asks the pool for one address and no more.
extension BytePool {
  /// Copies `text`, at most 65,535 bytes; nil when the pool is exhausted.
  func store(_ text: Span<UInt8>) -> UInt32? {
    precondition(text.count <= 65_535, "text too long")
    guard let handle = allocate(text.count) else { return nil }
    unsafe text.withUnsafeBytes {
      // The block holds at least as many bytes as were asked for.
      if let start = $0.baseAddress {
        unsafe address(of: handle).copyMemory(from: start, byteCount: $0.count)
      }
    }
    return handle
  }

  /// Whether the `count` bytes that `store` put at `handle` are those of `text`.
  func stored(_ handle: UInt32, count: UInt16, equals text: Span<UInt8>) -> Bool {
    guard text.count == Int(count) else { return false }
    return unsafe text.withUnsafeBytes {
      guard let start = $0.baseAddress else { return true }
      return unsafe memcmp(address(of: handle), start, $0.count) == 0
    }
  }

  /// Calls `body` with a stored text, which lives as long as the call: a span can't be taken out of
  /// a property of a class directly.
  func withStored<Result>(
    _ handle: UInt32, count: UInt16, _ body: (Span<UInt8>) -> Result
  ) -> Result {
    body(bytes(handle, count: Int(count)))
  }
}
