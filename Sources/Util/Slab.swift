/// Fixed-size records, named by a 32-bit slot.
///
/// Slots start at 1; 0 stands for "none", so that links between records need no optional. A record
/// stays where it is until it is removed. The slab belongs to one thread.
///
/// A slot that was removed may be used again: who keeps a slot across turns keeps a generation
/// beside it.
@safe
public struct Slab<Record: BitwiseCopyable>: ~Copyable {
  @usableFromInline let records: UnsafeMutablePointer<Record>
  @usableFromInline let capacity: Int
  private let region: Region

  /// Reserves addresses, not memory, for `capacity` records.
  public init(_ type: Record.Type = Record.self, capacity: Int) {
    region = Region(stride: MemoryLayout<Record>.stride, capacity: capacity)
    unsafe records = region.base.assumingMemoryBound(to: Record.self)
    self.capacity = region.capacity
  }

  /// Number of records in use.
  public var count: Int { region.liveCount }

  /// One more than the highest slot that may be in use, for walks over all records. Records that
  /// were never used, or whose memory went back, read as zeros.
  public var limit: UInt32 { region.limit }

  /// Bytes of memory held for records, free ones in started chunks included.
  public var residentBytes: Int { region.residentBytes }

  /// What the slab's memory is used for.
  public var memory: PoolMemory {
    PoolMemory(used: region.usedBytes, touched: region.touchedBytes)
  }

  /// Whether `trim` would give memory back.
  public var hasSpare: Bool { region.hasSpare }

  /// Gives the memory of empty chunks back to the system: all but one where records were added since
  /// the last call, and that one too where none was.
  public func trim() { region.trim() }

  /// Adds a record; nil when the slab is full.
  public func insert(_ record: Record) -> UInt32? {
    guard let slot = region.allocate() else { return nil }
    unsafe (records + Int(slot)).initialize(to: record)
    return slot
  }

  /// Gives the slot up. The record must be in use.
  public func remove(_ slot: UInt32) {
    region.free(slot)
  }

  /// The record in `slot`, which must have come from `insert`.
  @inlinable
  public subscript(slot: UInt32) -> Record {
    unsafeAddress {
      // The address lies in the reserved range whatever the slot holds; a freed record reads as
      // stale bytes or zeros, never as another kind of record.
      precondition(slot != 0 && Int(slot) < capacity, "slot out of range")
      return unsafe UnsafePointer(records + Int(slot))
    }
    nonmutating unsafeMutableAddress {
      precondition(slot != 0 && Int(slot) < capacity, "slot out of range")
      return unsafe records + Int(slot)
    }
  }
}
