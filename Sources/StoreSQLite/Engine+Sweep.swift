import Store
import Util

/// What is done now and then: what has expired, what is too much, and what is due.
extension Engine {
  /// Does a bounded part of it. True where there is more to be done at once.
  func sweep() throws(DatabaseError) -> Bool {
    // So that nothing is dropped to make room that is there.
    try closeSegment()
    for state in touched where state.isDone { try forget(state) }
    var hasMore = try endConnections()
    if try expireMessages() { hasMore = true }
    if try keepLimits() { hasMore = true }
    if try limitSessions() { hasMore = true }
    if try expireRetained() { hasMore = true }
    if try expireRequests() { hasMore = true }
    try compactSome()
    try tellDue()
    return hasMore
  }

  /// Sessions that were connected when the broker ended: their clients have been away since this run
  /// began.
  private func endConnections() throws(DatabaseError) -> Bool {
    guard !areConnectionsEnded else { return false }
    let query = try database.statement(
      """
      SELECT id, version, expiry_interval, will FROM session
      WHERE connected > 0 AND connected < ?1 LIMIT ?2
      """)
    query.bind(1, epoch).bind(2, Int64(StoreConstants.sweepRows))
    var found: [(id: StoredSessionID, presence: SessionPresence)] = []
    while try query.step() {
      var presence = SessionPresence(
        version: UInt8(truncatingIfNeeded: query.number(1)), isConnected: true,
        expiryInterval: query.word(2),
        will: query.isNull(3) ? nil : query.withBytes(3) { StoredWill($0) })
      endConnection(&presence)
      found.append((query.unsigned(0), presence))
    }
    for (id, presence) in found { try setPresence(id, presence) }
    areConnectionsEnded = found.count < StoreConstants.sweepRows
    return !areConnectionsEnded
  }

  /// Segments of which every message has expired.
  private func expireMessages() throws(DatabaseError) -> Bool {
    let query = try database.statement(
      "SELECT sequence FROM log WHERE expires_at > 0 AND expires_at <= ?1 LIMIT ?2")
    query.bind(1, now).bind(2, Int64(StoreConstants.sweepRows))
    return try dropAll(query)
  }

  /// The oldest segments, as far as there are more messages or bytes than there may be, or they are
  /// older than messages may be.
  private func keepLimits() throws(DatabaseError) -> Bool {
    var dropped = 0
    while dropped < StoreConstants.sweepRows {
      let query = try database.statement(
        "SELECT sequence, appended_at FROM log ORDER BY sequence LIMIT 1")
      guard try query.step() else { return false }
      let sequence = query.unsigned(0)
      let appendedAt = query.word(1)
      query.reset()
      let isTooMany =
        limits.maximumMessages > 0 && totals.messages > Int64(limits.maximumMessages)
      let isTooMuch = limits.maximumBytes > 0 && totals.bytes > Int64(limits.maximumBytes)
      let isTooOld = limits.maximumAge > 0 && now >= Engine.sum(appendedAt, limits.maximumAge)
      guard isTooMany || isTooMuch || isTooOld, let state = try state(of: sequence) else {
        return false
      }
      try drop(state)
      dropped += 1
    }
    return true
  }

  private func dropAll(_ query: Statement) throws(DatabaseError) -> Bool {
    var found: [UInt64] = []
    while try query.step() { found.append(query.unsigned(0)) }
    for sequence in found {
      if let state = try state(of: sequence) { try drop(state) }
    }
    return found.count == StoreConstants.sweepRows
  }

  private func expireRetained() throws(DatabaseError) -> Bool {
    let query = try database.statement(
      """
      SELECT id, length(topic) + length(properties) + length(payload) FROM retained
      WHERE expires_at > 0 AND expires_at <= ?1 LIMIT ?2
      """)
    query.bind(1, now).bind(2, Int64(StoreConstants.sweepRows))
    var found: [(id: Int64, bytes: Int64)] = []
    while try query.step() { found.append((query.number(0), query.number(1))) }
    for (id, bytes) in found {
      try database.statement("DELETE FROM retained WHERE id = ?1").bind(1, id).run()
      totals.retained -= 1
      totals.retainedBytes -= bytes
    }
    return found.count == StoreConstants.sweepRows
  }

  /// Writes segments anew of which less than half is owed to anybody: one message that waits for long
  /// must not keep a thousand others.
  private func compactSome() throws(DatabaseError) {
    var candidates: [SegmentState] = []
    for first in stateOrder where candidates.count < StoreConstants.sweepRows {
      guard let state = states[first], !state.isDirty, !state.isDone else { continue }
      let isOld = now >= Engine.sum(state.appendedAt, StoreConstants.compactionAge)
      if isOld && state.liveBytes * 2 < state.segment.records.byteCount { candidates.append(state) }
    }
    for state in candidates { try compact(state) }
  }

  private func compact(_ state: SegmentState) throws(DatabaseError) {
    var kept = MessageRecords(capacity: state.liveBytes)
    var ids: [UInt32] = []
    state.segment.records.forEach { message, _ in
      guard message.index < state.counts.count, state.counts[Int(message.index)] > 0 else { return }
      ids.removeAll(keepingCapacity: true)
      for number in message.filters.indices { ids.append(message.filters[number]) }
      _ = kept.append(
        message.facts, topic: message.topic, properties: message.properties,
        payload: message.payload, index: message.index, owed: message.owed, filters: ids.span)
    }
    let update = try database.statement(
      "UPDATE log SET messages = ?2, bytes = ?3, body = ?4 WHERE sequence = ?1")
    update.bind(1, state.first).bind(2, Int64(kept.count)).bind(3, Int64(kept.byteCount))
    try update.run(4, lending: kept.bytes)
    totals.messages -= Int64(state.segment.records.count - kept.count)
    totals.bytes -= Int64(state.segment.records.byteCount - kept.byteCount)
    let segment = LogSegment(first: state.first, span: state.segment.span, records: kept)
    let compacted = SegmentState(segment, appendedAt: state.appendedAt, counts: state.counts)
    // What is forgotten with the segment is found through the messages that it has by then.
    try forgetEntries(of: state.filters.subtracting(compacted.filters), in: state)
    uncache(state)
    cache(compacted)
  }

  /// Tells a loop which clients' sessions have something due.
  private func tellDue() throws(DatabaseError) {
    let query = try database.statement(
      "SELECT client FROM session WHERE due > 0 AND due <= ?1 LIMIT ?2")
    query.bind(1, now).bind(2, Int64(StoreConstants.sweepRows))
    var clients: [[UInt8]] = []
    while try query.step() { clients.append(query.bytes(0)) }
    guard !clients.isEmpty else { return }
    effects.append(.event(loop: 0, .due(clients)))
  }
}
