import Session
import Synchronization

/// What becomes of messages that were published from outside, gathered from all that take part: the loop
/// that took them, other loops with subscribers, and the store.
final class PublishReceipt: Sendable {
  private struct Counts {
    var outcome = PublishOutcome()
    /// Subscriptions that it is kept for in the store, those of clients that are connected included.
    var kept = 0
    /// Of those, the ones of clients that are connected.
    var keptOnline = 0
    /// Clients that did not get it, because too much waits for them.
    var dropped = 0
  }

  private struct State {
    /// Empty until somebody has something to say.
    var counts: [Counts] = []
    /// Who is to say something still.
    var parts = 1
  }

  private let state = Mutex(State())
  private let count: Int
  /// Whether nothing is asked but which messages were refused.
  let isForRefusals: Bool
  private let done: @Sendable ([PublishOutcome]) -> Void

  /// For some messages; the one who makes it is the first that takes part.
  /// - Parameter isForRefusals: whether `done` may be given no outcomes at all where none was refused.
  init(
    _ count: Int, isForRefusals: Bool = false,
    done: @escaping @Sendable ([PublishOutcome]) -> Void
  ) {
    self.count = count
    self.isForRefusals = isForRefusals
    self.done = done
  }

  /// One more takes part.
  func join() { state.withLock { $0.parts += 1 } }

  /// One has said what it has to say.
  func leave() {
    let counts = state.withLock { state -> [Counts]? in
      state.parts -= 1
      return state.parts == 0 ? state.counts : nil
    }
    guard let counts else { return }
    if counts.isEmpty {
      done(isForRefusals ? [] : Array(repeating: PublishOutcome(), count: count))
      return
    }
    done(
      counts.map { count in
        var outcome = count.outcome
        outcome.stored += max(0, count.kept - count.keptOnline)
        if outcome.online == 0 && outcome.stored == 0 && count.dropped > 0 {
          outcome.refusal = .quotaExceeded
        }
        return outcome
      })
  }

  /// What one loop did with a message.
  func add(_ place: Int, _ audience: Audience) {
    change { state in
      state.counts[place].outcome.online += audience.online
      state.counts[place].outcome.stored += audience.away
      state.counts[place].keptOnline += audience.keptOnline
      state.counts[place].dropped += audience.dropped
    }
  }

  /// For how many subscriptions the store keeps a message.
  func keep(_ place: Int, subscriptions: Int) {
    change { $0.counts[place].kept += subscriptions }
  }

  /// A message was not taken.
  func refuse(_ place: Int, _ refusal: PublishOutcome.Refusal) {
    change { $0.counts[place].outcome.refusal = refusal }
  }

  private func change(_ body: (inout State) -> Void) {
    state.withLock { state in
      if state.counts.isEmpty { state.counts = Array(repeating: Counts(), count: count) }
      body(&state)
    }
  }
}

/// A message of a receipt.
struct ReceiptPart {
  var receipt: PublishReceipt
  var place: Int
}

/// A message of a receipt that was handed to the store for one client.
struct DirectPart {
  var part: ReceiptPart
  /// For the case that the store has no session of the client.
  var message: OutsideMessage
}

/// To whom a message goes on one loop.
struct Audience {
  /// Clients that are connected.
  var online = 0
  /// Subscriptions of clients that are away and whose messages are kept in memory.
  var away = 0
  /// Subscriptions of connected clients, and groups with one, for which the store keeps the message.
  var keptOnline = 0
  /// Clients that were to get it and did not, because too much waits for them.
  var dropped = 0
}
