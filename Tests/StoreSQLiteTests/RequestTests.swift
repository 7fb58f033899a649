import Store
import Testing

@testable import StoreSQLite

/// Keys of requests, and the list of sessions.
@Suite struct RequestTests {
  private func keys(_ bench: Bench) throws -> [String] {
    let events = try bench.commit { $0.orders.append(.readKeys(tag: 9)) }.events
    guard case .keys(9, let keys)? = events.first else { return ["no answer"] }
    return keys.map { "\(String(decoding: $0.key, as: UTF8.self)) \($0.until)" }
  }

  private func remember(_ bench: Bench, _ key: String, until: UInt32) throws {
    try bench.commit { $0.orders.append(.remember(key: key.bytes, until: until)) }
  }

  @Test func theyAreDurableUntilTheyExpire() throws {
    let bench = try Bench()
    try remember(bench, "b", until: 1010)
    try remember(bench, "a", until: 1020)
    try remember(bench, "c", until: 1000)
    #expect(try keys(bench) == ["b 1010", "a 1020"])
    try remember(bench, "b", until: 1030)
    try bench.restart()
    #expect(try keys(bench) == ["a 1020", "b 1030"])
    bench.now = 1020
    #expect(try keys(bench) == ["b 1030"])
    try bench.sweep()
    #expect(try bench.number("SELECT count(*) FROM request") == 1)
    #expect(bench.engine.totals.requests == 1)
  }

  /// The key is in the transaction that has the messages, or neither is.
  @Test func withItsMessages() throws {
    let bench = try Bench()
    try bench.commit { batch in
      batch.create(1, "one")
      batch.subscribe(1, "t")
    }
    let batch = bench.batch()
    batch.publishCounted(Sample("t"))
    batch.orders.append(.remember(key: "k".bytes, until: 2000))
    try bench.rollBack([batch], sweeps: false, flushes: true)
    #expect(try keys(bench) == [] && bench.logRows == 0)
    try bench.commit([batch])
    #expect(try keys(bench) == ["k 2000"] && bench.readAll(1).count == 1)
  }

  @Test func lengths() throws {
    let bench = try Bench()
    let longest = String(repeating: "k", count: RequestKey.maximumBytes)
    try remember(bench, longest, until: 2000)
    try remember(bench, longest + "k", until: 2000)
    try remember(bench, "", until: 2000)
    #expect(try keys(bench) == ["\(longest) 2000"])
  }

  /// The one that would expire first makes room; one that is there already needs none.
  @Test func thereAreSoManyAtMost() throws {
    var limits = StoreLimits()
    limits.maximumRequests = 3
    let bench = try Bench(limits: limits)
    for (key, until) in [("a", 1300), ("b", 1100), ("c", 1200)] as [(String, UInt32)] {
      try remember(bench, key, until: until)
    }
    try remember(bench, "a", until: 1050)
    #expect(try keys(bench) == ["a 1050", "b 1100", "c 1200"])
    try remember(bench, "d", until: 1400)
    #expect(try keys(bench) == ["b 1100", "c 1200", "d 1400"])
    #expect(bench.engine.totals.requests == 3)
  }

  /// So many that one round of housekeeping does not come to the end.
  @Test func manyExpire() throws {
    let bench = try Bench()
    let count = 2 * StoreConstants.sweepRows + 10
    try bench.commit { batch in
      for number in 0..<count {
        batch.orders.append(.remember(key: "\(number)".bytes, until: 1001))
      }
    }
    bench.now = 1001
    try bench.commit([], sweeps: true)
    #expect(bench.engine.totals.requests == Int64(count - StoreConstants.sweepRows))
    #expect(bench.sweepHasMore)
    try bench.sweep()
    #expect(try bench.number("SELECT count(*) FROM request") == 0)
    #expect(bench.engine.totals.requests == 0)
  }

  // MARK: Sessions

  private func list(_ bench: Bench, _ query: SessionListQuery) throws -> SessionList {
    let events = try bench.commit { $0.orders.append(.listSessions(query)) }.events
    guard case .sessions(let list)? = events.first else {
      return SessionList(tag: 0, entries: [], isEnd: false)
    }
    return list
  }

  private func names(_ list: SessionList) -> [String] {
    list.entries.map { String(decoding: $0.client, as: UTF8.self) }
  }

  @Test func pagesOfSessions() throws {
    let bench = try Bench()
    let clients = ["a", "a\u{10FFFF}", "ab", "ab/1", "ab/2", "b", "ba", "ü"]
    try bench.commit { batch in
      for (number, client) in clients.shuffled().enumerated() {
        batch.create(UInt64(number + 1), client)
      }
    }
    let sorted = clients.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    var found: [String] = []
    var query = SessionListQuery(tag: 3, maximum: 3)
    while true {
      let page = try list(bench, query)
      #expect(page.tag == 3 && page.entries.count <= 3)
      found += names(page)
      if page.isEnd { break }
      query.after = page.entries[2].client
    }
    #expect(found == sorted)
    func all(_ prefix: String, after: String = "") throws -> [String] {
      let page = try list(
        bench,
        SessionListQuery(tag: 1, after: after.bytes, prefix: prefix.bytes, maximum: 100_000))
      #expect(page.isEnd)
      return names(page)
    }
    #expect(try all("ab") == ["ab", "ab/1", "ab/2"])
    #expect(try all("ab", after: "ab/1") == ["ab/2"])
    #expect(try all("ab", after: "a") == ["ab", "ab/1", "ab/2"])
    #expect(try all("ab", after: "b") == [])
    #expect(try all("a") == ["a", "ab", "ab/1", "ab/2", "a\u{10FFFF}"])
    #expect(try all("x") == [])
    // 0 is taken for 1.
    let one = try list(bench, SessionListQuery(tag: 1, maximum: 0))
    #expect(one.entries.count == 1 && !one.isEnd)
  }

  @Test func whatIsSaidOfSessions() throws {
    let bench = try Bench()
    try bench.commit { batch in
      batch.create(1, "away")
      let here = SessionPresence(version: 4, isConnected: true, expiryInterval: .max)
      batch.orders.append(.create(2, client: "here".bytes, here, SessionProgress()))
    }
    func entries() throws -> [SessionList.Entry] {
      try list(bench, SessionListQuery(tag: 1, maximum: 10)).entries
    }
    #expect(
      try entries() == [
        SessionList.Entry(client: "away".bytes, isConnected: false, version: 5),
        SessionList.Entry(client: "here".bytes, isConnected: true, version: 4),
      ])
    try bench.restart()
    #expect(try entries().allSatisfy { !$0.isConnected })
    // It reads no more than it gives.
    let plan = try bench.database.prepare(
      """
      EXPLAIN QUERY PLAN SELECT client, version, connected FROM session
      WHERE client >= x'61' AND client < x'62' ORDER BY client LIMIT 10
      """)
    defer { plan.finalize() }
    var steps: [String] = []
    while try plan.step() { steps.append(String(decoding: plan.bytes(3), as: UTF8.self)) }
    #expect(steps.count == 1 && steps[0].contains("USING INDEX sqlite_autoindex_session_1"))
  }
}
