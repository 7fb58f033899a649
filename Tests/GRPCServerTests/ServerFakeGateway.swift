import Packet
import PubSub
import Session
import Store
import Synchronization

/// A broker without a network, which remembers what it was asked and answers as it is told to.
final class FakeGateway: Gateway {
  struct Published: Sendable {
    var messages: [OutsideMessage]
    var loop: Int
    var key: [UInt8]
  }

  struct State: Sendable {
    var published: [Published] = []
    /// Answers that are held back, while `holdsPublishes`.
    var held: [@Sendable () -> Void] = []
    var holdsPublishes = false
    var outcome: @Sendable (OutsideMessage) -> PublishOutcome = { _ in
      var outcome = PublishOutcome()
      (outcome.online, outcome.stored) = (2, 1)
      return outcome
    }
    var isPressed = false
    var remembered: [(key: [UInt8], until: UInt32)] = []
    var orders: [BroadcastOrder] = []
    var progress: [BroadcastProgress] = []
    var cancelledBroadcasts = 0
    var clients: [String: ClientDescription] = [:]
    var steered: [String] = []
    var subscriptions: [StoredSubscription] = []
    var backlog: [BacklogPage.Entry] = []
    var isUnavailable = false
    var hangs = false
  }

  let state = Mutex(State())
  let events = ClientEvents(capacity: 8, keptMilliseconds: 60_000)
  let loopCount = 2
  /// Gives a connection to a broker.
  let connection: @Sendable () -> Int32?

  init(connection: @escaping @Sendable () -> Int32? = { nil }) { self.connection = connection }

  var isDurable: Bool { true }
  var isPressed: Bool { state.withLock { $0.isPressed } }

  func publish(
    _ messages: [OutsideMessage], loop: Int, key: [UInt8],
    done: @escaping @Sendable ([PublishOutcome]) -> Void
  ) {
    let answer = state.withLock { state -> (@Sendable () -> Void)? in
      state.published.append(Published(messages: messages, loop: loop, key: key))
      let outcomes = messages.map(state.outcome)
      let answer = { @Sendable in done(outcomes) }
      guard state.holdsPublishes else { return answer }
      state.held.append(answer)
      return nil
    }
    answer?()
  }

  /// Gives the answers that were held back, the last first, and holds none back any more.
  func release() {
    let held = state.withLock { state in
      state.holdsPublishes = false
      defer { state.held = [] }
      return state.held
    }
    for answer in held.reversed() { answer() }
  }

  func rememberedKeys(_ done: @escaping @Sendable ([(key: [UInt8], until: UInt32)]) -> Void) {
    done(state.withLock { $0.remembered })
  }

  private final class Handle: BroadcastHandle {
    let cancelled: @Sendable () -> Void
    init(_ cancelled: @escaping @Sendable () -> Void) { self.cancelled = cancelled }
    func cancel() { cancelled() }
  }

  func broadcast(
    _ order: BroadcastOrder, progress: @escaping @Sendable (BroadcastProgress) -> Void
  ) -> (any BroadcastHandle)? {
    let found = state.withLock { state -> [BroadcastProgress]? in
      if state.isUnavailable { return nil }
      state.orders.append(order)
      return state.progress
    }
    guard let steps = found else { return nil }
    for step in steps { progress(step) }
    return Handle { [self] in state.withLock { $0.cancelledBroadcasts += 1 } }
  }

  private func steer<Value>(
    _ client: [UInt8], _ what: String, _ done: @Sendable (Steered<Value>) -> Void,
    _ value: (ClientDescription, inout State) -> Value
  ) {
    let name = String(decoding: client, as: UTF8.self)
    let answer = state.withLock { state -> Steered<Value>? in
      if state.hangs { return nil }
      if state.isUnavailable { return .unavailable("the store is busy") }
      guard let description = state.clients[name] else { return .noClient }
      state.steered.append("\(what) \(name)")
      return .done(value(description, &state))
    }
    if let answer { done(answer) }
  }

  func describe(
    _ client: [UInt8], done: @escaping @Sendable (Steered<ClientDescription>) -> Void
  ) {
    steer(client, "describe", done) { description, _ in description }
  }

  func list(_ query: ClientQuery, done: @escaping @Sendable (Steered<ClientPage>) -> Void) {
    let names = state.withLock { $0.clients.keys.sorted() }
      .filter { $0.utf8.starts(with: query.prefix) }
      .filter { Array($0.utf8).lexicographicallyPrecedes(query.cursor) == false }
      .filter { Array($0.utf8) != query.cursor }
    let page = names.prefix(min(query.maximum, 2))
    let entries = page.map { name in
      ClientPage.Entry(
        client: HookedClient(clientID: Array(name.utf8), version: 5), isConnected: true,
        isStored: false)
    }
    let next = names.count > page.count ? page.last.map { Array($0.utf8) } : nil
    done(.done(ClientPage(entries: entries, next: next)))
  }

  func disconnect(
    _ client: [UInt8], reason: ReasonCode, text: [UInt8], discardsWill: Bool,
    done: @escaping @Sendable (Steered<Void>) -> Void
  ) {
    let what = "disconnect \(reason.rawValue) \(String(decoding: text, as: UTF8.self))"
    steer(client, "\(what) \(discardsWill)", done) { _, _ in }
  }

  func subscribe(
    _ client: [UInt8], _ subscriptions: [StoredSubscription],
    done: @escaping @Sendable (Steered<[UInt8]>) -> Void
  ) {
    steer(client, "subscribe", done) { _, state in
      state.subscriptions += subscriptions
      return subscriptions.map { $0.qos }
    }
  }

  func unsubscribe(
    _ client: [UInt8], _ filters: [[UInt8]], done: @escaping @Sendable (Steered<[UInt8]>) -> Void
  ) {
    steer(client, "unsubscribe", done) { _, _ in filters.map { _ in 17 } }
  }

  func endSession(_ client: [UInt8], done: @escaping @Sendable (Steered<Void>) -> Void) {
    steer(client, "end", done) { _, state in
      state.clients[String(decoding: client, as: UTF8.self)] = nil
    }
  }

  func backlog(
    _ client: [UInt8], after place: BacklogPlace, maximumMessages: Int, maximumBytes: Int,
    done: @escaping @Sendable (Steered<BacklogPage>) -> Void
  ) {
    steer(client, "backlog", done) { _, state in
      let rest = state.backlog.dropFirst(place.inMemory)
      let page = rest.prefix(min(maximumMessages, 2))
      var next = place
      next.inMemory += page.count
      return BacklogPage(entries: Array(page), next: rest.count > page.count ? next : nil)
    }
  }

  func openConnection() -> Int32? { connection() }
}

/// A client that is connected.
func description(_ name: String) -> ClientDescription {
  ClientDescription(
    client: HookedClient(
      clientID: Array(name.utf8), userName: Array("user".utf8), peer: "192.0.2.7:1", version: 5,
      identity: Identity(tenant: Array("acme".utf8), attributes: ["a": "b"])),
    isConnected: true, isStored: true, expiryInterval: 60, keepAlive: 30,
    subscriptions: [StoredSubscription(filter: Array("a/+".utf8), options: 1, identifier: 7)],
    inFlight: 3, queued: 4)
}
