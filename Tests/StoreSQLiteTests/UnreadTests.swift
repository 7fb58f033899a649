import Store
import Testing

@testable import StoreSQLite

extension Bench {
  /// A segment of so many messages.
  fileprivate func publish(_ count: Int, to topic: String, expiresAt: UInt32 = 0) throws {
    try commit { batch in
      for _ in 0..<count { batch.publish(Sample(topic, expiresAt: expiresAt)) }
    }
  }

  /// A session whose client is named after its number.
  fileprivate func subscribe(_ id: StoredSessionID, _ filters: String...) throws {
    try commit { batch in
      batch.create(id, "client-\(id)")
      for filter in filters { batch.subscribe(id, filter) }
    }
  }

  /// Takes all that the session is owed, and keeps so many messages of it in the window.
  fileprivate func take(_ id: StoredSessionID, window: Int = 0) throws {
    let after = try unwrap(id).progress.cursor
    let items = try readAll(id, after: after)
    guard let last = items.last else { return }
    var progress = SessionProgress(cursor: last.sequence)
    progress.window = items.prefix(window).map {
      WindowEntry(sequence: $0.sequence, identifier: 0, packetID: 1, state: 0, traits: 1)
    }
    try commit { batch in
      batch.orders.append(.progress(id, progress))
      for (number, item) in items.enumerated() {
        let count = number < window ? item.count - 1 : item.count
        batch.orders.append(.release(sequence: item.sequence, count: count))
      }
    }
  }

  fileprivate func unwrap(_ id: StoredSessionID) throws -> StoredSession {
    try #require(try load("client-\(id)"))
  }

  fileprivate func unread(_ id: StoredSessionID) throws -> UInt64 { try unread("client-\(id)") }
}

@Suite struct UnreadTests {
  /// The oldest messages go when there are too many; who had not read them is told how many.
  @Test func limits() throws {
    var limits = StoreLimits()
    limits.maximumMessages = 10
    let bench = try Bench(limits: limits)
    for id in 1...2 as ClosedRange<StoredSessionID> { try bench.subscribe(id, "a/#") }
    try bench.subscribe(3, "b")
    try bench.publish(4, to: "a/1")
    try bench.subscribe(4, "a/+")
    try bench.publish(5, to: "a/2")
    try bench.take(1)
    try bench.publish(5, to: "a/3")
    try bench.sweep()
    #expect(bench.engine.totals.messages == 10 && bench.engine.totals.unread == 4)
    #expect(try bench.unread(1) == 0 && bench.unread(2) == 4)
    #expect(try bench.unread(3) == 0 && bench.unread(4) == 0)
    try bench.publish(1, to: "b")
    try bench.sweep()
    #expect(bench.engine.totals.messages == 6 && bench.engine.totals.unread == 9)
    #expect(try bench.unread(1) == 0 && bench.unread(2) == 9)
    #expect(try bench.unread(3) == 0 && bench.unread(4) == 5)
    // What is left is read; what went is not told again to who has gone on.
    #expect(try bench.readAll(2).count == 5 && bench.readAll(4).count == 5)
    try bench.take(2)
    #expect(try bench.unread(2) == 0 && bench.unread(4) == 5)
    try bench.restart()
    #expect(try bench.unread(2) == 0 && bench.unread(4) == 5)
  }

  /// What expires goes before what is older and lives longer.
  @Test func segmentsThatGoOutOfOrder() throws {
    var limits = StoreLimits()
    limits.maximumAge = 100
    let bench = try Bench(limits: limits)
    try bench.subscribe(1, "a")
    try bench.publish(1, to: "a")
    try bench.publish(2, to: "a")
    try bench.subscribe(2, "a")
    bench.now += 50
    try bench.publish(4, to: "a", expiresAt: bench.now + 10)
    try bench.subscribe(3, "a")
    try bench.publish(8, to: "a", expiresAt: bench.now + 5)
    bench.now += 5
    try bench.sweep()
    #expect(try bench.unread(1) == 8 && bench.unread(2) == 8 && bench.unread(3) == 8)
    bench.now += 5
    try bench.sweep()
    #expect(try bench.unread(1) == 12 && bench.unread(2) == 12 && bench.unread(3) == 8)
    bench.now += 50
    try bench.sweep()
    #expect(try bench.unread(1) == 15 && bench.unread(2) == 12 && bench.unread(3) == 8)
    #expect(bench.engine.totals.unread == 15)
    #expect(try bench.logRows == 0)
  }

  /// A message in flight is not lost by its session having taken it, but it can't be sent again.
  @Test func messagesInFlight() throws {
    let bench = try Bench()
    try bench.subscribe(1, "a")
    try bench.publish(3, to: "a", expiresAt: bench.now + 1)
    try bench.publish(2, to: "a")
    try bench.take(1, window: 4)
    #expect(try bench.unwrap(1).messages.count == 4 && bench.unread(1) == 0)
    bench.now += 1
    try bench.sweep()
    let session = try bench.unwrap(1)
    #expect(Array(session.messages.keys) == [4] && session.unread == 3)
  }

  /// A filter that nobody subscribes to any more leaves nothing behind, although a message names
  /// it.
  @Test func filtersThatAreGone() throws {
    let bench = try Bench()
    try bench.subscribe(1, "a")
    try bench.subscribe(2, "+")
    try bench.publish(3, to: "a", expiresAt: bench.now + 1)
    try bench.commit { $0.orders.append(.unsubscribe(1, filter: "a".bytes)) }
    bench.now += 1
    try bench.sweep()
    #expect(try bench.unread(1) == 0 && bench.unread(2) == 3)
    #expect(try bench.number("SELECT count(*) FROM unread") == 1)
    try bench.subscribe(3, "a")
    #expect(try bench.unread(3) == 0)
    try bench.commit { $0.orders.append(.end(2)) }
    #expect(try bench.number("SELECT count(*) FROM unread") == 0)
  }

  /// With more rows than are kept, sessions are told too much rather than too little, and those
  /// that read nothing or everything are told what is right.
  @Test func coarseCounts() throws {
    let bench = try Bench()
    var random = SeededGenerator(seed: 1)
    var segments: [(count: Int, first: UInt64)] = []
    var borders: [StoredSessionID: Int] = [:]
    let start = bench.now
    for number in 0..<3 * StoreConstants.unreadRows {
      if number % 100 == 0 {
        let id = StoredSessionID(1 + number / 100)
        try bench.subscribe(id, "a")
        borders[id] = number
      }
      segments.append((1 + random.below(3), bench.engine.nextSequence))
      try bench.publish(
        segments[number].count, to: "a", expiresAt: start + 1 + UInt32(random.below(40)))
    }
    for _ in 0..<40 {
      bench.now += 1
      try bench.sweep()
      let rows = try bench.number("SELECT count(*) FROM unread")
      #expect(rows <= StoreConstants.unreadRows + 1)
    }
    #expect(try bench.logRows == 0)
    try bench.subscribe(1000, "a")
    #expect(try bench.unread(1000) == 0)
    for (id, border) in borders {
      let owed = segments[border...].reduce(0) { $0 + UInt64($1.count) }
      let told = try bench.unread(id)
      #expect(border == 0 ? told == owed : told >= owed && told < owed + 100)
    }
  }
}
