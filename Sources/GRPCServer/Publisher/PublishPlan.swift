import BifrostAPI
import Packet
import Session

/// What is to be published for some requests, checked, and what has to be told of each.
struct PublishPlan: Sendable {
  /// What becomes of one target.
  enum Target: Sendable {
    /// It has the next of the messages.
    case message
    /// It is refused before anything is published.
    case refused(String)
  }

  /// One publish.
  struct Entry: Sendable {
    /// Its targets, in order.
    var targets: [Target]
    /// Its idempotency key, with its caller; empty for none.
    var key: [UInt8]
    /// The messages of `PublishPlan` that are its own.
    var messages: Range<Int>
  }

  private(set) var entries: [Entry] = []
  private(set) var messages: [OutsideMessage] = []

  /// Checks a publish, and adds it.
  /// - Parameter path: how the request names it: empty, or with a dot at its end.
  mutating func append(
    _ request: Bifrost_V1_PublishRequest, _ path: String, _ caller: Caller
  ) throws(Refusal) {
    guard request.hasMessage else { throw .field(path + "message", "is missing") }
    guard request.targets.count <= BackendLimits.targets else {
      throw .field(path + "targets", "more than \(BackendLimits.targets)")
    }
    guard messages.count + max(1, request.targets.count) <= BackendLimits.messagesPerRequest else {
      throw .field(
        path + "targets", "more than \(BackendLimits.messagesPerRequest) in one request of a stream"
      )
    }
    let needsTopic =
      request.targets.isEmpty
      || request.targets.contains { if case .clientID = $0.target { true } else { false } }
    let message = try request.message.checked(path + "message.", needsTopic: needsTopic)
    let key = try Self.key(request.idempotencyKey, path, caller)
    let first = messages.count
    var targets: [Target] = []
    if request.targets.isEmpty {
      targets.append(.message)
      messages.append(message)
    }
    targets.reserveCapacity(request.targets.count)
    for target in request.targets { targets.append(add(target, message)) }
    entries.append(Entry(targets: targets, key: key, messages: first..<messages.count))
  }

  private mutating func add(_ target: Bifrost_V1_Target, _ message: OutsideMessage) -> Target {
    var message = message
    switch target.target {
    case .topic(let text):
      let topic = Array(text.utf8)
      guard isPublishable(topic.span) else { return .refused("TOPIC_INVALID") }
      message.topic = topic
    case .clientID(let text):
      let client = Array(text.utf8)
      guard !client.isEmpty, client.count <= BackendLimits.clientIDBytes,
        validateUTF8String(client.span)
      else { return .refused("TARGET_INVALID") }
      guard !message.retain else { return .refused("NOT_ALLOWED") }
      message.client = client
    case nil: return .refused("TARGET_INVALID")
    }
    messages.append(message)
    return .message
  }

  /// Bytes of payloads and topics, each counted once for each of its messages.
  var byteCount: Int {
    messages.reduce(0) { $0 + $1.payload.count + $1.topic.count + $1.properties.count }
  }

  /// A key is its caller's own: the caller's name, which has no space, stands before it.
  private static func key(
    _ text: String, _ path: String, _ caller: Caller
  ) throws(Refusal) -> [UInt8] {
    if text.isEmpty { return [] }
    let key = try checkedString(
      text, path + "idempotency_key", limit: BackendLimits.keyBytes)
    return Array(caller.name.utf8) + [0x20] + key
  }
}

extension Bifrost_V1_TargetResult {
  /// What became of a message.
  init(_ result: PublishOutcome) {
    self.init()
    if let refusal = result.refusal {
      outcome = .refused
      reason =
        switch refusal {
        case .topicInvalid: "TOPIC_INVALID"
        case .notAllowed: "NOT_ALLOWED"
        case .storeUnavailable: "STORE_UNAVAILABLE"
        case .quotaExceeded: "QUOTA_EXCEEDED"
        }
    } else {
      outcome = result.online + result.stored > 0 ? .accepted : .noSubscribers
      online = UInt64(result.online)
      stored = UInt64(result.stored)
    }
  }
}
