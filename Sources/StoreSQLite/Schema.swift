/// What the tables are, and how those of older versions become them.
enum Schema {
  /// Marks the file as a store of ours ("BFST"), for `file` and for us.
  static let applicationID: Int64 = 0x4246_5354

  /// The version that this program writes.
  static var version: Int64 { Int64(steps.count) }

  /// `steps[n]` makes a store of version `n` one of version `n + 1`; version 0 is an empty file. What
  /// was released is never changed, only added to.
  static let steps: [String] = [first, second]

  private static let first = """
    -- Numbers that go on from one run to the next.
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES
      ('next-sequence', 1), ('epoch', 0), ('clock', 0), ('messages', 0), ('bytes', 0), ('unread', 0),
      ('sessions', 0), ('retained', 0), ('retained-bytes', 0);

    -- Each filter that a stored session subscribes to. "readers" are the subscriptions that messages
    -- are kept for: those of QoS 1 and 2.
    CREATE TABLE filter (
      id INTEGER PRIMARY KEY, text BLOB NOT NULL UNIQUE, is_wildcard INTEGER NOT NULL,
      subscriptions INTEGER NOT NULL, readers INTEGER NOT NULL);
    CREATE INDEX filter_wildcard ON filter (id) WHERE is_wildcard = 1;

    -- "connected" is the epoch (the run of the broker) in which the client connected, 0 while it is
    -- away; "due" is when the will or the end of the session is.
    CREATE TABLE session (
      id INTEGER PRIMARY KEY, client BLOB NOT NULL UNIQUE, version INTEGER NOT NULL,
      connected INTEGER NOT NULL, expiry_interval INTEGER NOT NULL, expires_at INTEGER NOT NULL,
      will_due_at INTEGER NOT NULL, due INTEGER NOT NULL, will BLOB);
    CREATE INDEX session_due ON session (due) WHERE due > 0;
    CREATE INDEX session_connected ON session (connected) WHERE connected > 0;

    -- Messages that were dropped because too many waited for the session, until its client is told.
    CREATE TABLE missed (session INTEGER PRIMARY KEY, messages INTEGER NOT NULL);

    -- Apart from the session, because it changes with each acknowledgement.
    CREATE TABLE progress (
      session INTEGER PRIMARY KEY, cursor INTEGER NOT NULL, next_packet_id INTEGER NOT NULL,
      window BLOB NOT NULL, inbound BLOB NOT NULL);

    -- "position" is the sequence number behind which messages are owed.
    CREATE TABLE subscription (
      session INTEGER NOT NULL, filter INTEGER NOT NULL, options INTEGER NOT NULL,
      identifier INTEGER NOT NULL, position INTEGER NOT NULL,
      PRIMARY KEY (session, filter)) WITHOUT ROWID;

    -- Shared subscriptions with a stored member of QoS 1 or 2: one cursor for all members. "filter" is
    -- the whole text, "inner" what messages are matched with. "pending" are messages up to the cursor
    -- that no member has in its window, eight bytes each.
    CREATE TABLE share (
      id INTEGER PRIMARY KEY AUTOINCREMENT, filter INTEGER NOT NULL UNIQUE, inner INTEGER NOT NULL,
      cursor INTEGER NOT NULL, pending BLOB NOT NULL);

    -- The log: messages that were appended together. "owed" has what is left of each message's
    -- count, once it differs from the count in the body.
    CREATE TABLE log (
      sequence INTEGER PRIMARY KEY, span INTEGER NOT NULL, messages INTEGER NOT NULL,
      bytes INTEGER NOT NULL, appended_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
      body BLOB NOT NULL);
    CREATE INDEX log_expiry ON log (expires_at) WHERE expires_at > 0;
    CREATE TABLE owed (sequence INTEGER PRIMARY KEY, counts BLOB NOT NULL);

    -- Which messages of a segment match a filter: their places, two bytes each.
    CREATE TABLE entry (
      filter INTEGER NOT NULL, sequence INTEGER NOT NULL, places BLOB NOT NULL,
      PRIMARY KEY (filter, sequence)) WITHOUT ROWID;

    -- How many messages of a filter went unread in all, up to a sequence number.
    CREATE TABLE unread (
      filter INTEGER NOT NULL, sequence INTEGER NOT NULL, total INTEGER NOT NULL,
      PRIMARY KEY (filter, sequence)) WITHOUT ROWID;

    CREATE TABLE retained (
      id INTEGER PRIMARY KEY, topic BLOB NOT NULL UNIQUE, qos INTEGER NOT NULL,
      expires_at INTEGER NOT NULL, properties BLOB NOT NULL, payload BLOB NOT NULL);
    CREATE INDEX retained_expiry ON retained (expires_at) WHERE expires_at > 0;
    """

  private static let second = """
    -- Whom a message is owed, by the filters that it matches. The options are in it so that it is all that
    -- is read.
    CREATE INDEX subscription_reader ON subscription (filter, session, options)
      WHERE options & 3 <> 0;

    -- Keys of requests that are not to be done twice, until a second.
    CREATE TABLE request (key BLOB PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX request_until ON request (until);
    INSERT INTO meta VALUES ('requests', 0);
    """
}
