import Packet
import Session
import Testing
import Util

/// Hash seed of tests; which keys share a bucket is then the same in each run.
let testSeed = HashSeed(0x1234_5678_9ABC_DEF1, 0xFEDC_BA98_7654_3211)

/// A message as a test has it.
struct Sample: Equatable {
  var qos = QoS.atLeastOnce
  var retain = false
  var expiresAt: UInt32 = 0
  var topic: [UInt8] = Array("a/b".utf8)
  var properties: [UInt8] = []
  var payload: [UInt8] = []

  /// A payload that says which message it is.
  init(_ number: Int = 0, count: Int = 8, qos: QoS = .atLeastOnce, expiresAt: UInt32 = 0) {
    self.qos = qos
    self.expiresAt = expiresAt
    payload = (0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * ($0 % 4))) }
  }

  init(_ topic: String, _ payload: String) {
    self.topic = Array(topic.utf8)
    self.payload = Array(payload.utf8)
    retain = true
  }

  init(_ view: borrowing MessageView) {
    qos = view.facts.qos
    retain = view.facts.retain
    expiresAt = view.facts.expiresAt
    topic = view.topic.array
    properties = view.properties.array
    payload = view.payload.array
  }

  var byteCount: Int { topic.count + properties.count + payload.count }

  func withView<Result>(
    _ body: (borrowing MessageView) throws -> Result
  ) rethrows -> Result {
    try body(
      MessageView(
        facts: MessageFacts(qos: qos, retain: retain, expiresAt: expiresAt), topic: topic.span,
        properties: properties.span, payload: payload.span))
  }
}
