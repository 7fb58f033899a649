import Store

/// What a store holds, in numbers.
public struct StoreSummary: Sendable, Equatable {
  /// The version of its tables.
  public var schema: UInt64 = 0
  /// How many brokers have run on it; also the number of the present or last run.
  public var epoch: UInt64 = 0
  /// Bytes of the file and of its write-ahead log.
  public var fileBytes: UInt64 = 0
  /// See `fileBytes`.
  public var logFileBytes: UInt64 = 0
  /// Bytes of a page, pages of the file, and those that hold nothing.
  public var pageBytes: UInt64 = 0
  /// See `pageBytes`.
  public var pages: UInt64 = 0
  /// See `pageBytes`.
  public var freePages: UInt64 = 0
  /// Sessions, and those whose client was connected when the transaction that is read was committed, or
  /// when the last broker ended.
  public var sessions: UInt64 = 0
  /// See `sessions`.
  public var connected: UInt64 = 0
  /// Subscriptions of sessions, shared ones included.
  public var subscriptions: UInt64 = 0
  /// Different filters of them.
  public var filters: UInt64 = 0
  /// Sessions whose clients were sent a message of their own.
  public var inboxes: UInt64 = 0
  /// Shared subscriptions that messages are kept for.
  public var shares: UInt64 = 0
  /// Messages in the log, the bytes of their records, and the segments that they are in.
  public var messages: UInt64 = 0
  /// See `messages`.
  public var bytes: UInt64 = 0
  /// See `messages`.
  public var segments: UInt64 = 0
  /// Second since 1970 at which the oldest of them was appended; nil where there is none.
  public var oldestAppendedAt: UInt32?
  /// The sequence number that the next message gets.
  public var nextSequence: UInt64 = 0
  /// Retained messages, and the bytes of their topics, properties and payloads.
  public var retained: UInt64 = 0
  /// See `retained`.
  public var retainedBytes: UInt64 = 0
  /// Messages that went unread in all, because they expired or the log was full.
  public var unread: UInt64 = 0
  /// Keys of requests that are remembered.
  public var requests: UInt64 = 0
}

/// A session as a list has it.
public struct SessionLine: Sendable, Equatable {
  /// The client id.
  public var client: [UInt8]
  /// What is kept of it besides; without the will.
  public var presence: SessionPresence
  /// How many subscriptions it has.
  public var subscriptions: UInt64
  /// Messages in its window.
  public var inFlight: UInt64
  /// QoS 2 messages that came from it and were not released.
  public var inbound: UInt64
  /// How far it has read the log.
  public var cursor: UInt64
}

/// A filter as a list has it.
public struct FilterLine: Sendable, Equatable {
  /// The whole text.
  public var filter: [UInt8]
  /// Subscriptions to it, and those that messages are kept for.
  public var subscriptions: UInt64
  /// See `subscriptions`.
  public var readers: UInt64
}

/// A retained message as a list has it.
public struct RetainedLine: Sendable, Equatable {
  /// The topic name.
  public var topic: [UInt8]
  /// The QoS it was published with.
  public var qos: UInt8
  /// Bytes of the payload.
  public var payloadBytes: UInt64
  /// Second since 1970 at which it expires; 0 for never.
  public var expiresAt: UInt32
}

/// What is in the store.
extension StoreReader {
  /// The numbers of the whole store. Subscriptions, filters and segments are counted row by row, which
  /// takes about a second for ten million of them.
  /// - Throws: `StoreToolError` where the file can't be read or is damaged.
  public func summary() throws(StoreToolError) -> StoreSummary {
    var summary = StoreSummary()
    summary.fileBytes = ToolFile.size(path) ?? 0
    summary.logFileBytes = ToolFile.size(path + "-wal") ?? 0
    try reading { () throws(DatabaseError) in
      func count(_ sql: String) throws(DatabaseError) -> UInt64 {
        UInt64(max(0, try database.number(sql) ?? 0))
      }
      summary.schema = try count("PRAGMA user_version")
      summary.pageBytes = try count("PRAGMA page_size")
      summary.pages = try count("PRAGMA page_count")
      summary.freePages = try count("PRAGMA freelist_count")
      summary.epoch = try meta("epoch")
      summary.sessions = try meta("sessions")
      summary.messages = try meta("messages")
      summary.bytes = try meta("bytes")
      summary.retained = try meta("retained")
      summary.retainedBytes = try meta("retained-bytes")
      summary.unread = try meta("unread")
      summary.requests = try meta("requests")
      summary.nextSequence = try meta("next-sequence")
      summary.connected = try count(
        "SELECT count(*) FROM session WHERE connected > 0 AND connected = \(summary.epoch)")
      // Text that begins with "$" and U+0000. Each has one subscription.
      summary.inboxes = try count(
        "SELECT count(*) FROM filter WHERE text >= X'2400' AND text < X'2401'")
      func others(_ table: String) throws(DatabaseError) -> UInt64 {
        let all = try count("SELECT count(*) FROM \(table)")
        return all - min(all, summary.inboxes)
      }
      summary.subscriptions = try others("subscription")
      summary.filters = try others("filter")
      summary.shares = try count("SELECT count(*) FROM share")
      summary.segments = try count("SELECT count(*) FROM log")
      summary.oldestAppendedAt = try database.number(
        "SELECT appended_at FROM log ORDER BY sequence LIMIT 1"
      ).map { UInt32(truncatingIfNeeded: $0) }
    }
    return summary
  }

  /// Calls `body` with each session, in the order in which they were made, until it says false.
  /// - Throws: `StoreToolError` where the file can't be read or is damaged.
  public func forEachSession(_ body: (SessionLine) -> Bool) throws(StoreToolError) {
    try reading { () throws(DatabaseError) in
      let rows = try database.statement(
        """
        SELECT s.client, s.version, s.connected, s.expiry_interval, s.expires_at, s.will_due_at, NULL,
          p.cursor, length(p.window), length(p.inbound),
          (SELECT count(*) FROM subscription x WHERE x.session = s.id AND x.options & ?1 = 0)
        FROM session s LEFT JOIN progress p ON p.session = s.id ORDER BY s.id
        """
      ).bind(1, UInt32(SubscriptionRow.isInbox))
      defer { rows.reset() }
      while try rows.step() {
        let line = SessionLine(
          client: rows.bytes(0), presence: StoreReader.presence(rows, from: 1),
          subscriptions: rows.unsigned(10),
          inFlight: rows.unsigned(8) / UInt64(WindowEntry.encodedBytes),
          inbound: rows.unsigned(9) / 2, cursor: rows.unsigned(7))
        guard body(line) else { return }
      }
    }
  }

  /// Calls `body` with each filter that sessions subscribe to, their inboxes left out, in no certain order,
  /// until it says false.
  /// - Throws: `StoreToolError` where the file can't be read or is damaged.
  public func forEachFilter(_ body: (FilterLine) -> Bool) throws(StoreToolError) {
    try reading { () throws(DatabaseError) in
      let rows = try database.statement("SELECT text, subscriptions, readers FROM filter")
      defer { rows.reset() }
      while try rows.step() {
        if rows.withBytes(0, { DirectTopic.isDirect($0) }) { continue }
        let line = FilterLine(
          filter: rows.bytes(0), subscriptions: rows.unsigned(1), readers: rows.unsigned(2))
        guard body(line) else { return }
      }
    }
  }

  /// Calls `body` with each retained message, in no certain order, until it says false.
  /// - Throws: `StoreToolError` where the file can't be read or is damaged.
  public func forEachRetained(_ body: (RetainedLine) -> Bool) throws(StoreToolError) {
    try reading { () throws(DatabaseError) in
      let rows = try database.statement(
        "SELECT topic, qos, length(payload), expires_at FROM retained")
      defer { rows.reset() }
      while try rows.step() {
        let line = RetainedLine(
          topic: rows.bytes(0), qos: UInt8(truncatingIfNeeded: rows.number(1)),
          payloadBytes: rows.unsigned(2), expiresAt: rows.word(3))
        guard body(line) else { return }
      }
    }
  }
}
