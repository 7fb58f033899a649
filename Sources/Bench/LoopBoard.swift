import Synchronization

/// What one loop has done, for the thread that coordinates. Its loop alone writes, at the end of
/// each turn; each number is right for itself, and together they may be a turn apart.
final class LoopBoard: Sendable {
  /// Clients that are connected, and subscribed where they are to be.
  let ready = Atomic<UInt64>(0)
  /// Clients that could not be connected or subscribed.
  let failed = Atomic<UInt64>(0)
  /// Clients whose connection ended after they were ready.
  let lost = Atomic<UInt64>(0)
  let sent = Atomic<UInt64>(0)
  let acknowledged = Atomic<UInt64>(0)
  let delivered = Atomic<UInt64>(0)
  /// Time of the last turn that brought a delivery or an acknowledgement.
  let lastProgress = Atomic<UInt64>(0)
  /// Idle clients that the present step has reached, or that have made their second subscription.
  let reached = Atomic<UInt64>(0)
  /// When the first and the last of them were; 0 before.
  let firstReached = Atomic<UInt64>(0)
  let lastReached = Atomic<UInt64>(0)
  /// Steps with idle clients that were begun: the three above are those of the last one. It is
  /// written behind them and read before them.
  let step = Atomic<Int>(0)
  /// Whether nothing is left to be sent of what was ordered.
  let isIdle = Atomic<Bool>(true)

  /// The counters of all loops.
  static func sum(_ boards: [LoopBoard]) -> BoardSum {
    var sum = BoardSum()
    for board in boards {
      sum.ready += board.ready.load(ordering: .acquiring)
      sum.failed += board.failed.load(ordering: .acquiring)
      sum.lost += board.lost.load(ordering: .acquiring)
      sum.sent += board.sent.load(ordering: .acquiring)
      sum.acknowledged += board.acknowledged.load(ordering: .acquiring)
      sum.delivered += board.delivered.load(ordering: .acquiring)
      sum.lastProgress = max(sum.lastProgress, board.lastProgress.load(ordering: .acquiring))
      sum.step = min(sum.step, board.step.load(ordering: .acquiring))
      sum.reached += board.reached.load(ordering: .acquiring)
      let first = board.firstReached.load(ordering: .acquiring)
      if first != 0 { sum.firstReached = min(sum.firstReached ?? first, first) }
      sum.lastReached = max(sum.lastReached, board.lastReached.load(ordering: .acquiring))
      if !board.isIdle.load(ordering: .acquiring) { sum.isIdle = false }
    }
    return sum
  }
}

/// The counters of several loops.
struct BoardSum: Sendable, Equatable {
  var ready: UInt64 = 0
  var failed: UInt64 = 0
  var lost: UInt64 = 0
  var sent: UInt64 = 0
  var acknowledged: UInt64 = 0
  var delivered: UInt64 = 0
  var lastProgress: UInt64 = 0
  var reached: UInt64 = 0
  var firstReached: UInt64?
  var lastReached: UInt64 = 0
  /// The least of the loops.
  var step = Int.max
  var isIdle = true
}

/// The first thing that went wrong, for the report.
final class Complaint: Sendable {
  private let text = Mutex<String?>(nil)

  func note(_ words: String) { text.withLock { if $0 == nil { $0 = words } } }
  var first: String? { text.withLock { $0 } }
}
