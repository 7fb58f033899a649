import Packet
import Util

/// The sessions of one loop: what is sent and unacknowledged, what waits, what came and was not
/// released. It takes events and says what is to be done; it does no I/O and reads no clock.
///
/// It belongs to one thread.
public final class SessionTable {
  /// The sessions, by slot. Create and remove them through the table, which frees what they hold.
  public let records: Slab<SessionRecord>
  /// What `SessionRecord.extras` names; `makeExtras` and `trimExtras` add and remove.
  public let extras: Slab<SessionExtras>
  /// Messages that a session of this loop waits to send, or its will: one copy for all of them.
  public let messages = MessagePool()
  /// What `SessionRecord.lasting` names; `setExpiryInterval` adds, and `remove` removes.
  public let lasting: Slab<LastingRecord>
  /// Messages of the log that sessions are done with, until the caller has told the store and emptied
  /// it.
  public var finished: [FinishedDelivery] = []
  let limits: SessionLimits
  let rings: Slab<Outbound>
  /// Blocks of rings, identifier sets and alias tables.
  public let blocks = BytePool(spareChunks: Limits.spareChunks)
  private var nextGeneration: UInt32 = 1

  /// - Parameter capacity: the most sessions, connected or away.
  public init(capacity: Int, limits: SessionLimits) {
    self.limits = limits
    records = Slab(capacity: capacity + 1)
    extras = Slab(capacity: capacity + 1)
    lasting = Slab(capacity: capacity + 1)
    rings = Slab(capacity: capacity + 1)
  }

  /// Number of sessions.
  public var count: Int { records.count }

  /// Whether `trim` would give memory back.
  public var hasSpare: Bool {
    blocks.hasSpare || messages.hasSpare || rings.hasSpare || records.hasSpare || extras.hasSpare
      || lasting.hasSpare
  }

  /// Gives memory that was needed for a busy time back to the system.
  public func trim() {
    blocks.trim()
    messages.trim()
    rings.trim()
    records.trim()
    extras.trim()
    lasting.trim()
  }

  /// The memory of the sessions themselves.
  public var memory: PoolMemory { records.memory + extras.memory + lasting.memory }

  /// The memory of what they have in flight or waiting, of wills and of aliases.
  public var inFlightMemory: PoolMemory { rings.memory + blocks.memory + messages.memory }

  /// A generation for a session that is not in a slot yet.
  public func makeGeneration() -> UInt32 {
    let generation = nextGeneration
    nextGeneration = generation == .max ? 1 : generation + 1
    return generation
  }

  /// A new session; nil when there is no room.
  public func create(entry: UInt32, version: ProtocolVersion) -> UInt32? {
    records.insert(
      SessionRecord(entry: entry, generation: makeGeneration(), version: version))
  }

  /// Whether `slot` still holds the session that had this generation.
  public func isCurrent(_ slot: UInt32, _ generation: UInt32) -> Bool {
    slot != 0 && generation != 0 && records[slot].generation == generation
  }

  /// Forgets a session and what it holds. Its subscriptions and its timer must be gone already.
  public func remove(_ slot: UInt32) {
    discardOutbound(slot)
    discardInbound(slot)
    discardExtras(slot)
    discardLasting(slot)
    records[slot].generation = 0
    records.remove(slot)
  }

  /// Adds an outbound record, and a block for a few deliveries.
  func makeRing(_ slot: UInt32) -> UInt32? {
    let capacity: UInt32 = 8
    guard let block = blocks.allocate(Int(capacity) * MemoryLayout<Delivery>.stride) else {
      return nil
    }
    guard let ring = rings.insert(Outbound(block: block, capacity: capacity)) else {
      blocks.free(block)
      return nil
    }
    records[slot].outbound = ring
    return ring
  }

  // MARK: Extras

  /// What few sessions have, made when it is first needed; nil when there is no memory.
  public func makeExtras(_ slot: UInt32) -> UInt32? {
    if records[slot].extras != 0 { return records[slot].extras }
    guard let made = extras.insert(SessionExtras(session: slot)) else { return nil }
    records[slot].extras = made
    return made
  }

  /// The largest packet that the client takes, in bytes.
  public func maximumPacketSize(_ slot: UInt32) -> Int {
    let extra = records[slot].extras
    guard extra != 0, extras[extra].maximumPacketSize != 0 else { return .max }
    return Int(extras[extra].maximumPacketSize)
  }

  /// Forgets the will.
  public func discardWill(_ slot: UInt32) {
    let extra = records[slot].extras
    guard extra != 0, extras[extra].will != 0 else { return }
    messages.release(extras[extra].will)
    extras[extra].will = 0
    extras[extra].willDue = 0
  }

  private func discardExtras(_ slot: UInt32) {
    let extra = records[slot].extras
    guard extra != 0 else { return }
    discardWill(slot)
    precondition(
      extras[extra].receivedAliases == 0 && extras[extra].sentAliases == 0,
      "aliases end with their connection")
    precondition(!extras[extra].timer.isSet, "the timer names what is removed")
    extras.remove(extra)
    records[slot].extras = 0
  }

  /// Gives the extras back where they say nothing any more.
  public func trimExtras(_ slot: UInt32) {
    let extra = records[slot].extras
    guard extra != 0 else { return }
    let value = extras[extra]
    guard value.will == 0, value.expiryDue == 0, value.parkDue == 0,
      value.maximumPacketSize == 0, value.sendAliasMaximum == 0, value.receivedAliases == 0,
      value.sentAliases == 0
    else { return }
    precondition(!value.timer.isSet, "the timer names what is removed")
    extras.remove(extra)
    records[slot].extras = 0
  }
}
