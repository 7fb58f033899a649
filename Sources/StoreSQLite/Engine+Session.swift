import PubSub
import Store
import Util

/// Sessions and what they subscribe to.
extension Engine {
  func create(
    _ id: StoredSessionID, _ client: [UInt8], _ presence: SessionPresence,
    _ progress: SessionProgress
  ) throws(DatabaseError) {
    let present = try database.statement("SELECT id FROM session WHERE client = ?1").bind(1, client)
    if try present.step() {
      // Two loops can't both create one, so this is never so; but a client has one session at most.
      let old = present.unsigned(0)
      present.reset()
      try end(old)
    }
    let insert = try database.statement(
      "INSERT INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
    bind(presence, to: insert.bind(1, id).bind(2, client))
    try insert.run()
    // A new session is owed nothing that is in the log.
    var started = progress
    started.cursor = nextSequence - 1
    try write(
      started, of: id, try database.statement("INSERT INTO progress VALUES (?1, ?2, ?3, ?4, ?5)"))
    clients.add(InterestKey(exactly: client.span, seed: clients.seed), loop: 0)
    gainedClients.append(client)
    totals.sessions += 1
  }

  /// Sets the parameters 3 to 9.
  private func bind(_ presence: SessionPresence, to statement: Statement) {
    statement.bind(3, UInt32(presence.version)).bind(4, presence.isConnected ? epoch : 0)
    statement.bind(5, presence.expiryInterval).bind(6, presence.expiresAt)
    statement.bind(7, presence.willDueAt).bind(8, Engine.due(presence))
    if let will = presence.will { statement.bind(9, will.encoded) } else { statement.bindNull(9) }
  }

  /// When a session that has no client needs attention next; 0 for never.
  static func due(_ presence: SessionPresence) -> UInt32 {
    if presence.isConnected { return 0 }
    if presence.expiresAt == 0 { return presence.willDueAt }
    return presence.willDueAt == 0
      ? presence.expiresAt : min(presence.expiresAt, presence.willDueAt)
  }

  func setPresence(_ id: StoredSessionID, _ presence: SessionPresence) throws(DatabaseError) {
    let update = try database.statement(
      """
      UPDATE session SET version = ?3, connected = ?4, expiry_interval = ?5, expires_at = ?6,
        will_due_at = ?7, due = ?8, will = ?9 WHERE id = ?1
      """)
    bind(presence, to: update.bind(1, id))
    try update.run()
  }

  // MARK: What is in flight

  func flushProgress() throws(DatabaseError) {
    guard !progress.isEmpty else { return }
    let update = try database.statement(
      """
      UPDATE progress SET cursor = ?2, next_packet_id = ?3, window = ?4, inbound = ?5
      WHERE session = ?1
      """)
    for (id, value) in progress { try write(value, of: id, update) }
  }

  private func write(
    _ progress: SessionProgress, of id: StoredSessionID, _ statement: Statement
  ) throws(DatabaseError) {
    statement.bind(1, id).bind(2, progress.cursor).bind(3, UInt32(progress.nextPacketID))
    statement.bind(4, WindowEntry.encode(progress.window))
    try statement.bind(5, progress.encodedInbound).run()
  }

  func readProgress(_ id: StoredSessionID) throws(DatabaseError) -> SessionProgress {
    if let present = progress[id] { return present }
    let query = try database.statement(
      "SELECT cursor, next_packet_id, window, inbound FROM progress WHERE session = ?1")
    query.bind(1, id)
    defer { query.reset() }
    guard try query.step() else { return SessionProgress() }
    return SessionProgress(
      cursor: query.unsigned(0), nextPacketID: UInt16(truncatingIfNeeded: query.number(1)),
      window: query.withBytes(2) { WindowEntry.decode($0) },
      inbound: query.withBytes(3) { SessionProgress.decodeInbound($0) })
  }

  // MARK: Subscriptions

  func subscribe(
    _ id: StoredSessionID, _ subscription: StoredSubscription
  ) throws(DatabaseError) {
    // One that comes behind the session's end would keep messages that nobody reads.
    let present = try database.statement("SELECT 1 FROM session WHERE id = ?1").bind(1, id)
    guard try present.step() else { return }
    present.reset()
    let text = subscription.filter
    var filter = try lookUp(text.span) ?? FilterCache.Known()
    if filter.id == 0 { filter = try addFilter(text.span) }
    let isShared = text.span.isShareFilter
    let old = try row(of: id, filter.id)
    var options = subscription.options & 0x3F
    if isShared { options |= SubscriptionRow.isShared }
    let isReader = SubscriptionRow.isKept(options)
    let wasReader = old?.isKept ?? false
    var position = old?.position ?? 0
    if old == nil || (isReader && !wasReader) {
      position = nextSequence - 1
    } else if wasReader && !isReader, let old {
      try releaseAll(old, of: id)
    }
    let insert = try database.statement(
      "INSERT OR REPLACE INTO subscription VALUES (?1, ?2, ?3, ?4, ?5)")
    insert.bind(1, id).bind(2, filter.id).bind(3, UInt32(options))
    try insert.bind(4, subscription.identifier).bind(5, position).run()
    try change(
      filter, text.span, subscriptions: old == nil ? 1 : 0,
      readers: (isReader ? 1 : 0) - (wasReader ? 1 : 0))
  }

  func unsubscribe(_ id: StoredSessionID, _ text: Span<UInt8>) throws(DatabaseError) {
    guard let filter = try lookUp(text), filter.id != 0, let old = try row(of: id, filter.id)
    else { return }
    try releaseAll(old, of: id)
    try database.statement("DELETE FROM subscription WHERE session = ?1 AND filter = ?2")
      .bind(1, id).bind(2, filter.id).run()
    try change(filter, text, subscriptions: -1, readers: old.isKept ? -1 : 0)
  }

  /// Forgets a session with all that it has.
  func end(_ id: StoredSessionID) throws(DatabaseError) {
    try closeSegment()
    let find = try database.statement("SELECT client FROM session WHERE id = ?1").bind(1, id)
    guard try find.step() else { return }
    let client = find.bytes(0)
    find.reset()
    let last = try readProgress(id)
    for row in try rows(of: id) {
      try releaseAll(row, of: id)
      let text = try text(of: row.filter)
      guard let filter = try lookUp(text.span) else { continue }
      try change(filter, text.span, subscriptions: -1, readers: row.isKept ? -1 : 0)
    }
    for entry in last.window where entry.sequence != 0 { try release(entry.sequence, 1) }
    progress[id] = nil
    try database.statement("DELETE FROM subscription WHERE session = ?1").bind(1, id).run()
    try database.statement("DELETE FROM progress WHERE session = ?1").bind(1, id).run()
    try database.statement("DELETE FROM missed WHERE session = ?1").bind(1, id).run()
    try database.statement("DELETE FROM session WHERE id = ?1").bind(1, id).run()
    lostClients.append(client)
    totals.sessions -= 1
  }

  /// What a subscription is owed and the session has not taken, it is owed no more. A shared one is owed
  /// nothing: its group is.
  private func releaseAll(
    _ row: SubscriptionRow, of id: StoredSessionID
  ) throws(DatabaseError) {
    guard row.isReader else { return }
    try releaseAll(filter: row.filter, after: max(try readProgress(id).cursor, row.position))
  }

  /// What one reader of a filter is owed behind a sequence number, it is owed no more.
  func releaseAll(filter: UInt32, after start: UInt64) throws(DatabaseError) {
    let query = try database.statement(
      "SELECT sequence, places FROM entry WHERE filter = ?1 AND sequence >= ?2")
    query.bind(1, filter).bind(2, try firstEntry(filter, holding: start + 1))
    var owed: [UInt64] = []
    while try query.step() {
      let first = query.unsigned(0)
      query.withBytes(1) { $0.forEachSequence(of: first, after: start) { owed.append($0) } }
    }
    for sequence in owed { try release(sequence, 1) }
  }

  /// The sequence number under which entries of a filter are found that hold `sequence` or follow it.
  func firstEntry(_ filter: UInt32, holding sequence: UInt64) throws(DatabaseError) -> UInt64 {
    let query = try database.statement(
      "SELECT sequence FROM entry WHERE filter = ?1 AND sequence <= ?2 ORDER BY sequence DESC LIMIT 1"
    )
    query.bind(1, filter).bind(2, sequence)
    defer { query.reset() }
    return try query.step() ? query.unsigned(0) : sequence
  }

  func rows(of id: StoredSessionID) throws(DatabaseError) -> [SubscriptionRow] {
    let query = try database.statement(
      "SELECT filter, options, identifier, position FROM subscription WHERE session = ?1")
    query.bind(1, id)
    var rows: [SubscriptionRow] = []
    while try query.step() { rows.append(SubscriptionRow(query)) }
    return rows
  }

  private func row(
    of id: StoredSessionID, _ filter: UInt32
  ) throws(DatabaseError) -> SubscriptionRow? {
    let query = try database.statement(
      """
      SELECT filter, options, identifier, position FROM subscription
      WHERE session = ?1 AND filter = ?2
      """)
    query.bind(1, id).bind(2, filter)
    defer { query.reset() }
    return try query.step() ? SubscriptionRow(query) : nil
  }

  // MARK: Filters

  /// What is known of a filter, from the cache or the database; nil where the database has none. One
  /// without wildcards is remembered either way.
  func lookUp(_ text: Span<UInt8>) throws(DatabaseError) -> FilterCache.Known? {
    let query = try database.statement(
      "SELECT id, readers, is_wildcard FROM filter WHERE text = ?1")
    query.bind(1, text)
    defer { query.reset() }
    guard try query.step() else {
      if !text.hasWildcard || text.isShareFilter { remember(text, FilterCache.Known()) }
      return nil
    }
    let found = FilterCache.Known(
      id: query.word(0), readers: query.word(1), isWildcard: query.number(2) != 0)
    remember(text, found)
    return found
  }

  /// Has a filter in the cache, unless no topic is matched with it: an inbox would only take the place of
  /// one that is asked for again.
  private func remember(_ text: Span<UInt8>, _ known: FilterCache.Known) {
    if !DirectTopic.isDirect(text) { filters.set(text, known) }
  }

  func text(of filter: UInt32) throws(DatabaseError) -> [UInt8] {
    let query = try database.statement("SELECT text FROM filter WHERE id = ?1").bind(1, filter)
    defer { query.reset() }
    return try query.step() ? query.bytes(0) : []
  }

  func addFilter(_ text: Span<UInt8>) throws(DatabaseError) -> FilterCache.Known {
    let isWildcard = text.hasWildcard && !text.isShareFilter
    try database.statement("INSERT INTO filter VALUES (NULL, ?1, ?2, 0, 0)")
      .bind(1, text).bind(2, Int64(isWildcard ? 1 : 0)).run()
    guard let made = try lookUp(text) else {
      throw DatabaseError.damaged("a filter is not there after it was added")
    }
    return made
  }

  /// Counts subscriptions of a filter, and forgets one that has none. The readers of a shared
  /// subscription's text are its stored members that messages are kept for.
  func change(
    _ filter: FilterCache.Known, _ text: Span<UInt8>, subscriptions: Int64, readers: Int64
  ) throws(DatabaseError) {
    guard subscriptions != 0 || readers != 0 else { return }
    let before = filter.readers
    var after = filter
    after.readers = UInt32(clamping: Int64(before) + readers)
    try database.statement(
      "UPDATE filter SET subscriptions = subscriptions + ?2, readers = ?3 WHERE id = ?1"
    ).bind(1, filter.id).bind(2, subscriptions).bind(3, after.readers).run()
    remember(text, after)
    if text.isShareFilter {
      if before == 0 && after.readers > 0 { try beginGroup(filter.id, text) }
      if before > 0 && after.readers == 0 { try endGroup(filter.id, text) }
    } else if !DirectTopic.isDirect(text) {
      if before == 0 && after.readers > 0 { gain(text) }
      if before > 0 && after.readers == 0 { lose(text) }
    }
    guard subscriptions < 0 else { return }
    let delete = try database.statement(
      "DELETE FROM filter WHERE id = ?1 AND subscriptions <= 0")
    try delete.bind(1, filter.id).run()
    if database.changes > 0 {
      try database.statement("DELETE FROM unread WHERE filter = ?1").bind(1, filter.id).run()
      remember(text, FilterCache.Known(id: 0, readers: 0, isWildcard: filter.isWildcard))
    }
  }
}

extension SubscriptionRow {
  /// The present row of a query for filter, options, identifier and position.
  init(_ query: Statement) {
    self.init(
      filter: query.word(0), options: UInt8(truncatingIfNeeded: query.number(1)),
      identifier: query.word(2), position: query.unsigned(3))
  }
}
