import Synchronization
import Util

/// A store that ends with the process.
public final class MemoryStore: MessageStore {
  private struct Record: BitwiseCopyable {
    var block: UInt32
    /// Behind the first four bytes, which a free record uses itself.
    var generation: UInt32
    var facts: StoredFacts
    var topicCount: UInt32
    var propertiesCount: UInt32
    var payloadCount: UInt32

    var byteCount: Int { Int(topicCount) + Int(propertiesCount) + Int(payloadCount) }
  }

  private struct State: ~Copyable {
    let records: Slab<Record>
    let blocks = BytePool(capacityBytes: 1 << 34)
    var bytes = 0
    var nextGeneration: UInt32 = 1

    init(capacity: Int) {
      records = Slab(capacity: capacity + MemoryStore.replacementsOnTheWay + 1)
    }

    /// The slot of a message that is still there; 0 when it is not.
    func slot(_ id: StoredMessageID) -> UInt32 {
      let slot = UInt32(truncatingIfNeeded: id.rawValue >> 32)
      let generation = UInt32(truncatingIfNeeded: id.rawValue)
      // Generation 0 is what a record that is free has.
      guard slot != 0, generation != 0, slot < records.limit,
        records[slot].generation == generation
      else { return 0 }
      return slot
    }
  }

  /// Messages that are about to be removed, because others took their places: at most one for each
  /// thread that calls.
  private static let replacementsOnTheWay = 256

  private let state: Mutex<State>
  private let maximumMessages: Int
  private let maximumBytes: Int

  /// - Parameters:
  ///   - maximumMessages: at least 1.
  ///   - maximumBytes: of topics, properties and payloads.
  public init(maximumMessages: Int, maximumBytes: Int) {
    self.maximumMessages = maximumMessages
    self.maximumBytes = maximumBytes
    state = Mutex(State(capacity: max(1, maximumMessages)))
  }

  /// `memory`, as `store.kind` has it.
  public var kind: String { "memory" }

  /// Copies a message into one block of the process's memory.
  /// - Throws: `StoreError.full` when it would be one message or byte more than the limits allow,
  ///   `old` left out, or there is no memory.
  public func insert(
    _ facts: StoredFacts, topic: Span<UInt8>, properties: Span<UInt8>, payload: Span<UInt8>,
    replacing old: StoredMessageID?
  ) throws(StoreError) -> StoredMessageID {
    let count = topic.count + properties.count + payload.count
    let id: StoredMessageID? = state.withLock { state in
      let oldSlot = old.map { state.slot($0) } ?? 0
      let messages = state.records.count - (oldSlot == 0 ? 0 : 1)
      let bytes = state.bytes - (oldSlot == 0 ? 0 : state.records[oldSlot].byteCount)
      guard messages < maximumMessages, bytes + count <= maximumBytes,
        let block = state.blocks.allocate(max(1, count))
      else { return nil }
      let generation = state.nextGeneration
      let record = Record(
        block: block, generation: generation, facts: facts, topicCount: UInt32(topic.count),
        propertiesCount: UInt32(properties.count), payloadCount: UInt32(payload.count))
      guard let slot = state.records.insert(record) else {
        state.blocks.free(block)
        return nil
      }
      state.nextGeneration = generation == .max ? 1 : generation + 1
      var room = state.blocks.mutableBytes(block, count: count)
      room.copy(topic, at: 0)
      room.copy(properties, at: topic.count)
      room.copy(payload, at: topic.count + properties.count)
      state.bytes += count
      return StoredMessageID(rawValue: UInt64(slot) << 32 | UInt64(generation))
    }
    guard let id else { throw .full }
    return id
  }

  /// Calls `body` with the message in place, with the store locked: `body` must not call the store.
  /// False when the message is not there any more. Never throws.
  public func read(
    _ id: StoredMessageID,
    _ body: (StoredFacts, Span<UInt8>, Span<UInt8>, Span<UInt8>) -> Void
  ) throws(StoreError) -> Bool {
    state.withLock { state in
      let slot = state.slot(id)
      guard slot != 0 else { return false }
      let record = state.records[slot]
      let bytes = state.blocks.bytes(record.block, count: record.byteCount)
      let topicEnd = Int(record.topicCount)
      let propertiesEnd = topicEnd + Int(record.propertiesCount)
      body(
        record.facts, bytes.extracting(0..<topicEnd), bytes.extracting(topicEnd..<propertiesEnd),
        bytes.extracting(droppingFirst: propertiesEnd))
      return true
    }
  }

  /// Forgets a message, and gives its block back; an identifier that is out of use does nothing.
  /// Never throws.
  public func remove(_ id: StoredMessageID) throws(StoreError) {
    state.withLock { state in
      let slot = state.slot(id)
      guard slot != 0 else { return }
      state.bytes -= state.records[slot].byteCount
      state.blocks.free(state.records[slot].block)
      state.records[slot].generation = 0
      state.records.remove(slot)
    }
  }

  /// All of it: the messages and their records.
  public var memory: PoolMemory {
    state.withLock { $0.records.memory + $0.blocks.memory }
  }

  /// Whether a chunk of memory is empty.
  public var hasSpare: Bool { state.withLock { $0.records.hasSpare || $0.blocks.hasSpare } }

  /// Gives empty chunks back to the system.
  public func trim() {
    state.withLock {
      $0.records.trim()
      $0.blocks.trim()
    }
  }

  /// Both of one moment: what the limits are held against.
  public var size: (messages: Int, bytes: Int) {
    state.withLock { ($0.records.count, $0.bytes) }
  }
}
