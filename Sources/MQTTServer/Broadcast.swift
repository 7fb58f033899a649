import Net
import Packet
import Session
import Synchronization
import Util

/// A broadcast, as all loops know it: what is sent, how fast, and how far it is.
final class Broadcast: BroadcastHandle, Sendable {
  private struct State {
    var sum = BroadcastProgress()
    /// Loops that are not done with it.
    var loops: Int
    /// Thousandths of clients that may be sent it now.
    var allowance = 1000
    /// Millisecond of the monotonic clock up to which the allowance was added.
    var filledAt = MonotonicClock.milliseconds
    /// When the progress was last told.
    var toldAt = MonotonicClock.milliseconds
  }

  /// Milliseconds between two reports: well below the second that is promised, with ticks of 125 ms.
  private static var tellMilliseconds: UInt64 { 500 }
  /// Milliseconds for which allowance gathers that no loop takes: two ticks.
  private static var gatheredMilliseconds: Int { 250 }
  /// The fastest: more than there are clients on a machine.
  private static var maximumRate: Int { 10_000_000 }

  let message: OutsideMessage
  let audience: BroadcastOrder.Audience
  /// What each client gets, unless it takes less.
  let qos: QoS
  /// Second of the monotonic clock at which the message expires; 0 for never.
  let expiresAt: UInt32
  private let rate: Int
  private let cancelled = Atomic<Bool>(false)
  private let progress: @Sendable (BroadcastProgress) -> Void
  private let ended: @Sendable () -> Void
  private let state: Mutex<State>

  /// - Parameter ended: called once, when all loops are done with it, before that is told.
  init(
    _ order: BroadcastOrder, maximumQoS: QoS, loops: Int,
    progress: @escaping @Sendable (BroadcastProgress) -> Void, ended: @escaping @Sendable () -> Void
  ) {
    message = order.message
    audience = order.audience
    qos = min(order.message.qos, maximumQoS)
    let lifetime = order.message.lifetime
    expiresAt =
      lifetime == 0
      ? 0
      : MessageFacts.expiry(after: lifetime, at: TimerWheel<Connection>.presentTick / 8)
    rate = min(max(order.rate, 1), Broadcast.maximumRate)
    self.progress = progress
    self.ended = ended
    state = Mutex(State(loops: loops))
  }

  /// See `BroadcastHandle`. Loops see it with their next tick.
  func cancel() { cancelled.store(true, ordering: .relaxed) }

  var isCancelled: Bool { cancelled.load(ordering: .relaxed) }

  /// How many clients a loop may send it to now: up to `wanted`, of a rate that all loops share.
  func take(_ wanted: Int) -> Int {
    state.withLock { state in
      let now = MonotonicClock.milliseconds
      let elapsed = Int(clamping: min(now - state.filledAt, 1000))
      state.filledAt = now
      let most = max(1000, rate * Broadcast.gatheredMilliseconds)
      state.allowance = min(most, state.allowance + rate * elapsed)
      let taken = min(wanted, state.allowance / 1000)
      state.allowance -= 1000 * taken
      return taken
    }
  }

  /// Some of what was taken was not needed.
  func giveBack(_ count: Int) { state.withLock { $0.allowance += 1000 * count } }

  /// A loop has come further.
  /// - Parameter isLast: whether it is done with it.
  func add(_ part: BroadcastProgress, isLast: Bool) {
    state.withLock { state in
      state.sum.sent += part.sent
      state.sum.acknowledged += part.acknowledged
      state.sum.lost += part.lost
      state.sum.skipped += part.skipped
      if isLast { state.loops -= 1 }
      state.sum.isDone = state.loops == 0
      // Who is told of the end may begin another one.
      if state.sum.isDone { ended() }
      let now = MonotonicClock.milliseconds
      if state.sum.isDone || now - state.toldAt >= Broadcast.tellMilliseconds {
        state.toldAt = now
        // Under the lock, so that no report overtakes another.
        progress(state.sum)
      }
    }
  }
}

/// One loop's part of a broadcast.
final class BroadcastRun {
  /// A client that was sent it, and has not said that it has it.
  struct Pending: BitwiseCopyable {
    /// 0 with QoS 0.
    var packetID: UInt16
    /// Whether it was still to be sent when that was last looked at.
    var isWaiting: Bool
  }

  let job: Broadcast
  /// The slot of the next session to be looked at.
  var next: UInt32 = 1
  var isWalking = true
  /// By the session; those that lose their connection are taken out at once.
  var pending: [UInt32: Pending] = [:]
  /// Sessions in the order in which they are asked, from `head` on; some are no longer in `pending`.
  var order: [UInt32] = []
  var head = 0
  /// What `job` was not told yet.
  var news = BroadcastProgress()
  /// The tick in which `pending` was last looked at, and `job` told.
  var checkedAt: UInt32 = 0
  /// The tick in which the rate allowed no more.
  var pausedAt: UInt32 = 0

  init(_ job: Broadcast) { self.job = job }

  var isDone: Bool { !isWalking && pending.isEmpty }

  func add(_ session: UInt32, _ entry: Pending) {
    pending[session] = entry
    order.append(session)
  }

  /// The session that is asked next.
  func nextToAsk() -> UInt32? {
    guard head < order.count else { return nil }
    let session = order[head]
    head += 1
    if head == order.count {
      order.removeAll(keepingCapacity: true)
      head = 0
    } else if head >= 4096 && head * 2 >= order.count {
      order.removeFirst(head)
      head = 0
    }
    return session
  }
}
