import Glibc

/// Strings of at most 65,535 bytes: a block that starts with its length in two bytes.
extension BytePool {
  /// Bytes in front of a text in its block.
  static var prefix: Int { 2 }

  /// Copies `text`; nil when the pool is exhausted.
  public func intern(_ text: Span<UInt8>) -> UInt32? {
    precondition(text.count <= 65_535, "text too long")
    guard let handle = allocate(text.count + BytePool.prefix) else { return nil }
    let block = unsafe address(of: handle)
    unsafe block.storeBytes(of: UInt16(text.count), as: UInt16.self)
    unsafe text.withUnsafeBytes {
      if let start = $0.baseAddress {
        unsafe (block + BytePool.prefix).copyMemory(from: start, byteCount: $0.count)
      }
    }
    return handle
  }

  /// The text in a block that `intern` gave.
  @_lifetime(borrow self)
  public func text(_ handle: UInt32) -> Span<UInt8> {
    let block = unsafe address(of: handle)
    let count = unsafe Int(block.load(as: UInt16.self))
    return bytes(handle, count: count + BytePool.prefix).extracting(droppingFirst: BytePool.prefix)
  }

  /// Calls `body` with a text. (A span can't be taken out of a class's property otherwise.)
  public func withText<Result>(_ handle: UInt32, _ body: (Span<UInt8>) -> Result) -> Result {
    body(text(handle))
  }

  /// Whether the text in `handle` is `other`.
  public func text(_ handle: UInt32, equals other: Span<UInt8>) -> Bool {
    text(handle).hasSameBytes(as: other)
  }
}

/// Tables of 32-bit words in a block.
extension BytePool {
  /// A block of `count` words, all 0; nil when the pool is exhausted.
  public func allocateWords(_ count: Int) -> UInt32? {
    guard let handle = allocate(4 * count) else { return nil }
    for index in 0..<count { setWord(handle, index, 0) }
    return handle
  }

  /// The word at `index`, which must lie in the block.
  public func word(_ handle: UInt32, _ index: Int) -> UInt32 {
    precondition(index >= 0 && 4 * index + 4 <= capacity(of: handle), "beyond the block")
    return unsafe address(of: handle).load(fromByteOffset: 4 * index, as: UInt32.self)
  }

  /// Changes the word at `index`, which must lie in the block.
  public func setWord(_ handle: UInt32, _ index: Int, _ value: UInt32) {
    precondition(index >= 0 && 4 * index + 4 <= capacity(of: handle), "beyond the block")
    unsafe address(of: handle).storeBytes(of: value, toByteOffset: 4 * index, as: UInt32.self)
  }
}

extension Span where Element == UInt8 {
  /// Whether both spans hold the same bytes.
  public func hasSameBytes(as other: Span<UInt8>) -> Bool {
    guard count == other.count else { return false }
    return unsafe withUnsafeBytes { mine in
      unsafe other.withUnsafeBytes { theirs in
        guard let a = mine.baseAddress, let b = theirs.baseAddress else { return true }
        return unsafe memcmp(a, b, mine.count) == 0
      }
    }
  }

  /// A copy, for logs and other slow paths. Bytes that are not UTF-8 show as U+FFFD.
  public var description: String {
    unsafe withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }

  /// Copies the bytes to `address`, which must have room for them, and gives the address behind them.
  @unsafe
  @inlinable
  public func copy(to address: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    unsafe withUnsafeBytes {
      if let start = $0.baseAddress { unsafe address.copyMemory(from: start, byteCount: $0.count) }
    }
    return unsafe address + count
  }

  /// A copy of the bytes.
  public var array: [UInt8] { unsafe withUnsafeBytes { unsafe [UInt8]($0) } }
}

extension MutableSpan where Element == UInt8 {
  /// Copies `bytes` to `offset`, where there must be room for them.
  @_lifetime(self: copy self)
  public mutating func copy(_ bytes: Span<UInt8>, at offset: Int) {
    precondition(offset >= 0 && offset + bytes.count <= count, "no room for a copy")
    unsafe withUnsafeMutableBytes { target in
      unsafe bytes.withUnsafeBytes { source in
        guard let to = target.baseAddress, let from = source.baseAddress else { return }
        unsafe (to + offset).copyMemory(from: from, byteCount: source.count)
      }
    }
  }
}
