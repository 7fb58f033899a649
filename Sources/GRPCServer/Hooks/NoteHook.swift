import GRPCCore
import Synchronization
import Util

/// A hook that is told: notes wait in a bounded queue and go out oldest first, one call at a time, so that the backend
/// gets them in order. What can't be told in time is dropped and counted.
///
/// `tell` may be called on loops, as `QuestionHook.ask`.
final class NoteHook<Note: Sendable>: Sendable {
  private struct State {
    var queue: BoundedQueue<Note>
    var worker: Task<Void, Never>?
    var isStopped = false
  }

  private let caller: HookCaller
  private let call: @Sendable (HookBackend, [Note], CallOptions) async throws -> Void
  private let state: Mutex<State>

  init(
    _ caller: HookCaller, options: HookPointOptions,
    call: @escaping @Sendable (HookBackend, [Note], CallOptions) async throws -> Void
  ) {
    self.caller = caller
    self.call = call
    state = Mutex(
      State(
        queue: BoundedQueue(
          maximumCount: max(1, options.maximumQueued), maximumBytes: HookLimits.queuedBytes)))
  }

  var queued: Int { state.withLock { $0.queue.count } }

  /// Tells, as soon as what came before is told; drops the note where too many wait, or the hook has stopped.
  func tell(_ note: Note, bytes: Int) {
    let isTaken = state.withLock { state in
      guard !state.isStopped, state.queue.append(note, weight: 1, bytes: bytes) else {
        return false
      }
      if state.worker == nil {
        // It can't be at its end before it stands here: to end it takes the lock.
        state.worker = Task { await self.work() }
      }
      return true
    }
    if !isTaken { drop(1, "too many notes wait") }
  }

  /// Takes no further notes, tells what waits for at most some time, and drops the rest.
  func stop(within time: Duration) async {
    let worker = state.withLock { state in
      state.isStopped = true
      return state.worker
    }
    guard let worker else { return }
    let alarm = Task {
      // Where it is cancelled, the worker is at its end.
      try? await Task.sleep(for: time)
      worker.cancel()
    }
    await worker.value
    alarm.cancel()
  }

  private func work() async {
    while true {
      let batch = state.withLock { state in
        let batch =
          Task.isCancelled
          ? []
          : state.queue.takeFirst(
            maximumWeight: HookLimits.batchCount, maximumBytes: HookLimits.batchBytes)
        if batch.isEmpty { state.worker = nil }
        return batch
      }
      if batch.isEmpty { break }
      await tell(batch)
    }
    // Only a worker that was stopped leaves any.
    let left = state.withLock { $0.isStopped ? $0.queue.takeAll().count : 0 }
    if left > 0 { drop(left, "the broker stops") }
  }

  private func tell(_ batch: [Note]) async {
    // The notes are one question: they arrive together or not at all.
    let answers = await caller.ask([batch], .untilTimeout) { [call] backend, batches, options in
      for batch in batches { try await call(backend, batch, options) }
      return batches.map { _ in .answer(()) }
    }
    if answers.contains(where: { $0 == nil }) { drop(batch.count, "no endpoint took them in time") }
  }

  private func drop(_ count: Int, _ reason: String) {
    caller.counters.add(\.dropped, count)
    caller.journal.warn("\(caller.name): \(count) notes were dropped: \(reason)")
  }
}
