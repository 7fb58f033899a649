/// A seed that differs in each run, so that nobody can choose keys that collide.
public struct HashSeed: Sendable, BitwiseCopyable {
  @usableFromInline let first: UInt64
  @usableFromInline let second: UInt64

  /// A random seed.
  public init() {
    first = UInt64.random(in: 1...UInt64.max)
    second = UInt64.random(in: 1...UInt64.max)
  }

  /// A fixed seed, for tests that are replayed.
  public init(_ first: UInt64, _ second: UInt64) {
    self.first = first
    self.second = second
  }
}

/// A 64-bit hash of short byte strings: eight bytes a step, each folded by a full multiplication
/// with the secret seed. Not for anything that leaves the process.
///
/// A publish hashes its topic once for each index it asks, which is why this is not the standard
/// library's `Hasher`: it inlines to a handful of instructions for the 10 to 40 bytes of a topic.
@inlinable
public func hashBytes(_ bytes: Span<UInt8>, seed: HashSeed) -> UInt64 {
  unsafe bytes.withUnsafeBytes { buffer in
    var state = seed.first ^ UInt64(buffer.count)
    var offset = 0
    var left = buffer.count
    while left > 8 {
      let word = unsafe buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      state = mix(state ^ word, seed.second)
      offset += 8
      left -= 8
    }
    var tail: UInt64 = 0
    if buffer.count >= 8 {
      // The last eight bytes, some of them seen before: no loop over a tail.
      tail = unsafe buffer.loadUnaligned(fromByteOffset: buffer.count - 8, as: UInt64.self)
    } else if left >= 4 {
      let low = unsafe buffer.loadUnaligned(fromByteOffset: 0, as: UInt32.self)
      let high = unsafe buffer.loadUnaligned(fromByteOffset: left - 4, as: UInt32.self)
      tail = UInt64(high) << 32 | UInt64(low)
    } else if left > 0 {
      tail =
        unsafe UInt64(buffer[0]) | UInt64(buffer[left / 2]) << 8 | UInt64(buffer[left - 1]) << 16
    }
    return mix(mix(state ^ tail, seed.second), seed.first)
  }
}

/// Both halves of a 128-bit product, folded.
@inlinable
public func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
  let product = a.multipliedFullWidth(by: b)
  return product.high ^ product.low
}
