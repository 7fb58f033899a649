import Store
import Util

/// Clients that are owed a message of the segment that is being filled, and are away.
struct AbsentReaders {
  var clients: [[UInt8]] = []
  /// Subscriptions that were not looked at.
  var more = 0
}

/// What of a segment that is being filled is told once it is closed.
struct AbsentNotice {
  let loop: Int
  /// Where the message is.
  let offset: Int
  let readers: AbsentReaders
}

/// Who is owed a message and is not there to read it.
extension Engine {
  /// The clients that are away among those to whom messages of the filters in `matchedFilters` are owed, as
  /// the tables have it at this point of the transaction.
  /// - Parameter publisher: is not among them where it does not want what it published itself.
  func absentReaders(publisher: StoredSessionID) throws(DatabaseError) -> AbsentReaders {
    var readers = AbsentReaders()
    // Who is found through one filter may be found through another.
    var seen: Set<StoredSessionID> = []
    let isOverlapping = matchedFilters.count > 1
    let query = try database.statement(
      """
      SELECT s.session, s.options, c.client, c.connected
      FROM subscription s INDEXED BY subscription_reader CROSS JOIN session c ON c.id = s.session
      WHERE s.filter = ?1 AND s.options & 3 <> 0
      """)
    for filter in matchedFilters {
      var visits = 0
      query.bind(1, filter)
      while try query.step() {
        guard readers.clients.count < AbsentClients.maximumClients, absentVisits > 0 else {
          query.reset()
          readers.more += max(0, try countReaders(of: filter) - visits)
          break
        }
        visits += 1
        absentVisits -= 1
        let session = query.unsigned(0)
        let isItsOwn = session == publisher && query.number(1) & 4 != 0
        if isItsOwn || query.unsigned(3) == epoch { continue }
        if isOverlapping && !seen.insert(session).inserted { continue }
        readers.clients.append(query.bytes(2))
      }
    }
    return readers
  }

  private func countReaders(of filter: UInt32) throws(DatabaseError) -> Int {
    let query = try database.statement("SELECT readers FROM filter WHERE id = ?1").bind(1, filter)
    defer { query.reset() }
    return try query.step() ? Int(query.word(0)) : 0
  }
}
