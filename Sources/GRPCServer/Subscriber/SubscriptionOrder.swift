import BifrostAPI
import Packet
import Session
import Store

/// What a stream subscribes to, checked.
struct SubscriptionOrder: Sendable {
  /// The cursor's name; empty for none.
  var name: String
  /// The filters; those of a cursor are shared.
  var filters: [SubscribePacket.Filter]
  /// Messages that may be without acknowledgement at a time.
  var window: UInt16

  /// What a session that keeps a cursor is called.
  static func keeper(_ name: String) -> [UInt8] { Array("$backend/cursor/\(name)".utf8) }

  /// A name of a session for one stream.
  var member: [UInt8] {
    let random = hexadecimal((0..<16).map { _ in UInt8.random(in: 0...255) })
    return Array(
      (name.isEmpty ? "$backend/anonymous/\(random)" : "$backend/member/\(name)/\(random)").utf8)
  }

  /// Messages without acknowledgement where the backend does not say: enough for 50,000 messages each second
  /// over 5 ms.
  private static let standardWindow: UInt32 = 256
  private static let nameBytes = 128

  init(_ request: Bifrost_V1_SubscribeRequest.Open) throws(Refusal) {
    name = request.name
    if !name.isEmpty { try Self.check(name, "open.name") }
    guard 1...1000 ~= request.filters.count else { throw .field("open.filters", "use 1 to 1,000") }
    let wanted = request.window == 0 ? Self.standardWindow : request.window
    guard let window = UInt16(exactly: wanted) else {
      throw .field("open.window", "use 1 to 65,535")
    }
    self.window = window
    filters = []
    for (index, filter) in request.filters.enumerated() {
      filters.append(try Self.filter(filter, "open.filters[\(index)].", name))
    }
  }

  /// Checks a cursor's name.
  static func check(_ name: String, _ field: String) throws(Refusal) {
    let bytes = try checkedString(name, field, limit: nameBytes)
    guard !bytes.isEmpty, !bytes.contains(where: { "/+#".utf8.contains($0) }) else {
      throw .field(field, "use 1 to \(nameBytes) bytes without \"/\", \"+\" and \"#\"")
    }
  }

  private static func filter(
    _ filter: Bifrost_V1_SubscribeRequest.Filter, _ path: String, _ name: String
  ) throws(Refusal) -> SubscribePacket.Filter {
    let bytes = try checkedFilter(filter.filter, path + "filter")
    guard case .notShared = parseSharedSubscription(bytes.span) else {
      throw .field(path + "filter", "leave out $share: the name of the cursor takes its place")
    }
    let qos = min(try filter.qos.checked(path + "qos"), .atLeastOnce)
    if name.isEmpty {
      return SubscribePacket.Filter(bytes, SubscriptionOptions(qos: qos, retainAsPublished: true))
    }
    let shared = Array("$share/\(name)/".utf8) + bytes
    guard validateTopicFilter(shared.span) else { throw .field(path + "filter", "is too long") }
    return SubscribePacket.Filter(shared, SubscriptionOptions(qos: qos, retainAsPublished: true))
  }

  /// What has to change for a cursor that has subscribed to some filters already.
  func changes(
    from present: [StoredSubscription]
  ) -> (added: [StoredSubscription], removed: [[UInt8]]) {
    let options = Dictionary(
      present.map { ($0.filter, $0.qos) }, uniquingKeysWith: { first, _ in first })
    let wanted = Set(filters.map(\.filter))
    return (
      filters.filter { options[$0.filter] != $0.options.qos.rawValue }.map {
        StoredSubscription(filter: $0.filter, options: $0.options.rawValue, identifier: 0)
      },
      present.map(\.filter).filter { !wanted.contains($0) }
    )
  }
}
