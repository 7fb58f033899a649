import Synchronization

/// Large buffers of records, which are used again: one made anew costs the system a fault for each of
/// its pages, as much as all else that is done with the messages in it.
///
/// Any thread may call. The lock is taken once for each growth of a buffer beyond 64 KiB.
@safe
public enum RecordBuffers {
  /// The smallest and the largest that are kept; between them, powers of 2.
  private static let smallest = 64 << 10
  private static let largest = 2 << 20
  /// Bytes of buffers that are kept in all: what some turns of busy loops need, and segments that are
  /// gone.
  private static let maximumBytes = 16 << 20

  private struct Spare {
    /// Addresses of buffers, by their size.
    var buffers: [Int: [UInt]] = [:]
    /// The fewest of each size since the last look.
    var fewest: [Int: Int] = [:]
    var bytes = 0
  }

  private static let spare = Mutex(Spare())

  /// Bytes that are kept at present.
  public static var spareBytes: Int { spare.withLock { $0.bytes } }

  /// The capacity to take where `bytes` are needed.
  static func capacity(for bytes: Int) -> Int {
    guard bytes > smallest / 2, bytes <= largest else { return bytes }
    var size = smallest
    while size < bytes { size *= 2 }
    return size
  }

  private static func isKept(_ capacity: Int) -> Bool {
    capacity >= smallest && capacity <= largest && capacity & (capacity - 1) == 0
  }

  /// A buffer of a capacity that `capacity(for:)` gave.
  @unsafe
  static func take(_ capacity: Int) -> UnsafeMutableRawPointer {
    if isKept(capacity), let address = takeSpare(capacity),
      let buffer = unsafe UnsafeMutableRawPointer(bitPattern: address)
    {
      return unsafe buffer
    }
    return .allocate(byteCount: capacity, alignment: 8)
  }

  private static func takeSpare(_ capacity: Int) -> UInt? {
    spare.withLock { spare in
      guard let address = spare.buffers[capacity]?.popLast() else { return nil }
      spare.bytes -= capacity
      let left = spare.buffers[capacity]?.count ?? 0
      spare.fewest[capacity] = min(spare.fewest[capacity] ?? 0, left)
      return address
    }
  }

  /// Takes a buffer back that nobody uses any more.
  @unsafe
  static func giveBack(_ buffer: UnsafeMutableRawPointer, _ capacity: Int) {
    let address = UInt(bitPattern: buffer)
    let isTaken =
      isKept(capacity)
      && spare.withLock { spare in
        guard spare.bytes + capacity <= maximumBytes else { return false }
        spare.buffers[capacity, default: []].append(address)
        spare.bytes += capacity
        return true
      }
    if !isTaken { unsafe buffer.deallocate() }
  }

  /// Gives buffers back to the system that were not needed since the last call.
  public static func trim() {
    spare.withLock { spare in
      for capacity in Array(spare.buffers.keys) {
        let count = spare.buffers[capacity]?.count ?? 0
        for _ in 0..<min(count, spare.fewest[capacity] ?? 0) {
          guard let address = spare.buffers[capacity]?.popLast() else { break }
          // It is one of those that were allocated here, and nobody else's.
          unsafe UnsafeMutableRawPointer(bitPattern: address)?.deallocate()
          spare.bytes -= capacity
        }
        spare.fewest[capacity] = spare.buffers[capacity]?.count ?? 0
      }
    }
  }
}
