import GRPCCore
import Synchronization
import Util

/// A hook that is asked: questions wait in a bounded queue for one of a bounded number of calls. What waits while all
/// calls are out goes together with the next, as far as one call may have several.
///
/// `ask` may be called on loops: it takes a lock that nobody holds for longer than it takes to move a question, and
/// calls nothing that waits.
final class QuestionHook<Question: Sendable, Verdict: Sendable>: Sendable {
  private struct Waiting {
    var question: Question
    var answer: @Sendable (Verdict) -> Void
    /// Millisecond of the monotonic clock at which it was asked.
    var askedAt: UInt64
  }

  private struct State {
    var queue: BoundedQueue<Waiting>
    var workers: [Int: Task<Void, Never>] = [:]
    var nextWorker = 0
    var isStopped = false
  }

  private let caller: HookCaller
  private let policy: HookFailurePolicy
  private let maximumCalls: Int
  private let batchCount: Int
  private let call: HookCaller.Call<Question, Verdict>
  private let unanswered: @Sendable (Question) -> Verdict
  private let state: Mutex<State>

  /// - Parameter batchCount: what the weights of one call's questions may come to; one question always goes.
  /// - Parameter unanswered: the verdict on a question that nobody answers.
  init(
    _ caller: HookCaller, options: HookPointOptions, batchCount: Int,
    call: @escaping HookCaller.Call<Question, Verdict>,
    unanswered: @escaping @Sendable (Question) -> Verdict
  ) {
    self.caller = caller
    self.call = call
    self.batchCount = batchCount
    self.unanswered = unanswered
    policy = options.onFailure
    maximumCalls = max(1, options.maximumCalls)
    state = Mutex(
      State(
        queue: BoundedQueue(
          maximumCount: max(1, options.maximumQueued), maximumBytes: HookLimits.queuedBytes)))
  }

  var queued: Int { state.withLock { $0.queue.count } }

  /// Asks, or answers at once where too many wait already or the hook has stopped.
  func ask(
    _ question: Question, weight: Int = 1, bytes: Int, answer: @escaping @Sendable (Verdict) -> Void
  ) {
    let waiting = Waiting(
      question: question, answer: answer, askedAt: MonotonicClock.milliseconds)
    let isTaken = state.withLock { state in
      guard !state.isStopped, state.queue.append(waiting, weight: weight, bytes: bytes) else {
        return false
      }
      if state.workers.count < maximumCalls {
        let number = state.nextWorker
        state.nextWorker += 1
        // It can't be at its end before it stands here: to end it takes the lock.
        state.workers[number] = Task { await self.work(number) }
      }
      return true
    }
    guard !isTaken else { return }
    caller.journal.warn("\(caller.name): too many questions wait")
    giveUp([waiting])
  }

  /// Answers what waits as nobody would, breaks off the calls that are out, and waits for their end.
  func stop() async {
    let (left, workers) = state.withLock { state in
      state.isStopped = true
      return (state.queue.takeAll(), Array(state.workers.values))
    }
    for worker in workers { worker.cancel() }
    giveUp(left)
    for worker in workers { await worker.value }
  }

  /// Makes calls one after the other for as long as something waits.
  private func work(_ number: Int) async {
    while true {
      let batch = state.withLock { state in
        let batch = state.queue.takeFirst(
          maximumWeight: batchCount, maximumBytes: HookLimits.batchBytes)
        if batch.isEmpty { state.workers[number] = nil }
        return batch
      }
      if batch.isEmpty { return }
      await ask(batch)
    }
  }

  private func ask(_ batch: [Waiting]) async {
    var batch = batch
    if policy != .wait {
      let now = MonotonicClock.milliseconds
      let isLate = { [caller] (waiting: Waiting) in
        now - waiting.askedAt > UInt64(caller.timeoutMilliseconds)
      }
      giveUp(batch.filter(isLate))
      batch.removeAll(where: isLate)
      if batch.isEmpty { return }
    }
    let answers = await caller.ask(
      batch.map(\.question), policy == .wait ? .endless : .failsFast, call)
    for (waiting, answer) in zip(batch, answers) {
      if let answer { waiting.answer(answer) } else { giveUp([waiting]) }
    }
  }

  private func giveUp(_ left: [Waiting]) {
    guard !left.isEmpty else { return }
    caller.counters.add(\.unanswered, left.count)
    for waiting in left { waiting.answer(unanswered(waiting.question)) }
  }
}
