import Store
import Util

/// What one session may have waiting, and what it is told when its client comes back.
///
/// The oldest messages beyond the limits go: the session's subscriptions then count from behind them.
/// That is the store's alone to say (a session's cursor is its loop's), so a session that is away in
/// a loop's memory reads on from where it was and finds nothing there.
extension Engine {
  /// A message that waits for a session, and through which subscription.
  private struct Waiting {
    var sequence: UInt64
    /// About what it takes, in bytes: the average of its segment.
    var bytes: Int64
  }

  /// A session's client is back: drops what is more than it may have waiting, and tells how many messages
  /// it missed.
  func resume(_ id: StoredSessionID, _ asker: Asker, loop: Int) throws(DatabaseError) {
    try closeSegment()
    _ = try limit(id)
    guard totals.unread > 0 else { return }
    let cursor = try readProgress(id).cursor
    var count: UInt64 = 0
    for row in try rows(of: id) where row.isReader {
      count += try unread(row.filter, after: max(cursor, row.position))
    }
    let missed = try missed(id)
    if missed > 0 {
      count += missed
      try database.statement("DELETE FROM missed WHERE session = ?1").bind(1, id).run()
    }
    if count > 0 { effects.append(.event(loop: loop, .unread(asker, count))) }
  }

  /// Messages that were dropped because too many waited for a session, since its client was told.
  func missed(_ id: StoredSessionID) throws(DatabaseError) -> UInt64 {
    let query = try database.statement("SELECT messages FROM missed WHERE session = ?1")
    query.bind(1, id)
    defer { query.reset() }
    return try query.step() ? query.unsigned(0) : 0
  }

  /// Looks at some of the sessions whose clients are away. True where one has more to be dropped.
  func limitSessions() throws(DatabaseError) -> Bool {
    guard limits.maximumSessionMessages > 0 || limits.maximumSessionBytes > 0, totals.messages > 0
    else { return false }
    let query = try database.statement(
      "SELECT id FROM session WHERE id > ?1 AND connected = 0 ORDER BY id LIMIT ?2")
    query.bind(1, limitedThrough).bind(2, Int64(StoreConstants.sweepRows))
    var ids: [StoredSessionID] = []
    while try query.step() { ids.append(query.unsigned(0)) }
    limitedThrough = ids.count < StoreConstants.sweepRows ? 0 : ids.last ?? 0
    var hasMore = false
    for id in ids {
      if try limit(id) { hasMore = true }
    }
    return hasMore
  }

  /// Drops the oldest messages that wait for a session beyond the limits, so many at a time. True where
  /// there are more.
  private func limit(_ id: StoredSessionID) throws(DatabaseError) -> Bool {
    let readers = try rows(of: id).filter(\.isReader)
    guard !readers.isEmpty else { return false }
    let cursor = try readProgress(id).cursor
    var messages: Int64 = 0
    var bytes: Int64 = 0
    for row in readers {
      let query = try database.statement(
        """
        SELECT sum(length(e.places) / 2), sum(length(e.places) / 2 * l.bytes / l.messages)
        FROM entry e JOIN log l ON l.sequence = e.sequence
        WHERE e.filter = ?1 AND e.sequence >= ?2
        """)
      defer { query.reset() }
      query.bind(1, row.filter).bind(2, max(cursor, row.position) + 1)
      guard try query.step() else { continue }
      messages += query.number(0)
      bytes += query.number(1)
    }
    guard isTooMuch(messages, bytes) else { return false }
    return try drop(id, readers, after: cursor)
  }

  private func isTooMuch(_ messages: Int64, _ bytes: Int64) -> Bool {
    (limits.maximumSessionMessages > 0 && messages > Int64(limits.maximumSessionMessages))
      || (limits.maximumSessionBytes > 0 && bytes > Int64(limits.maximumSessionBytes))
  }

  private func drop(
    _ id: StoredSessionID, _ readers: [SubscriptionRow], after cursor: UInt64
  ) throws(DatabaseError) -> Bool {
    var waiting: [Waiting] = []
    for row in readers { try collect(row, after: max(cursor, row.position), into: &waiting) }
    waiting.sort { $0.sequence < $1.sequence }
    // From the newest back, as many as may stay; one that waits through two subscriptions is one.
    var kept = (messages: Int64(0), bytes: Int64(0))
    var place = waiting.count
    while place > 0 {
      let message = waiting[place - 1]
      let isSame = place < waiting.count && waiting[place].sequence == message.sequence
      if !isSame {
        kept.messages += 1
        kept.bytes += message.bytes
        // The last one stays, however large it is.
        if isTooMuch(kept.messages, kept.bytes) && kept.messages > 1 { break }
      }
      place -= 1
    }
    guard place > 0 else { return false }
    var end = min(place, StoreConstants.limitedMessages)
    while end < place, waiting[end].sequence == waiting[end - 1].sequence { end += 1 }
    var missed: Int64 = 0
    for number in 0..<end {
      try release(waiting[number].sequence, 1)
      if number == 0 || waiting[number].sequence != waiting[number - 1].sequence { missed += 1 }
    }
    let last = waiting[end - 1].sequence
    for row in readers where row.position < last {
      try database.statement(
        "UPDATE subscription SET position = ?3 WHERE session = ?1 AND filter = ?2"
      ).bind(1, id).bind(2, row.filter).bind(3, last).run()
    }
    try database.statement(
      """
      INSERT INTO missed VALUES (?1, ?2)
      ON CONFLICT (session) DO UPDATE SET messages = messages + excluded.messages
      """
    ).bind(1, id).bind(2, missed).run()
    totals.unread += missed
    return end < place
  }

  private func collect(
    _ row: SubscriptionRow, after start: UInt64, into waiting: inout [Waiting]
  ) throws(DatabaseError) {
    let query = try database.statement(
      """
      SELECT e.sequence, e.places, l.bytes / l.messages
      FROM entry e JOIN log l ON l.sequence = e.sequence
      WHERE e.filter = ?1 AND e.sequence >= ?2 ORDER BY e.sequence
      """)
    query.bind(1, row.filter).bind(2, try firstEntry(row.filter, holding: start + 1))
    while try query.step() {
      let first = query.unsigned(0)
      let bytes = query.number(2)
      query.withBytes(1) {
        $0.forEachSequence(of: first, after: start) {
          waiting.append(Waiting(sequence: $0, bytes: bytes))
        }
      }
    }
  }
}
