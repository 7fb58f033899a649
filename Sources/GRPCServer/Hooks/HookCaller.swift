import GRPCCore
import Util

/// An answer to one question of a call.
enum HookReply<Answer: Sendable>: Sendable {
  /// It can be used.
  case answer(Answer)
  /// It can't, for this reason.
  case unusable(String)
}

/// How long a call is tried.
enum HookPatience: Sendable {
  /// For the hook's timeout, and not at all where no endpoint takes calls.
  case failsFast
  /// For the hook's timeout, also if endpoints have to come back first.
  case untilTimeout
  /// Until there is an answer.
  case endless
}

/// Makes the calls of one hook: chooses the endpoint, tries again, keeps the time.
struct HookCaller: Sendable {
  let name: String
  let route: HookRoute
  let timeoutMilliseconds: Int
  let retries: Int
  let counters: HookCounters
  let journal: HookJournal

  /// Makes a call for some questions at an endpoint, and gives a reply for each.
  typealias Call<Question, Answer: Sendable> =
    @Sendable (HookBackend, [Question], CallOptions) async throws -> [HookReply<Answer>]

  /// Asks questions in one call, and those that were not answered in further ones, until each has an answer or tries
  /// or time are over: then its answer is nil.
  func ask<Question: Sendable, Answer: Sendable>(
    _ questions: [Question], _ patience: HookPatience, _ call: Call<Question, Answer>
  ) async -> [Answer?] {
    var answers = [Answer?](repeating: nil, count: questions.count)
    var open = Array(questions.indices)
    var tried: Set<Int> = []
    var attempt = 0
    let begin = MonotonicClock.milliseconds
    while !open.isEmpty && !Task.isCancelled {
      let now = MonotonicClock.milliseconds
      let left = patience == .endless ? timeoutMilliseconds : timeoutMilliseconds - Int(now - begin)
      guard left > 0 else { break }
      guard let (index, backend, permit) = route.next(now: now, tried: tried) else {
        if patience == .failsFast {
          journal.warn("\(name): no endpoint takes calls")
          break
        }
        await pause(upTo: min(HookLimits.lookAgainMilliseconds, left))
        continue
      }
      counters.add(\.calls)
      if attempt > 0 { counters.add(\.retries) }
      let share = patience == .endless ? left : max(1, left / (retries + 1 - attempt))
      let replies = await attemptCall(
        backend, permit, open.map { questions[$0] }, timeout: share, call)
      open = take(replies, of: open, into: &answers, from: backend)
      attempt += 1
      if open.isEmpty || (patience != .endless && attempt > retries) { break }
      tried.insert(index)
      if tried.count == route.backends.count { tried = [] }
      await pause(upTo: backoff(attempt))
    }
    return answers
  }

  /// Makes one call; nil where it failed as a whole.
  private func attemptCall<Question: Sendable, Answer: Sendable>(
    _ backend: HookBackend, _ permit: CircuitBreaker.Permit, _ questions: [Question], timeout: Int,
    _ call: Call<Question, Answer>
  ) async -> [HookReply<Answer>]? {
    var options = CallOptions.defaults
    options.timeout = .milliseconds(timeout)
    options.maxResponseMessageBytes = HookLimits.answerBytes
    do {
      let replies = try await call(backend, questions, options)
      backend.settle(permit, isAlive: true)
      if replies.count == questions.count { return replies }
      failed(backend, "an answer has \(replies.count) verdicts for \(questions.count) questions")
    } catch {
      if Task.isCancelled {
        backend.settle(permit, isAlive: nil)
      } else {
        backend.settle(permit, isAlive: (error as? RPCError).map(isAlive) ?? false)
        failed(backend, "\(error)")
      }
    }
    return nil
  }

  /// Keeps the answers that can be used, and gives the questions that are open still.
  private func take<Answer>(
    _ replies: [HookReply<Answer>]?, of open: [Int], into answers: inout [Answer?],
    from backend: HookBackend
  ) -> [Int] {
    guard let replies else { return open }
    var left: [Int] = []
    for (index, reply) in zip(open, replies) {
      switch reply {
      case .answer(let answer): answers[index] = answer
      case .unusable(let reason):
        if left.isEmpty { failed(backend, reason) }
        left.append(index)
      }
    }
    return left
  }

  private func failed(_ backend: HookBackend, _ reason: String) {
    counters.add(\.failures)
    journal.warn("\(name): a call to \(backend.address) failed: \(reason)")
  }

  /// The longest wait before a try, in milliseconds: doubled with each.
  private func backoff(_ attempt: Int) -> Int {
    min(
      HookLimits.longestBackoffMilliseconds,
      HookLimits.firstBackoffMilliseconds << min(attempt - 1, 10))
  }

  /// Waits for a random time, so that those who wait for one endpoint do not come at once.
  private func pause(upTo milliseconds: Int) async {
    // Ends early only where it is cancelled, which the caller looks at.
    try? await Task.sleep(for: .milliseconds(Int.random(in: 1...max(1, milliseconds))))
  }

  /// Whether a status shows that the endpoint works: it refuses this call, and not calls.
  private func isAlive(_ error: RPCError) -> Bool {
    switch error.code {
    case .invalidArgument, .notFound, .alreadyExists, .permissionDenied, .failedPrecondition,
      .outOfRange, .unimplemented, .unauthenticated:
      true
    default: false
    }
  }
}
