import Packet
import PubSub
import Store
import Synchronization
import Util

/// The retained messages of the whole broker: the index says which topics have one, the store
/// holds them.
public final class RetainedMessages: Sendable {
  private let index: Mutex<RetainedIndex>
  private let store: any MessageStore

  /// An empty index over a store that holds no retained messages yet; `seed` is for its hashes.
  public init(store: any MessageStore, seed: HashSeed) {
    self.store = store
    index = Mutex(RetainedIndex(seed: seed))
  }

  /// Number of topics with a retained message.
  public var count: Int { index.withLock { $0.count } }

  /// The memory of the index and of what the store has in memory.
  public var memory: PoolMemory { index.withLock { $0.memory } + store.memory }

  /// Whether `trim` would give memory back.
  public var hasSpare: Bool { index.withLock { $0.hasSpare } || store.hasSpare }

  /// Gives memory that was needed for a busy time back to the system.
  public func trim() {
    index.withLock { $0.trim() }
    store.trim()
  }

  /// Keeps a message as its topic's retained one; an empty payload takes it away
  /// [MQTT-3.3.1-6] [MQTT-3.3.1-7].
  /// - Throws: `StoreError`; then the topic's message is what it was before.
  public func set(_ message: borrowing MessageView) throws(StoreError) {
    if message.payload.count == 0 {
      let topic = message.topic
      let old = index.withLock { $0.remove(topic) }
      if old != 0 { try store.remove(StoredMessageID(rawValue: old)) }
      return
    }
    let facts = StoredFacts(qos: message.facts.qos.rawValue, expiresAt: message.facts.expiresAt)
    let topic = message.topic
    let present = index.withLock { $0.get(topic) }
    let new = try store.insert(
      facts, topic: topic, properties: message.properties, payload: message.payload,
      replacing: present == 0 ? nil : StoredMessageID(rawValue: present))
    let old = index.withLock { $0.setIfRoom(topic, to: new.rawValue) }
    guard let old else {
      try store.remove(new)
      throw .full
    }
    if old != 0 { try store.remove(StoredMessageID(rawValue: old)) }
  }

  /// The messages whose topics match a filter, as names to `read` them by.
  public func match(_ filter: Span<UInt8>) -> [StoredMessageID] {
    var visits = 0
    return match(filter, visits: &visits)
  }

  /// As `match`; adds to `visits` how many nodes of the index it looked at, which is what it costs
  /// everybody who waits for the index.
  public func match(_ filter: Span<UInt8>, visits: inout Int) -> [StoredMessageID] {
    let (found, count) = index.withLock { index in
      let found = index.all(filter)
      return (found, index.lastVisits)
    }
    visits += count
    return found
  }

  /// Calls `body` with a message, unless it was replaced, removed or has expired meanwhile; one
  /// that has expired is removed.
  /// - Throws: `StoreError`.
  public func read(
    _ id: StoredMessageID, second: UInt32, _ body: (borrowing MessageView) -> Void
  ) throws(StoreError) {
    var expired: [UInt8]?
    _ = try store.read(id) { facts, topic, properties, payload in
      let view = MessageView(
        facts: MessageFacts(
          qos: QoS(rawValue: facts.qos) ?? .atMostOnce, retain: true, expiresAt: facts.expiresAt),
        topic: topic, properties: properties, payload: payload)
      if view.facts.isExpired(at: second) { expired = topic.array } else { body(view) }
    }
    if let expired { try forget(expired.span, id) }
  }

  /// Removes a message that has expired, unless another took its place and removes it.
  private func forget(_ topic: Span<UInt8>, _ id: StoredMessageID) throws(StoreError) {
    let isPresent = index.withLock { index in
      guard index.get(topic) == id.rawValue else { return false }
      _ = index.remove(topic)
      return true
    }
    if isPresent { try store.remove(id) }
  }
}

extension RetainedIndex {
  /// The handles of all messages whose topics match a filter.
  fileprivate mutating func all(_ filter: Span<UInt8>) -> [StoredMessageID] {
    var hits = ScratchArray<UInt64>()
    _ = match(filter: filter, into: &hits)
    var found: [StoredMessageID] = []
    found.reserveCapacity(hits.count)
    for place in 0..<hits.count { found.append(StoredMessageID(rawValue: hits[place])) }
    return found
  }

  /// As `set`, with nil where there is no room.
  fileprivate mutating func setIfRoom(_ topic: Span<UInt8>, to handle: UInt64) -> UInt64? {
    do { return try set(topic, to: handle) } catch { return nil }
  }
}
