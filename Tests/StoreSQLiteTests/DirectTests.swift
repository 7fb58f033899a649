import Foundation
import Store
import Testing

@testable import StoreSQLite

extension [Engine.Effect] {
  /// The numbers of messages, and to how many subscriptions they are owed.
  fileprivate var kept: [[Int]] {
    events.compactMap {
      if case .kept(let pending, let count) = $0 { [Int(pending), count] } else { nil }
    }
  }

  fileprivate var strangers: [UInt64] {
    events.compactMap { if case .noSession(let pending) = $0 { pending } else { nil } }
  }

  fileprivate var absent: [AbsentClients] {
    events.compactMap { if case .absent(let absent) = $0 { absent } else { nil } }
  }
}

/// Messages to one client: what a random schedule seldom comes to.
@Suite struct DirectTests {
  private func bench(limits: StoreLimits = StoreLimits()) throws -> Bench {
    let bench = try Bench(limits: limits)
    try bench.commit { batch in
      batch.create(1, "one")
      batch.create(2, "two")
      batch.subscribe(2, "#", options: 2)
    }
    return bench
  }

  private func topics(_ items: [LogItem]) -> [String] {
    items.map { item in
      let topic = Sample(item.place).topic
      guard let direct = DirectTopic(topic.span) else {
        return String(decoding: topic, as: UTF8.self)
      }
      let parts = [direct.client, direct.topic].map { String(decoding: topic[$0], as: UTF8.self) }
      return "\(direct.session) \(parts[0]) \(parts[1])"
    }
  }

  /// Nobody else gets it, whatever he subscribes to, and it is merged with what comes otherwise.
  @Test func oneClientIsOwedIt() throws {
    let bench = try bench()
    let effects = try bench.commit { batch in
      batch.publish(Sample("push", qos: 2, retain: true), to: "one", pending: 7)
      batch.publish(Sample("a"))
      batch.publish(Sample("push"), to: "two", pending: 8)
      batch.publish(Sample("push"), to: "three", pending: 9)
      batch.publish(Sample("push", qos: 0), to: "one", pending: 10)
      batch.publish(Sample("push"), to: "three", pending: 0)
    }
    #expect(effects.kept == [[7, 1], [8, 1], [10, 0]] && effects.strangers == [9])
    #expect(effects.segments.map(\.span) == [3])
    let one = try bench.readAll(1)
    #expect(topics(one) == ["1 one push"])
    #expect(one[0].qos == 2 && !one[0].retain && one[0].count == 1 && one[0].identifiers == [])
    #expect(topics(try bench.readAll(2)) == ["a", "2 two push"])
    #expect(try bench.load("one")?.subscriptions == [])
    #expect(try bench.load("two")?.subscriptions.map(\.filter) == ["#".bytes])
    bench.recorder.state.withLock { #expect($0.readers == ["#": 1]) }
    #expect(try bench.number("SELECT count(*) FROM retained") == 0)
    // Nor are they announced.
    try bench.restart()
    bench.recorder.state.withLock { #expect($0.readers == ["#": 1]) }
    #expect(topics(try bench.readAll(1)) == ["1 one push"])
  }

  /// A segment goes to the loops that ask for the topic as the log has it.
  @Test func loopsAreAskedForTheWholeTopic() throws {
    let bench = try bench()
    let effects = try bench.commit { $0.publish(Sample("push"), to: "one") }
    let count = DirectTopic.encode(session: 1, client: "one".bytes.span, topic: "push".bytes.span)
    guard
      case .segment(_, let loops)? = effects.first(where: {
        if case .segment = $0 { true } else { false }
      })
    else { return #expect(Bool(false), "no segment") }
    #expect(loops == Recorder.loops(count?.count ?? 0))
  }

  /// The answer comes before the ticket of its batch, though the segment is closed later.
  @Test func answersComeBeforeTheTicket() throws {
    let bench = try bench()
    let first = bench.batch()
    first.publish(Sample("push"), to: "one", pending: 1)
    first.publishCounted(Sample("t"), pending: 2)
    let second = bench.batch()
    second.publish(Sample("push"), to: "one", pending: 3)
    let effects = try bench.commit([first, second])
    var told: [String] = []
    for effect in effects {
      switch effect {
      case .segment: told.append("segment")
      case .event(_, .kept(let pending, _)): told.append("kept \(pending)")
      case .event(_, .committed(let ticket)): told.append("ticket \(ticket - first.ticket)")
      default: break
      }
    }
    #expect(told == ["kept 1", "kept 2", "ticket 0", "kept 3", "ticket 1", "segment"])
  }

  /// The end of the session takes them along; what comes behind it finds nobody, or the next session.
  @Test func orderOfABatch() throws {
    let bench = try bench()
    let ended = try bench.commit { batch in
      batch.publish(Sample("push", [1]), to: "one", pending: 1)
      batch.orders.append(.end(1))
      batch.publish(Sample("push", [2]), to: "one", pending: 2)
      batch.create(3, "one")
      batch.publish(Sample("push", [3]), to: "one", pending: 3)
      batch.create(4, "new")
      batch.publish(Sample("push", [4]), to: "new", pending: 4)
    }
    #expect(ended.kept == [[1, 1], [3, 1], [4, 1]] && ended.strangers == [2])
    #expect(try bench.readAll(3).map { Sample($0.place).payload } == [[3]])
    #expect(try bench.readAll(4).map { Sample($0.place).payload } == [[4]])
    try bench.commit { batch in
      for id in [2, 3, 4] as [StoredSessionID] { batch.orders.append(.end(id)) }
    }
    for table in ["filter", "subscription", "log", "entry", "owed", "unread"] {
      #expect(try bench.number("SELECT count(*) FROM \(table)") == 0, "\(table)")
    }
  }

  @Test func longTopicsAreRefused() throws {
    let bench = try bench()
    let limit = DirectTopic.maximumBytes - 22 - "one".utf8.count
    let effects = try bench.commit { batch in
      batch.publish(Sample(String(repeating: "t", count: limit)), to: "one", pending: 1)
      batch.publish(Sample(String(repeating: "t", count: limit + 1)), to: "one", pending: 2)
    }
    #expect(effects.kept == [[1, 1]] && effects.refused == [2])
    #expect(try bench.readAll(1).count == 1)
  }

  /// Expiry, the limit of a session and the count of what it missed are those of any message.
  @Test func limitsAndExpiry() throws {
    var limits = StoreLimits()
    limits.maximumSessionMessages = 3
    let bench = try bench(limits: limits)
    try bench.commit { batch in
      for number in 1...8 as ClosedRange<UInt8> {
        batch.publish(Sample("push", [number]), to: "one")
      }
    }
    try bench.sweep()
    #expect(try bench.readAll(1).map { Sample($0.place).payload } == [[6], [7], [8]])
    #expect(try bench.unread("one") == 5)
    try bench.commit { $0.publish(Sample("push", [9], expiresAt: bench.now + 1), to: "two") }
    bench.now += 2
    try bench.sweep()
    #expect(try bench.readAll(2).isEmpty && bench.unread("two") == 1)
  }

  /// What was kept is taken back with the transaction, the inbox too.
  @Test func rollback() throws {
    let bench = try bench()
    let batch = bench.batch()
    batch.publish(Sample("push"), to: "one", tellsAbsent: true)
    batch.orders.append(.remember(key: [1], until: .max))
    try bench.rollBack([batch], sweeps: false, flushes: true)
    #expect(try bench.number("SELECT count(*) FROM filter") == 1 && bench.logRows == 0)
    #expect(bench.engine.totals.requests == 0)
    #expect(bench.engine.absentVisits == StoreConstants.absentVisits)
    #expect(try bench.commit([batch]).kept == [[1, 1]])
    #expect(topics(try bench.readAll(1)) == ["1 one push"])
  }

  /// A segment is written anew with what is owed of it, under the same topics.
  @Test func compaction() throws {
    let bench = try bench()
    try bench.commit { batch in
      for number in 1...20 as ClosedRange<UInt8> {
        batch.publish(
          Sample("push", [UInt8](repeating: number, count: 200)), to: number == 7 ? "one" : "two")
      }
      for sequence in 1...20 as ClosedRange<UInt64> where sequence != 7 {
        batch.orders.append(.release(sequence: sequence, count: 1))
      }
      batch.orders.append(.progress(2, SessionProgress(cursor: 20)))
    }
    bench.now += StoreConstants.compactionAge + 2
    try bench.sweep()
    #expect(try bench.number("SELECT messages FROM log") == 1)
    try bench.restart()
    #expect(topics(try bench.readAll(1)) == ["1 one push"])
    var found: [StoreFinding] = []
    _ = try StoreReader(directory: bench.directory.path).verify { found.append($0) }
    #expect(found == [])
  }

  // MARK: Counts, and who is away

  @Test func countsAreOfReaders() throws {
    let bench = try bench()
    try bench.commit { batch in
      batch.create(3, "three")
      batch.subscribe(3, "t", options: 1)
      batch.subscribe(3, "t/#", options: 2)
      batch.subscribe(3, "+", options: 0)
      batch.subscribe(3, "$share/g/t", options: 1)
      batch.subscribe(1, "$share/g/t", options: 1)
      batch.subscribe(1, "$share/h/#", options: 1)
    }
    let effects = try bench.commit { batch in
      batch.publishCounted(Sample("t"), pending: 1, tellsAbsent: true)
      batch.publishCounted(Sample("$x"), pending: 2, tellsAbsent: true)
      batch.publishCounted(Sample("t", qos: 0), pending: 3)
      batch.publishCounted(Sample("t"), appends: false, pending: 4)
      batch.publishCounted(Sample("t"), pending: 0)
    }
    #expect(effects.kept == [[1, 5], [2, 0], [3, 0], [4, 0]])
    // Members of groups are not owed it, and nobody is named twice.
    #expect(effects.absent.map { Set($0.clients) } == [["two".bytes, "three".bytes]])
    #expect(effects.absent[0].more == 0 && effects.absent[0].sequence == 1)
    #expect(Sample(effects.absent[0].place) == Sample("t"))
  }

  @Test func retainedOnesThatAreRefused() throws {
    var limits = StoreLimits()
    limits.maximumRetainedMessages = 0
    let bench = try bench(limits: limits)
    let effects = try bench.commit { $0.publishCounted(Sample("t", retain: true), pending: 5) }
    #expect(effects.refused == [5] && effects.kept == [])
  }

  /// A client that was there when the broker ended is away.
  @Test func presence() throws {
    let bench = try bench()
    var presence = SessionPresence.away
    presence.isConnected = true
    func absent() throws -> [[UInt8]] {
      try bench.commit { batch in
        batch.publish(Sample("push"), to: "one", tellsAbsent: true)
      }.absent.flatMap(\.clients)
    }
    #expect(try absent() == ["one".bytes])
    try bench.commit { $0.orders.append(.presence(1, presence)) }
    #expect(try absent() == [])
    try bench.restart()
    #expect(try absent() == ["one".bytes])
  }

  /// No more clients are named than may be, and none is looked at beyond.
  @Test func namesAreBounded() throws {
    let bench = try Bench()
    let count = AbsentClients.maximumClients + 50
    try bench.commit { batch in
      for id in 1...UInt64(count) {
        batch.create(id, "client-\(id)")
        batch.subscribe(id, "all")
      }
    }
    let effects = try bench.commit { batch in
      batch.publishCounted(Sample("all"), pending: 1, tellsAbsent: true)
    }
    #expect(effects.kept == [[1, count]])
    #expect(effects.absent.count == 1)
    #expect(Set(effects.absent[0].clients).count == AbsentClients.maximumClients)
    #expect(effects.absent[0].more == 50)
    // What one transaction looks at is bounded too.
    let rounds = StoreConstants.absentVisits / AbsentClients.maximumClients
    let many = try bench.commit { batch in
      for _ in 0...rounds { batch.publishCounted(Sample("all"), pending: 1, tellsAbsent: true) }
    }
    #expect(many.absent.count == rounds + 1)
    #expect(many.absent.last?.clients == [] && many.absent.last?.more == count)
    #expect(many.absent[rounds - 1].clients.count == AbsentClients.maximumClients)
  }
}
