import Store
import Synchronization
import Testing

@testable import MQTTServer

/// A store that has nothing, and says that it may have a session of each client: as one does that
/// does not know its clients yet, or whose guess is wrong.
private final class GuessingStore: Store {
  private struct State {
    var listener: (any StoreListener)?
    var loads = 0
    var nextID: StoredSessionID = 1
  }

  private let state = Mutex(State())

  /// Questions for sessions that were asked.
  var loads: Int { state.withLock { $0.loads } }

  let kind = "guess"
  let pendingBytes = 0
  let isFailing = false
  let mayHaveRetained = false
  let statistics = StoreStatistics()

  func start(_ listener: any StoreListener) { state.withLock { $0.listener = listener } }

  func stop() { state.withLock { $0.listener = nil } }

  func mayHaveSession(of clientID: Span<UInt8>) -> Bool { true }

  func makeSessionID() -> StoredSessionID {
    state.withLock { state in
      defer { state.nextID += 1 }
      return state.nextID
    }
  }

  func submit(_ batch: StoreBatch) {
    var events: [StoreEvent] = []
    for order in batch.orders {
      guard case .load(let query) = order else { continue }
      state.withLock { $0.loads += 1 }
      events.append(.session(SessionAnswer(asker: query.asker, session: nil)))
    }
    events.append(.committed(ticket: batch.ticket))
    state.withLock { $0.listener }?.deliver(events, to: batch.loop)
  }
}

extension BrokerTests {
  @Suite struct GuessTests {
    /// Whatever the store guesses, it is asked once for a client that connects.
    @Test(arguments: [false, true])
    func theStoreIsAskedOnce(clean: Bool) throws {
      let store = GuessingStore()
      let broker = try TestBroker(store: store)
      defer { broker.stop() }
      for number in 1...3 {
        let client = try broker.client("client\(number)", version: .v3_1_1, clean: clean)
        try client.ping()
        #expect(store.loads == number)
      }
    }
  }
}
