import Util

/// The filters that one loop's sessions subscribe to, each stored once.
///
/// A push service has a million filters without wildcards and a handful with: the first are in a
/// hash table, so that a publish finds them with one look-up, and only the second are in a trie,
/// which a publish walks when it is not empty. A filter is named by a slot, 0 being none.
///
/// The index belongs to one thread. Filters must be valid and at most 65,535 bytes; the
/// packet decoder checks that [MQTT-4.7.1-2], [MQTT-4.7.1-3], [MQTT-4.7.3-1].
public final class FilterIndex {
  /// The seed of all hashes; shared with the `InterestIndex`.
  public let seed: HashSeed
  let records: Slab<FilterRecord>
  let nodes: Slab<TrieNode>
  let texts: BytePool
  let root: UInt32
  let exact: HashChains
  let children: HashChains
  // One thread, and no callback while one of these changes: a check at run time would only cost.
  @exclusivity(unchecked) var levels = ScratchArray<LevelReference>()
  @exclusivity(unchecked) var pending = ScratchArray<PendingBranch>()

  /// Reserves addresses, not memory.
  /// - Parameter capacity: filters, and nodes of the trie, that can be held.
  public init(capacity: Int = 1 << 24, seed: HashSeed) {
    self.seed = seed
    records = Slab(capacity: capacity)
    nodes = Slab(capacity: capacity)
    texts = BytePool()
    exact = HashChains(capacity: capacity)
    children = HashChains(capacity: capacity)
    guard let root = nodes.insert(TrieNode(parent: 0)) else {
      fatalError("no room for the root of the trie")
    }
    self.root = root
  }

  /// Number of filters.
  public var count: Int { records.count }

  /// Number of filters with wildcards.
  public var wildcardCount: Int { records.count - exact.count }

  /// Number of trie nodes besides the root.
  var nodeCount: Int { nodes.count - 1 }

  /// Bytes of memory that the index may hold.
  public var residentBytes: Int {
    records.residentBytes + nodes.residentBytes + texts.residentBytes + exact.residentBytes
      + children.residentBytes
  }

  var hasSpare: Bool { records.hasSpare || nodes.hasSpare || texts.hasSpare }

  func trim() {
    records.trim()
    nodes.trim()
    texts.trim()
  }

  /// What the memory of the index is used for.
  public var memory: PoolMemory {
    var sum = records.memory + nodes.memory + texts.memory
    sum.tables += exact.residentBytes + children.residentBytes
    return sum
  }

  /// The record of a filter in use.
  public subscript(slot: UInt32) -> FilterRecord {
    records[slot]
  }

  /// Finds a filter or adds it, without subscriptions; 0 when there is no room for it.
  public func insert(_ filter: Span<UInt8>) -> UInt32 {
    let isShare = filter.isShareFilter
    if !isShare && filter.hasWildcard { return insertWildcard(filter) }
    let hash = topicHash(filter, seed: seed)
    let found = findExact(filter, hash: hash)
    if found != 0 { return found }
    let slot = addRecord(filter, hash: hash, node: 0, kind: isShare ? .share : [])
    if slot != 0 { exact.insert(slot, in: records) }
    return slot
  }

  /// The slot of a filter; 0 when it is unknown.
  public func find(_ filter: Span<UInt8>) -> UInt32 {
    if !filter.isShareFilter && filter.hasWildcard { return findWildcard(filter) }
    return findExact(filter, hash: topicHash(filter, seed: seed))
  }

  /// Forgets a filter, which must have no subscription.
  public func remove(_ slot: UInt32) {
    let record = records[slot]
    precondition(record.subscriptionCount == 0, "the filter has subscriptions")
    if record.kind.contains(.wildcard) {
      removeFromTrie(record)
    } else {
      exact.remove(slot, in: records)
    }
    texts.free(record.text)
    records.remove(slot)
  }

  /// Calls `body` with the text of a filter in use. `body` must not change the index.
  public func withText<Result>(of slot: UInt32, _ body: (Span<UInt8>) -> Result) -> Result {
    let record = records[slot]
    return texts.withStored(record.text, count: record.textCount, body)
  }

  func findExact(_ filter: Span<UInt8>, hash: UInt32) -> UInt32 {
    var slot = exact.first(hash)
    while slot != 0 {
      let record = records[slot]
      if record.hash == hash
        && texts.stored(record.text, count: record.textCount, equals: filter)
      {
        return slot
      }
      slot = record.nextInBucket
    }
    return 0
  }

  /// A record with its text, not yet to be found; 0 when there is no room.
  /// - Parameter node: where a filter with wildcards ends in the trie; 0 for others.
  func addRecord(
    _ filter: Span<UInt8>, hash: UInt32, node: UInt32, kind: FilterRecord.Kind
  ) -> UInt32 {
    guard let text = texts.store(filter) else { return 0 }
    let record = FilterRecord(
      hash: hash, nextInBucket: node, text: text, firstSubscription: 0, lastSubscription: 0,
      subscriptionCount: 0, kind: kind, textCount: UInt16(filter.count))
    guard let slot = records.insert(record) else {
      texts.free(text)
      return 0
    }
    return slot
  }
}
