import Store
import Testing

@testable import StoreSQLite

extension Bench {
  fileprivate func create(
    _ id: StoredSessionID, isConnected: Bool = true, expiryInterval: UInt32 = .max,
    willDelay: UInt32? = nil
  ) throws {
    var presence = SessionPresence(
      version: 5, isConnected: isConnected, expiryInterval: expiryInterval)
    if let willDelay {
      presence.will = StoredWill(
        qos: 1, retain: false, delay: willDelay, lifetime: 0, topic: "will".bytes, properties: [],
        payload: [UInt8(id)])
    }
    try commit { batch in
      batch.orders.append(
        .create(id, client: "client-\(id)".bytes, presence, SessionProgress()))
    }
  }

  /// The clients of which a sweep says that something is due.
  fileprivate func due() throws -> [String] {
    try sweep().events.flatMap { event -> [String] in
      guard case .due(let clients) = event else { return [] }
      return clients.map { String(decoding: $0, as: UTF8.self) }
    }.sorted()
  }

  fileprivate func presence(_ id: StoredSessionID) throws -> SessionPresence {
    try #require(try load("client-\(id)")).presence
  }
}

/// What becomes of sessions from one run of the broker to the next.
@Suite struct RunTests {
  /// A broker that is killed notes nothing: clients have been away since the next one began.
  @Test(arguments: [false, true])
  func connectionsThatEndedWithTheBroker(isSwept: Bool) throws {
    let bench = try Bench(now: 1000)
    try bench.create(1, expiryInterval: 100)
    try bench.create(2, willDelay: 10)
    try bench.create(3, expiryInterval: 5, willDelay: 50)
    try bench.create(4)
    try bench.create(5, isConnected: false, expiryInterval: 7)
    bench.now = 2000
    #expect(try bench.due() == [] && bench.presence(1).isConnected)
    try bench.restart()
    if isSwept { #expect(try bench.due() == []) }
    for id in 1...4 as ClosedRange<StoredSessionID> {
      #expect(try bench.presence(id).isConnected == false)
    }
    #expect(try bench.presence(1).expiresAt == 2101 && bench.presence(1).willDueAt == 0)
    #expect(try bench.presence(2).expiresAt == 0 && bench.presence(2).willDueAt == 2011)
    #expect(try bench.presence(3).expiresAt == 2006 && bench.presence(3).willDueAt == 2051)
    #expect(try bench.presence(4).expiresAt == 0 && bench.presence(4).willDueAt == 0)
    #expect(try bench.presence(5).expiresAt == 0)
    bench.now = 2005
    #expect(try bench.due() == [])
    bench.now = 2006
    #expect(try bench.due() == ["client-3"])
    // Once it is noted, another start does not put it off.
    try bench.restart()
    #expect(try bench.presence(1).expiresAt == 2101)
    bench.now = 2011
    #expect(try bench.due() == ["client-2", "client-3"])
    // It is told until it is dealt with.
    try bench.commit { batch in
      batch.orders.append(.end(3))
      var presence = SessionPresence.away
      presence.isConnected = true
      batch.orders.append(.presence(2, presence))
    }
    #expect(try bench.due() == [])
    bench.now = 2101
    #expect(try bench.due() == ["client-1"])
    #expect(try bench.presence(2).isConnected)
  }

  /// A sweep that is rolled back has ended no connection, so the next one does.
  @Test func connectionsOfASweepThatFailed() throws {
    let bench = try Bench(now: 1000)
    try bench.create(1, expiryInterval: 0)
    try bench.restart()
    try bench.rollBack([], sweeps: true, flushes: true)
    #expect(try bench.number("SELECT count(*) FROM session WHERE connected > 0") == 1)
    #expect(try bench.due() == ["client-1"])
    #expect(try bench.number("SELECT count(*) FROM session WHERE connected > 0") == 0)
  }

  /// More sessions than one sweep looks at.
  @Test func manyConnections() throws {
    let bench = try Bench(now: 1000)
    let count = 2 * StoreConstants.sweepRows + 10
    for id in 1...count { try bench.create(StoredSessionID(id), expiryInterval: 1000) }
    try bench.restart()
    try bench.commit([], sweeps: true)
    #expect(bench.sweepHasMore)
    #expect(try bench.due() == [])
    #expect(try bench.number("SELECT count(*) FROM session WHERE expires_at = 2001") == count)
  }

  /// Orders that name a session which is gone change nothing.
  @Test func ordersBehindTheEnd() throws {
    let bench = try Bench()
    try bench.create(1)
    try bench.commit { batch in
      batch.orders.append(.end(1))
      batch.subscribe(1, "a")
      batch.subscribe(2, "#")
      batch.orders.append(.progress(1, SessionProgress(cursor: 5)))
      batch.orders.append(.presence(1, .away))
      batch.orders.append(.unsubscribe(1, filter: "a".bytes))
      batch.orders.append(.end(1))
    }
    let effects = try bench.commit { batch in
      batch.publish(Sample("a"))
      batch.read(1)
      batch.load("client-1")
    }
    #expect(effects.pages[0].items.isEmpty && effects.pages[0].isAtEnd)
    #expect(effects.sessions.count == 1 && effects.sessions[0] == nil)
    for table in ["session", "progress", "subscription", "filter", "log", "owed", "entry"] {
      #expect(try bench.number("SELECT count(*) FROM \(table)") == 0, "\(table)")
    }
    bench.recorder.state.withLock { #expect($0.readers.isEmpty && $0.lostInVain.isEmpty) }
    #expect(bench.engine.clients.count == 0)
  }

  /// What a session had in flight comes back as it was, to the last byte.
  @Test func progressComesBack() throws {
    let bench = try Bench()
    try bench.create(1)
    try bench.commit { batch in
      batch.subscribe(1, "a", options: 2)
      batch.publish(Sample("a", qos: 2))
      batch.publish(Sample("a", qos: 1))
    }
    let progress = SessionProgress(
      cursor: 2, nextPacketID: .max,
      window: [
        WindowEntry(
          sequence: 2, identifier: WindowEntry.several, packetID: 0, state: 255, traits: 254),
        WindowEntry(sequence: 0, identifier: 0, packetID: .max, state: 1, traits: 2),
        WindowEntry(sequence: 1, identifier: 268_435_455, packetID: 256, state: 0, traits: 0),
      ], inbound: [1, 65_535, 256])
    try bench.commit { $0.orders.append(.progress(1, progress)) }
    try bench.restart()
    let session = try #require(try bench.load("client-1"))
    #expect(session.progress == progress && session.messages.keys.sorted() == [1, 2])
    #expect(
      session.subscriptions == [StoredSubscription(filter: "a".bytes, options: 2, identifier: 0)])
  }
}
