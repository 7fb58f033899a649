import Store
import Testing

@testable import StoreSQLite

/// What the tools say of messages to one client and of keys of requests, and how these travel.
@Suite struct DirectToolsTests {
  private func store() throws -> Bench {
    let bench = try Bench()
    try bench.commit { batch in
      batch.create(7, "one")
      batch.create(8, "two")
      batch.subscribe(8, "t")
      batch.publish(Sample("push/1", [1]), to: "one")
      batch.publish(Sample("t", [2]))
      batch.publish(Sample("push/2", [3], qos: 2), to: "two")
      batch.publish(Sample("push/3", [4]), to: "one")
      batch.orders.append(.remember(key: [0, 255], until: 5000))
      let window = [WindowEntry(sequence: 1, identifier: 0, packetID: 1, state: 1, traits: 9)]
      batch.orders.append(
        .progress(7, SessionProgress(cursor: 1, nextPacketID: 2, window: window)))
    }
    return bench
  }

  private func faults(_ bench: Bench) throws -> [String] {
    var found: [String] = []
    _ = try StoreReader(directory: bench.directory.path).verify { found.append($0.text) }
    return found
  }

  private func items(_ directory: String) throws -> [StoreItem] {
    var found: [StoreItem] = []
    try StoreReader(directory: directory).export {
      found.append($0)
      return true
    }
    return found
  }

  private func make(_ directory: TemporaryDirectory, of items: [StoreItem]) throws {
    let importer = try StoreImporter(directory: directory.path)
    for item in items { try importer.add(item) }
    try importer.finish()
  }

  /// Inboxes are nobody's subscriptions, and topics are those that clients see.
  @Test func inspection() throws {
    let bench = try store()
    let reader = try StoreReader(directory: bench.directory.path)
    let summary = try reader.summary()
    #expect(summary.inboxes == 2 && summary.subscriptions == 1 && summary.filters == 1)
    #expect(summary.messages == 4 && summary.requests == 1)
    var filters: [[UInt8]] = []
    try reader.forEachFilter {
      filters.append($0.filter)
      return true
    }
    #expect(filters == ["t".bytes])
    var subscriptions: [UInt64] = []
    try reader.forEachSession {
      subscriptions.append($0.subscriptions)
      return true
    }
    #expect(subscriptions == [0, 1])
    let one = try #require(try reader.session(of: "one".bytes))
    #expect(one.inbox == 0 && one.subscriptions == [] && one.backlog == 1 && one.missing == 0)
    let topic = try #require(one.topics[1])
    let direct = try #require(DirectTopic(topic))
    #expect(Array(topic[direct.topic]) == "push/1".bytes && one.topics.count == 1)
    let two = try #require(try reader.session(of: "two".bytes))
    // Behind what was appended before it.
    #expect(two.inbox == 2 && two.subscriptions.count == 1 && two.backlog == 2)
  }

  @Test func theyTravel() throws {
    let bench = try store()
    #expect(try faults(bench) == [])
    let items = try items(bench.directory.path)
    let inboxes = items.compactMap {
      if case .session(let session) = $0 { session.inbox } else { nil }
    }
    #expect(inboxes == [0, 2])
    #expect(items.contains(.request(StoreItem.Request(key: [0, 255], until: 5000))))
    let copy = try TemporaryDirectory()
    try make(copy, of: items)
    #expect(try self.items(copy.path) == items)
    let second = try Bench(directory: copy)
    #expect(try faults(second) == [])
    #expect(try second.readAll(7, after: 1).map { Sample($0.place).payload } == [[4]])
    #expect(try second.load("one")?.messages.count == 1)
    #expect(try second.readAll(8).map { Sample($0.place).payload } == [[2], [3]])
    #expect(second.engine.totals.requests == 1)
    second.recorder.state.withLock { #expect($0.readers == ["t": 1]) }
    try second.commit { $0.publish(Sample("push/4", [5]), to: "one") }
    #expect(try second.readAll(7, after: 1).map { Sample($0.place).payload } == [[4], [5]])
  }

  @Test(arguments: [
    "DELETE FROM subscription WHERE options = 130 AND session = 7",
    "UPDATE subscription SET options = 2 WHERE options = 130",
    "UPDATE subscription SET options = 129 WHERE options = 130",
    "UPDATE subscription SET session = 8 WHERE options = 130 AND session = 7",
    "UPDATE subscription SET options = 130 WHERE options = 1",
    "UPDATE session SET client = X'41' WHERE id = 7",
    "UPDATE filter SET text = CAST('u' AS BLOB) WHERE text >= X'2400' AND text < X'2401' AND id < 3",
    "UPDATE filter SET text = X'2400' WHERE id = 2",
    "UPDATE request SET until = -1", "UPDATE request SET key = zeroblob(601)",
    "DELETE FROM request", "UPDATE meta SET value = 5 WHERE name = 'requests'",
  ])
  func damageIsFound(statement: String) throws {
    let bench = try store()
    try bench.database.run(statement)
    #expect(bench.database.changes > 0)
    #expect(try !faults(bench).isEmpty)
  }

  @Test func importChecksWhatComes() throws {
    let bench = try store()
    let items = try items(bench.directory.path)
    func wrong(_ change: (inout StoreItem) -> Void) throws {
      let directory = try TemporaryDirectory()
      var changed = items
      for place in changed.indices { change(&changed[place]) }
      #expect(changed != items)
      do {
        try make(directory, of: changed)
        Issue.record("it was taken")
      } catch let error as StoreToolError {
        #expect(error.kind == .invalid)
      }
    }
    func message(_ change: @escaping (inout StoreItem.Message) -> Void) throws {
      try wrong {
        guard case .message(var value) = $0 else { return }
        change(&value)
        $0 = .message(value)
      }
    }
    func session(_ change: @escaping (inout StoreItem.Session) -> Void) throws {
      try wrong {
        guard case .session(var value) = $0 else { return }
        change(&value)
        $0 = .session(value)
      }
    }
    // Without its header, a topic that is none, and that of another client or session.
    try message { if $0.sequence == 1 { $0.topic = "$\u{0}push".bytes } }
    try message { if $0.sequence == 1 { $0.topic = "push".bytes } }
    for (session, client, topic) in [(7, "two", "t"), (9, "one", "t"), (7, "one", "#")] {
      try message {
        guard $0.sequence == 1 else { return }
        $0.topic =
          DirectTopic.encode(
            session: UInt64(session), client: client.bytes.span, topic: topic.bytes.span) ?? []
      }
    }
    // Through filters of others.
    let filters = items.compactMap {
      if case .message(let message) = $0 { message.filters } else { nil }
    }
    try message { if $0.sequence == 1 { $0.filters = filters[1] } }
    try message { if $0.sequence == 1 { $0.filters = filters[2] } }
    try message { if $0.sequence == 2 { $0.filters += filters[0] } }
    try session { $0.inbox = 5 }
    try session { session in
      guard session.id == 7 else { return }
      session.subscriptions.append(
        SessionDetail.Subscription(
          StoredSubscription(filter: DirectTopic.inbox(of: 8), options: 1, identifier: 0),
          position: 0))
    }
    // Without the filter of the inbox.
    try wrong {
      guard case .filter(var filter) = $0, DirectTopic.isDirect(filter.text.span) else { return }
      filter.text = "$\u{0}".bytes
      $0 = .filter(filter)
    }
    try wrong {
      if case .request = $0 { $0 = .request(StoreItem.Request(key: [], until: 5000)) }
    }
  }
}
