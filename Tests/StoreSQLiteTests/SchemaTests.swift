import Store
import Testing

@testable import StoreSQLite

@Suite struct SchemaTests {
  /// An engine with what the text of a database makes.
  private func open(_ sql: String) throws -> Bench {
    let directory = try TemporaryDirectory()
    do {
      let database = try Database(path: directory.file, mode: .create)
      try database.run("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL")
      try database.run("BEGIN; " + sql + "; COMMIT")
    }
    return try Bench(directory: directory, now: 1_700_001_000)
  }

  /// What tables and indices there are, with what made them.
  private func tables(_ database: Database) throws -> [String] {
    let rows = try database.prepare("SELECT name || ': ' || coalesce(sql, '') FROM sqlite_master")
    defer { rows.finalize() }
    var found: [String] = []
    while try rows.step() {
      let text = String(decoding: rows.bytes(0), as: UTF8.self)
      found.append(text.split(whereSeparator: \.isWhitespace).joined(separator: " "))
    }
    return found.sorted()
  }

  /// What the oldest version wrote is found, whatever the tables are by now.
  @Test func version1() throws {
    let bench = try open(schemaVersion1)
    #expect(try bench.number("PRAGMA user_version") == Schema.version)
    let totals = bench.engine.totals
    #expect(totals.messages == 6 && totals.sessions == 2 && totals.retained == 2)
    bench.recorder.state.withLock {
      #expect($0.readers == ["light/+": 1, "light/1": 1, "light/#": 1, "jobs": 1])
    }
    let lamp = try #require(try bench.load("lamp"))
    #expect(lamp.id == 1 << 32 + 1 && lamp.unread == 0)
    #expect(lamp.presence.version == 5 && !lamp.presence.isConnected)
    #expect(lamp.presence.expiresAt == 1_700_004_601 && lamp.presence.willDueAt == 1_700_001_061)
    #expect(
      lamp.presence.will
        == StoredWill(
          qos: 1, retain: true, delay: 60, lifetime: 30, topic: "status/lamp".bytes,
          properties: [1, 1], payload: "gone".bytes))
    let window = [
      WindowEntry(sequence: 2, identifier: 9, packetID: 5, state: 1, traits: 2),
      WindowEntry(sequence: 0, identifier: 0, packetID: 4, state: 2, traits: 2),
      WindowEntry(
        sequence: 6, identifier: 0, packetID: 6, state: 2, traits: WindowEntry.sharedTrait | 2,
        group: 1),
    ]
    #expect(
      lamp.progress
        == SessionProgress(cursor: 2, nextPacketID: 7, window: window, inbound: [7, 300]))
    #expect(
      lamp.messages[2].map { Sample($0) }
        == Sample("light/1", "on".bytes, qos: 2, properties: [3, 0, 1, 120]))
    #expect(lamp.messages[6].map { Sample($0) } == Sample("jobs", "two".bytes, qos: 2))
    let subscriptions = lamp.subscriptions.sorted { $0.filter.lexicographicallyPrecedes($1.filter) }
    #expect(
      subscriptions == [
        StoredSubscription(filter: "$share/group/jobs".bytes, options: 1, identifier: 0),
        StoredSubscription(filter: "light/+".bytes, options: 2, identifier: 9),
        StoredSubscription(filter: "light/1".bytes, options: 1, identifier: 0),
      ])
    #expect(try bench.readAll(lamp.id, after: 2).map(\.sequence) == [3])
    let reader = try #require(try bench.load("reader"))
    #expect(reader.presence.version == 4 && reader.unread == 0)
    #expect(try bench.unread("reader") == 1)
    let items = try bench.readAll(reader.id).map { Sample($0.place) }
    #expect(
      items == [
        Sample("light/1", "on".bytes, qos: 2, properties: [3, 0, 1, 120]),
        Sample("light/2", "off".bytes, retain: true, publisher: 1 << 32 + 2),
        Sample("light/1/x", "dim".bytes, expiresAt: 1_900_000_000),
      ])
  }

  /// What version 2 added works on what was there before: readers are found, messages to one client kept.
  @Test func version1IsBroughtTo2() throws {
    let bench = try open(schemaVersion1)
    let effects = try bench.commit { batch in
      batch.publishCounted(Sample("light/7"), pending: 1, tellsAbsent: true)
      batch.publish(Sample("push"), to: "reader", pending: 2)
      batch.orders.append(.remember(key: [1], until: .max))
    }
    var told: [String] = []
    for event in effects.events {
      switch event {
      case .kept(let pending, let count): told.append("kept \(pending) \(count)")
      case .absent(let absent):
        told += absent.clients.map { String(decoding: $0, as: UTF8.self) }.sorted()
      default: break
      }
    }
    #expect(told == ["kept 1 2", "kept 2 1", "lamp", "reader"])
    try bench.restart()
    #expect(try bench.readAll(1 << 32 + 2).count == 5)
    #expect(try bench.load("reader")?.subscriptions.count == 2)
    #expect(bench.engine.totals.requests == 1)
  }

  /// A store that was written with version 2 is found.
  @Test func version2() throws {
    let bench = try open(schemaVersion2)
    #expect(try bench.number("PRAGMA user_version") == Schema.version)
    let items = try bench.readAll(1 << 32 + 2)
    #expect(items.map(\.sequence) == [2, 3, 4, 8])
    let topic = try #require(items.last.map { Sample($0.place).topic })
    let direct = try #require(DirectTopic(topic))
    #expect(direct.session == 1 << 32 + 2 && Array(topic[direct.client]) == "reader".bytes)
    #expect(Array(topic[direct.topic]) == "push/1".bytes)
    let keys = try bench.commit { $0.orders.append(.readKeys(tag: 0)) }.events
    guard case .keys(_, let found)? = keys.first else { return #expect(Bool(false), "\(keys)") }
    #expect(found.map(\.key) == ["publish-1".bytes] && found[0].until == 1_900_000_000)
    var findings: [StoreFinding] = []
    _ = try StoreReader(directory: bench.directory.path).verify { findings.append($0) }
    #expect(findings == [])
    // It goes on through the inbox that is there.
    try bench.commit { $0.publish(Sample("push/2"), to: "reader") }
    #expect(try bench.number("SELECT count(*) FROM filter") == 7)
    try bench.commit { $0.orders.append(.end(1 << 32 + 2)) }
    #expect(try bench.number("SELECT count(*) FROM log WHERE sequence >= 8") == 0)
  }

  /// The shared subscription: what its members hold, and what it is owed itself.
  @Test func version1Group() throws {
    let bench = try open(schemaVersion1)
    let asker = Asker(slot: 1, generation: 2)
    func query(_ sequences: [UInt64] = []) -> StoreOrder {
      .readGroup(
        GroupQuery(
          asker: asker, group: 1, sequences: sequences, after: 6, maximumMessages: 10,
          maximumBytes: 1 << 20))
    }
    let events = try bench.commit { batch in
      batch.orders = [
        .watch(filter: "$share/group/jobs".bytes, asker), query(), query([5]),
        .giveBack(1 << 32 + 1, 1, sequence: 6),
        .settle(1, sequence: 5), .assign(1, sequence: 7, isTaken: false), .settle(1, sequence: 7),
      ]
    }.events
    guard events.count == 5, case .group(asker, let image) = events[0],
      case .groupPage(_, let owed) = events[1], case .groupPage(_, let pending) = events[2],
      case .returned(asker, 1, sequence: 6) = events[3]
    else { return #expect(Bool(false), "\(events)") }
    #expect(image == StoredGroup(id: 1, cursor: 6, pending: [5]))
    #expect(owed.items.map(\.sequence) == [7] && owed.isAtEnd)
    #expect(
      (owed.items + pending.items).map { Sample($0.place).payload }
        == ["three".bytes, "one".bytes])
    try bench.restart()
    #expect(try bench.load("lamp")?.progress.window.map(\.sequence) == [2, 0])
    let rows = try bench.database.statement("SELECT id, cursor, hex(pending) FROM share")
    #expect(try rows.step() && rows.number(0) == 1 && rows.number(1) == 7)
    #expect(rows.bytes(2) == "0600000000000000".bytes)
    rows.reset()
    // Only the message that was given back is left of the three.
    try bench.commit { $0.orders.append(.settle(1, sequence: 6)) }
    #expect(try bench.number("SELECT count(*) FROM log") == 1)
    // The number of a group is not used again.
    try bench.commit { batch in
      batch.orders.append(.unsubscribe(1 << 32 + 1, filter: "$share/group/jobs".bytes))
      batch.subscribe(1 << 32 + 1, "$share/group/jobs")
    }
    #expect(try bench.number("SELECT id FROM share") == 2)
  }

  /// It goes on as it would have, until nothing is left.
  @Test func version1GoesOn() throws {
    let bench = try open(schemaVersion1)
    let effects = try bench.commit { batch in
      batch.publish(Sample("light/7"))
      batch.orders.append(
        .findRetained(
          RetainedQuery(
            asker: .nobody, tag: 0, filter: "#".bytes, after: nil, maximumBytes: 1 << 20)))
    }
    #expect(effects.segments.first?.first == 8)
    #expect(effects.retained[0].messages.samples.map(\.payload) == ["off".bytes, "daily".bytes])
    try bench.sweep()
    try bench.restart()
    #expect(try bench.readAll(1 << 32 + 2).count == 4)
    try bench.commit { batch in
      for client in 1...2 as ClosedRange<StoredSessionID> {
        batch.orders.append(.end(1 << 32 + client))
      }
    }
    #expect(try bench.logRows == 0)
    #expect(try bench.number("SELECT count(*) FROM filter") == 0)
    #expect(try bench.number("SELECT count(*) FROM unread") == 0)
    #expect(try bench.number("SELECT count(*) FROM share") == 0)
  }

  /// A store that was brought to this version is like one that began with it, and what was released
  /// has not changed.
  @Test func upgradesComeToTheSame() throws {
    let fresh = try Bench()
    let old = try open(schemaVersion1)
    #expect(try tables(old.database) == tables(fresh.database))
    #expect(try tables(open(schemaVersion2).database) == tables(fresh.database))
    let directory = try TemporaryDirectory()
    let first = try Database(path: directory.path + "/first", mode: .create)
    try first.run(Schema.steps[0])
    let released = try Database(path: directory.path + "/released", mode: .create)
    try released.run(schemaVersion1)
    #expect(try tables(first) == tables(released))
  }

  @Test func fileIsSetUp() throws {
    let bench = try Bench()
    #expect(try bench.number("PRAGMA application_id") == Schema.applicationID)
    // Incremental, so that space can be given back bit by bit.
    #expect(try bench.number("PRAGMA auto_vacuum") == 2)
    let mode = try bench.database.prepare("PRAGMA journal_mode")
    defer { mode.finalize() }
    #expect(try mode.step() && mode.bytes(0) == "wal".bytes)
  }
}
