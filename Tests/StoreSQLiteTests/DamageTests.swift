import Foundation
import Store
import Testing

@testable import StoreSQLite

/// A store of which some bytes are not what was written: whatever they say, it is an error or
/// another answer, and never the end of the process.
@Suite struct DamageTests {
  /// The bytes of a store with some of everything.
  private func makeStore() throws -> [UInt8] {
    let bench = try Bench(now: 1000)
    try bench.commit { batch in
      for id in 1...5 as ClosedRange<StoredSessionID> {
        var presence = SessionPresence(version: 5, isConnected: true, expiryInterval: 10)
        presence.will = StoredWill(
          qos: 1, retain: false, delay: 5, lifetime: 0, topic: "will".bytes, properties: [1, 2],
          payload: [3])
        batch.orders.append(
          .create(id, client: "client-\(id)".bytes, presence, SessionProgress()))
        batch.subscribe(id, "a/+", identifier: 7)
        batch.subscribe(id, "a/\(id)", options: 2)
        batch.subscribe(id, "$share/group/b", options: 2)
      }
    }
    for number in 0..<20 {
      try bench.commit { batch in
        for topic in 0..<5 {
          batch.publish(
            Sample(
              "a/\(topic)", [UInt8](repeating: UInt8(number), count: 50), qos: 2,
              retain: number == topic, expiresAt: number < 3 ? 1001 : 0))
          if number > 15 { batch.publish(Sample("push"), to: "client-\(topic + 1)") }
        }
        batch.orders.append(.remember(key: [UInt8(number)], until: 2000))
      }
    }
    let window = WindowEntry(sequence: 10, identifier: 0, packetID: 1, state: 0, traits: 2)
    try bench.commit { batch in
      batch.orders.append(
        .progress(1, SessionProgress(cursor: 30, window: [window], inbound: [1, 2])))
      for sequence in 1...30 as ClosedRange<UInt64> {
        batch.orders.append(.release(sequence: sequence, count: 1))
      }
    }
    bench.now += 2
    try bench.sweep()
    try bench.database.checkpoint(3)
    return Array(try Data(contentsOf: URL(fileURLWithPath: bench.directory.file)))
  }

  /// What commands do with the store: each says something, or why it can't.
  private func look(_ directory: TemporaryDirectory) {
    guard let reader = try? StoreReader(directory: directory.path) else { return }
    _ = try? reader.summary()
    for id in 1...5 { _ = try? reader.session(of: "client-\(id)".bytes) }
    _ = try? reader.forEachSession { _ in true }
    _ = try? reader.forEachFilter { _ in true }
    _ = try? reader.forEachRetained { _ in true }
    _ = try? reader.verify { _ in }
    guard let copy = try? TemporaryDirectory(),
      let importer = try? StoreImporter(directory: copy.path)
    else { return }
    _ = try? reader.export { (try? importer.add($0)) != nil }
    _ = try? importer.finish()
  }

  /// Opens the store and does everything with it.
  private func exercise(_ bytes: [UInt8]) throws {
    let directory = try TemporaryDirectory()
    try Data(bytes).write(to: URL(fileURLWithPath: directory.file))
    look(directory)
    let bench = try Bench(directory: directory, now: 1100)
    func attempt(_ fill: (StoreBatch) -> Void) {
      let batch = bench.batch()
      fill(batch)
      do {
        try bench.commit([batch], sweeps: batch.orders.isEmpty)
      } catch {
        try? bench.rollBack([], sweeps: false, flushes: false)
      }
    }
    attempt { _ in }
    for id in 1...5 as ClosedRange<StoredSessionID> {
      attempt { $0.load("client-\(id)") }
      attempt { $0.read(id) }
      attempt { $0.read(id, after: 50, maximumMessages: 1) }
    }
    attempt { batch in
      for topic in 0..<5 { batch.publish(Sample("a/\(topic)", retain: true)) }
    }
    attempt { batch in
      for sequence in 1...120 as ClosedRange<UInt64> {
        batch.orders.append(.release(sequence: sequence, count: 2))
      }
    }
    attempt {
      $0.orders.append(
        .findRetained(
          RetainedQuery(
            asker: .nobody, tag: 0, filter: "#".bytes, after: nil, maximumBytes: 1 << 20)))
    }
    bench.now += 100
    attempt { _ in }
    attempt { $0.orders.append(.unsubscribe(2, filter: "a/+".bytes)) }
    for id in 1...5 {
      attempt { $0.publish(Sample("push"), to: "client-\(id)", tellsAbsent: true) }
      attempt { $0.publishCounted(Sample("a/\(id)"), tellsAbsent: true) }
    }
    attempt { $0.orders.append(.listSessions(SessionListQuery(tag: 0, maximum: 10))) }
    attempt { $0.orders.append(.readKeys(tag: 0)) }
    attempt { $0.orders.append(.remember(key: [1], until: 3000)) }
    for id in 1...5 as ClosedRange<StoredSessionID> { attempt { $0.orders.append(.end(id)) } }
  }

  /// Each page in turn is overwritten.
  @Test func pagesThatAreOverwritten() throws {
    let good = try makeStore()
    var random = SeededGenerator(seed: 1)
    var failures = 0
    for page in 0..<good.count / 4096 {
      let filler = [0, 0xFF, 0x5A][random.below(3)] as UInt8
      var bytes = good
      for place in 4096 * page..<4096 * (page + 1) { bytes[place] = filler }
      do {
        try exercise(bytes)
      } catch {
        failures += 1
      }
    }
    // Without the first page, or that of the numbers, it can't be opened.
    #expect(failures >= 2)
    try exercise(good)
  }

  @Test(arguments: [1, 2] as [UInt64])
  func bytesThatAreOthers(seed: UInt64) throws {
    let good = try makeStore()
    var random = SeededGenerator(seed: seed)
    for _ in 0..<25 {
      var bytes = good
      for _ in 0..<1 + random.below(30) {
        bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
      }
      try? exercise(bytes)
    }
  }

  /// Tables that SQLite has no fault to find with, and whose numbers can't be.
  @Test(arguments: [
    "UPDATE meta SET value = -1", "UPDATE meta SET value = 'text'", "DELETE FROM meta",
    "UPDATE meta SET value = 0 WHERE name = 'next-sequence'",
    "UPDATE meta SET value = 9223372036854775807",
    "UPDATE log SET span = 0", "UPDATE log SET span = 4000000000", "UPDATE log SET span = 1",
    "UPDATE log SET sequence = sequence + 1000000",
    "UPDATE log SET sequence = 9223372036854775807 - sequence",
    "UPDATE log SET body = x''", "UPDATE log SET body = zeroblob(100)", "UPDATE log SET body = 7",
    "DELETE FROM log", "DELETE FROM owed", "UPDATE owed SET counts = x'01'",
    "UPDATE owed SET counts = zeroblob(20)",
    "UPDATE entry SET places = x'FFFFFFFFFF'", "UPDATE entry SET filter = filter + 1000",
    "UPDATE entry SET sequence = 9223372036854775807 - sequence",
    "DELETE FROM entry", "DELETE FROM progress", "DELETE FROM filter", "DELETE FROM session",
    "DELETE FROM subscription",
    "UPDATE progress SET cursor = -5, window = x'0102'",
    "UPDATE progress SET cursor = 9223372036854775807",
    "UPDATE subscription SET position = -1, options = -1",
    "UPDATE subscription SET position = 9223372036854775807",
    "UPDATE filter SET readers = -1, subscriptions = -1", "UPDATE filter SET readers = 4294967295",
    "UPDATE filter SET text = CAST(id AS BLOB)",
    "UPDATE filter SET text = CAST(substr(text, 1, 9) || id AS BLOB) WHERE readers = 1",
    "UPDATE filter SET text = CAST(substr(text, 1, 17) || 'f' || id AS BLOB) WHERE readers = 1",
    "UPDATE subscription SET filter = filter + 1 WHERE options = 130",
    "DELETE FROM subscription WHERE options = 130", "UPDATE subscription SET options = 130",
    "UPDATE request SET until = -until", "UPDATE request SET key = 7 WHERE key = X'01'",
    "DELETE FROM request",
    "UPDATE unread SET total = -total", "UPDATE unread SET total = 100 - sequence",
    "UPDATE session SET will = x'00', expires_at = -1",
    "UPDATE session SET expiry_interval = 4294967294, will = NULL",
    "UPDATE retained SET topic = CAST('#' || id AS BLOB), expires_at = -1",
  ])
  func numbersThatCannotBe(statement: String) throws {
    let good = try makeStore()
    let directory = try TemporaryDirectory()
    try Data(good).write(to: URL(fileURLWithPath: directory.file))
    do { try Database(path: directory.file, mode: .write).run(statement) }
    try? exercise(Array(try Data(contentsOf: URL(fileURLWithPath: directory.file))))
  }
}
