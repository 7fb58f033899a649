import BifrostAPI
import Synchronization
import Util

/// Which publishes were done of late, by their idempotency keys, so that none is done twice.
final class IdempotencyCache: Sendable {
  /// What is known of a key.
  enum Finding: Sendable {
    /// Nothing: the publish is to be done, and `finish` to be called.
    case new
    /// It was done, and this became of it.
    case done([Bifrost_V1_TargetResult])
    /// It is under way: `later` is called with what becomes of it.
    case pending
  }

  /// Keys that are remembered: some thousand requests each second of those with keys, over ten minutes.
  static let maximumKeys = 100_000
  /// Results of all of them together, about 64 bytes each.
  static let maximumResults = 400_000
  /// Milliseconds that a key is remembered.
  static let milliseconds: UInt64 = 600_000

  /// Told of what became of a publish.
  typealias Waiter = @Sendable ([Bifrost_V1_TargetResult]) -> Void

  private enum Entry {
    case pending([Waiter])
    case done([Bifrost_V1_TargetResult], until: UInt64)
  }

  private struct State {
    var entries: [[UInt8]: Entry] = [:]
    /// Keys that are done, oldest first from `head` on. One that was done, forgotten and done again stands
    /// here twice; the first goes without effect.
    var order: [(key: [UInt8], until: UInt64)] = []
    var head = 0
    var results = 0
  }

  private let state = Mutex(State())

  /// Looks a key up, and claims it if it is new.
  func begin(_ key: [UInt8], later: @escaping Waiter) -> Finding {
    let now = MonotonicClock.milliseconds
    return state.withLock { state in
      switch state.entries[key] {
      case .done(let results, let until) where until > now: return .done(results)
      case .pending(var waiting):
        waiting.append(later)
        state.entries[key] = .pending(waiting)
        return .pending
      case .done(let results, _):
        state.results -= results.count
        state.entries[key] = .pending([])
        return .new
      case nil:
        state.entries[key] = .pending([])
        return .new
      }
    }
  }

  /// Says what became of a publish that `begin` found new.
  /// - Parameter isRemembered: false where it is to be done again when it comes again.
  func finish(_ key: [UInt8], _ results: [Bifrost_V1_TargetResult], isRemembered: Bool) {
    let now = MonotonicClock.milliseconds
    let waiting = state.withLock { state -> [Waiter] in
      guard case .pending(let waiting)? = state.entries.removeValue(forKey: key) else { return [] }
      if isRemembered { Self.add(&state, key, results, until: now + Self.milliseconds, now) }
      return waiting
    }
    for waiter in waiting { waiter(results) }
  }

  /// Takes over keys of an earlier run, of whose publishes nothing more is known.
  /// - Parameter keys: with the second since 1970 until which they are remembered.
  /// - Parameter second: the present one.
  func remember(_ keys: [(key: [UInt8], until: UInt32)], at second: UInt32) {
    let now = MonotonicClock.milliseconds
    state.withLock { state in
      for (key, until) in keys.sorted(by: { $0.until < $1.until }) where until > second {
        let left = min(UInt64(until - second) * 1000, Self.milliseconds)
        Self.add(&state, key, [], until: now + left, now)
      }
    }
  }

  private static func add(
    _ state: inout State, _ key: [UInt8], _ results: [Bifrost_V1_TargetResult], until: UInt64,
    _ now: UInt64
  ) {
    state.entries[key] = .done(results, until: until)
    state.order.append((key, until))
    state.results += results.count
    while state.head < state.order.count,
      state.order[state.head].until <= now || state.order.count - state.head > maximumKeys
        || state.results > maximumResults
    {
      let (oldest, until) = state.order[state.head]
      state.head += 1
      if case .done(let results, let end)? = state.entries[oldest], end == until {
        state.results -= results.count
        state.entries[oldest] = nil
      }
    }
    if state.head > 1024, state.head * 2 > state.order.count {
      state.order.removeFirst(state.head)
      state.head = 0
    }
  }
}
