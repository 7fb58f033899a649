import Store
import Util

/// A segment that is being filled.
final class OpenSegment {
  let first: UInt64
  var records = MessageRecords(capacity: 4096)
  /// The loops whose subscribers want a message of it.
  var loops: UInt64 = 0
  /// Filters with messages here, and for each the places of its messages, as the database has them.
  var filters: [UInt32: [UInt8]] = [:]
  /// The last second at which one of the messages expires; 0 once one never does.
  private(set) var expiresAt: UInt32 = 1
  /// Messages that somebody is owed.
  private(set) var owedMessages = 0
  /// Clients that are away, of messages that are to be told with them.
  var notices: [AbsentNotice] = []

  init(first: UInt64) { self.first = first }

  /// Adds a message that filters matched, under a topic; gives its place among the records.
  func append(
    _ message: borrowing LoggedMessage, _ facts: LoggedFacts, topic: Span<UInt8>, owed: UInt32,
    filters ids: [UInt32]
  ) -> Int {
    let index = UInt32(records.count)
    let offset = records.append(
      facts, topic: topic, properties: message.properties, payload: message.payload, index: index,
      owed: owed, filters: ids.span)
    guard owed > 0 else { return offset }
    owedMessages += 1
    for id in ids { filters[id, default: []].append(littleEndian: UInt16(index)) }
    let expiry = facts.expiresAt
    expiresAt = expiry == 0 || expiresAt == 0 ? 0 : max(expiresAt, expiry)
    return offset
  }
}

/// Messages: how they enter the log and leave it.
extension Engine {
  /// Appends a message that stored sessions are owed, and retains one that is to be.
  /// - Returns: How many subscriptions it is owed to; nil where it was refused.
  func publish(
    _ message: borrowing LoggedMessage, loop: Int, appends: Bool, pending: UInt64,
    tellsAbsent: Bool = false
  ) throws(DatabaseError) -> UInt32? {
    let facts = message.facts
    if facts.retain {
      let topic = message.topic
      let wasKept = try retain(
        facts, topic: topic, properties: message.properties, payload: message.payload)
      guard wasKept else {
        effects.append(.event(loop: loop, .refused(pending: pending)))
        return nil
      }
    }
    guard appends, facts.qos > 0 else { return 0 }
    let topic = message.topic
    if !filters.hasExact(topic) { _ = try lookUp(topic) }
    var owed: UInt32 = 0
    matchedFilters.removeAll(keepingCapacity: true)
    filters.forEachMatch(topic) { known in
      // It overflows only where the database is damaged.
      owed &+= known.readers
      matchedFilters.append(known.id)
    }
    let absent = tellsAbsent ? try absentReaders(publisher: facts.publisher) : nil
    try append(message, facts, topic: topic, owed: owed, loop: loop, absent: absent)
    return owed
  }

  /// Appends a message that the filters of `matchedFilters` matched.
  /// - Parameter absent: clients to be told of with it; nil for none.
  func append(
    _ message: borrowing LoggedMessage, _ facts: LoggedFacts, topic: Span<UInt8>, owed: UInt32,
    loop: Int, absent: AbsentReaders?
  ) throws(DatabaseError) {
    // One that nobody is owed is written with the others of its segment, if there are any: loops had
    // reason to think that somebody is, and wait for it.
    let segment = open ?? OpenSegment(first: nextSequence)
    open = segment
    let offset = segment.append(
      message, facts, topic: topic, owed: owed, filters: matchedFilters)
    segment.loops |= listener.loops(for: topic)
    if let absent, !absent.clients.isEmpty || absent.more > 0 {
      segment.notices.append(AbsentNotice(loop: loop, offset: offset, readers: absent))
    }
    nextSequence += 1
    if owed > 0 { appended += 1 }
    if segment.records.byteCount >= StoreConstants.segmentBytes
      || segment.records.count >= StoreConstants.segmentMessages
    {
      try closeSegment()
    }
  }

  /// Writes the segment that is being filled, if one is: what follows comes behind it.
  func closeSegment() throws(DatabaseError) {
    guard let filled = open else { return }
    open = nil
    let segment = LogSegment(
      first: filled.first, span: UInt32(filled.records.count), records: filled.takeRecords())
    if filled.owedMessages > 0 {
      try write(segment.records, of: filled)
      cache(SegmentState(segment, appendedAt: now))
    }
    effects.append(.segment(segment, loops: filled.loops))
    for notice in filled.notices {
      let absent = AbsentClients(
        place: LogPlace(segment: segment, offset: notice.offset), clients: notice.readers.clients,
        more: notice.readers.more)
      effects.append(.event(loop: notice.loop, .absent(absent)))
    }
  }

  /// Adds the row of a segment, and one for each filter.
  private func write(
    _ records: borrowing MessageRecords, of filled: OpenSegment
  ) throws(DatabaseError) {
    totals.messages += Int64(records.count)
    totals.bytes += Int64(records.byteCount)
    let insert = try database.statement("INSERT INTO log VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6)")
    insert.bind(1, filled.first).bind(2, UInt32(records.count)).bind(3, Int64(records.byteCount))
    insert.bind(4, now).bind(5, filled.expiresAt)
    try insert.run(6, lending: records.bytes)
    let entry = try database.statement("INSERT INTO entry VALUES (?1, ?2, ?3)")
    for (filter, places) in filled.filters {
      try entry.bind(1, filter).bind(2, filled.first).run(3, lending: places.span)
    }
  }

  /// A message is owed to `count` subscriptions fewer; it goes when nobody is owed it any more.
  func release(_ sequence: UInt64, _ count: UInt32) throws(DatabaseError) {
    if let open, sequence >= open.first { try closeSegment() }
    guard let state = try state(of: sequence) else { return }
    touch(state)
    _ = state.release(sequence, count)
  }

  /// Messages are owed to one subscription fewer each. Those of a segment come together, mostly.
  func releaseEach(_ sequences: [UInt64]) throws(DatabaseError) {
    var present: SegmentState?
    for sequence in sequences {
      if let open, sequence >= open.first { try closeSegment() }
      if let state = present, sequence >= state.first, sequence <= state.last {
        _ = state.release(sequence, 1)
        continue
      }
      present = try state(of: sequence)
      guard let state = present else { continue }
      touch(state)
      _ = state.release(sequence, 1)
    }
  }

  func touch(_ state: SegmentState) {
    guard !state.isDirty else { return }
    state.isDirty = true
    touched.append(state)
  }

  /// Writes what is left of the counts that have changed, and forgets segments of which nothing is.
  func flushCounts() throws(DatabaseError) {
    for state in touched {
      if state.isDone {
        try forget(state)
      } else {
        let update = try database.statement("INSERT OR REPLACE INTO owed VALUES (?1, ?2)")
        try update.bind(1, state.first).run(2, lending: state.encodedCounts.span)
      }
    }
  }

  /// Forgets a segment.
  func forget(_ state: SegmentState) throws(DatabaseError) {
    // A segment that was forgotten already is not in the cache any more.
    guard states[state.first] === state else { return }
    try forgetEntries(of: state.filters, in: state)
    try database.statement("DELETE FROM log WHERE sequence = ?1").bind(1, state.first).run()
    try database.statement("DELETE FROM owed WHERE sequence = ?1").bind(1, state.first).run()
    totals.messages -= Int64(state.segment.records.count)
    totals.bytes -= Int64(state.segment.records.byteCount)
    uncache(state)
  }

  /// Forgets which messages of a segment match some filters.
  func forgetEntries(of filters: Set<UInt32>, in state: SegmentState) throws(DatabaseError) {
    let delete = try database.statement("DELETE FROM entry WHERE filter = ?1 AND sequence = ?2")
    for filter in filters { try delete.bind(1, filter).bind(2, state.first).run() }
  }

  /// Forgets a segment that somebody is owed messages of: they count as unread.
  func drop(_ state: SegmentState) throws(DatabaseError) {
    var unread: [UInt32: Int64] = [:]
    var messages: Int64 = 0
    for index in state.counts.indices where state.counts[index] > 0 {
      guard let place = state.place(of: state.first + UInt64(index)) else { continue }
      messages += 1
      place.segment.records.withMessage(at: place.offset) { message in
        for number in message.filters.indices { unread[message.filters[number], default: 0] += 1 }
      }
    }
    for (filter, count) in unread { try addUnread(filter, count, through: state.last) }
    totals.unread += messages
    try forget(state)
    // It may be among those whose counts are to be written.
    touched.removeAll { $0 === state }
  }

  // MARK: Unread messages

  func addUnread(
    _ filter: UInt32, _ count: Int64, through sequence: UInt64
  ) throws(DatabaseError) {
    // A filter that nobody subscribes to any more has no rows, and gets none.
    let known = try database.statement("SELECT 1 FROM filter WHERE id = ?1").bind(1, filter)
    guard try known.step() else { return }
    known.reset()
    let before = try unreadTotal(filter, through: sequence)
    try database.statement("INSERT OR REPLACE INTO unread VALUES (?1, ?2, ?3)")
      .bind(1, filter).bind(2, sequence).bind(3, before).run()
    // Segments are not always dropped in order: this row and those behind it count the messages.
    try database.statement(
      "UPDATE unread SET total = total + ?3 WHERE filter = ?1 AND sequence >= ?2"
    ).bind(1, filter).bind(2, sequence).bind(3, count).run()
    try thinUnread(filter)
  }

  /// Takes every second one of the older rows away where a filter has too many: what a session missed
  /// is then told less exactly.
  private func thinUnread(_ filter: UInt32) throws(DatabaseError) {
    let rows = try database.statement("SELECT sequence FROM unread WHERE filter = ?1")
    rows.bind(1, filter)
    var sequences: [UInt64] = []
    while try rows.step() { sequences.append(rows.unsigned(0)) }
    guard sequences.count > StoreConstants.unreadRows else { return }
    for place in stride(from: 1, to: sequences.count / 2, by: 2) {
      try database.statement("DELETE FROM unread WHERE filter = ?1 AND sequence = ?2")
        .bind(1, filter).bind(2, sequences[place]).run()
    }
  }

  /// How many messages of a filter went unread behind a sequence number.
  func unread(_ filter: UInt32, after sequence: UInt64) throws(DatabaseError) -> UInt64 {
    let all = try unreadTotal(filter, through: .max)
    guard all > 0 else { return 0 }
    let before = try unreadTotal(filter, through: sequence)
    return all > before ? all - before : 0
  }

  private func unreadTotal(
    _ filter: UInt32, through sequence: UInt64
  ) throws(DatabaseError) -> UInt64 {
    let query = try database.statement(
      """
      SELECT total FROM unread WHERE filter = ?1 AND sequence <= ?2
      ORDER BY sequence DESC LIMIT 1
      """
    ).bind(1, filter).bind(2, sequence)
    defer { query.reset() }
    return try query.step() ? query.unsigned(0) : 0
  }
}

extension OpenSegment {
  /// The records; the segment is not used any more.
  func takeRecords() -> MessageRecords {
    var taken = MessageRecords(capacity: 64)
    swap(&taken, &records)
    return taken
  }
}
