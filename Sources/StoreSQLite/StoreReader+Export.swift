import Store

/// The store as one thing after the other.
extension StoreReader {
  /// Calls `body` with all that makes the store, in the order of the cases of `StoreItem`, until it says
  /// false. Nothing but the present thing is in memory. Messages that nobody is owed are left out.
  /// - Throws: `StoreToolError` where the file can't be read or is damaged.
  public func export(_ body: (StoreItem) -> Bool) throws(StoreToolError) {
    var count: UInt64 = 0
    func give(_ item: StoreItem) -> Bool {
      count += 1
      return body(item)
    }
    try reading { () throws(DatabaseError) in
      guard give(.head(try head())), try exportFilters(give), try exportShares(give),
        try exportSessions(give), try exportMessages(give), try exportRetained(give),
        try exportRequests(give)
      else { return }
      _ = body(.end(count))
    }
  }

  private func head() throws(DatabaseError) -> StoreItem.Head {
    let last = try database.number("SELECT seq FROM sqlite_sequence WHERE name = 'share'") ?? 0
    return StoreItem.Head(
      epoch: try meta("epoch"), nextSequence: try meta("next-sequence"),
      clock: UInt32(truncatingIfNeeded: try meta("clock")), unread: try meta("unread"),
      lastShare: UInt64(max(0, last)))
  }

  private func exportFilters(_ give: (StoreItem) -> Bool) throws(DatabaseError) -> Bool {
    let rows = try database.statement("SELECT id, text FROM filter ORDER BY id")
    defer { rows.reset() }
    let unread = try database.statement(
      "SELECT sequence, total FROM unread WHERE filter = ?1 ORDER BY sequence")
    while try rows.step() {
      var filter = StoreItem.Filter(id: rows.word(0), text: rows.bytes(1), unread: [])
      unread.bind(1, filter.id)
      while try unread.step() {
        filter.unread.append(
          StoreItem.Unread(through: unread.unsigned(0), total: unread.unsigned(1)))
      }
      guard give(.filter(filter)) else { return false }
    }
    return true
  }

  private func exportShares(_ give: (StoreItem) -> Bool) throws(DatabaseError) -> Bool {
    let rows = try database.statement(
      """
      SELECT h.id, f.text, i.text, h.cursor, h.pending FROM share h
      JOIN filter f ON f.id = h.filter JOIN filter i ON i.id = h.inner ORDER BY h.id
      """)
    defer { rows.reset() }
    while try rows.step() {
      let share = StoreItem.Share(
        id: rows.unsigned(0), filter: rows.bytes(1), inner: rows.bytes(2),
        cursor: rows.unsigned(3), pending: rows.withBytes(4) { decodePending($0) })
      guard give(.share(share)) else { return false }
    }
    return true
  }

  private func exportSessions(_ give: (StoreItem) -> Bool) throws(DatabaseError) -> Bool {
    let rows = try database.statement(
      """
      SELECT id, client, version, connected, expiry_interval, expires_at, will_due_at, will
      FROM session ORDER BY id
      """)
    defer { rows.reset() }
    while try rows.step() {
      let id = rows.unsigned(0)
      let session = StoreItem.Session(
        id: id, client: rows.bytes(1), presence: StoreReader.presence(rows, from: 2),
        progress: try engine.readProgress(id), missed: try engine.missed(id),
        inbox: try inbox(of: id), subscriptions: try subscriptions(of: id))
      guard give(.session(session)) else { return false }
    }
    return true
  }

  private func exportMessages(_ give: (StoreItem) -> Bool) throws(DatabaseError) -> Bool {
    let rows = try database.statement(
      """
      SELECT l.sequence, l.span, l.appended_at, l.body, o.counts FROM log l
      LEFT JOIN owed o ON o.sequence = l.sequence ORDER BY l.sequence
      """)
    defer { rows.reset() }
    var goesOn = true
    while goesOn, try rows.step() {
      let first = rows.unsigned(0)
      let span = rows.word(1)
      guard span <= 1 << 16, let records = rows.withBytes(3, { MessageRecords(copying: $0) }) else {
        throw DatabaseError.damaged("segment \(first) of the log is damaged")
      }
      let counts = rows.isNull(4) ? nil : rows.withBytes(4) { SegmentState.decodeCounts($0) }
      let state = SegmentState(
        LogSegment(first: first, span: span, records: records), appendedAt: rows.word(2),
        counts: counts)
      let known = try existing(state.filters)
      state.segment.records.forEach { message, _ in
        guard goesOn, message.index < span, state.counts[Int(message.index)] > 0 else { return }
        goesOn = give(.message(StoreItem.Message(message, of: state, filters: known)))
      }
    }
    return goesOn
  }

  private func exportRequests(_ give: (StoreItem) -> Bool) throws(DatabaseError) -> Bool {
    let rows = try database.statement("SELECT key, until FROM request ORDER BY key")
    defer { rows.reset() }
    while try rows.step() {
      guard give(.request(StoreItem.Request(key: rows.bytes(0), until: rows.word(1)))) else {
        return false
      }
    }
    return true
  }

  /// Those of some filters that somebody subscribes to.
  private func existing(_ filters: Set<UInt32>) throws(DatabaseError) -> Set<UInt32> {
    var found: Set<UInt32> = []
    let query = try database.statement("SELECT 1 FROM filter WHERE id = ?1")
    for filter in filters {
      if try query.bind(1, filter).step() { found.insert(filter) }
      query.reset()
    }
    return found
  }

  private func exportRetained(_ give: (StoreItem) -> Bool) throws(DatabaseError) -> Bool {
    let rows = try database.statement(
      "SELECT topic, qos, expires_at, properties, payload FROM retained ORDER BY topic")
    defer { rows.reset() }
    while try rows.step() {
      let retained = StoreItem.Retained(
        topic: rows.bytes(0), qos: UInt8(truncatingIfNeeded: rows.number(1)),
        expiresAt: rows.word(2), properties: rows.bytes(3), payload: rows.bytes(4))
      guard give(.retained(retained)) else { return false }
    }
    return true
  }
}

extension StoreItem.Message {
  fileprivate init(
    _ message: borrowing LoggedMessage, of state: SegmentState, filters known: Set<UInt32>
  ) {
    var filters: [UInt32] = []
    for place in message.filters.indices where known.contains(message.filters[place]) {
      filters.append(message.filters[place])
    }
    self.init(
      sequence: state.first + UInt64(message.index), appendedAt: state.appendedAt,
      facts: message.facts, filters: filters, topic: message.topic.array,
      properties: message.properties.array, payload: message.payload.array)
  }
}
