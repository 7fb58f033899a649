import Store
import Testing

@testable import StoreSQLite

/// What a random schedule seldom comes to: sizes at which the log does something else.
@Suite struct LogTests {
  private func bench(limits: StoreLimits = StoreLimits(), filters: String...) throws -> Bench {
    let bench = try Bench(limits: limits)
    try bench.commit { batch in
      batch.create(1, "client")
      for filter in filters { batch.subscribe(1, filter) }
    }
    return bench
  }

  @Test func segmentsEndAtTheirLimits() throws {
    let bench = try bench(filters: "a")
    let count = 2 * StoreConstants.segmentMessages + 100
    let effects = try bench.commit { batch in
      for number in 0..<count {
        batch.publish(Sample("a", [UInt8(truncatingIfNeeded: number)]))
      }
    }
    #expect(effects.segments.map { Int($0.span) } == [4096, 4096, 100])
    let items = try bench.readAll(1, maximumMessages: 3000)
    #expect(items.map(\.sequence) == Array(1...UInt64(count)))
    let isOrdered = items.enumerated().allSatisfy {
      Sample($1.place).payload == [UInt8(truncatingIfNeeded: $0)]
    }
    #expect(isOrdered)
    // A message that is larger than a segment is one by itself.
    let large = Sample("a", [UInt8](repeating: 7, count: 3 * StoreConstants.segmentBytes))
    let larger = try bench.commit { batch in
      for sample in [large, large, Sample("a")] { batch.publish(sample) }
    }
    #expect(larger.segments.map(\.span) == [1, 1, 1])
    let page = try bench.commit { $0.read(1, after: UInt64(count), maximumBytes: 1) }.pages[0]
    #expect(page.items.count == 1 && Sample(page.items[0].place) == large && !page.isAtEnd)
  }

  /// Loops are told of a message that nobody is owed, as they may have thought that somebody is; it
  /// is kept only as long as others of its segment are.
  @Test func messagesThatNobodyIsOwed() throws {
    let bench = try bench(filters: "a")
    let lonely = try bench.commit { batch in
      batch.publish(Sample("b", [1]))
      batch.publish(Sample("b", [0], qos: 0))
      batch.publish(Sample("c", [2]))
    }
    #expect(lonely.segments.map(\.span) == [2] && lonely.segments[0].first == 1)
    #expect(try bench.logRows == 0 && bench.engine.totals.messages == 0)
    try bench.restart()
    let mixed = try bench.commit { batch in
      batch.publish(Sample("b", [3]))
      batch.publish(Sample("a", [4], expiresAt: bench.now + 1))
      batch.publish(Sample("b", [5]))
    }
    #expect(mixed.segments.map(\.span) == [3] && mixed.segments[0].first == 3)
    #expect(bench.engine.totals.messages == 3)
    let items = try bench.readAll(1)
    #expect(items.map(\.sequence) == [4] && items.map { Sample($0.place).payload } == [[4]])
    // They don't keep the segment either, once the others have expired.
    bench.now += 1
    try bench.sweep()
    #expect(try bench.logRows == 0 && bench.engine.totals.messages == 0)
    #expect(bench.engine.totals.unread == 1)
  }

  /// More segments than one question looks at, of which some are matched by one filter only: pages
  /// end where the first of them does.
  @Test func questionsOverManySegments() throws {
    let bench = try bench(filters: "a", "+", "b/#")
    let count = UInt64(3 * StoreConstants.entriesPerRead + 10)
    for number in 1...count { try bench.commit { $0.publish(Sample(number % 3 == 0 ? "b" : "a")) } }
    let page = try bench.commit { $0.read(1) }.pages[0]
    #expect(!page.isAtEnd && page.through == page.items.last?.sequence)
    #expect(page.items.count >= StoreConstants.entriesPerRead / 2)
    let items = try bench.readAll(1)
    #expect(items.map(\.sequence) == Array(1...count) && items.allSatisfy { $0.count == 2 })
    try bench.restart()
    #expect(try bench.readAll(1, maximumMessages: 7).map(\.sequence) == Array(1...count))
  }

  /// More than is kept in memory: the oldest segments are read from the database again.
  @Test func moreSegmentsThanAreCached() throws {
    let bench = try bench(filters: "a/+")
    let size = StoreConstants.cachedSegmentBytes / 16
    for number in 0..<24 {
      try bench.commit {
        $0.publish(Sample("a/\(number)", [UInt8](repeating: UInt8(number), count: size)))
      }
      #expect(bench.engine.cachedBytes <= StoreConstants.cachedSegmentBytes + size)
    }
    #expect(bench.engine.states.count < 20)
    let items = try bench.readAll(1, maximumBytes: size)
    let bytes = items.map { Sample($0.place).payload[size - 1] }
    #expect(bytes == Array(0..<24))
    try bench.commit { batch in
      for item in items { batch.orders.append(.release(sequence: item.sequence, count: 1)) }
    }
    #expect(try bench.logRows == 0)
    let cached = bench.engine.cachedBytes
    #expect(cached == 0 && bench.engine.states.isEmpty && bench.engine.stateOrder.isEmpty)
  }

  /// What a session that lags reads stays in memory, however much is appended meanwhile.
  @Test func segmentsThatAreReadStayCached() throws {
    let bench = try bench(filters: "a")
    let size = StoreConstants.cachedSegmentBytes / 16
    let large = Sample("a", [UInt8](repeating: 1, count: size))
    for _ in 0..<40 {
      try bench.commit { batch in
        batch.publish(large)
        batch.read(1, maximumBytes: 1)
      }
    }
    #expect(bench.engine.states[1] != nil && bench.engine.states.count < 20)
    let order = bench.engine.stateOrder
    #expect(order == bench.engine.states.keys.sorted())
  }

  /// A page ends at the messages that were asked for, whatever else its filters have.
  @Test(arguments: [1, 7, 100]) func pagesEndWhereTheyAreFull(most: Int) throws {
    let bench = try bench(filters: "a", "b", "+")
    let count = 300
    try bench.commit { batch in
      for number in 0..<count { batch.publish(Sample(number % 10 == 0 ? "b" : "a", [1])) }
    }
    var after: UInt64 = 0
    var sequences: [UInt64] = []
    while true {
      let page = try bench.commit { $0.read(1, after: after, maximumMessages: most) }.pages[0]
      #expect(page.items.count <= most && page.items.allSatisfy { $0.count == 2 })
      sequences += page.items.map(\.sequence)
      if page.isAtEnd { break }
      #expect(page.items.count == most && page.through == sequences.last)
      after = page.through
    }
    #expect(sequences == Array(1...UInt64(count)))
  }

  /// One message that waits for long does not keep a thousand others, nor what was said of them.
  @Test func segmentsAreWrittenAnew() throws {
    let bench = try bench(filters: "a/+", "a/0")
    try bench.commit { batch in
      batch.create(2, "other")
      batch.subscribe(2, "a/#")
      batch.subscribe(2, "b")
    }
    try bench.commit { batch in
      for number in 0..<100 { batch.publish(Sample("a/\(number)", [1, 2, 3])) }
      batch.publish(Sample("b"))
    }
    let before = bench.engine.totals
    #expect(try bench.logRows == 5)
    // The first session takes all, the other all but one.
    try bench.commit { batch in
      batch.orders.append(.progress(1, SessionProgress(cursor: 100)))
      for sequence in 1...100 as ClosedRange<UInt64> {
        let count = (sequence == 1 ? 2 : 1) + (sequence == 50 ? 0 : 1) as UInt32
        batch.orders.append(.release(sequence: sequence, count: count))
      }
      batch.orders.append(.release(sequence: 101, count: 1))
    }
    try bench.sweep()
    #expect(bench.engine.totals == before)
    bench.now += StoreConstants.compactionAge + 1
    try bench.sweep()
    let after = bench.engine.totals
    #expect(after.messages == 1 && after.bytes < before.bytes / 50)
    // The segment, its counts, and the entries of the two filters that match the message.
    #expect(try bench.logRows == 4)
    for _ in 0..<2 {
      #expect(try bench.readAll(2).map { Sample($0.place).topic } == ["a/49".bytes])
      #expect(try bench.readAll(1, after: 100).isEmpty)
      try bench.restart()
    }
    try bench.commit { $0.orders.append(.release(sequence: 50, count: 1)) }
    #expect(try bench.logRows == 0 && bench.engine.totals.messages == 0)
  }

  /// A limit is held against what is there at the end of a transaction.
  @Test func nothingIsDroppedForRoomThatIsThere() throws {
    var limits = StoreLimits()
    limits.maximumMessages = 10
    let bench = try bench(limits: limits, filters: "a")
    try bench.commit { $0.publish(Sample("a", [1])) }
    try bench.commit { batch in
      for _ in 0..<9 { batch.publish(Sample("a", [2])) }
    }
    let batch = bench.batch()
    for sequence in 2...10 as ClosedRange<UInt64> {
      batch.orders.append(.release(sequence: sequence, count: 1))
    }
    for _ in 0..<9 { batch.publish(Sample("a", [3])) }
    try bench.commit([batch], sweeps: true)
    #expect(bench.engine.totals.messages == 10 && bench.engine.totals.unread == 0)
    let more = bench.batch()
    more.publish(Sample("a", [4]))
    try bench.commit([more], sweeps: true)
    #expect(bench.engine.totals.messages == 10 && bench.engine.totals.unread == 1)
  }

  /// Time goes on from where it was, whatever the wall clock says.
  @Test func clockThatIsSetBack() throws {
    var limits = StoreLimits()
    limits.maximumAge = 100
    let bench = try bench(limits: limits, filters: "a")
    try bench.commit { $0.publish(Sample("a", expiresAt: bench.now + 50)) }
    bench.now -= 500
    try bench.commit { $0.publish(Sample("a")) }
    try bench.restart()
    #expect(bench.engine.now == bench.now + 500)
    bench.now += 549
    #expect(try bench.readAll(1).map(\.qos) == [1, 1])
    bench.now += 1
    #expect(try bench.readAll(1).map(\.qos) == [0, 1])
    bench.now += 51
    try bench.sweep()
    #expect(try bench.readAll(1).isEmpty)
  }
}
