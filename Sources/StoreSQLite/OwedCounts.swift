import Store

/// How often each message is owed, by those who are to read it: their subscriptions, cursors and
/// windows. It is in temporary tables, not in memory, as sessions may be many.
struct OwedCounts {
  private let database: Database

  /// - Parameter conflict: is called with a session, or a shared subscription where the number is below
  ///   0, that has a message twice.
  init(
    _ database: Database, conflict: (Int64, UInt64) -> Void = { _, _ in }
  ) throws(DatabaseError) {
    self.database = database
    // "total" are the readers of the filter that begin at "start" or before it.
    try database.run(
      """
      DROP TABLE IF EXISTS temp.reader;
      DROP TABLE IF EXISTS temp.taken;
      CREATE TEMP TABLE reader (
        filter INTEGER, start INTEGER, total INTEGER, PRIMARY KEY (filter, start)) WITHOUT ROWID;
      INSERT INTO temp.reader
        SELECT filter, start, sum(count(*)) OVER (PARTITION BY filter ORDER BY start)
        FROM (
          SELECT s.filter AS filter, max(s.position, p.cursor) AS start
          FROM main.subscription s JOIN main.progress p ON p.session = s.session
          WHERE s.options & 3 <> 0 AND s.options & \(SubscriptionRow.isShared) = 0
          UNION ALL SELECT h.inner, h.cursor FROM main.share h)
        GROUP BY filter, start;
      CREATE TEMP TABLE taken (
        sequence INTEGER, reader INTEGER, copy INTEGER,
        PRIMARY KEY (sequence, reader, copy)) WITHOUT ROWID
      """)
    try noteWindows(conflict)
    try notePending(conflict)
  }

  private func noteWindows(_ conflict: (Int64, UInt64) -> Void) throws(DatabaseError) {
    let rows = try database.prepare("SELECT session, window FROM main.progress")
    defer { rows.finalize() }
    while try rows.step() {
      let session = rows.number(0)
      // A session has a message once of its own, and once more for each group that gave it to it.
      var shared = 0
      for entry in rows.withBytes(1, { WindowEntry.decode($0) }) where entry.sequence != 0 {
        if entry.isShared { shared += 1 }
        let copy = entry.isShared ? shared : 0
        if try !note(entry.sequence, reader: session, copy: copy) {
          conflict(session, entry.sequence)
        }
      }
    }
  }

  private func notePending(_ conflict: (Int64, UInt64) -> Void) throws(DatabaseError) {
    let rows = try database.prepare("SELECT id, pending FROM main.share")
    defer { rows.finalize() }
    while try rows.step() {
      // Below 0 as numbers of sessions are not; damage may make any of it.
      let share = 0 &- rows.number(0)
      for sequence in rows.withBytes(1, { decodePending($0) }) {
        if try !note(sequence, reader: share, copy: 0) { conflict(share, sequence) }
      }
    }
  }

  private func note(
    _ sequence: UInt64, reader: Int64, copy: Int
  ) throws(DatabaseError) -> Bool {
    try database.statement("INSERT OR IGNORE INTO temp.taken VALUES (?1, ?2, ?3)")
      .bind(1, sequence).bind(2, reader).bind(3, Int64(copy)).run()
    return database.changes > 0
  }

  /// How many subscriptions a message is owed to: those that did not come to it yet, and those that have
  /// it in a window.
  func count(_ sequence: UInt64, filters: Span<UInt32>) throws(DatabaseError) -> UInt64 {
    // It overflows only where the database is damaged.
    var sum: UInt64 = 0
    let ahead = try database.statement(
      """
      SELECT total FROM temp.reader WHERE filter = ?1 AND start < ?2 ORDER BY start DESC LIMIT 1
      """)
    for place in filters.indices {
      ahead.bind(1, filters[place]).bind(2, sequence)
      if try ahead.step() { sum &+= ahead.unsigned(0) }
      ahead.reset()
    }
    let taken = try database.statement("SELECT count(*) FROM temp.taken WHERE sequence = ?1")
      .bind(1, sequence)
    if try taken.step() { sum &+= taken.unsigned(0) }
    taken.reset()
    return sum
  }

  /// A message is there: who has it in a window has no missing one.
  func found(_ sequence: UInt64) throws(DatabaseError) {
    try database.statement("DELETE FROM temp.taken WHERE sequence = ?1").bind(1, sequence).run()
  }

  /// Calls `body` with each reader and message of a window that was not found.
  func forEachMissing(_ body: (Int64, UInt64) throws(DatabaseError) -> Void) throws(DatabaseError) {
    let rows = try database.statement("SELECT reader, sequence FROM temp.taken")
    while try rows.step() { try body(rows.number(0), rows.unsigned(1)) }
  }
}

/// Sequence numbers as a shared subscription's row has them.
func decodePending(_ bytes: Span<UInt8>) -> [UInt64] {
  var list: [UInt64] = []
  list.reserveCapacity(bytes.count / 8)
  for place in 0..<bytes.count / 8 { list.append(bytes.doubleWord(at: 8 * place)) }
  return list
}
