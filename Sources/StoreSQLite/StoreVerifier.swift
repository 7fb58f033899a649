import CSQLite
import Packet
import Store
import Util

/// Something that `StoreReader.verify` has to say.
public struct StoreFinding: Sendable, Equatable {
  /// Whether the store is sound all the same.
  public var isNotice: Bool
  /// One line.
  public var text: String
}

extension StoreReader {
  /// Looks at all of the store, and tells what is not as this program writes it: what SQLite finds, then
  /// whether the tables agree with each other. Memory does not grow with the store; SQLite's temporary
  /// files do, with the number of subscriptions and messages in flight.
  /// - Returns: How many findings there were that are no notices.
  /// - Throws: `StoreToolError` where the file can't be read; damage is a finding.
  public func verify(_ report: @escaping (StoreFinding) -> Void) throws(StoreToolError) -> UInt64 {
    let verifier = StoreVerifier(self, report)
    do throws(DatabaseError) {
      try verifier.run()
    } catch {
      guard error.primaryCode == SQLITE_CORRUPT || error.primaryCode == SQLITE_NOTADB else {
        throw StoreToolError(error, path: path)
      }
      verifier.find("the rest can't be looked at: \(error.message)")
    }
    return verifier.count
  }
}

/// One look at all of a store.
final class StoreVerifier {
  let reader: StoreReader
  private let report: (StoreFinding) -> Void
  /// Findings that are no notices.
  private(set) var count: UInt64 = 0
  var epoch: UInt64 = 0
  var nextSequence: UInt64 = 0

  var database: Database { reader.database }

  init(_ reader: StoreReader, _ report: @escaping (StoreFinding) -> Void) {
    self.reader = reader
    self.report = report
  }

  func find(_ text: String) {
    count += 1
    report(StoreFinding(isNotice: false, text: text))
  }

  func note(_ text: String) { report(StoreFinding(isNotice: true, text: text)) }

  fileprivate func run() throws(DatabaseError) {
    try checkFile()
    epoch = try reader.meta("epoch")
    nextSequence = try reader.meta("next-sequence")
    try checkFilters()
    try checkSubscriptions()
    try checkShares()
    try checkSessions()
    try checkLog()
    try checkUnread()
    try checkRetained()
    try checkRequests()
  }

  /// What SQLite has to say: pages, the order of rows, indices.
  private func checkFile() throws(DatabaseError) {
    // It says a hundred things at most.
    let rows = try database.prepare("PRAGMA integrity_check")
    defer { rows.finalize() }
    while try rows.step() {
      let text = String(decoding: rows.bytes(0), as: UTF8.self)
      // One row may have several lines.
      for line in text.split(separator: "\n") where line != "ok" { find("SQLite: \(line)") }
    }
  }

  /// Compares a number of `meta` with what it is of.
  func checkTotal(_ name: String, _ actual: Int64) throws(DatabaseError) {
    guard let stored = try database.number("SELECT value FROM meta WHERE name = '\(name)'") else {
      return find("the number '\(name)' is missing")
    }
    if stored != actual { find("the number '\(name)' is \(stored), and should be \(actual)") }
  }

  /// Calls `body` with each row of a query.
  func forEach(
    _ sql: String, _ body: (Statement) throws(DatabaseError) -> Void
  ) throws(DatabaseError) {
    let rows = try database.prepare(sql)
    defer { rows.finalize() }
    while try rows.step() { try body(rows) }
  }

  // MARK: Small tables

  private func checkUnread() throws(DatabaseError) {
    try forEach("SELECT DISTINCT filter FROM unread WHERE filter NOT IN (SELECT id FROM filter)") {
      find("unread messages are counted for filter \($0.number(0)), which does not exist")
    }
    try forEach(
      """
      SELECT filter, sequence FROM (
        SELECT filter, sequence, total,
          lag(total) OVER (PARTITION BY filter ORDER BY sequence) AS before FROM unread)
      WHERE total < before
      """
    ) {
      find("the unread messages of filter \($0.number(0)) get fewer at \($0.number(1))")
    }
  }

  private func checkRetained() throws(DatabaseError) {
    var rows: Int64 = 0
    var bytes: Int64 = 0
    try forEach(
      "SELECT topic, qos, expires_at, length(topic) + length(properties) + length(payload), "
        + "length(payload) FROM retained"
    ) { row in
      rows += 1
      bytes += row.number(3)
      let topic = row.bytes(0)
      if !validateTopicName(topic.span) {
        find("a retained message has \(topic.quoted) for a topic, which is none")
      }
      if !(0...2).contains(row.number(1)) || row.number(4) == 0
        || !(0...Int64(UInt32.max)).contains(row.number(2))
      {
        find("the retained message of \(topic.quoted) has a QoS, expiry or payload that can't be")
      }
    }
    try checkTotal("retained", rows)
    try checkTotal("retained-bytes", bytes)
  }

  private func checkRequests() throws(DatabaseError) {
    let limit = RequestKey.maximumBytes
    try forEach(
      """
      SELECT hex(key) FROM request
      WHERE typeof(key) <> 'blob' OR length(key) NOT BETWEEN 1 AND \(limit)
        OR until NOT BETWEEN 0 AND 4294967295
      """
    ) {
      find("the key of a request, \(String(decoding: $0.bytes(0), as: UTF8.self)), can't be")
    }
    try checkTotal("requests", try database.number("SELECT count(*) FROM request") ?? 0)
  }
}
