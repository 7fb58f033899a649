import Dispatch
import Packet
import Session
import Synchronization
import Util

/// A hook runner that does what the test says: it answers at once, or keeps questions until it is told to.
final class TestHooks: BrokerHooks {
  private struct State {
    var onConnect: @Sendable (ConnectQuestion) -> ConnectVerdict? = { _ in .allow(Identity()) }
    var onSubscribe: @Sendable (SubscribeQuestion) -> SubscribeVerdict? = { question in
      SubscribeVerdict(filters: question.filters.map { .allow($0.qos) })
    }
    var onPublish: @Sendable (PublishQuestion) -> [PublishVerdict]? = { question in
      question.messages.map { _ in .allow }
    }
    var kept: [@Sendable () -> Void] = []
    var publishQuestions: [PublishQuestion] = []
    var delivered: [DeliveredNote] = []
    var unsubscribed: [[[UInt8]]] = []
    var disconnected: [(client: [UInt8], end: ConnectionEnd)] = []
    var offline: [(message: OutsideMessage, clients: [[UInt8]])] = []
  }

  let points: HookPoints
  private let state = Mutex(State())

  init(_ points: HookPoints) { self.points = points }

  // MARK: What the test says and sees

  func onConnect(_ body: @escaping @Sendable (ConnectQuestion) -> ConnectVerdict?) {
    state.withLock { $0.onConnect = body }
  }

  func onSubscribe(_ body: @escaping @Sendable (SubscribeQuestion) -> SubscribeVerdict?) {
    state.withLock { $0.onSubscribe = body }
  }

  func onPublish(_ body: @escaping @Sendable (PublishQuestion) -> [PublishVerdict]?) {
    state.withLock { $0.onPublish = body }
  }

  var publishQuestions: [PublishQuestion] { state.withLock { $0.publishQuestions } }
  var delivered: [DeliveredNote] { state.withLock { $0.delivered } }
  var unsubscribed: [[[UInt8]]] { state.withLock { $0.unsubscribed } }
  var disconnected: [(client: [UInt8], end: ConnectionEnd)] { state.withLock { $0.disconnected } }
  var offline: [(message: OutsideMessage, clients: [[UInt8]])] { state.withLock { $0.offline } }
  var keptCount: Int { state.withLock { $0.kept.count } }

  /// Answers what was kept, from another thread.
  func answerKept() {
    let kept = state.withLock { state in
      let kept = state.kept
      state.kept = []
      return kept
    }
    DispatchQueue.global().async { for answer in kept { answer() } }
  }

  private func keep(_ answer: @escaping @Sendable () -> Void) {
    state.withLock { $0.kept.append(answer) }
  }

  // MARK: BrokerHooks

  var publishTopics: [[UInt8]] { [Array("ask/#".utf8)] }

  func tellsDelivered(_ topic: Span<UInt8>) -> Bool { true }
  func tellsOffline(_ topic: Span<UInt8>) -> Bool { true }

  func connect(
    _ question: ConnectQuestion, answer: @escaping @Sendable (ConnectVerdict) -> Void
  ) {
    let verdict = state.withLock { $0.onConnect }(question)
    if let verdict { answer(verdict) } else { keep { answer(.allow(Identity())) } }
  }

  func subscribe(
    _ question: SubscribeQuestion, answer: @escaping @Sendable (SubscribeVerdict) -> Void
  ) {
    let verdict = state.withLock { $0.onSubscribe }(question)
    if let verdict { return answer(verdict) }
    keep { answer(SubscribeVerdict(filters: question.filters.map { .allow($0.qos) })) }
  }

  func publish(
    _ question: PublishQuestion, answer: @escaping @Sendable ([PublishVerdict]) -> Void
  ) {
    let body = state.withLock { state in
      state.publishQuestions.append(question)
      return state.onPublish
    }
    if let verdicts = body(question) { return answer(verdicts) }
    keep { answer(question.messages.map { _ in .allow }) }
  }

  func delivered(_ note: DeliveredNote) { state.withLock { $0.delivered.append(note) } }

  func unsubscribed(_ client: HookedClient, filters: [[UInt8]]) {
    state.withLock { $0.unsubscribed.append(filters) }
  }

  func disconnected(_ client: HookedClient, _ end: ConnectionEnd) {
    state.withLock { $0.disconnected.append((client.clientID, end)) }
  }

  func offline(_ message: OutsideMessage, clients: [[UInt8]]) {
    state.withLock { $0.offline.append((message, clients)) }
  }
}
