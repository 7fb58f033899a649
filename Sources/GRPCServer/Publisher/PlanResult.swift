import BifrostAPI
import Session
import Synchronization

/// What became of a plan.
struct PlanResult: Sendable {
  /// What became of one publish.
  enum Entry: Sendable {
    /// It was done: what became of its messages.
    case own(ArraySlice<PublishOutcome>)
    /// Another one with its key was done.
    case other([Bifrost_V1_TargetResult])
  }

  fileprivate(set) var plan: PublishPlan
  fileprivate(set) var entries: [Entry]

  /// Publishes that there were.
  var count: Int { plan.entries.count }

  /// The answer to a publish.
  func response(_ index: Int) -> Bifrost_V1_PublishResponse {
    switch entries[index] {
    case .own(let outcomes):
      return .with { $0.results = Self.results(plan.entries[index], outcomes) }
    case .other(let results):
      return .with {
        // Of a publish of an earlier run of the broker it is known only that it was done.
        $0.results =
          results.isEmpty
          ? plan.entries[index].targets.map { _ in .with { $0.outcome = .accepted } } : results
        $0.isDuplicate = true
      }
    }
  }

  /// Whether a target of a publish was refused.
  func isRefused(_ index: Int) -> Bool {
    switch entries[index] {
    case .own(let outcomes):
      let entry = plan.entries[index]
      return entry.messages.count < entry.targets.count || outcomes.contains { $0.refusal != nil }
    case .other(let results): return results.contains { $0.outcome == .refused }
    }
  }

  fileprivate static func results(
    _ entry: PublishPlan.Entry, _ outcomes: ArraySlice<PublishOutcome>
  ) -> [Bifrost_V1_TargetResult] {
    var next = outcomes.startIndex
    return entry.targets.map { target in
      switch target {
      case .refused(let reason):
        return .with { ($0.outcome, $0.reason) = (.refused, reason) }
      case .message:
        defer { next += 1 }
        return Bifrost_V1_TargetResult(outcomes[next])
      }
    }
  }
}

/// Publishes plans.
struct PlanSubmitter: Sendable {
  let gateway: any Gateway
  let cache: IdempotencyCache

  /// Publishes what a plan has, in order, and says what became of it once all is as safe as it will be.
  ///
  /// What follows a publish that another call has under way, by its key, waits for that: a sender that comes back
  /// over another stream, and sends again what was not answered, keeps its order.
  /// - Parameters:
  ///   - loop: where the messages are taken.
  ///   - submitted: called when all of it is on its way, so that what is submitted next comes behind it.
  func submit(
    _ plan: PublishPlan, loop: Int, submitted: @escaping @Sendable () -> Void = {},
    done: @escaping @Sendable (PlanResult) -> Void
  ) {
    if plan.entries.allSatisfy(\.key.isEmpty) {
      defer { submitted() }
      guard !plan.messages.isEmpty else {
        done(PlanResult(plan: plan, entries: plan.entries.map { _ in .own([]) }))
        return
      }
      gateway.publish(plan.messages, loop: loop, key: []) { outcomes in
        done(PlanResult(plan: plan, entries: plan.entries.map { .own(outcomes[$0.messages]) }))
      }
      return
    }
    submit(plan, from: 0, loop, Gathering(plan, done), submitted)
  }

  /// Publishes a plan from one of its publishes on.
  private func submit(
    _ plan: PublishPlan, from start: Int, _ loop: Int, _ gathering: Gathering,
    _ submitted: @escaping @Sendable () -> Void
  ) {
    var index = start
    while index < plan.entries.count {
      let first = index
      repeat {
        index += 1
      } while index < plan.entries.count
        && plan.entries[first].key.isEmpty && plan.entries[index].key.isEmpty
      let next = index
      let isUnderWay = submit(plan, first..<next, loop, gathering) {
        submit(plan, from: next, loop, gathering, submitted)
      }
      if isUnderWay { return }
    }
    submitted()
  }

  /// Publishes neighbours without keys, or one with a key: the store remembers one key with its messages.
  /// - Parameter goOn: called once a publish with the same key is done, where one is under way.
  /// - Returns: whether one is.
  private func submit(
    _ plan: PublishPlan, _ range: Range<Int>, _ loop: Int, _ gathering: Gathering,
    goOn: @escaping @Sendable () -> Void
  ) -> Bool {
    let first = plan.entries[range.lowerBound]
    let key = first.key
    if !key.isEmpty {
      let finding = cache.begin(key) { results in
        gathering.add([(range.lowerBound, .other(results))])
        goOn()
      }
      switch finding {
      case .done(let results):
        gathering.add([(range.lowerBound, .other(results))])
        return false
      case .pending: return true
      case .new: break
      }
    }
    let all = first.messages.lowerBound..<plan.entries[range.upperBound - 1].messages.upperBound
    let done = { @Sendable (outcomes: [PublishOutcome]) in
      if !key.isEmpty {
        // Where the store took nothing, the caller is to try again with the same key.
        let isRemembered = outcomes.contains { $0.refusal == nil }
        cache.finish(
          key, PlanResult.results(first, outcomes[...]), isRemembered: isRemembered)
      }
      gathering.add(
        range.map { index in
          let messages = plan.entries[index].messages
          let start = messages.lowerBound - all.lowerBound
          return (index, .own(outcomes[start..<start + messages.count]))
        })
    }
    if all.isEmpty {
      done([])
    } else {
      gateway.publish(Array(plan.messages[all]), loop: loop, key: key, done: done)
    }
    return false
  }
}

/// Puts together what comes in parts.
private final class Gathering: Sendable {
  private let plan: PublishPlan
  private let done: @Sendable (PlanResult) -> Void
  private let state: Mutex<(entries: [PlanResult.Entry], missing: Int)>

  init(_ plan: PublishPlan, _ done: @escaping @Sendable (PlanResult) -> Void) {
    self.plan = plan
    self.done = done
    state = Mutex((plan.entries.map { _ in .own([]) }, plan.entries.count))
  }

  /// Adds what became of some publishes; the last to come ends it.
  func add(_ parts: [(Int, PlanResult.Entry)]) {
    let entries = state.withLock { state -> [PlanResult.Entry]? in
      for (index, entry) in parts { state.entries[index] = entry }
      state.missing -= parts.count
      return state.missing == 0 ? state.entries : nil
    }
    if let entries { done(PlanResult(plan: plan, entries: entries)) }
  }
}
