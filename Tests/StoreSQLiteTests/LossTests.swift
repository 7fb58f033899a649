import Store
import Testing

@testable import StoreSQLite

/// Segments of the log that are damaged: they are given up, told once, and the rest goes on.
@Suite struct LossTests {
  /// Two sessions, and three segments of three messages; the second one begins at 4.
  private func makeBench(limits: StoreLimits = StoreLimits()) throws -> Bench {
    let bench = try Bench(limits: limits)
    try bench.commit { batch in
      batch.create(1, "client-1")
      batch.subscribe(1, "a/#")
      batch.create(2, "client-2")
      batch.subscribe(2, "a/1")
      batch.subscribe(2, "b")
    }
    for _ in 0..<3 {
      try bench.commit { batch in
        for topic in ["a/1", "a/2", "a/1"] { batch.publish(Sample(topic)) }
      }
    }
    return bench
  }

  private static let damages = [
    "body = zeroblob(length(body))", "body = x''", "body = substr(body, 1, length(body) - 8)",
    "body = substr(body, 9) || x'0000000000000000'", "span = 0", "span = -1", "span = 70000",
    "span = 2",
    // A header says another index, another QoS, or no topic.
    "body = substr(body, 1, 4) || x'07000000' || substr(body, 9)",
    "body = substr(body, 1, 36) || x'09' || substr(body, 38)",
    "body = substr(body, 1, 24) || x'0500000000000000' || x'0000' || substr(body, 35)",
  ]

  @Test(arguments: damages)
  func oneSegmentIsGivenUp(damage: String) throws {
    let bench = try makeBench()
    try bench.database.run("UPDATE log SET \(damage) WHERE sequence = 4")
    try bench.restart()
    // A transaction that fails tells nothing.
    let batch = bench.batch()
    batch.read(1)
    try bench.rollBack([batch], sweeps: false, flushes: true)
    bench.recorder.state.withLock { #expect($0.damages == []) }
    let found = try bench.readAll(1).map(\.sequence)
    #expect(found == [1, 2, 3, 7, 8, 9])
    #expect(try bench.readAll(2).map(\.sequence) == [1, 3, 7, 9])
    bench.recorder.state.withLock { state in
      #expect(state.damages.count == 1 && state.damages[0].hasPrefix("segment 4 of the log"))
    }
    #expect(bench.engine.totals.messages == 6 && bench.engine.totals.unread == 3)
    #expect(try bench.number("SELECT sum(bytes) FROM log") == bench.engine.totals.bytes)
    // As many as it can have been, never fewer.
    #expect(try bench.unread("client-1") == 3)
    #expect(try bench.unread("client-2") == 2)
    // What is acknowledged although it is gone changes nothing, and the rest is forgotten in time.
    try bench.commit { batch in
      for sequence in 1...9 as ClosedRange<UInt64> {
        batch.orders.append(.release(sequence: sequence, count: 2))
      }
    }
    #expect(try bench.logRows == 0)
    #expect(bench.engine.totals.messages == 0 && bench.engine.totals.bytes == 0)
    try bench.restart()
    #expect(bench.engine.totals.messages == 0 && bench.engine.totals.unread == 3)
  }

  /// A message that a session has in flight is told with what it missed.
  @Test func whatWasInFlight() throws {
    let bench = try makeBench()
    var progress = SessionProgress(cursor: 5)
    progress.window = [4, 5].map {
      WindowEntry(sequence: $0, identifier: 0, packetID: UInt16($0), state: 0, traits: 1)
    }
    try bench.commit { $0.orders.append(.progress(1, progress)) }
    try bench.database.run("UPDATE log SET body = zeroblob(length(body)) WHERE sequence = 4")
    try bench.restart()
    let session = try #require(try bench.load("client-1"))
    #expect(session.messages.isEmpty && session.unread == 2)
    #expect(try bench.readAll(1, after: 5).map(\.sequence) == [7, 8, 9])
  }

  /// Limits of the log are kept, and sessions end, where the segment that goes is damaged.
  @Test func housekeeping() throws {
    var limits = StoreLimits()
    limits.maximumMessages = 3
    let bench = try makeBench(limits: limits)
    try bench.database.run("UPDATE log SET body = zeroblob(length(body)) WHERE sequence = 1")
    try bench.database.run("UPDATE log SET span = 0 WHERE sequence = 4")
    try bench.restart()
    for _ in 0..<4 { try bench.sweep() }
    #expect(try bench.number("SELECT min(sequence) FROM log") == 7)
    #expect(bench.engine.totals.messages == 3)
    try bench.database.run("UPDATE log SET body = zeroblob(length(body))")
    try bench.restart()
    try bench.commit { batch in
      batch.orders.append(.end(1))
      batch.orders.append(.end(2))
    }
    #expect(try bench.logRows == 0)
    #expect(bench.engine.totals.messages == 0 && bench.engine.totals.bytes == 0)
  }
}
