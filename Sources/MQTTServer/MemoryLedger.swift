import Synchronization
import Util

/// Where the memory of the broker is, in bytes by kind.
///
/// Each figure is what the owner of the memory counts as blocks come and go; nothing is estimated.
struct MemoryLedger: BitwiseCopyable, Sendable {
  /// Records of connections.
  var connections = 0
  /// Records of sessions, and what few of them have besides.
  var sessions = 0
  /// Texts of client ids.
  var clientIDs = 0
  /// Where which session is: entries and hash table.
  var directory = 0
  /// Filters: records, texts, trie and hash tables.
  var filters = 0
  /// Records of subscriptions.
  var subscriptions = 0
  /// Which loop has which filter; nothing where there is one loop.
  var interest = 0
  /// Packets that are not complete yet.
  var readRemainders = 0
  /// Output that sockets have not taken.
  var writeQueues = 0
  /// Messages that are sent and not acknowledged or wait in a session, wills, and topic aliases.
  var inFlight = 0
  /// Retained messages with their index.
  var retained = 0
  /// The durable store: pages of its file, messages that were appended or read lately, and what is known
  /// of filters and clients.
  var store = 0
  /// Batches of publishes between loops, filled or not.
  var betweenLoops = 0
  /// Buffers that loops read into.
  var buffers = 0
  /// Blocks in use of the C library's allocator: what is not of any kind above.
  var heap = 0
  /// Free blocks of all pools, on pages that hold memory.
  var free = 0
  /// The program: its own pages and its libraries', as far as they were used, and what the process
  /// had when its loops had started without being counted above, such as stacks.
  var program = 0

  /// Name in `$SYS/broker/memory/` and place of each kind.
  private static var places: [(name: String, path: WritableKeyPath<MemoryLedger, Int>)] {
    [
      ("connections", \.connections), ("sessions", \.sessions), ("client-ids", \.clientIDs),
      ("directory", \.directory), ("filters", \.filters), ("subscriptions", \.subscriptions),
      ("interest", \.interest), ("read-remainders", \.readRemainders),
      ("write-queues", \.writeQueues), ("in-flight", \.inFlight), ("retained", \.retained),
      ("store", \.store),
      ("between-loops", \.betweenLoops), ("buffers", \.buffers), ("heap", \.heap),
      ("free", \.free), ("program", \.program),
    ]
  }

  /// Name in `$SYS/broker/memory/` and figure of each kind.
  var kinds: [(name: String, bytes: Int)] {
    MemoryLedger.places.map { ($0.name, self[keyPath: $0.path]) }
  }

  /// The sum of all kinds.
  var total: Int { kinds.reduce(0) { $0 + $1.bytes } }

  /// Adds what a pool has: used blocks and tables to one kind, free blocks to theirs.
  mutating func add(_ memory: PoolMemory, to kind: WritableKeyPath<MemoryLedger, Int>) {
    self[keyPath: kind] += memory.used + memory.tables
    free += memory.free
  }

  /// Adds the figures of another loop.
  mutating func add(_ other: MemoryLedger) {
    for (_, path) in MemoryLedger.places { self[keyPath: path] += other[keyPath: path] }
  }
}

/// Where a loop shows its part of the ledger to others.
final class LedgerBoard: Sendable {
  private let shown = Mutex(MemoryLedger())

  func show(_ ledger: MemoryLedger) { shown.withLock { $0 = ledger } }

  var ledger: MemoryLedger { shown.withLock { $0 } }
}

/// Bytes that several threads take and give back.
final class MemoryAccount: Sendable {
  private let sum = Atomic<Int>(0)

  func add(_ count: Int) { sum.add(count, ordering: .relaxed) }
  var bytes: Int { sum.load(ordering: .relaxed) }
}
