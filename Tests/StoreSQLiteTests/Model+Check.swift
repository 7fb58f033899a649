import PubSub
import Store
import Testing
import Util

@testable import StoreSQLite

/// Whether the database holds what the model says, row by row, and nothing else.
extension Model {
  /// - Parameter place: what a failure names.
  func check(_ bench: Bench, _ place: Comment) throws {
    try checkSessions(bench.database, place)
    try checkFilters(bench, place)
    try checkGroups(bench.database, place)
    try checkLog(bench.database, place)
    try checkRetained(bench.database, place)
    try checkRequests(bench.database, place)
    try checkTotals(bench, place)
  }

  private func checkSessions(_ database: Database, _ place: Comment) throws {
    let progress = try database.statement(
      """
      SELECT s.id, s.client, p.cursor, p.next_packet_id, p.window, p.inbound
      FROM session s JOIN progress p ON p.session = s.id
      """)
    var found = 0
    while try progress.step() {
      found += 1
      let session = try #require(sessions[progress.unsigned(0)], place)
      let present = SessionProgress(
        cursor: progress.unsigned(2), nextPacketID: UInt16(progress.number(3)),
        window: progress.withBytes(4) { WindowEntry.decode($0) },
        inbound: progress.withBytes(5) { SessionProgress.decodeInbound($0) })
      try #require(
        progress.bytes(1) == session.client.bytes && present == session.progress, place)
    }
    try #require(found == sessions.count, place)
    for table in ["session", "progress"] {
      let rows = try database.number("SELECT count(*) FROM \(table)")
      try #require(rows == Int64(sessions.count), place)
    }
    let rows = try database.statement(
      """
      SELECT s.session, f.text, s.options, s.identifier, s.position FROM subscription s
      LEFT JOIN filter f ON f.id = s.filter
      """)
    found = 0
    while try rows.step() {
      found += 1
      let text = String(decoding: rows.bytes(1), as: UTF8.self)
      let options = UInt8(rows.number(2))
      if let session = DirectTopic.session(ofInbox: rows.bytes(1).span) {
        try #require(
          session == rows.unsigned(0) && options == SubscriptionRow.inboxOptions
            && rows.word(3) == 0 && rows.unsigned(4) == sessions[session]?.inbox, place)
        continue
      }
      let filter = try #require(Vocabulary.filters.firstIndex(of: text), place)
      let expected = try #require(sessions[rows.unsigned(0)]?.subscriptions[filter], place)
      try #require(
        expected.options == options & 0x3F && expected.identifier == rows.word(3)
          && expected.isKept == SubscriptionRow.isKept(options)
          && Vocabulary.isShared(filter) == (options & SubscriptionRow.isShared != 0)
          && expected.position == rows.unsigned(4), place)
    }
    let expected = sessions.values.reduce(0) {
      $0 + $1.subscriptions.count + ($1.inbox == nil ? 0 : 1)
    }
    try #require(found == expected, place)
  }

  private func checkFilters(_ bench: Bench, _ place: Comment) throws {
    let expected = filters
    let rows = try bench.database.statement(
      "SELECT text, is_wildcard, subscriptions, readers FROM filter")
    var found = 0
    while try rows.step() {
      found += 1
      let text = String(decoding: rows.bytes(0), as: UTF8.self)
      let filter =
        DirectTopic.session(ofInbox: rows.bytes(0).span).map { Model.inbox(of: $0) }
        ?? Vocabulary.filters.firstIndex(of: text)
      let counts = try #require(filter.flatMap { expected[$0] }, place)
      let hasWildcard = text.contains { "#+".contains($0) } && !text.hasPrefix("$share/")
      try #require(
        rows.number(1) == (hasWildcard ? 1 : 0) && rows.number(2) == counts.subscriptions
          && rows.number(3) == counts.readers, place)
    }
    try #require(found == expected.count, place)
    var readers: [String: Int] = [:]
    // Of inboxes nobody is told.
    for (filter, counts) in expected
    where filter >= 0 && counts.readers > 0 && !Vocabulary.isShared(filter) {
      readers[Vocabulary.filters[filter]] = 1
    }
    bench.recorder.state.withLock { state in
      #expect(state.readers == readers && state.lostInVain.isEmpty, place)
    }
    let clients = bench.engine.clients
    #expect(clients.count == sessions.count, place)
    for session in sessions.values {
      let client = session.client.bytes
      let hash = topicHash(client.span, seed: clients.seed)
      let loops = clients.loops(forTopic: client.span, topicHash: hash)
      #expect(loops != 0, place)
    }
  }

  private func checkGroups(_ database: Database, _ place: Comment) throws {
    let rows = try database.statement(
      """
      SELECT s.id, f.text, i.text, s.cursor, s.pending FROM share s
      LEFT JOIN filter f ON f.id = s.filter LEFT JOIN filter i ON i.id = s.inner
      """)
    var found = 0
    while try rows.step() {
      found += 1
      let text = String(decoding: rows.bytes(1), as: UTF8.self)
      let share = try #require(Vocabulary.filters.firstIndex(of: text), place)
      let group = try #require(groups[share], place)
      let inner = String(decoding: rows.bytes(2), as: UTF8.self)
      let pending = rows.withBytes(4) { bytes in
        (0..<bytes.count / 8).map { bytes.doubleWord(at: 8 * $0) }
      }
      try #require(
        rows.unsigned(0) == group.id && inner == Vocabulary.filters[group.inner]
          && rows.unsigned(3) == group.cursor && pending == group.pending.sorted(), place)
    }
    try #require(found == groups.count, place)
  }

  private func checkLog(_ database: Database, _ place: Comment) throws {
    var entries: Set<[UInt64]> = []
    let rows = try database.statement(
      """
      SELECT l.sequence, l.span, l.messages, l.bytes, l.appended_at, l.expires_at, l.body, o.counts
      FROM log l LEFT JOIN owed o ON o.sequence = l.sequence ORDER BY l.sequence
      """)
    var live = segments[...]
    while try rows.step() {
      let segment = live.popFirst()
      let expected = try #require(segment, place)
      // What nobody is owed may have been taken out of it.
      let found = Segment(
        first: rows.unsigned(0), span: rows.word(1), messages: rows.number(2),
        bytes: rows.number(3), appendedAt: rows.word(4), expiresAt: rows.word(5))
      try #require(found == expected, place)
      let body = rows.withBytes(6) { Records(MessageRecords(copying: $0)) }
      let records = try #require(body, place)
      let counts = rows.isNull(7) ? nil : rows.withBytes(7) { SegmentState.decodeCounts($0) }
      try #require(
        Int64(records.list.count) == found.messages && records.byteCount == found.bytes, place)
      for message in messages where expected.contains(message) {
        let index = UInt32(message.sequence - expected.first)
        let remaining = remaining(message)
        guard let record = records.list[index] else {
          try #require(remaining == 0, place)
          continue
        }
        let left = counts.map { $0[Int(index)] } ?? record.owed
        let isSame = record.owed == message.owed && record.sample == message.sample
        try #require(left == remaining && isSame, place)
        for filter in record.filters { entries.insert([UInt64(filter), found.first]) }
      }
    }
    try #require(live.isEmpty, place)
    let entry = try database.statement("SELECT filter, sequence FROM entry")
    var found: Set<[UInt64]> = []
    while try entry.step() { found.insert([entry.unsigned(0), entry.unsigned(1)]) }
    try #require(found == entries, place)
    let owed = try database.number(
      "SELECT count(*) FROM owed WHERE sequence NOT IN (SELECT sequence FROM log)")
    let unread = try database.number(
      "SELECT count(*) FROM unread WHERE filter NOT IN (SELECT id FROM filter)")
    try #require(owed == 0 && unread == 0, place)
  }

  /// The records of a segment, by index.
  private struct Records {
    var list: [UInt32: (sample: Sample, owed: UInt32, filters: [UInt32])] = [:]
    var byteCount: Int64

    init?(_ records: consuming MessageRecords?) {
      guard let records else { return nil }
      byteCount = Int64(records.byteCount)
      var found: [UInt32: (sample: Sample, owed: UInt32, filters: [UInt32])] = [:]
      records.forEach { message, _ in
        let filters = message.filters.indices.map { message.filters[$0] }
        found[message.index] = (Sample(message), message.owed, filters)
      }
      list = found
    }
  }

  private func checkRetained(_ database: Database, _ place: Comment) throws {
    let rows = try database.statement(
      "SELECT topic, qos, expires_at, properties, payload FROM retained")
    var found = 0
    while try rows.step() {
      found += 1
      let text = String(decoding: rows.bytes(0), as: UTF8.self)
      let topic = try #require(Vocabulary.topics.firstIndex(of: text), place)
      let sample = try #require(retained[topic], place)
      try #require(
        rows.number(1) == Int64(sample.facts.qos) && rows.word(2) == sample.facts.expiresAt
          && rows.bytes(3) == sample.properties && rows.bytes(4) == sample.payload, place)
    }
    try #require(found == retained.count, place)
  }

  private func checkRequests(_ database: Database, _ place: Comment) throws {
    let rows = try database.statement("SELECT key, until FROM request")
    var found: [[UInt8]: UInt32] = [:]
    while try rows.step() { found[rows.bytes(0)] = rows.word(1) }
    try #require(found == requests, place)
  }

  private func checkTotals(_ bench: Bench, _ place: Comment) throws {
    var expected = Engine.Totals()
    expected.messages = segments.reduce(0) { $0 + $1.messages }
    expected.bytes = segments.reduce(0) { $0 + $1.bytes }
    expected.unread = unreadTotal
    expected.sessions = Int64(sessions.count)
    expected.retained = Int64(retained.count)
    expected.retainedBytes = Int64(retained.values.reduce(0) { $0 + $1.byteCount })
    expected.requests = Int64(requests.count)
    #expect(bench.engine.totals == expected, place)
    var stored: [String: Int64] = [:]
    let meta = try bench.database.statement("SELECT name, value FROM meta")
    while try meta.step() {
      stored[String(decoding: meta.bytes(0), as: UTF8.self)] = meta.number(1)
    }
    #expect(
      stored["messages"] == expected.messages && stored["bytes"] == expected.bytes
        && stored["unread"] == expected.unread && stored["sessions"] == expected.sessions
        && stored["retained"] == expected.retained
        && stored["retained-bytes"] == expected.retainedBytes
        && stored["requests"] == expected.requests
        && stored["next-sequence"] == Int64(nextSequence), place)
  }
}
