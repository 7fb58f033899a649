import GRPCCore
import Synchronization
import Util

/// The calls that there are.
final class CallRegistry: Sendable {
  private struct Entry {
    weak var call: Call?
  }

  private struct State {
    var calls: [UInt64: Entry] = [:]
    var next: UInt64 = 1
    var isStopping = false
  }

  private let maximum: Int
  private let slowReaderMilliseconds: Int
  private let state = Mutex(State())

  init(maximum: Int, slowReaderMilliseconds: Int) {
    self.maximum = maximum
    self.slowReaderMilliseconds = slowReaderMilliseconds
  }

  /// Takes a call in.
  /// - Parameter timeout: milliseconds until its deadline; nil for none.
  func admit(
    _ caller: Caller, isStream: Bool, timeout: UInt64?
  ) throws(Refusal) -> Call {
    let number = state.withLock { state -> UInt64? in
      guard !state.isStopping else { return 0 }
      guard state.calls.count < maximum else { return nil }
      let number = state.next
      state.next += 1
      state.calls[number] = Entry(call: nil)
      return number
    }
    guard let number else {
      throw Refusal(
        .resourceExhausted, "TOO_MANY_CALLS", "grpc.max-calls are under way; call again later")
    }
    if number == 0 { throw .shuttingDown }
    let call = Call(
      caller: caller, isStream: isStream, number: number, calls: self, timeout: timeout)
    let isStopping = state.withLock { state in
      state.calls[number] = Entry(call: call)
      return state.isStopping
    }
    if isStopping, isStream { call.end(.shuttingDown) }
    return call
  }

  /// Takes a call out that has ended.
  func remove(_ number: UInt64) {
    state.withLock { _ = $0.calls.removeValue(forKey: number) }
  }

  /// Whether the server stops.
  var isStopping: Bool { state.withLock { $0.isStopping } }

  /// Takes no more calls in, and ends those that are streams.
  func stop() {
    let calls = state.withLock { state in
      state.isStopping = true
      return state.calls.values.compactMap(\.call)
    }
    for call in calls where call.isStream { call.end(.shuttingDown) }
  }

  /// Ends calls whose callers do not read, until the task is cancelled.
  func watchSlowReaders() async {
    let limit = UInt64(slowReaderMilliseconds)
    // A reader is found at most a quarter of its time too late, and an idle server wakes once a second.
    let pause = min(1000, max(25, slowReaderMilliseconds / 4))
    while (try? await Task.sleep(for: .milliseconds(pause))) != nil {
      let calls = state.withLock { $0.calls.values.compactMap(\.call) }
      let now = MonotonicClock.milliseconds
      for call in calls where now > limit { call.endSlowReader(before: now - limit) }
    }
  }
}
