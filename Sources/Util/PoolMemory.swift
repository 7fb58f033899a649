/// What the memory of a slab or a pool is used for, in bytes. It is counted as blocks come and go, so
/// that asking costs nothing.
public struct PoolMemory: BitwiseCopyable, Sendable, Equatable {
  /// In blocks that are in use, slack inside them included.
  public var used: Int
  /// In blocks that are free, on pages that hold memory.
  public var free: Int
  /// In hash tables of the blocks, which their owners add.
  public var tables: Int

  /// No memory.
  public init() {
    used = 0
    free = 0
    tables = 0
  }

  /// - Parameter touched: bytes on pages that hold memory; `used` may be larger where owners of
  ///   blocks have not written to all of them yet.
  init(used: Int, touched: Int) {
    self.used = used
    free = max(0, touched - used)
    tables = 0
  }

  /// The memory of two together.
  public static func + (left: PoolMemory, right: PoolMemory) -> PoolMemory {
    var sum = left
    sum += right
    return sum
  }

  /// Adds the memory of another one.
  public static func += (left: inout PoolMemory, right: PoolMemory) {
    left.used += right.used
    left.free += right.free
    left.tables += right.tables
  }
}
