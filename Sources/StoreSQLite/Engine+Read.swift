import PubSub
import Store
import Util

/// What sessions are told: what they were, and what they are owed.
extension Engine {
  /// The session of a client; nil where it has none.
  func load(_ client: Span<UInt8>) throws(DatabaseError) -> StoredSession? {
    try closeSegment()
    let query = try database.statement(
      """
      SELECT id, version, connected, expiry_interval, expires_at, will_due_at, will FROM session
      WHERE client = ?1
      """)
    query.bind(1, client)
    guard try query.step() else { return nil }
    let id = query.unsigned(0)
    let connected = query.unsigned(2)
    var presence = SessionPresence(
      version: UInt8(truncatingIfNeeded: query.number(1)), isConnected: connected == epoch,
      expiryInterval: query.word(3), expiresAt: query.word(4), willDueAt: query.word(5),
      will: query.isNull(6) ? nil : query.withBytes(6) { StoredWill($0) })
    query.reset()
    if connected != 0 && connected != epoch { endConnection(&presence) }
    let last = try readProgress(id)
    var subscriptions: [StoredSubscription] = []
    let list = try database.statement(
      """
      SELECT f.text, s.options, s.identifier FROM subscription s JOIN filter f ON f.id = s.filter
      WHERE s.session = ?1 AND s.options & ?2 = 0
      """)
    list.bind(1, id).bind(2, UInt32(SubscriptionRow.isInbox))
    while try list.step() {
      subscriptions.append(
        StoredSubscription(
          filter: list.bytes(0), options: UInt8(truncatingIfNeeded: list.number(1) & 0x3F),
          identifier: list.word(2)))
    }
    // First, because a segment that turns out to be damaged adds to what went unread.
    var unreadCount: UInt64 = 0
    var messages: [UInt64: LogPlace] = [:]
    for entry in last.window where entry.sequence != 0 {
      if let place = try state(of: entry.sequence)?.place(of: entry.sequence) {
        messages[entry.sequence] = place
      } else {
        unreadCount += 1
      }
    }
    return StoredSession(
      id: id, presence: presence, progress: last, subscriptions: subscriptions,
      messages: messages, unread: unreadCount)
  }

  /// The connection of a session whose broker has ended: its client has been away since this run
  /// began.
  func endConnection(_ presence: inout SessionPresence) {
    presence.isConnected = false
    if presence.expiryInterval != .max {
      presence.expiresAt =
        presence.expiryInterval == 0
        ? startedAt : Engine.sum(startedAt, presence.expiryInterval)
    }
    if let will = presence.will { presence.willDueAt = Engine.sum(startedAt, will.delay) }
  }

  /// A second and an interval; never too early, so up to a second too late.
  static func sum(_ second: UInt32, _ interval: UInt32) -> UInt32 {
    let (sum, overflows) = second.addingReportingOverflow(interval)
    return overflows || sum == .max ? .max : sum + 1
  }

  /// A message of the log that a subscription of a session matches.
  private struct Match {
    var sequence: UInt64
    /// The subscription, by its place among the session's.
    var row: Int
  }

  /// What a session is owed behind a place of the log: the merge of its filters' entries, in order.
  func read(_ query: LogQuery) throws(DatabaseError) -> LogPage {
    let all = try rows(of: query.session)
    let page = LogPage(
      asker: query.asker, epoch: query.epoch, items: [], through: query.after, isAtEnd: false)
    return try read(
      all.filter(\.isReader), after: query.after, others: try bystanders(all),
      session: query.session, page, maximumMessages: query.maximumMessages,
      maximumBytes: query.maximumBytes)
  }

  /// Fills a page with what is owed through subscriptions.
  func read(
    _ rows: [SubscriptionRow], after start: UInt64, others: [Bystander], session: StoredSessionID,
    _ empty: LogPage, maximumMessages: Int, maximumBytes: Int
  ) throws(DatabaseError) -> LogPage {
    var horizon = nextSequence - 1
    var matches: [Match] = []
    for (place, row) in rows.enumerated() {
      try collect(
        row, place, after: max(start, row.position), limit: max(1, maximumMessages), &horizon,
        &matches)
    }
    matches.sort { $0.sequence < $1.sequence }
    var page = empty
    page.through = horizon
    page.isAtEnd = horizon == nextSequence - 1
    var bytes = 0
    var next = 0
    while next < matches.count && matches[next].sequence <= horizon {
      let sequence = matches[next].sequence
      if page.items.count >= maximumMessages || bytes >= maximumBytes {
        page.isAtEnd = false
        page.through = page.items.last?.sequence ?? start
        break
      }
      var end = next
      while end < matches.count && matches[end].sequence == sequence { end += 1 }
      if let place = try state(of: sequence)?.place(of: sequence) {
        var item = merge(place, sequence, matches[next..<end], rows, session)
        if !others.isEmpty && item.qos > 0 { add(others, to: &item, session) }
        page.items.append(item)
        bytes += place.segment.records.offset(after: place.offset) - place.offset
      }
      next = end
    }
    return page
  }

  /// Stored sessions in the order of their client ids, from one on.
  func list(_ query: SessionListQuery) throws(DatabaseError) -> SessionList {
    // Bytes of 0 and up follow what they stand behind, and no client id has one of 255.
    let after = query.after.isEmpty ? [] : query.after + [0]
    let start = after.lexicographicallyPrecedes(query.prefix) ? query.prefix : after
    let maximum = min(max(query.maximum, 1), SessionListQuery.maximumSessions)
    let rows = try database.statement(
      """
      SELECT client, version, connected FROM session WHERE client >= ?1 AND client < ?2
      ORDER BY client LIMIT ?3
      """)
    rows.bind(1, start).bind(2, query.prefix + [0xFF]).bind(3, Int64(maximum + 1))
    var list = SessionList(tag: query.tag, entries: [], isEnd: true)
    while try rows.step() {
      guard list.entries.count < maximum else {
        list.isEnd = false
        rows.reset()
        break
      }
      list.entries.append(
        SessionList.Entry(
          client: rows.bytes(0), isConnected: rows.unsigned(2) == epoch,
          version: UInt8(truncatingIfNeeded: rows.number(1))))
    }
    return list
  }

  /// A subscription of QoS 0: nothing is owed through it, but what comes because of another bears its
  /// identifier.
  struct Bystander {
    var filter: [UInt8]
    var row: SubscriptionRow
  }

  private func bystanders(_ rows: [SubscriptionRow]) throws(DatabaseError) -> [Bystander] {
    var found: [Bystander] = []
    for row in rows where row.options & 3 == 0 && row.options & SubscriptionRow.isShared == 0 {
      guard row.identifier != 0 || row.options & 8 != 0 else { continue }
      found.append(Bystander(filter: try text(of: row.filter), row: row))
    }
    return found
  }

  private func add(_ others: [Bystander], to item: inout LogItem, _ session: StoredSessionID) {
    for other in others {
      let (matches, facts) = item.place.segment.records.withMessage(at: item.place.offset) {
        // A message to one client comes through no subscription.
        (
          !DirectTopic.isDirect($0.topic) && filterMatches(other.filter.span, topic: $0.topic),
          $0.facts
        )
      }
      guard matches, item.sequence > other.row.position,
        other.row.options & 4 == 0 || facts.publisher != session
      else { continue }
      if other.row.options & 8 != 0 && facts.retain { item.retain = true }
      if other.row.identifier != 0 { item.identifiers.append(other.row.identifier) }
    }
  }

  /// Adds the messages of one filter, up to some rows and as many as a page may have; `horizon` falls
  /// to where they end if there are more.
  private func collect(
    _ row: SubscriptionRow, _ place: Int, after start: UInt64, limit: Int,
    _ horizon: inout UInt64, _ matches: inout [Match]
  ) throws(DatabaseError) {
    let query = try database.statement(
      """
      SELECT sequence, places FROM entry WHERE filter = ?1 AND sequence >= ?2
      ORDER BY sequence LIMIT ?3
      """)
    query.bind(1, row.filter).bind(2, try firstEntry(row.filter, holding: start + 1))
    query.bind(3, Int64(StoreConstants.entriesPerRead))
    var count = 0
    var found = 0
    var last = start
    // Whether it ended at what is not wanted any more.
    var isBeyond = false
    while !isBeyond, found < limit, try query.step() {
      count += 1
      let first = query.unsigned(0)
      query.withBytes(1) { places in
        for number in Engine.firstPlace(in: places, of: first, after: start)..<places.count / 2 {
          let sequence = first + UInt64(places.halfWord(at: 2 * number))
          isBeyond = sequence > horizon
          if isBeyond || found >= limit { break }
          found += 1
          last = sequence
          matches.append(Match(sequence: sequence, row: place))
        }
      }
    }
    query.reset()
    guard !isBeyond else { return }
    if found >= limit || count == StoreConstants.entriesPerRead { horizon = min(horizon, last) }
  }

  /// How many of an entry's places, which rise, are not behind a sequence number.
  private static func firstPlace(
    in places: Span<UInt8>, of first: UInt64, after start: UInt64
  ) -> Int {
    guard start >= first else { return 0 }
    var low = 0
    var high = places.count / 2
    while low < high {
      let middle = (low + high) / 2
      if first + UInt64(places.halfWord(at: 2 * middle)) <= start {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }

  /// A message for one subscription.
  func item(_ place: LogPlace, _ sequence: UInt64, _ row: SubscriptionRow) -> LogItem {
    merge(place, sequence, [Match(sequence: sequence, row: 0)], [row], 0)
  }

  /// One delivery for all subscriptions of a session that a message matches.
  private func merge(
    _ place: LogPlace, _ sequence: UInt64, _ matches: ArraySlice<Match>,
    _ rows: [SubscriptionRow], _ session: StoredSessionID
  ) -> LogItem {
    let facts = place.segment.records.withMessage(at: place.offset) { $0.facts }
    var item = LogItem(
      place: place, sequence: sequence, count: UInt32(matches.count), qos: 0, retain: false,
      identifiers: [])
    guard !facts.isExpired(at: now) else { return item }
    for match in matches {
      let row = rows[match.row]
      let isNoLocal = row.options & 4 != 0
      if isNoLocal && facts.publisher == session { continue }
      item.qos = max(item.qos, min(facts.qos, row.options & 3))
      if row.options & 8 != 0 && facts.retain { item.retain = true }
      if row.identifier != 0 { item.identifiers.append(row.identifier) }
    }
    return item
  }
}
