import GRPCCore
import Synchronization
import Util

/// Why a call was ended from outside of its own work.
enum CallEnd: Sendable {
  /// The caller went away, or gave it up.
  case cancelled
  /// Its deadline has passed.
  case deadline
  /// The caller does not read what is sent.
  case slowReader
  /// The broker stops.
  case shuttingDown

  /// What the caller is told.
  var refusal: Refusal {
    switch self {
    case .cancelled: Refusal(.cancelled, "CANCELLED", "the call was given up")
    case .deadline:
      Refusal(.deadlineExceeded, "DEADLINE_EXCEEDED", "the deadline of the call has passed")
    case .slowReader:
      Refusal(
        .resourceExhausted, "SLOW_READER",
        "the stream was not read for longer than grpc.slow-reader-timeout")
    case .shuttingDown: .shuttingDown
    }
  }
}

/// One call, from its first header to its status.
final class Call: Sendable {
  private struct State {
    var end: CallEnd?
    var work: Task<Void, any Error>?
  }

  /// Who calls.
  let caller: Caller
  /// Whether it lasts until somebody ends it, and is ended when the broker stops.
  let isStream: Bool
  private let number: UInt64
  private let calls: CallRegistry
  /// Millisecond of the monotonic clock at which the deadline passes; nil for none.
  private let deadline: UInt64?
  private let state = Mutex(State())
  /// Millisecond at which the write began that waits for the caller to read; 0 for none.
  private let writingSince = Atomic<UInt64>(0)

  init(
    caller: Caller, isStream: Bool, number: UInt64, calls: CallRegistry, timeout: UInt64?
  ) {
    self.caller = caller
    self.isStream = isStream
    self.number = number
    self.calls = calls
    deadline = timeout.map { MonotonicClock.milliseconds &+ $0 }
  }

  deinit { calls.remove(number) }

  /// Does the work of the call, and throws why it was ended if it was.
  func run(
    on executor: LoopExecutor, _ work: @escaping @Sendable () async throws -> Void
  ) async throws {
    try await withRPCCancellationHandler {
      let task = Task(executorPreference: executor) { try await work() }
      let isEnded = state.withLock { state in
        state.work = task
        return state.end != nil
      }
      if isEnded { task.cancel() }
      let result = await withTaskCancellationHandler {
        await task.result
      } onCancel: {
        // The server is done with waiting for its calls.
        self.end(.shuttingDown)
      }
      let end = state.withLock { state in
        state.work = nil
        return state.end
      }
      guard case .failure(let error) = result else { return }
      if let end { throw end.refusal }
      if error is CancellationError { throw CallEnd.cancelled.refusal }
      throw error
    } onCancelRPC: {
      self.transportCancelled()
    }
  }

  /// Ends the call; the first reason counts.
  func end(_ reason: CallEnd) {
    let work = state.withLock { state -> Task<Void, any Error>? in
      guard state.end == nil else { return nil }
      state.end = reason
      return state.work
    }
    work?.cancel()
  }

  /// The transport says only that the call is to end. It may be that the deadline has passed, that the
  /// caller is gone, or that the server stops, in which case a call with one answer goes on.
  private func transportCancelled() {
    // The transport began to count a moment before us.
    if let deadline, MonotonicClock.milliseconds &+ 10 >= deadline {
      end(.deadline)
    } else if calls.isStopping {
      if isStream { end(.shuttingDown) }
    } else {
      end(.cancelled)
    }
  }

  /// Sends something, and waits while the caller does not read: for `grpc.slow-reader-timeout` at most.
  func write<Element>(_ element: Element, to writer: RPCWriter<Element>) async throws {
    writingSince.store(MonotonicClock.milliseconds, ordering: .relaxed)
    defer { writingSince.store(0, ordering: .relaxed) }
    try await writer.write(element)
  }

  /// Sends several things, as `write`.
  func write<Element>(
    contentsOf elements: [Element], to writer: RPCWriter<Element>
  ) async throws {
    writingSince.store(MonotonicClock.milliseconds, ordering: .relaxed)
    defer { writingSince.store(0, ordering: .relaxed) }
    try await writer.write(contentsOf: elements)
  }

  /// Ends the call if a write has waited since before a millisecond.
  func endSlowReader(before limit: UInt64) {
    let since = writingSince.load(ordering: .relaxed)
    if since != 0, since < limit { end(.slowReader) }
  }
}
