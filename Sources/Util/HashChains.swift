/// A record that hangs in a chain of `HashChains`.
public protocol HashChained: BitwiseCopyable {
  /// Decides on the bucket; must not change while the record is in a chain.
  var hash: UInt32 { get }
  /// The next record of the bucket; 0 ends the chain.
  var nextInBucket: UInt32 { get set }
}

/// The bucket heads of a chained hash table whose records live in a slab.
///
/// It grows by linear hashing: an insertion that finds the table full splits a bucket or two, a
/// removal that finds it sparse merges as many. So there is never a pause to rehash a million records, and the
/// heads take 5 to 8 bytes for each record at any size. One thread uses it.
@safe
public struct HashChains: ~Copyable {
  /// Buckets that are kept even when the table is empty: one page of heads.
  static let minimumBuckets = 1024

  private let memory: ReservedMemory
  private let heads: UnsafeMutablePointer<UInt32>
  private let maximumBuckets: Int
  // Behind a pointer, so that the table can be a `let` of a class, whose changes no check at run
  // time has to watch.
  private let state: UnsafeMutablePointer<State>

  private struct State {
    /// Buckets in use; those at and beyond it are folded into the lower half.
    var bucketCount: Int
    /// The smallest 2^n - 1 that covers all buckets in use.
    var mask: Int
    /// Records in chains.
    var count: Int
    /// The most buckets that were in use since memory last went back; 0 before the first record.
    var touchedBuckets: Int
  }

  private(set) var bucketCount: Int {
    get { unsafe state.pointee.bucketCount }
    nonmutating set { unsafe state.pointee.bucketCount = newValue }
  }

  private var mask: Int {
    get { unsafe state.pointee.mask }
    nonmutating set { unsafe state.pointee.mask = newValue }
  }

  /// Records in chains.
  public private(set) var count: Int {
    get { unsafe state.pointee.count }
    nonmutating set { unsafe state.pointee.count = newValue }
  }

  /// - Parameter capacity: records beyond which chains get longer instead of more.
  public init(capacity: Int) {
    maximumBuckets = max(HashChains.minimumBuckets, capacity + capacity / 2)
    memory = ReservedMemory(byteCount: maximumBuckets * MemoryLayout<UInt32>.stride)
    unsafe heads = memory.base.bindMemory(to: UInt32.self, capacity: maximumBuckets)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(
      to: State(
        bucketCount: HashChains.minimumBuckets, mask: HashChains.minimumBuckets - 1, count: 0,
        touchedBuckets: 0))
  }

  deinit {
    unsafe state.deallocate()
  }

  /// Bytes of memory that the heads may hold: whole pages. As the table shrinks they go back by
  /// halves.
  public var residentBytes: Int {
    unsafe (state.pointee.touchedBuckets * MemoryLayout<UInt32>.stride + 4095) & ~4095
  }

  /// The first record of the chain in which a record with `hash` would be.
  public func first(_ hash: UInt32) -> UInt32 {
    unsafe heads[bucket(of: hash)]
  }

  // `bucket` is below `bucketCount`, which is at most `maximumBuckets`: no access below leaves the
  // reserved range.
  private func bucket(of hash: UInt32) -> Int {
    let bucket = Int(hash) & mask
    return bucket < bucketCount ? bucket : bucket & (mask >> 1)
  }

  /// Puts the record in `slot` into its chain.
  public func insert<Record: HashChained>(_ slot: UInt32, in records: borrowing Slab<Record>) {
    let bucket = bucket(of: records[slot].hash)
    records[slot].nextInBucket = unsafe heads[bucket]
    unsafe heads[bucket] = slot
    count += 1
    // Four buckets for three records: one for each would let the table fall behind.
    for _ in 0..<2 where count * 4 > bucketCount * 3 && bucketCount < maximumBuckets {
      split(records)
    }
    if unsafe state.pointee.touchedBuckets < bucketCount {
      unsafe state.pointee.touchedBuckets = bucketCount
    }
  }

  /// Takes the record in `slot`, which must be in its chain, out of it.
  public func remove<Record: HashChained>(_ slot: UInt32, in records: borrowing Slab<Record>) {
    let bucket = bucket(of: records[slot].hash)
    let next = records[slot].nextInBucket
    var current = unsafe heads[bucket]
    if current == slot {
      unsafe heads[bucket] = next
    } else {
      while records[current].nextInBucket != slot { current = records[current].nextInBucket }
      records[current].nextInBucket = next
    }
    count -= 1
    // Two buckets leave with each record, so that half as many records as buckets stay half.
    for _ in 0..<2 where count * 2 < bucketCount && bucketCount > HashChains.minimumBuckets {
      merge(records)
    }
  }

  /// Adds one bucket, and moves there what belongs to it from the bucket that stood in for it.
  private func split<Record: HashChained>(_ records: borrowing Slab<Record>) {
    if bucketCount == mask + 1 { mask = mask * 2 + 1 }
    let new = bucketCount
    let old = new & (mask >> 1)
    bucketCount += 1
    var slot = unsafe heads[old]
    var keep: UInt32 = 0
    var move: UInt32 = 0
    while slot != 0 {
      let next = records[slot].nextInBucket
      if Int(records[slot].hash) & mask == new {
        records[slot].nextInBucket = move
        move = slot
      } else {
        records[slot].nextInBucket = keep
        keep = slot
      }
      slot = next
    }
    unsafe heads[old] = keep
    unsafe heads[new] = move
  }

  /// Folds the last bucket into the one that stands in for it.
  private func merge<Record: HashChained>(_ records: borrowing Slab<Record>) {
    let last = bucketCount - 1
    let into = last & (mask >> 1)
    var slot = unsafe heads[last]
    while slot != 0 {
      let next = records[slot].nextInBucket
      records[slot].nextInBucket = unsafe heads[into]
      unsafe heads[into] = slot
      slot = next
    }
    unsafe heads[last] = 0
    bucketCount = last
    if bucketCount == (mask + 1) / 2 {
      mask >>= 1
      memory.giveBack(from: bucketCount * MemoryLayout<UInt32>.stride)
      unsafe state.pointee.touchedBuckets = bucketCount
    }
  }
}
