import Store

/// Segments of the log that are not what was written.
extension Engine {
  /// Whether records that came from the file can be what was appended: it sees damage to what the
  /// engine goes by, not to every byte of a payload.
  static func isSound(_ records: borrowing MessageRecords, span: UInt32) -> Bool {
    var isSound = records.count > 0
    var next: UInt32 = 0
    records.forEach { message, _ in
      let hasPlace = message.index >= next && message.index < span
      let topic = message.topic
      let isNamed =
        DirectTopic.isDirect(topic) ? DirectTopic(topic) != nil : topic.count > 0
      if !hasPlace || !(1...2).contains(message.facts.qos) || !isNamed { isSound = false }
      next = hasPlace ? message.index + 1 : span
    }
    return isSound
  }

  /// Forgets a segment that can't be read, so that the rest goes on: what it is owed through counts as
  /// unread.
  /// - Throws: where the engine only reads.
  func giveUp(_ first: UInt64) throws(DatabaseError) {
    guard !isReadOnly else {
      throw DatabaseError.damaged("segment \(first) of the log is damaged")
    }
    let row = try database.statement(
      "SELECT span, messages, bytes FROM log WHERE sequence = ?1"
    ).bind(1, first)
    guard try row.step() else { return }
    // These may be damaged, too.
    let span = UInt64(min(max(row.number(0), 1), 1 << 16))
    let messages = min(max(row.number(1), 0), 1 << 16)
    let bytes = min(max(row.number(2), 0), totals.bytes)
    row.reset()
    // Which filters they match, the body would say. It is rare enough to look at all.
    let entries = try database.statement(
      "SELECT filter, length(places) / 2 FROM entry WHERE sequence = ?1"
    ).bind(1, first)
    var found: [(filter: UInt32, count: Int64)] = []
    while try entries.step() { found.append((entries.word(0), entries.number(1))) }
    for (filter, count) in found {
      try addUnread(filter, count, through: first + span - 1)
      try database.statement("DELETE FROM entry WHERE filter = ?1 AND sequence = ?2")
        .bind(1, filter).bind(2, first).run()
    }
    try database.statement("DELETE FROM log WHERE sequence = ?1").bind(1, first).run()
    try database.statement("DELETE FROM owed WHERE sequence = ?1").bind(1, first).run()
    totals.messages = max(0, totals.messages - messages)
    totals.bytes -= bytes
    totals.unread += messages
    damages.append(
      "segment \(first) of the log is damaged: up to \(messages) messages are lost, and count as unread"
    )
  }
}
