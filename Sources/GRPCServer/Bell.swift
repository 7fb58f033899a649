import Synchronization

/// Wakes one task that waits. A ring that nobody waits for is kept, so that none is missed between a look
/// and the wait.
final class Bell: Sendable {
  private enum State {
    case silent
    case rung
    case waiting(CheckedContinuation<Void, Never>)
  }

  private let state = Mutex(State.silent)

  /// Ends the wait that there is, or the next one.
  func ring() {
    let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
      if case .waiting(let waiter) = state {
        state = .silent
        return waiter
      }
      state = .rung
      return nil
    }
    waiter?.resume()
  }

  /// Waits for a ring. One task at a time.
  /// - Throws: `CancellationError`.
  func wait() async throws {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let goesOn = state.withLock { state -> Bool in
          if case .rung = state {
            state = .silent
            return true
          }
          state = .waiting(continuation)
          return false
        }
        if goesOn { continuation.resume() }
      }
    } onCancel: {
      ring()
    }
    try Task.checkCancellation()
  }
}

/// A value that comes later, once.
final class Answer<Value: Sendable>: Sendable {
  private let value = Mutex<Value?>(nil)
  private let bell = Bell()

  /// Gives the value.
  func give(_ value: Value) {
    self.value.withLock { $0 = value }
    bell.ring()
  }

  /// Waits for the value. One task.
  /// - Throws: `CancellationError`.
  func wait() async throws -> Value {
    while true {
      if let value = value.withLock({ $0 }) { return value }
      try await bell.wait()
    }
  }
}

/// Waits for what a closure is given by `start`, or until the task is cancelled: the closure may never be called.
func answer<Value: Sendable>(
  _ start: (@escaping @Sendable (Value) -> Void) -> Void
) async throws -> Value {
  let answer = Answer<Value>()
  start { answer.give($0) }
  return try await answer.wait()
}
