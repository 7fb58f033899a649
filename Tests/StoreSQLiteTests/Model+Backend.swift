import Store

@testable import StoreSQLite

/// Messages to one client, who is away, and keys of requests.
extension Model {
  /// What stands for a session's inbox among filters, which have numbers of 0 and up.
  static func inbox(of id: StoredSessionID) -> Int { -Int(id) }

  func isInInbox(of id: StoredSessionID, _ session: Session, _ message: Message) -> Bool {
    guard message.direct == id, let position = session.inbox else { return false }
    return position < message.sequence
  }

  /// How many subscriptions a message to one client is owed to; nil where it has no session.
  mutating func publish(_ sample: Sample, topic: Int, to client: String) -> UInt32? {
    guard let id = sessions.first(where: { $0.value.client == client })?.key else { return nil }
    guard sample.facts.qos > 0 else { return 0 }
    if sessions[id]?.inbox == nil { sessions[id]?.inbox = nextSequence - 1 }
    var direct = sample
    direct.facts.retain = false
    direct.topic =
      DirectTopic.encode(
        session: id, client: client.bytes.span, topic: sample.topic.span) ?? []
    messages.append(
      Message(
        sequence: nextSequence, topic: topic, direct: id, sample: direct, owed: 1,
        filters: [Model.inbox(of: id)]))
    nextSequence += 1
    return 1
  }

  /// Clients that are away and owed the last message.
  var absent: Set<String> {
    guard let message = messages.last else { return [] }
    let publisher = message.sample.facts.publisher
    var found: Set<String> = []
    for (id, session) in sessions where !session.presence.isConnected {
      let isOwed = session.subscriptions.contains { filter, subscription in
        subscription.isReader && message.matches(filter)
          && !(subscription.options & 4 != 0 && publisher == id)
      }
      if isOwed || message.direct == id { found.insert(session.client) }
    }
    return found
  }

  func list(_ query: SessionListQuery) -> SessionList {
    let found = sessions.values.filter { session in
      session.client.bytes.starts(with: query.prefix)
        && query.after.lexicographicallyPrecedes(session.client.bytes)
    }.sorted { $0.client < $1.client }
    let entries = found.prefix(query.maximum).map { session in
      SessionList.Entry(
        client: session.client.bytes, isConnected: session.presence.isConnected,
        version: session.presence.version)
    }
    return SessionList(tag: query.tag, entries: entries, isEnd: entries.count == found.count)
  }

  mutating func remember(_ key: [UInt8], until: UInt32) {
    guard until > now else { return }
    if requests[key] == nil, requests.count >= limits.maximumRequests {
      let first = requests.min { one, other in
        one.value == other.value
          ? one.key.lexicographicallyPrecedes(other.key) : one.value < other.value
      }
      if let first { requests[first.key] = nil }
    }
    requests[key] = until
  }
}
