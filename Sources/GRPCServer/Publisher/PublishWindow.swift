import BifrostAPI
import Session
import Synchronization

/// What became of a request of a publish stream.
enum StreamResult: Sendable {
  /// Publishes of one message each, with an outcome of each, or none where none was refused and none asked for.
  case batch(count: Int, [PublishOutcome])
  /// Any others.
  case plan(PlanResult)

  /// Publishes that there were.
  var count: Int {
    switch self {
    case .batch(let count, _): count
    case .plan(let result): result.count
    }
  }

  /// The answer to each publish.
  var responses: [Bifrost_V1_PublishResponse] {
    switch self {
    case .batch(_, let outcomes):
      outcomes.map { outcome in .with { $0.results = [Bifrost_V1_TargetResult(outcome)] } }
    case .plan(let result): (0..<result.count).map(result.response)
    }
  }

  /// The places of those that a target refused.
  var refused: [UInt32] {
    switch self {
    case .batch(_, let outcomes):
      outcomes.indices.filter { outcomes[$0].refusal != nil }.map { UInt32($0) }
    case .plan(let result): (0..<result.count).filter(result.isRefused).map { UInt32($0) }
    }
  }
}

/// The requests of a publish stream that were read and are not answered, in their order.
final class PublishWindow: Sendable {
  /// A request that is done.
  struct Done: Sendable {
    /// What became of it.
    var result: StreamResult
    /// Whether its answer has results.
    var wantsResults: Bool
  }

  private struct Slot {
    var result: StreamResult?
    var wantsResults: Bool
    var bytes: Int
  }

  private struct State {
    var slots: [Int: Slot] = [:]
    /// Numbers of the oldest that is not answered, and of the next to come.
    var first = 0
    var next = 0
    var bytes = 0
    var isClosed = false
  }

  private let state = Mutex(State())
  private let room = Bell()
  private let answers = Bell()

  /// Waits until there is room for a request, and gives it a number.
  /// - Parameter bytes: of what it brought, about.
  /// - Throws: `CancellationError`.
  func enter(bytes: Int, wantsResults: Bool) async throws -> Int {
    while true {
      let number = state.withLock { state -> Int? in
        let count = state.next - state.first
        guard
          count == 0
            || (count < BackendLimits.unansweredRequests
              && state.bytes + bytes <= BackendLimits.unansweredBytes)
        else { return nil }
        let number = state.next
        state.next += 1
        state.bytes += bytes
        state.slots[number] = Slot(result: nil, wantsResults: wantsResults, bytes: bytes)
        return number
      }
      if let number { return number }
      try await room.wait()
    }
  }

  /// Says what became of a request.
  func finish(_ number: Int, _ result: StreamResult) {
    let isFirst = state.withLock { state in
      state.slots[number]?.result = result
      return number == state.first
    }
    if isFirst { answers.ring() }
  }

  /// Says that no more come.
  func close() {
    state.withLock { $0.isClosed = true }
    answers.ring()
  }

  /// Waits for the oldest to be done; nil when all are and no more come.
  /// - Throws: `CancellationError`.
  func leave() async throws -> Done? {
    while true {
      let (done, isOver) = state.withLock { state -> (Done?, Bool) in
        guard let slot = state.slots[state.first] else {
          return (nil, state.isClosed)
        }
        guard let result = slot.result else { return (nil, false) }
        state.slots[state.first] = nil
        state.first += 1
        state.bytes -= slot.bytes
        return (Done(result: result, wantsResults: slot.wantsResults), false)
      }
      if let done {
        room.ring()
        return done
      }
      if isOver { return nil }
      try await answers.wait()
    }
  }
}
