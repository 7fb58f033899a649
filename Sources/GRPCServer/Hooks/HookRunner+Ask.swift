import Session
import Util

/// What loops call.
extension HookRunner {
  /// Asks whether a client may connect, unless an answer of before holds.
  public func connect(
    _ question: ConnectQuestion, answer: @escaping @Sendable (ConnectVerdict) -> Void
  ) {
    guard let connectHook else { return answer(.allow(Identity())) }
    let cached = connectAnswers.find(now: MonotonicClock.milliseconds) { ConnectKey(question) }
    if let cached {
      counters.add("connect", \.cacheHits)
      return answer(cached)
    }
    let bytes =
      question.client.waitingBytes + (question.password?.count ?? 0)
      + (question.will?.waitingBytes ?? 0) + question.userProperties.count
    connectHook.ask(question, bytes: bytes, answer: answer)
  }

  /// Asks what a client may subscribe to, unless an answer of before holds.
  public func subscribe(
    _ question: SubscribeQuestion, answer: @escaping @Sendable (SubscribeVerdict) -> Void
  ) {
    guard let subscribeHook else {
      return answer(SubscribeVerdict(filters: question.filters.map { .allow($0.qos) }))
    }
    let cached = subscribeAnswers.find(now: MonotonicClock.milliseconds) { SubscribeKey(question) }
    if let cached {
      counters.add("subscribe", \.cacheHits)
      return answer(cached)
    }
    let bytes = question.filters.reduce(question.client.waitingBytes) { $0 + $1.filter.count + 32 }
    subscribeHook.ask(question, bytes: bytes, answer: answer)
  }

  /// Asks what becomes of messages, together with those of other clients that wait.
  public func publish(
    _ question: PublishQuestion, answer: @escaping @Sendable ([PublishVerdict]) -> Void
  ) {
    guard let publishHook else { return answer(question.messages.map { _ in .allow }) }
    let bytes = question.messages.reduce(question.client.waitingBytes) { $0 + $1.waitingBytes }
    publishHook.ask(question, weight: question.messages.count, bytes: bytes, answer: answer)
  }

  /// Tells that a client has acknowledged a message.
  public func delivered(_ note: DeliveredNote) {
    deliveredHook?.tell(
      note, bytes: note.client.waitingBytes + note.key.count + note.topic.count)
  }

  /// Tells that a client has unsubscribed.
  public func unsubscribed(_ client: HookedClient, filters: [[UInt8]]) {
    unsubscribeHook?.tell(
      UnsubscribedNote(client: client, filters: filters),
      bytes: filters.reduce(client.waitingBytes) { $0 + $1.count + 32 })
  }

  /// Tells that a connection has ended.
  public func disconnected(_ client: HookedClient, _ end: ConnectionEnd) {
    disconnectHook?.tell(
      DisconnectedNote(client: client, end: end),
      bytes: client.waitingBytes + end.text.utf8.count)
  }

  /// Tells that a message is kept for clients that are away.
  public func offline(_ message: OutsideMessage, clients: [[UInt8]]) {
    guard let offlineHook else { return }
    // A message that waits for very many becomes several entries, each of which fits a call.
    var rest = clients[...]
    while !rest.isEmpty {
      let some = rest.prefix(HookLimits.offlineClients)
      rest = rest.dropFirst(some.count)
      offlineHook.tell(
        OfflineNote(message: message, clients: some),
        bytes: some.reduce(message.waitingBytes) { $0 + $1.count + 32 })
    }
  }
}
