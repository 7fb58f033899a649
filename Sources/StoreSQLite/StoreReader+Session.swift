import Store

/// A session with all that is kept of it.
public struct SessionDetail: Sendable {
  /// Its number.
  public var id: StoredSessionID
  /// The client id.
  public var client: [UInt8]
  /// Its client's coming and going, its expiry and its will.
  public var presence: SessionPresence
  /// What it has in flight, and how far it has read the log.
  public var progress: SessionProgress
  /// The sequence number behind which messages to its client alone are owed; nil where it has no inbox.
  public var inbox: UInt64?
  /// What it subscribed to.
  public var subscriptions: [Subscription]
  /// The topics of the messages of its window that the log has, by sequence number; those of messages to its
  /// client alone as `DirectTopic` has them.
  public var topics: [UInt64: [UInt8]]
  /// Messages of its window that the log has no more.
  public var missing: UInt64
  /// Messages that it is owed behind its cursor.
  public var backlog: UInt64
  /// Whether that is all: no more than `StoreReader.countedBacklog` are counted.
  public var isBacklogComplete: Bool
  /// Messages that went unread since its client was last told, those missing from its window included.
  public var unread: UInt64

  /// A subscription, and the sequence number behind which messages are owed through it.
  public struct Subscription: Sendable, Equatable {
    /// The filter, options and identifier.
    public var subscription: StoredSubscription
    /// See the type.
    public var position: UInt64

    /// See the properties.
    public init(_ subscription: StoredSubscription, position: UInt64) {
      self.subscription = subscription
      self.position = position
    }
  }
}

/// One session.
extension StoreReader {
  /// Messages of a backlog that are counted, each with eight bytes of memory; beyond, there are "more".
  public static var countedBacklog: Int { 100_000 }

  /// The session of a client; nil where it has none. What the group of a shared subscription is owed is
  /// not the session's.
  /// - Throws: `StoreToolError` where the file can't be read or is damaged.
  public func session(of client: [UInt8]) throws(StoreToolError) -> SessionDetail? {
    try reading { () throws(DatabaseError) in try find(client) }
  }

  private func find(_ client: [UInt8]) throws(DatabaseError) -> SessionDetail? {
    let query = try database.statement(
      """
      SELECT id, version, connected, expiry_interval, expires_at, will_due_at, will FROM session
      WHERE client = ?1
      """
    ).bind(1, client)
    guard try query.step() else { return nil }
    let id = query.unsigned(0)
    let presence = StoreReader.presence(query, from: 1)
    query.reset()
    let progress = try engine.readProgress(id)
    let backlog = try backlog(of: id, after: progress.cursor)
    var detail = SessionDetail(
      id: id, client: client, presence: presence, progress: progress,
      inbox: try inbox(of: id), subscriptions: try subscriptions(of: id), topics: [:], missing: 0,
      backlog: UInt64(backlog.count), isBacklogComplete: backlog.isComplete, unread: 0)
    for row in try engine.rows(of: id) where row.isReader {
      detail.unread &+= try engine.unread(row.filter, after: max(progress.cursor, row.position))
    }
    detail.unread &+= try engine.missed(id)
    for entry in progress.window where entry.sequence != 0 {
      if let place = try engine.state(of: entry.sequence)?.place(of: entry.sequence) {
        detail.topics[entry.sequence] = place.segment.records.withMessage(at: place.offset) {
          $0.topic.array
        }
      } else {
        detail.missing += 1
        detail.unread &+= 1
      }
      engine.trimCache()
    }
    return detail
  }

  /// The sequence number behind which messages to a session's client alone are owed; nil where it has no
  /// inbox.
  func inbox(of id: StoredSessionID) throws(DatabaseError) -> UInt64? {
    let row = try database.statement(
      "SELECT position FROM subscription WHERE session = ?1 AND options & ?2 <> 0"
    ).bind(1, id).bind(2, UInt32(SubscriptionRow.isInbox))
    defer { row.reset() }
    return try row.step() ? row.unsigned(0) : nil
  }

  /// What a session subscribed to, in the order of the rows of its filters.
  func subscriptions(
    of id: StoredSessionID
  ) throws(DatabaseError) -> [SessionDetail.Subscription] {
    var found: [SessionDetail.Subscription] = []
    let rows = try database.statement(
      """
      SELECT f.text, s.options, s.identifier, s.position FROM subscription s
      JOIN filter f ON f.id = s.filter WHERE s.session = ?1 AND s.options & ?2 = 0
      ORDER BY s.filter
      """
    ).bind(1, id).bind(2, UInt32(SubscriptionRow.isInbox))
    while try rows.step() {
      let subscription = StoredSubscription(
        filter: rows.bytes(0), options: UInt8(truncatingIfNeeded: rows.number(1) & 0x3F),
        identifier: rows.word(2))
      found.append(SessionDetail.Subscription(subscription, position: rows.unsigned(3)))
    }
    return found
  }

  /// The messages that a session is owed behind its cursor, each once, as far as they are counted.
  private func backlog(
    of id: StoredSessionID, after cursor: UInt64
  ) throws(DatabaseError) -> (count: Int, isComplete: Bool) {
    var owed: Set<UInt64> = []
    let query = try database.statement(
      "SELECT sequence, places FROM entry WHERE filter = ?1 AND sequence >= ?2 ORDER BY sequence")
    defer { query.reset() }
    for row in try engine.rows(of: id) where row.isReader {
      let start = max(cursor, row.position)
      query.bind(1, row.filter).bind(2, try engine.firstEntry(row.filter, holding: start + 1))
      while try query.step() {
        let first = query.unsigned(0)
        query.withBytes(1) { $0.forEachSequence(of: first, after: start) { owed.insert($0) } }
        if owed.count > StoreReader.countedBacklog {
          return (StoreReader.countedBacklog, false)
        }
      }
    }
    return (owed.count, true)
  }
}
