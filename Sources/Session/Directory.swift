import Synchronization
import Util

/// Where a session is.
public struct SessionOwner: Equatable, Sendable, BitwiseCopyable {
  /// Number of the loop: 0 to 63.
  public var loop: UInt8
  /// Slot in that loop's `SessionTable`.
  public var slot: UInt32
  /// Generation of the session in that slot. A different one there means that the session has
  /// ended or moved since this was read.
  public var generation: UInt32

  /// The place of a session that is in a table, or is about to be put there.
  public init(loop: UInt8, slot: UInt32, generation: UInt32) {
    self.loop = loop
    self.slot = slot
    self.generation = generation
  }
}

/// Which loop holds the session of which client, for the whole broker.
///
/// It holds the client ids too, once each. It is asked when a client connects and when a session
/// ends, never on the way of a packet. Each shard has a lock of its own.
public final class Directory: Sendable {
  /// One session: 20 bytes.
  struct Entry: HashChained {
    var hash: UInt32
    var nextInBucket: UInt32 = 0
    /// The client id.
    var text: UInt32
    /// Bits 0-23 the slot, 24-29 the loop.
    private let place: UInt32
    private let generation: UInt32

    init(hash: UInt32, text: UInt32, owner: SessionOwner) {
      precondition(owner.slot < 1 << 24, "not a slot of a session")
      self.hash = hash
      self.text = text
      place = UInt32(owner.loop) << 24 | owner.slot
      generation = owner.generation
    }

    var owner: SessionOwner {
      SessionOwner(
        loop: UInt8(truncatingIfNeeded: place >> 24), slot: place & 0xFF_FFFF,
        generation: generation)
    }
  }

  private struct Shard: ~Copyable {
    let entries: Slab<Entry>
    let chains: HashChains
    let texts: BytePool

    init(capacity: Int) {
      entries = Slab(capacity: capacity)
      chains = HashChains(capacity: capacity)
      texts = BytePool(capacityBytes: 1 << 28)
    }

    func owner(_ slot: UInt32) -> SessionOwner { entries[slot].owner }

    func find(_ id: Span<UInt8>, hash: UInt32) -> UInt32 {
      var slot = chains.first(hash)
      while slot != 0 {
        if entries[slot].hash == hash && texts.text(entries[slot].text, equals: id) { break }
        slot = entries[slot].nextInBucket
      }
      return slot
    }
  }

  private final class LockedShard: Sendable {
    let state: Mutex<Shard>
    init(capacity: Int) { state = Mutex(Shard(capacity: capacity)) }
  }

  /// Enough that a storm of clients on 64 loops rarely meets at one lock.
  private static let shardBits: UInt32 = 4
  private static let entryBits: UInt32 = 28

  private let shards: [LockedShard]
  private let seed: HashSeed

  /// - Parameter capacity: the most sessions of the whole broker.
  public init(capacity: Int, seed: HashSeed) {
    self.seed = seed
    let count = 1 << Int(Directory.shardBits)
    // Four times the mean: ids are spread by a hash, so no shard comes near.
    // A slab rounds up to whole chunks, of at most 4,096 entries.
    let most = 1 << Int(Directory.entryBits) - 4096
    let each = min(most, max(4096, capacity / count * 4))
    shards = (0..<count).map { _ in LockedShard(capacity: each) }
  }

  private func locate(_ id: Span<UInt8>) -> (shard: Int, hash: UInt32) {
    let hash = hashBytes(id, seed: seed)
    return (Int(hash >> 60), UInt32(truncatingIfNeeded: hash))
  }

  private func shard(of entry: UInt32) -> (shard: Int, slot: UInt32) {
    (Int(entry >> Directory.entryBits), entry & (1 << Directory.entryBits - 1))
  }

  /// Where the session of a client is; nil when it has none.
  public func find(_ id: Span<UInt8>) -> SessionOwner? {
    let (index, hash) = locate(id)
    return shards[index].state.withLock { shard in
      let slot = shard.find(id, hash: hash)
      return slot == 0 ? nil : shard.owner(slot)
    }
  }

  /// What a claim came to.
  public enum ClaimOutcome: Sendable {
    /// The client had no session: it is `owner`'s now, under this entry.
    case claimed(entry: UInt32)
    /// The client has a session already, and keeps it.
    case exists(SessionOwner)
    /// There is no room.
    case full
  }

  /// Notes that `owner` holds the session of a client that has none.
  public func claim(_ id: Span<UInt8>, for owner: SessionOwner) -> ClaimOutcome {
    let (index, hash) = locate(id)
    return shards[index].state.withLock { shard in
      let found = shard.find(id, hash: hash)
      if found != 0 { return .exists(shard.owner(found)) }
      guard let text = shard.texts.intern(id) else { return .full }
      guard let slot = shard.entries.insert(Entry(hash: hash, text: text, owner: owner)) else {
        shard.texts.free(text)
        return .full
      }
      shard.chains.insert(slot, in: shard.entries)
      return .claimed(entry: UInt32(index) << Directory.entryBits | slot)
    }
  }

  /// Forgets a client whose session has ended.
  public func release(_ entry: UInt32) {
    let (index, slot) = shard(of: entry)
    shards[index].state.withLock { shard in
      shard.chains.remove(slot, in: shard.entries)
      shard.texts.free(shard.entries[slot].text)
      shard.entries.remove(slot)
    }
  }

  /// The client id of an entry in use.
  public func clientID(_ entry: UInt32) -> [UInt8] {
    let (index, slot) = shard(of: entry)
    return shards[index].state.withLock { $0.texts.text($0.entries[slot].text).array }
  }

  /// The memory of client ids, and that of the entries with their hash table.
  public var memory: (clientIDs: PoolMemory, entries: PoolMemory) {
    var ids = PoolMemory()
    var entries = PoolMemory()
    for shard in shards {
      shard.state.withLock { shard in
        ids += shard.texts.memory
        entries += shard.entries.memory
        entries.tables += shard.chains.residentBytes
      }
    }
    return (ids, entries)
  }

  /// Whether `trim` would give memory back.
  public var hasSpare: Bool {
    shards.contains { $0.state.withLock { $0.entries.hasSpare || $0.texts.hasSpare } }
  }

  /// Gives memory that was needed for a busy time back to the system.
  public func trim() {
    for shard in shards {
      shard.state.withLock {
        $0.entries.trim()
        $0.texts.trim()
      }
    }
  }

  /// Number of sessions.
  public var count: Int {
    shards.reduce(0) { sum, shard in sum + shard.state.withLock { $0.entries.count } }
  }
}
