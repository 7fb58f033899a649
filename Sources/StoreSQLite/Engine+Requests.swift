import Store
import Util

/// Keys of requests that are not to be done twice.
extension Engine {
  /// Notes a key, or until when one is remembered that is there. Where there are too many, the one that
  /// would expire first goes.
  func remember(_ key: [UInt8], until: UInt32) throws(DatabaseError) {
    guard (1...RequestKey.maximumBytes).contains(key.count), until > now else { return }
    try database.statement("UPDATE request SET until = ?2 WHERE key = ?1")
      .bind(1, key).bind(2, until).run()
    guard database.changes == 0 else { return }
    if totals.requests >= Int64(limits.maximumRequests) {
      try database.statement(
        "DELETE FROM request WHERE key = (SELECT key FROM request ORDER BY until LIMIT 1)"
      ).run()
      totals.requests -= Int64(database.changes)
    }
    try database.statement("INSERT INTO request VALUES (?1, ?2)").bind(1, key).bind(2, until).run()
    totals.requests += 1
  }

  /// All keys that have not expired.
  func readKeys() throws(DatabaseError) -> [(key: [UInt8], until: UInt32)] {
    var found: [(key: [UInt8], until: UInt32)] = []
    let rows = try database.statement(
      "SELECT key, until FROM request WHERE until > ?1 ORDER BY until"
    ).bind(1, now)
    while try rows.step() { found.append((rows.bytes(0), rows.word(1))) }
    return found
  }

  /// Forgets some of those that have expired. True where there are more.
  func expireRequests() throws(DatabaseError) -> Bool {
    guard totals.requests > 0 else { return false }
    try database.statement(
      "DELETE FROM request WHERE key IN (SELECT key FROM request WHERE until <= ?1 LIMIT ?2)"
    ).bind(1, now).bind(2, Int64(StoreConstants.sweepRows)).run()
    totals.requests -= Int64(database.changes)
    return database.changes == StoreConstants.sweepRows
  }
}
