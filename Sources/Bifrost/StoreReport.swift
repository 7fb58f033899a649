import Bench
import Store
import StoreSQLite
import Util

/// What `inspect` says of a whole store.
struct StoreReport {
  let summary: StoreSummary
  let path: String
  /// The process that holds it.
  let process: Int32?

  init(_ summary: StoreSummary, path: String, process: Int32?) {
    self.summary = summary
    self.path = path
    self.process = process
  }

  /// Seconds since the oldest message was appended.
  private var oldestAge: UInt32? {
    summary.oldestAppendedAt.map { WallClock.second > $0 ? WallClock.second - $0 : 0 }
  }

  /// For programs. Names do not change their meaning; new ones may come.
  var json: JSONValue {
    .object([
      ("path", .string(path)), ("schema", .integer(summary.schema)),
      ("epoch", .integer(summary.epoch)),
      ("process", process.map { .integer(UInt64(max(0, $0))) } ?? .null),
      ("file_bytes", .integer(summary.fileBytes)), ("wal_bytes", .integer(summary.logFileBytes)),
      ("page_bytes", .integer(summary.pageBytes)), ("pages", .integer(summary.pages)),
      ("free_pages", .integer(summary.freePages)), ("sessions", .integer(summary.sessions)),
      ("connected", .integer(summary.connected)), ("away", .integer(away)),
      ("subscriptions", .integer(summary.subscriptions)), ("filters", .integer(summary.filters)),
      ("inboxes", .integer(summary.inboxes)), ("shares", .integer(summary.shares)),
      ("messages", .integer(summary.messages)),
      ("message_bytes", .integer(summary.bytes)), ("segments", .integer(summary.segments)),
      ("oldest_appended_at", summary.oldestAppendedAt.map { .integer(UInt64($0)) } ?? .null),
      ("oldest_age", oldestAge.map { .integer(UInt64($0)) } ?? .null),
      ("next_sequence", .integer(summary.nextSequence)), ("retained", .integer(summary.retained)),
      ("retained_bytes", .integer(summary.retainedBytes)), ("unread", .integer(summary.unread)),
      ("requests", .integer(summary.requests)),
    ])
  }

  private var away: UInt64 { summary.sessions - min(summary.sessions, summary.connected) }

  /// For people.
  var text: String {
    let free = summary.freePages * summary.pageBytes
    let present = process == nil ? "connected when the last broker ended" : "connected"
    var oldest = ""
    if let second = summary.oldestAppendedAt, let oldestAge {
      oldest = ", the oldest from \(Second.text(second)), \(oldestAge) s ago"
    }
    return rows([
      ("store", "\(path), version \(summary.schema), epoch \(summary.epoch)"),
      ("broker", process.map { "process \($0)" } ?? "none is seen"),
      (
        "size",
        "\(summary.fileBytes) bytes and \(summary.logFileBytes) of the write-ahead log; "
          + "\(summary.freePages) of \(summary.pages) pages are free, \(free) bytes"
      ),
      ("sessions", "\(summary.sessions): \(summary.connected) \(present), \(away) away"),
      (
        "subscriptions",
        "\(summary.subscriptions), to \(amount(summary.filters, "filter")); messages are kept for "
          + amount(summary.shares, "group")
      ),
      ("inboxes", "\(amount(summary.inboxes, "client")) with messages of their own, now or before"),
      (
        "log",
        "\(amount(summary.messages, "message")) of \(summary.bytes) bytes in "
          + amount(summary.segments, "segment") + oldest
      ),
      ("next message", "\(summary.nextSequence)"),
      ("retained", "\(amount(summary.retained, "message")) of \(summary.retainedBytes) bytes"),
      ("unread", "\(amount(summary.unread, "message")) in all"),
      ("requests", "\(amount(summary.requests, "key")) remembered"),
    ])
  }
}

/// A number with what it counts.
func amount(_ count: UInt64, _ what: String) -> String {
  "\(count) \(what)\(count == 1 ? "" : "s")"
}

/// Lines with a name each.
func rows(_ rows: [(String, String)]) -> String {
  rows.map { name, value in
    name + String(repeating: " ", count: max(1, 15 - name.count)) + value + "\n"
  }.joined()
}

/// Seconds since 1970, for people.
enum Second {
  /// As 2026-11-24T20:15:28Z.
  static func text(_ second: UInt32) -> String {
    String("\(Timestamp(seconds: Int(second), milliseconds: 0))".dropLast(5)) + "Z"
  }
}
