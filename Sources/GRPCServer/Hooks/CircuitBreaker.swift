/// Keeps calls from an endpoint that fails again and again. A state machine without I/O; times are milliseconds of the
/// monotonic clock.
struct CircuitBreaker {
  /// What a call that is let through is.
  enum Permit: Sendable, Equatable {
    /// One of many.
    case ordinary
    /// The one that shows whether the endpoint works again.
    case probe
  }

  /// What a result made of the breaker.
  enum Change: Sendable, Equatable {
    case none
    case opened
    case closed
  }

  private enum State {
    case closed(failures: Int)
    case open(until: UInt64)
    case probing
  }

  private let failures: Int
  private let pause: UInt64
  private var state = State.closed(failures: 0)

  /// A closed breaker.
  init(failures: Int, pauseMilliseconds: Int) {
    self.failures = max(1, failures)
    pause = UInt64(max(0, pauseMilliseconds))
  }

  var isOpen: Bool {
    if case .closed = state { false } else { true }
  }

  /// Whether `admit` would give a permit.
  func admits(now: UInt64) -> Bool {
    switch state {
    case .closed: true
    case .open(let until): now >= until
    case .probing: false
    }
  }

  /// Lets a call through, or none. Each permit has to be given back with one of the next three.
  mutating func admit(now: UInt64) -> Permit? {
    guard admits(now: now) else { return nil }
    if case .closed = state { return .ordinary }
    state = .probing
    return .probe
  }

  /// The endpoint answered. Calls that were let through before it opened do not close it.
  mutating func succeeded(_ permit: Permit) -> Change {
    if permit == .probe {
      state = .closed(failures: 0)
      return .closed
    }
    if case .closed = state { state = .closed(failures: 0) }
    return .none
  }

  /// The endpoint did not answer.
  /// - Parameter jitter: -1 to 1: by how many quarters the pause is longer.
  mutating func failed(_ permit: Permit, now: UInt64, jitter: Double) -> Change {
    let until = now + UInt64(Double(pause) * (1 + jitter / 4))
    if permit == .probe {
      state = .open(until: until)
      return .none
    }
    guard case .closed(let count) = state else { return .none }
    if count + 1 < failures {
      state = .closed(failures: count + 1)
      return .none
    }
    state = .open(until: until)
    return .opened
  }

  /// The call was given up before it showed anything: the next may try.
  mutating func abandoned(_ permit: Permit, now: UInt64) {
    if permit == .probe { state = .open(until: now) }
  }
}
