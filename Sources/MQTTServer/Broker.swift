import Logging
import Net
import PubSub
import Session
import Store
import Synchronization
import Util

/// What the loops of one broker share. Nothing here is on the way of a packet that stays inside
/// its loop, but for a message that is retained.
final class Broker: Sendable {
  let options: ServerOptions
  let logger: Logger
  let seed: HashSeed
  let directory: Directory
  /// Which loops have subscribers of what; nil where there is one loop.
  let interest: InterestIndex?
  let retained: RetainedMessages
  let store: any MessageStore
  /// Where sessions and messages are that outlive the process; nil where none do.
  let durable: (any Store)?
  /// Who is asked and told what clients do; nil for nobody.
  let hooks: (any BrokerHooks)?
  /// What happened to clients of late, for those who watch.
  let events: ClientEvents
  /// The filters of stored sessions that messages are kept for: as `interest`, for the store.
  let readers: InterestIndex?
  /// Whether `readers` has all of them: until then each topic may have some.
  let areReadersKnown = Atomic<Bool>(false)
  let mailboxes: [Mailbox<Letter>]
  let passages: [Passage]
  let boards: [CounterBoard]
  let pressures: [MailboxPressure]
  let ledgers: [LedgerBoard]
  /// Bytes of all batches of publishes, filled or not.
  let batchAccount = MemoryAccount()
  /// What the process had when its loops had started; 0 before.
  let startedResident = Atomic<Int>(0)
  /// How much of that is neither in the ledger nor pages of files: stacks, the program's variables,
  /// and what the allocator holds without having given it out.
  let startedPrivate = Atomic<Int>(0)
  /// The tick at which what all loops share was last trimmed.
  private let sharedTrimmed = Atomic<UInt32>(0)
  private let spare = Mutex(SpareBatches())
  private let spareCount = Atomic<Int>(0)
  let startedAt = MonotonicClock.milliseconds
  /// Connections of all loops, for the limit; it changes when one comes or goes.
  let connectionCount = Atomic<Int>(0)
  let connectionLimit: Int
  /// What is under way for servers of this process.
  let outside = OutsideCounts()

  init(
    options: ServerOptions, store durable: (any Store)?, hooks: (any BrokerHooks)?,
    connectionLimit: Int, logger: Logger
  ) throws(NetError) {
    self.options = options
    self.logger = logger
    self.connectionLimit = connectionLimit
    seed = HashSeed()
    directory = Directory(capacity: Limits.sessions, seed: HashSeed())
    interest = options.loops > 1 ? InterestIndex(seed: seed) : nil
    self.durable = durable
    self.hooks = hooks
    events = ClientEvents(
      capacity: options.watchedEvents, keptMilliseconds: options.watchMilliseconds)
    readers = durable == nil ? nil : InterestIndex(seed: seed)
    store = MemoryStore(
      maximumMessages: options.maximumRetainedMessages,
      maximumBytes: options.maximumRetainedBytes)
    retained = RetainedMessages(store: store, seed: HashSeed())
    var mailboxes: [Mailbox<Letter>] = []
    var passages: [Passage] = []
    for _ in 0..<options.loops {
      mailboxes.append(Mailbox(wakeUp: try WakeUp()))
      passages.append(try Passage())
    }
    self.mailboxes = mailboxes
    self.passages = passages
    boards = (0..<options.loops).map { _ in CounterBoard() }
    ledgers = (0..<options.loops).map { _ in LedgerBoard() }
    pressures = (0..<options.loops).map { _ in MailboxPressure() }
  }

  /// Whether any loop is behind with what other loops publish to it.
  var isPressed: Bool {
    for pressure in pressures where pressure.isHigh { return true }
    return isStorePressed
  }

  /// Whether the store is behind with what loops hand in, or can't be written.
  var isStorePressed: Bool {
    guard let durable else { return false }
    return durable.isFailing || durable.pendingBytes > Limits.storeHighWater
  }

  /// Whether a stored session may be owed messages with a topic.
  /// - Parameter hash: `topicHash(topic, seed: seed)`.
  func mayHaveReaders(_ topic: Span<UInt8>, _ hash: UInt32) -> Bool {
    guard let readers else { return false }
    return !areReadersKnown.load(ordering: .acquiring)
      || readers.loops(forTopic: topic, topicHash: hash) != 0
  }

  /// An empty batch.
  func takeBatch() -> PublishBatch {
    spare.withLock { spare in
      guard let batch = spare.batches.popLast() else { return nil }
      spare.fewest = min(spare.fewest, spare.batches.count)
      spareCount.store(spare.batches.count, ordering: .relaxed)
      return batch
    } ?? PublishBatch(batchAccount)
  }

  /// Takes a batch back that was read.
  func giveBack(_ batch: PublishBatch) {
    batch.clear()
    spare.withLock { spare in
      guard spare.batches.count < Limits.spareBatches else { return }
      spare.batches.append(batch)
      spareCount.store(spare.batches.count, ordering: .relaxed)
    }
  }

  /// Whether there are batches that nobody fills at present.
  var hasSpareBatches: Bool { spareCount.load(ordering: .relaxed) != 0 }

  /// Whether what all loops share keeps memory that nobody uses.
  var hasSpare: Bool { hasSpareBatches || directory.hasSpare || retained.hasSpare }

  /// Gives back what the shared parts did not need since the last call. Any loop may ask for it: it
  /// is done once a second.
  func trimShared(now: UInt32) {
    let last = sharedTrimmed.load(ordering: .relaxed)
    guard now &- last >= Limits.trimTicks,
      sharedTrimmed.compareExchange(expected: last, desired: now, ordering: .relaxed).exchanged
    else { return }
    trimBatches()
    directory.trim()
    retained.trim()
  }

  /// Frees the batches that nobody took since the last call.
  func trimBatches() {
    spare.withLock { spare in
      spare.batches.removeFirst(spare.fewest)
      spare.fewest = spare.batches.count
      spareCount.store(spare.fewest, ordering: .relaxed)
    }
  }

  /// Batches that were read and wait to be filled again.
  private struct SpareBatches {
    var batches: [PublishBatch] = []
    /// The fewest there were since they were last trimmed.
    var fewest = 0
  }
}

/// Bytes of publishes that are on their way to one loop.
final class MailboxPressure: Sendable {
  private let bytes = Atomic<Int>(0)

  func add(_ count: Int) { bytes.add(count, ordering: .relaxed) }
  func subtract(_ count: Int) { bytes.subtract(count, ordering: .relaxed) }
  var isHigh: Bool { bytes.load(ordering: .relaxed) > Limits.mailboxHighWater }
}
