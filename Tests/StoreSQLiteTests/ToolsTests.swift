import Foundation
import Store
import Testing

@testable import StoreSQLite

/// What tells, moves and shrinks a store, beside the engine that writes it.
@Suite struct ToolsTests {
  private func reader(_ bench: Bench) throws -> StoreReader {
    try StoreReader(directory: bench.directory.path)
  }

  /// What is wrong, without notices.
  private func faults(_ bench: Bench) throws -> [String] {
    try findings(bench).filter { !$0.isNotice }.map { $0.text }
  }

  private func findings(_ bench: Bench) throws -> [StoreFinding] {
    var found: [StoreFinding] = []
    _ = try reader(bench).verify { found.append($0) }
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

  /// A store with a shared subscription as the tables have it: what the group is to hand out is behind
  /// its cursor or pending.
  private func shared() throws -> Bench {
    let bench = try Bench()
    try bench.commit { batch in
      batch.create(1, "one")
      batch.subscribe(1, "$share/g/jobs/+")
      batch.subscribe(1, "jobs/#")
    }
    try bench.database.run("UPDATE share SET id = 5; UPDATE sqlite_sequence SET seq = 5")
    try bench.restart()
    try bench.commit { batch in
      for number in 1...4 as ClosedRange<UInt8> { batch.publish(Sample("jobs/a", [number])) }
    }
    // Two were handed out: one was given back, the other is in the window.
    try bench.database.run("UPDATE share SET cursor = 2, pending = X'0100000000000000'")
    try bench.restart()
    try bench.commit { batch in
      let window = [
        WindowEntry(sequence: 2, identifier: 0, packetID: 1, state: 1, traits: 25, group: 5)
      ]
      batch.orders.append(
        .progress(1, SessionProgress(cursor: 2, nextPacketID: 2, window: window)))
      batch.orders.append(.release(sequence: 1, count: 1))
      batch.orders.append(.release(sequence: 2, count: 1))
    }
    return bench
  }

  @Test func sharesAreSoundAndTravel() throws {
    let bench = try shared()
    #expect(try faults(bench) == [])
    let items = try items(bench.directory.path)
    #expect(
      items.contains(
        .share(
          StoreItem.Share(
            id: 5, filter: "$share/g/jobs/+".bytes, inner: "jobs/+".bytes, cursor: 2,
            pending: [1]))))
    let copy = try TemporaryDirectory()
    try make(copy, of: items)
    #expect(try self.items(copy.path) == items)
    let second = try Bench(directory: copy)
    #expect(try faults(second) == [])
    #expect(try second.number("SELECT seq FROM sqlite_sequence WHERE name = 'share'") == 5)
    #expect(try reader(second).summary().shares == 1)
  }

  @Test(arguments: [
    "UPDATE share SET pending = X''", "UPDATE share SET cursor = 3",
    "UPDATE share SET pending = X'0300000000000000'", "UPDATE share SET pending = X'01'",
    "UPDATE share SET inner = 99", "UPDATE share SET inner = filter",
    "DELETE FROM share", "UPDATE progress SET window = X''",
  ])
  func damagedSharesAreFound(statement: String) throws {
    let bench = try shared()
    try bench.database.run(statement)
    #expect(try !faults(bench).isEmpty)
  }

  /// After each of thousands of random transactions that the model compares, the store is sound; and
  /// what is exported and imported is owed the same.
  @Test(arguments: [3, 4, 15] as [UInt64])
  func randomStoresAreSoundAndTravel(seed: UInt64) throws {
    var schedule = try Schedule(seed: seed)
    var owed = 0
    for round in 0..<8 {
      try schedule.run(steps: 40, drains: false)
      let bench = schedule.bench
      #expect(try faults(bench) == [], "seed \(seed), round \(round)")
      let items = try items(bench.directory.path)
      let copy = try TemporaryDirectory()
      try make(copy, of: items)
      #expect(try self.items(copy.path) == items, "seed \(seed), round \(round)")
      let second = try Bench(directory: copy, now: bench.now)
      #expect(try faults(second) == [], "seed \(seed), round \(round)")
      for case .session(let session) in items {
        let cursor = session.progress.cursor
        let before = try bench.readAll(session.id, after: cursor)
        let after = try second.readAll(session.id, after: cursor)
        owed += before.count
        #expect(before.map(\.sequence) == after.map(\.sequence))
        #expect(before.map { Sample($0.place) } == after.map { Sample($0.place) })
        #expect(before.map(\.count) == after.map(\.count))
        let client = String(decoding: session.client, as: UTF8.self)
        let detail = try #require(try reader(second).session(of: session.client))
        #expect(detail.backlog == UInt64(before.count) && detail.isBacklogComplete)
        #expect(try second.unread(client) == bench.unread(client))
        #expect(try detail.unread == second.unread(client))
      }
    }
    #expect(owed > 20, "seed \(seed): too little is owed, \(owed)")
  }

  /// The oldest version's store, which has a message in a window, half of it unread.
  @Test func version1IsSound() throws {
    let directory = try TemporaryDirectory()
    do {
      let database = try Database(path: directory.file, mode: .create)
      try database.run("PRAGMA journal_mode = WAL")
      try database.run(schemaVersion1)
    }
    let bench = try Bench(directory: directory, now: 1_700_001_000)
    #expect(try faults(bench) == [])
    let summary = try reader(bench).summary()
    #expect(summary.sessions == 2 && summary.messages == 6 && summary.unread == 1)
    #expect(summary.oldestAppendedAt == 1_700_000_000 && summary.retained == 2)
    let lamp = try #require(try reader(bench).session(of: "lamp".bytes))
    #expect(lamp.backlog == 1 && lamp.progress.window.count == 3 && lamp.subscriptions.count == 3)
  }

  /// One that went unread while it was in flight is a notice, and counts as unread.
  @Test func missingMessagesAreNotices() throws {
    let bench = try Bench()
    try bench.commit { batch in
      batch.create(1, "one")
      batch.subscribe(1, "t")
      batch.publish(Sample("t", expiresAt: 1010))
    }
    try bench.commit { batch in
      let window = [WindowEntry(sequence: 1, identifier: 0, packetID: 1, state: 1, traits: 9)]
      batch.orders.append(
        .progress(1, SessionProgress(cursor: 1, nextPacketID: 2, window: window)))
    }
    bench.now = 2000
    try bench.sweep()
    let found = try findings(bench)
    #expect(found.count == 1 && found[0].isNotice)
    let one = try #require(try reader(bench).session(of: "one".bytes))
    #expect(one.missing == 1 && one.unread == 1)
  }

  @Test func readerSeesOneMoment() throws {
    let bench = try Bench()
    try bench.commit { $0.create(1, "one") }
    let reader = try reader(bench)
    try bench.commit { $0.create(2, "two") }
    #expect(try reader.summary().sessions == 1)
    var clients: [String] = []
    try reader.forEachSession {
      clients.append(String(decoding: $0.client, as: UTF8.self))
      return true
    }
    #expect(clients == ["one"])
  }

  /// A long backlog is counted as far as memory may be used for it.
  @Test func longBacklogs() throws {
    let bench = try Bench()
    try bench.commit { batch in
      batch.create(1, "one")
      batch.subscribe(1, "t")
    }
    for _ in 0..<26 {
      try bench.commit { batch in
        for _ in 0..<4000 { batch.publish(Sample("t", [])) }
      }
    }
    let one = try #require(try reader(bench).session(of: "one".bytes))
    #expect(one.backlog == UInt64(StoreReader.countedBacklog) && !one.isBacklogComplete)
  }

  // MARK: Import

  @Test func importTakesAllOrNothing() throws {
    let bench = try shared()
    let items = try items(bench.directory.path)
    let directory = try TemporaryDirectory()
    do {
      let importer = try StoreImporter(directory: directory.path)
      for item in items.dropLast() { try importer.add(item) }
      #expect(throws: StoreToolError.self) { try importer.finish() }
    }
    #expect(!FileManager.default.fileExists(atPath: directory.file))
    #expect(!FileManager.default.fileExists(atPath: directory.file + ".import"))
    try make(directory, of: items)
    do {
      try make(directory, of: items)
      Issue.record("there is a store already")
    } catch let error as StoreToolError {
      #expect(error.kind == .occupied)
    }
    #expect(try self.items(directory.path) == items)
  }

  /// A broker that holds the directory, or a reader of the empty store, keeps an import out.
  @Test func importNeedsTheDirectory() throws {
    let bench = try shared()
    let items = try items(bench.directory.path)
    let directory = try TemporaryDirectory()
    var store: SQLiteStore? = try SQLiteStore(
      directory: directory.path, sync: .normal, limits: StoreLimits())
    #expect(storeHolder(directory: directory.path) == getpid())
    #expect(throws: StoreToolError.self) { try make(directory, of: items) }
    store?.stop()
    store = nil
    #expect(storeHolder(directory: directory.path) == nil)
    var reader: StoreReader? = try StoreReader(directory: directory.path)
    #expect(throws: StoreToolError.self) { try make(directory, of: items) }
    #expect(try reader?.summary().sessions == 0)
    reader = nil
    try make(directory, of: items)
    #expect(try self.items(directory.path) == items)
  }

  @Test func importChecksWhatComes() throws {
    let bench = try shared()
    let items = try items(bench.directory.path)
    func wrong(_ change: (StoreItem) -> StoreItem) throws {
      let directory = try TemporaryDirectory()
      do {
        try make(directory, of: items.map(change))
        Issue.record("it was taken")
      } catch let error as StoreToolError {
        #expect(error.kind == .invalid)
      }
    }
    func session(_ change: (inout StoreItem.Session) -> Void) throws {
      try wrong {
        guard case .session(var value) = $0 else { return $0 }
        change(&value)
        return .session(value)
      }
    }
    try session { $0.progress.cursor = 5 }
    try session {
      $0.progress.cursor = 1
      $0.progress.window[0].traits = 9
    }
    try session { $0.progress.window[0].packetID = 0 }
    try session { $0.progress.window.append($0.progress.window[0]) }
    try session { $0.progress.inbound = [1, 1] }
    try session { $0.presence.version = 6 }
    try session { $0.subscriptions.append($0.subscriptions[0]) }
    try session { $0.subscriptions[0].subscription.options = 3 }
    try session { $0.subscriptions[0].position = 5 }
    try wrong {
      guard case .share(var share) = $0 else { return $0 }
      share.inner = "jobs/#".bytes
      return .share(share)
    }
    try wrong {
      guard case .message(var message) = $0 else { return $0 }
      message.filters.append(77)
      return .message(message)
    }
    try wrong {
      guard case .message(var message) = $0 else { return $0 }
      message.sequence = 3
      return .message(message)
    }
  }

  /// A message that nobody is owed does not come along, whatever its count said.
  @Test func importCountsAnew() throws {
    let bench = try shared()
    try bench.database.run("UPDATE share SET cursor = 3")
    try bench.database.run("UPDATE progress SET cursor = 3")
    let directory = try TemporaryDirectory()
    try make(directory, of: try items(bench.directory.path))
    let copy = try Bench(directory: directory)
    #expect(try faults(copy) == [])
    let messages = try items(directory.path).compactMap {
      if case .message(let message) = $0 { message.sequence } else { nil }
    }
    #expect(messages == [1, 2, 4])
  }

  // MARK: Compaction

  @Test func compactionGivesPagesBack() throws {
    let bench = try Bench()
    try bench.commit { batch in
      batch.create(1, "one")
      batch.subscribe(1, "t")
    }
    for _ in 0..<40 {
      try bench.commit { $0.publish(Sample("t", Array(repeating: 7, count: 100_000))) }
    }
    try bench.commit { $0.orders.append(.end(1)) }
    let before = try reader(bench).summary()
    #expect(before.freePages > 900)
    let result = try compactStore(directory: bench.directory.path)
    #expect(result.isComplete && result.freePagesBefore == before.freePages)
    #expect(result.freePagesAfter == 0 && result.fileBytesAfter < 200_000)
    #expect(result.logFileBytesAfter == 0)
    #expect(try faults(bench) == [])
    try bench.commit { $0.create(2, "two") }
  }

  /// A reader that sees an older moment keeps the file as long as it was; nothing else.
  @Test func compactionBesideAReader() throws {
    let bench = try Bench()
    try bench.commit { batch in
      batch.create(1, "one")
      batch.subscribe(1, "t")
      batch.publish(Sample("t", Array(repeating: 7, count: 3_000_000)))
    }
    let reader = try reader(bench)
    try bench.commit { $0.orders.append(.end(1)) }
    let result = try compactStore(directory: bench.directory.path)
    #expect(!result.isComplete && result.freePagesAfter == 0)
    #expect(try reader.summary().messages == 1)
    try bench.commit { $0.create(2, "two") }
  }

  @Test func otherFilesAreRefused() throws {
    let directory = try TemporaryDirectory()
    func kind(_ body: () throws -> Void) -> StoreToolError.Kind? {
      do {
        try body()
        return nil
      } catch {
        return (error as? StoreToolError)?.kind
      }
    }
    #expect(kind { _ = try StoreReader(directory: directory.path) } == .missing)
    #expect(kind { _ = try compactStore(directory: directory.path) } == .missing)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == [])
    do { try Database(path: directory.file, mode: .create).run("CREATE TABLE mine (x)") }
    #expect(kind { _ = try StoreReader(directory: directory.path) } == .store(.version))
    #expect(kind { _ = try StoreImporter(directory: directory.path) } == .store(.version))
    try Data(repeating: 65, count: 5000).write(to: URL(fileURLWithPath: directory.file))
    #expect(kind { _ = try StoreReader(directory: directory.path) } == .store(.corrupt))
  }
}
