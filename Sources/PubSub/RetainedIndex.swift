import Util

/// There is no room for another entry; nothing was changed.
public struct IndexFull: Error, Equatable {
  /// The only value.
  public init() {}
}

/// One level of the retained topics. 40 bytes.
struct RetainedNode: HashChained {
  var hash: UInt32
  var nextInBucket: UInt32
  var parent: UInt32
  var text: UInt32
  var firstChild: UInt32
  var nextSibling: UInt32
  var previousSibling: UInt32
  var textCount: UInt16
  /// 1 for a first level that starts with `$`, which a leading wildcard passes over.
  var isSystem: UInt16
  /// What is retained under the topic that ends here; 0 for nothing.
  var handle: UInt64
}

/// Which topics have a retained message, as a tree of levels.
///
/// A message is a handle, any number but 0, that means something to the caller only. A child is
/// found through one hash of its parent and its level; children are linked too, for filters with
/// wildcards. A topic costs 40 bytes, 5 to 8 of hash table and its last level's text, plus the same
/// for each inner level, which topics below it share.
///
/// All loops share one; the caller holds a lock around each call.
@safe
public struct RetainedIndex: ~Copyable {
  /// How a search ended.
  public enum MatchResult: BitwiseCopyable, Sendable {
    /// All that match were found.
    case complete
    /// More match than were asked for.
    case hitLimit
    /// The search looked at as many nodes as it was allowed to.
    case visitLimit
  }

  let seed: HashSeed
  let nodes: Slab<RetainedNode>
  let texts: BytePool
  let root: UInt32
  let children: HashChains
  var levels = ScratchArray<LevelReference>()
  /// Number of topics with a retained message.
  public private(set) var count = 0
  /// Nodes that the last search looked at.
  public internal(set) var lastVisits = 0

  /// Reserves addresses, not memory.
  /// - Parameter capacity: levels of topics that can be held.
  public init(capacity: Int = 1 << 25, seed: HashSeed) {
    self.seed = seed
    nodes = Slab(capacity: capacity)
    texts = BytePool()
    children = HashChains(capacity: capacity)
    let empty = RetainedNode(
      hash: 0, nextInBucket: 0, parent: 0, text: 0, firstChild: 0, nextSibling: 0,
      previousSibling: 0, textCount: 0, isSystem: 0, handle: 0)
    guard let root = nodes.insert(empty) else { fatalError("no room for the root of the tree") }
    self.root = root
  }

  /// Levels of topics that are held.
  public var nodeCount: Int { nodes.count - 1 }

  /// Bytes of memory that the index may hold.
  public var residentBytes: Int {
    nodes.residentBytes + texts.residentBytes + children.residentBytes
  }

  /// What the memory of the index is used for.
  public var memory: PoolMemory {
    var sum = nodes.memory + texts.memory
    sum.tables += children.residentBytes
    return sum
  }

  /// Whether `trim` would give memory back.
  public var hasSpare: Bool { nodes.hasSpare || texts.hasSpare }

  /// Gives memory that was needed for a busy time back to the system.
  public func trim() {
    nodes.trim()
    texts.trim()
  }

  /// The message retained under `topic`; 0 when there is none.
  public mutating func get(_ topic: Span<UInt8>) -> UInt64 {
    let node = find(topic)
    return node == 0 ? 0 : nodes[node].handle
  }

  /// Retains `handle`, which is not 0, under `topic` [MQTT-3.3.1-5].
  /// - Returns: The handle that it replaces; 0 when there was none.
  public mutating func set(_ topic: Span<UInt8>, to handle: UInt64) throws(IndexFull) -> UInt64 {
    precondition(handle != 0, "handle 0 stands for none")
    levels.split(topic, seed: seed)
    var node = root
    for index in 0..<levels.count {
      let level = levels[index]
      let bytes = topic.extracting(level.range)
      var next = child(of: node, level: bytes, levelHash: level.hash)
      if next == 0 { next = addChild(of: node, level: bytes, levelHash: level.hash) }
      if next == 0 {
        removeEmptyNodes(from: node)
        throw IndexFull()
      }
      node = next
    }
    let old = nodes[node].handle
    nodes[node].handle = handle
    if old == 0 { count += 1 }
    return old
  }

  /// Forgets what is retained under `topic` [MQTT-3.3.1-6].
  /// - Returns: The handle that was retained; 0 when there was none.
  public mutating func remove(_ topic: Span<UInt8>) -> UInt64 {
    let node = find(topic)
    guard node != 0 else { return 0 }
    let old = nodes[node].handle
    guard old != 0 else { return 0 }
    nodes[node].handle = 0
    count -= 1
    removeEmptyNodes(from: node)
    return old
  }

  private mutating func find(_ topic: Span<UInt8>) -> UInt32 {
    levels.split(topic, seed: seed)
    var node = root
    for index in 0..<levels.count {
      let level = levels[index]
      node = child(of: node, level: topic.extracting(level.range), levelHash: level.hash)
      if node == 0 { return 0 }
    }
    return node
  }

  private func childHash(_ parent: UInt32, _ level: UInt32) -> UInt32 {
    let key = UInt64(parent) << 32 | UInt64(level)
    return UInt32(truncatingIfNeeded: mix(key, 0x9E37_79B9_7F4A_7C15))
  }

  func child(of parent: UInt32, level: Span<UInt8>, levelHash: UInt32) -> UInt32 {
    let hash = childHash(parent, levelHash)
    var slot = children.first(hash)
    while slot != 0 {
      let node = nodes[slot]
      if node.hash == hash && node.parent == parent
        && texts.stored(node.text, count: node.textCount, equals: level)
      {
        return slot
      }
      slot = node.nextInBucket
    }
    return 0
  }

  private mutating func addChild(
    of parent: UInt32, level: Span<UInt8>, levelHash: UInt32
  ) -> UInt32 {
    guard let text = texts.store(level) else { return 0 }
    let sibling = nodes[parent].firstChild
    let node = RetainedNode(
      hash: childHash(parent, levelHash), nextInBucket: 0, parent: parent, text: text,
      firstChild: 0, nextSibling: sibling, previousSibling: 0, textCount: UInt16(level.count),
      isSystem: parent == root && level.isSystemTopic ? 1 : 0, handle: 0)
    guard let slot = nodes.insert(node) else {
      texts.free(text)
      return 0
    }
    if sibling != 0 { nodes[sibling].previousSibling = slot }
    nodes[parent].firstChild = slot
    children.insert(slot, in: nodes)
    return slot
  }

  /// Removes `start` and its ancestors as far as nothing is retained in or below them.
  private mutating func removeEmptyNodes(from start: UInt32) {
    var slot = start
    while slot != root && nodes[slot].handle == 0 && nodes[slot].firstChild == 0 {
      let node = nodes[slot]
      if node.previousSibling == 0 {
        nodes[node.parent].firstChild = node.nextSibling
      } else {
        nodes[node.previousSibling].nextSibling = node.nextSibling
      }
      if node.nextSibling != 0 {
        nodes[node.nextSibling].previousSibling = node.previousSibling
      }
      children.remove(slot, in: nodes)
      texts.free(node.text)
      nodes.remove(slot)
      slot = node.parent
    }
  }
}
