import Store
import StoreSQLite

extension StoreItem {
  /// What a line of an export says.
  /// - Throws: `LineError`.
  init(line: [UInt8]) throws {
    var fields = try JSONFields(line: line)
    if let format = try fields.optional("format", String.self) {
      guard format == StoreFormat.name else {
        throw LineError(message: "the format is '\(format)', not '\(StoreFormat.name)'")
      }
      let version = try fields.required("version", UInt64.self)
      guard (StoreFormat.oldestVersion...StoreFormat.version).contains(version) else {
        throw LineError(
          message: "the format is of version \(version), and this program knows "
            + "\(StoreFormat.oldestVersion) to \(StoreFormat.version)")
      }
      self = .head(try Head(&fields))
    } else {
      let type = try fields.required("type", String.self)
      switch type {
      case "filter": self = .filter(try Filter(&fields))
      case "share": self = .share(try Share(&fields))
      case "session": self = .session(try Session(&fields))
      case "message": self = .message(try Message(&fields))
      case "retained": self = .retained(try Retained(&fields))
      case "request": self = .request(try Request(&fields))
      case "end": self = .end(try fields.required("lines", UInt64.self))
      default: throw LineError(message: "the type '\(type)' is not known")
      }
    }
    try fields.finish()
  }
}

extension StoreItem.Head {
  fileprivate init(_ fields: inout JSONFields) throws {
    self.init(
      epoch: try fields.required("epoch", UInt64.self),
      nextSequence: try fields.required("next_sequence", UInt64.self),
      clock: try fields.required("clock", UInt32.self),
      unread: try fields.required("unread", UInt64.self),
      lastShare: try fields.required("last_share", UInt64.self))
  }
}

extension StoreItem.Filter {
  fileprivate init(_ fields: inout JSONFields) throws {
    let inbox = try fields.optional("inbox", UInt64.self)
    self.init(
      id: try fields.required("id", UInt32.self),
      text: try inbox.map { DirectTopic.inbox(of: $0) } ?? fields.bytes("filter"), unread: [])
    for pair in try fields.optional("unread", [[UInt64]].self) ?? [] {
      guard pair.count == 2 else {
        throw LineError(message: "'unread' is not what it should be")
      }
      unread.append(StoreItem.Unread(through: pair[0], total: pair[1]))
    }
  }
}

extension StoreItem.Share {
  fileprivate init(_ fields: inout JSONFields) throws {
    self.init(
      id: try fields.required("id", UInt64.self), filter: try fields.bytes("filter"),
      inner: try fields.bytes("inner"), cursor: try fields.required("cursor", UInt64.self),
      pending: try fields.optional("pending", [UInt64].self) ?? [])
  }
}

extension StoreItem.Session {
  fileprivate init(_ fields: inout JSONFields) throws {
    let id = try fields.required("id", UInt64.self)
    let client = try fields.bytes("client")
    let presence = try SessionPresence(&fields)
    var progress = SessionProgress(
      cursor: try fields.required("cursor", UInt64.self),
      nextPacketID: try fields.required("next_packet_id", UInt16.self))
    for var entry in try fields.objects("window") { progress.window.append(try .init(&entry)) }
    progress.inbound = try fields.optional("inbound", [UInt16].self) ?? []
    var subscriptions: [SessionDetail.Subscription] = []
    for var entry in try fields.objects("subscriptions") {
      subscriptions.append(try .init(&entry))
    }
    self.init(
      id: id, client: client, presence: presence, progress: progress,
      missed: try fields.number("missed"), inbox: try fields.optional("inbox", UInt64.self),
      subscriptions: subscriptions)
  }
}

extension SessionPresence {
  fileprivate init(_ fields: inout JSONFields) throws {
    self.init(
      version: try fields.required("protocol", UInt8.self),
      isConnected: try fields.required("connected", Bool.self),
      expiryInterval: try fields.optional("expiry_interval", UInt32.self) ?? .max,
      expiresAt: try fields.number("expires_at"), willDueAt: try fields.number("will_due_at"))
    guard var will = try fields.object("will") else { return }
    self.will = try StoredWill(&will)
  }
}

extension StoredWill {
  fileprivate init(_ fields: inout JSONFields) throws {
    self.init(
      qos: try fields.required("qos", UInt8.self), retain: try fields.flag("retain"),
      delay: try fields.number("delay"), lifetime: try fields.number("lifetime"),
      topic: try fields.bytes("topic"), properties: try fields.properties(),
      payload: try fields.bytes("payload"))
    try fields.finish()
  }
}

extension SessionDetail.Subscription {
  fileprivate init(_ fields: inout JSONFields) throws {
    let qos = try fields.required("qos", UInt8.self)
    let handling: UInt8 = try fields.number("retain_handling")
    guard qos <= 2, handling <= 2 else {
      throw LineError(message: "'qos' and 'retain_handling' are 0 to 2")
    }
    let options =
      qos | (try fields.flag("no_local") ? 4 : 0)
      | (try fields.flag("retain_as_published") ? 8 : 0) | handling << 4
    let subscription = StoredSubscription(
      filter: try fields.bytes("filter"), options: options,
      identifier: try fields.number("identifier"))
    self.init(subscription, position: try fields.required("position", UInt64.self))
    try fields.finish()
  }
}

extension WindowEntry {
  fileprivate init(_ fields: inout JSONFields) throws {
    let name = try fields.required("state", String.self)
    guard let state = StoreFormat.states.firstIndex(of: name) else {
      throw LineError(message: "the state '\(name)' is not known")
    }
    self.init(
      sequence: try fields.number("message"), identifier: try fields.number("identifier"),
      packetID: try fields.number("packet_id"), state: UInt8(state),
      traits: try fields.required("traits", UInt8.self), group: try fields.number("group"))
    try fields.finish()
  }
}

extension StoreItem.Message {
  fileprivate init(_ fields: inout JSONFields) throws {
    let facts = LoggedFacts(
      publisher: try fields.number("publisher"), expiresAt: try fields.number("expires_at"),
      qos: try fields.required("qos", UInt8.self), retain: try fields.flag("retain"))
    self.init(
      sequence: try fields.required("sequence", UInt64.self),
      appendedAt: try fields.required("appended_at", UInt32.self), facts: facts,
      filters: try fields.optional("filters", [UInt32].self) ?? [],
      topic: try Self.topic(&fields), properties: try fields.properties(),
      payload: try fields.bytes("payload"))
  }

  private static func topic(_ fields: inout JSONFields) throws -> [UInt8] {
    let topic = try fields.bytes("topic")
    guard let session = try fields.optional("session", UInt64.self) else { return topic }
    let client = try fields.bytes("client")
    let direct = DirectTopic.encode(session: session, client: client.span, topic: topic.span)
    guard let direct else {
      throw LineError(message: "'client' and 'topic' are too long together")
    }
    return direct
  }
}

extension StoreItem.Request {
  fileprivate init(_ fields: inout JSONFields) throws {
    self.init(key: try fields.bytes("key"), until: try fields.required("until", UInt32.self))
  }
}

extension StoreItem.Retained {
  fileprivate init(_ fields: inout JSONFields) throws {
    self.init(
      topic: try fields.bytes("topic"), qos: try fields.required("qos", UInt8.self),
      expiresAt: try fields.number("expires_at"), properties: try fields.properties(),
      payload: try fields.bytes("payload"))
  }
}
