import Store
import Util

/// Segments in memory, and those that come from the database when they are asked for.
extension Engine {
  /// The segment that holds a sequence number; nil where it is gone.
  func state(of sequence: UInt64) throws(DatabaseError) -> SegmentState? {
    if let cached = cachedState(of: sequence) { return cached }
    return try readState(
      try database.statement(
        """
        SELECT l.sequence, l.span, l.appended_at, l.body, o.counts FROM log l
        LEFT JOIN owed o ON o.sequence = l.sequence
        WHERE l.sequence <= ?1 ORDER BY l.sequence DESC LIMIT 1
        """
      ).bind(1, sequence), holding: sequence)
  }

  private func readState(
    _ query: Statement, holding sequence: UInt64
  ) throws(DatabaseError) -> SegmentState? {
    defer { query.reset() }
    guard try query.step() else { return nil }
    let first = query.unsigned(0)
    // What is cached may be newer than what is written.
    if let cached = states[first] {
      cached.usedAt = cacheTurn
      return sequence <= cached.last ? cached : nil
    }
    let span = query.number(1)
    // Places in a segment have two bytes.
    guard (1...1 << 16).contains(span) else {
      query.reset()
      try giveUp(first)
      return nil
    }
    guard sequence >= first, sequence < first + UInt64(span) else { return nil }
    guard let records = query.withBytes(3, { MessageRecords(copying: $0) }),
      Engine.isSound(records, span: UInt32(span))
    else {
      query.reset()
      try giveUp(first)
      return nil
    }
    let counts = query.isNull(4) ? nil : query.withBytes(4) { SegmentState.decodeCounts($0) }
    let state = SegmentState(
      LogSegment(first: first, span: UInt32(span), records: records), appendedAt: query.word(2),
      counts: counts)
    cache(state)
    return state
  }

  /// The segment of the cache that holds a sequence number.
  private func cachedState(of sequence: UInt64) -> SegmentState? {
    let place = orderPlace(behind: sequence)
    guard place > 0, let state = states[stateOrder[place - 1]], sequence <= state.last else {
      return nil
    }
    state.usedAt = cacheTurn
    return state
  }

  /// How many keys of the cache are not above a sequence number.
  private func orderPlace(behind sequence: UInt64) -> Int {
    if let last = stateOrder.last, last <= sequence { return stateOrder.count }
    var low = 0
    var high = stateOrder.count
    while low < high {
      let middle = (low + high) / 2
      if stateOrder[middle] <= sequence { low = middle + 1 } else { high = middle }
    }
    return low
  }

  func cache(_ state: SegmentState) {
    state.usedAt = cacheTurn
    states[state.first] = state
    stateOrder.insert(state.first, at: orderPlace(behind: state.first))
    cachedBytes += state.segment.records.byteCount
  }

  func uncache(_ state: SegmentState) {
    guard states.removeValue(forKey: state.first) != nil else { return }
    let place = orderPlace(behind: state.first)
    stateOrder.remove(at: place - 1)
    cachedBytes -= state.segment.records.byteCount
  }

  /// Lets go of the segments that were not used for longest where there are too many: what a session
  /// that lags reads is old, and it reads each segment many times. To be called between transactions:
  /// what is cached then is as it is written.
  func trimCache() {
    cacheTurn += 1
    guard
      cachedBytes > StoreConstants.cachedSegmentBytes
        || stateOrder.count > StoreConstants.cachedSegments
    else { return }
    // Some more, so that this is rarely done; the last one used stays in any case.
    let bytes = StoreConstants.cachedSegmentBytes / 8 * 7
    let count = StoreConstants.cachedSegments / 8 * 7
    let byUse = states.values.sorted { ($0.usedAt, $0.first) < ($1.usedAt, $1.first) }
    for state in byUse.dropLast() where cachedBytes > bytes || states.count > count {
      states[state.first] = nil
      cachedBytes -= state.segment.records.byteCount
    }
    stateOrder.removeAll { states[$0] == nil }
  }
}
