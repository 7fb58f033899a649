import Bench
import FoundationEssentials
import Store
import StoreSQLite

/// The lines of an export: one JSON object for each thing.
enum StoreFormat {
  /// Of the first line.
  static let name = "bifrost-store"
  /// Of the first line; a change that an older program can't read makes it a higher one. Version 2 has
  /// messages to one client, with their inboxes, and keys of requests.
  static let version: UInt64 = 2
  /// The oldest that is read.
  static let oldestVersion: UInt64 = 1
  /// How far the handshake of a message in flight is, by the number that a window has for it: what the
  /// client owes next.
  static let states = ["waiting", "puback", "pubrec", "pubcomp", "done"]
  /// Added to the name of a member whose bytes are no text.
  static let base64Suffix = "64"
}

extension StoreItem {
  /// The line, without its end.
  var line: String { JSONValue.object(members).line }

  private var members: [(String, JSONValue)] {
    switch self {
    case .head(let head):
      [
        ("format", .string(StoreFormat.name)), ("version", .integer(StoreFormat.version)),
        ("epoch", .integer(head.epoch)), ("next_sequence", .integer(head.nextSequence)),
        ("clock", .integer(UInt64(head.clock))), ("unread", .integer(head.unread)),
        ("last_share", .integer(head.lastShare)),
      ]
    case .filter(let filter):
      [
        ("type", .string("filter")), ("id", .integer(UInt64(filter.id))),
        Member.filter(filter.text),
      ]
        + Member.list(
          "unread", filter.unread.map { .array([.integer($0.through), .integer($0.total)]) })
    case .share(let share):
      [
        ("type", .string("share")), ("id", .integer(share.id)),
        Member.bytes("filter", share.filter),
        Member.bytes("inner", share.inner), ("cursor", .integer(share.cursor)),
      ] + Member.list("pending", share.pending.map { .integer($0) })
    case .session(let session): session.members
    case .message(let message): message.members
    case .retained(let retained):
      [
        ("type", .string("retained")), Member.bytes("topic", retained.topic),
        ("qos", .integer(UInt64(retained.qos))),
      ] + Member.number("expires_at", retained.expiresAt)
        + Member.properties(retained.properties) + [Member.bytes("payload", retained.payload)]
    case .request(let request):
      [
        ("type", .string("request")), Member.bytes("key", request.key),
        ("until", .integer(UInt64(request.until))),
      ]
    case .end(let count): [("type", .string("end")), ("lines", .integer(count))]
    }
  }
}

extension StoreItem.Session {
  fileprivate var members: [(String, JSONValue)] {
    [("type", .string("session")), ("id", .integer(id)), Member.bytes("client", client)]
      + presence.members
      + [
        ("cursor", .integer(progress.cursor)),
        ("next_packet_id", .integer(UInt64(progress.nextPacketID))),
      ]
      + Member.number("missed", missed)
      + Member.list("window", progress.window.map { .object($0.members) })
      + Member.list("inbound", progress.inbound.map { .integer(UInt64($0)) })
      + Member.position("inbox", inbox)
      + Member.list("subscriptions", subscriptions.map { .object($0.members) })
  }
}

extension SessionPresence {
  /// What an export and a report say of it.
  var members: [(String, JSONValue)] {
    var members: [(String, JSONValue)] = [
      ("protocol", .integer(UInt64(version))), ("connected", .bool(isConnected)),
      ("expiry_interval", expiryInterval == .max ? .null : .integer(UInt64(expiryInterval))),
    ]
    members += Member.number("expires_at", expiresAt) + Member.number("will_due_at", willDueAt)
    if let will { members.append(("will", .object(will.members))) }
    return members
  }
}

extension StoredWill {
  fileprivate var members: [(String, JSONValue)] {
    [Member.bytes("topic", topic), ("qos", .integer(UInt64(qos)))] + Member.flag("retain", retain)
      + Member.number("delay", delay) + Member.number("lifetime", lifetime)
      + Member.properties(properties)
      + [Member.bytes("payload", payload)]
  }
}

extension SessionDetail.Subscription {
  /// What an export and a report say of it.
  var members: [(String, JSONValue)] {
    let options = subscription.options
    return [Member.bytes("filter", subscription.filter), ("qos", .integer(UInt64(options & 3)))]
      + Member.flag("no_local", options & 4 != 0)
      + Member.flag("retain_as_published", options & 8 != 0)
      + Member.number("retain_handling", options >> 4 & 3)
      + Member.number("identifier", subscription.identifier) + [("position", .integer(position))]
  }
}

extension WindowEntry {
  fileprivate var members: [(String, JSONValue)] {
    let states = StoreFormat.states
    return Member.number("message", sequence) + Member.number("packet_id", packetID)
      + [
        (
          "state", Int(state) < states.count ? .string(states[Int(state)]) : .integer(UInt64(state))
        ),
        ("traits", .integer(UInt64(traits))),
      ] + Member.number("identifier", identifier) + Member.number("group", group)
  }
}

extension StoreItem.Message {
  fileprivate var members: [(String, JSONValue)] {
    [
      ("type", .string("message")), ("sequence", .integer(sequence)),
      ("appended_at", .integer(UInt64(appendedAt))),
    ] + Member.number("expires_at", facts.expiresAt) + Member.number("publisher", facts.publisher)
      + [("qos", .integer(UInt64(facts.qos)))] + Member.flag("retain", facts.retain)
      + Member.list("filters", filters.map { .integer(UInt64($0)) }) + Member.topic(topic)
      + Member.properties(properties) + [Member.bytes("payload", payload)]
  }
}

/// Members of the objects. Those that have their usual value are left out.
enum Member {
  /// Bytes as text; as base64, under a longer name, where they are none.
  static func bytes(_ name: String, _ bytes: [UInt8]) -> (String, JSONValue) {
    // Control characters would each take six bytes, and belong to no text but for three.
    let isText = !bytes.contains { $0 < 0x20 && $0 != 0x09 && $0 != 0x0A && $0 != 0x0D }
    if isText, let text = String(validating: bytes, as: UTF8.self) { return (name, .string(text)) }
    return (name + StoreFormat.base64Suffix, .string(Data(bytes).base64EncodedString()))
  }

  /// The text of a filter, or the session whose inbox it is.
  static func filter(_ text: [UInt8]) -> (String, JSONValue) {
    if let session = DirectTopic.session(ofInbox: text.span) { return ("inbox", .integer(session)) }
    return bytes("filter", text)
  }

  /// A topic; of a message to one client, before it whom it is for.
  static func topic(_ topic: [UInt8]) -> [(String, JSONValue)] {
    guard let direct = DirectTopic(topic.span) else { return [bytes("topic", topic)] }
    return [
      ("session", .integer(direct.session)), bytes("client", Array(topic[direct.client])),
      bytes("topic", Array(topic[direct.topic])),
    ]
  }

  /// A place in the log; that of the beginning is one too.
  static func position(_ name: String, _ position: UInt64?) -> [(String, JSONValue)] {
    position.map { [(name, .integer($0))] } ?? []
  }

  /// Properties as MQTT 5 encodes them.
  static func properties(_ bytes: [UInt8]) -> [(String, JSONValue)] {
    guard !bytes.isEmpty else { return [] }
    return [
      ("properties" + StoreFormat.base64Suffix, .string(Data(bytes).base64EncodedString()))
    ]
  }

  static func number(_ name: String, _ value: some UnsignedInteger) -> [(String, JSONValue)] {
    value == 0 ? [] : [(name, .integer(UInt64(value)))]
  }

  static func flag(_ name: String, _ value: Bool) -> [(String, JSONValue)] {
    value ? [(name, .bool(true))] : []
  }

  static func list(_ name: String, _ values: [JSONValue]) -> [(String, JSONValue)] {
    values.isEmpty ? [] : [(name, .array(values))]
  }
}
