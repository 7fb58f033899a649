import PubSub
import Store
import Util

/// Retained messages.
extension Engine {
  /// Keeps a message as its topic's retained one; without payload it takes that away
  /// [MQTT-3.3.1-6] [MQTT-3.3.1-7]. False where there is no room for it.
  func retain(
    _ facts: LoggedFacts, topic: Span<UInt8>, properties: Span<UInt8>, payload: Span<UInt8>
  ) throws(DatabaseError) -> Bool {
    let find = try database.statement(
      "SELECT id, length(topic) + length(properties) + length(payload) FROM retained WHERE topic = ?1"
    ).bind(1, topic)
    let isThere = try find.step()
    let id = isThere ? find.number(0) : 0
    let oldBytes = isThere ? find.number(1) : 0
    find.reset()
    if payload.count == 0 {
      guard isThere else { return true }
      try database.statement("DELETE FROM retained WHERE id = ?1").bind(1, id).run()
      totals.retained -= 1
      totals.retainedBytes -= oldBytes
      return true
    }
    let bytes = Int64(topic.count + properties.count + payload.count)
    guard totals.retained + (isThere ? 0 : 1) <= Int64(limits.maximumRetainedMessages),
      totals.retainedBytes - oldBytes + bytes <= Int64(limits.maximumRetainedBytes)
    else { return false }
    let put =
      isThere
      ? try database.statement(
        """
        UPDATE retained SET topic = ?2, qos = ?3, expires_at = ?4, properties = ?5, payload = ?6
        WHERE id = ?1
        """
      ).bind(1, id)
      : try database.statement("INSERT INTO retained VALUES (?1, ?2, ?3, ?4, ?5, ?6)").bindNull(1)
    put.bind(2, topic).bind(3, UInt32(facts.qos)).bind(4, facts.expiresAt).bind(5, properties)
    try put.run(6, lending: payload)
    totals.retained += isThere ? 0 : 1
    totals.retainedBytes += bytes - oldBytes
    return true
  }

  /// The retained messages whose topics match a filter, from a topic on, as many as one question may
  /// take.
  func findRetained(_ query: RetainedQuery) throws(DatabaseError) -> RetainedPage {
    var records = MessageRecords()
    var next: [UInt8]?
    var last: [UInt8] = []
    let filter = query.filter.span
    let rows: Statement
    if filter.hasWildcard {
      let prefix = filter.extracting(filter.literalPrefix)
      // All topics that begin with the prefix and a separator, or are the prefix: "0" follows "/".
      var end = prefix.array
      end.append(UInt8(ascii: "0"))
      let isAll = prefix.count == 0
      rows = try database.statement(
        """
        SELECT topic, qos, expires_at, properties, payload FROM retained
        WHERE topic > ?1 AND topic >= ?2 AND topic < ?3 ORDER BY topic
        """)
      rows.bind(1, query.after ?? []).bind(2, prefix).bind(3, isAll ? [0xFF] : end)
    } else {
      rows = try database.statement(
        "SELECT topic, qos, expires_at, properties, payload FROM retained WHERE topic = ?1"
      ).bind(1, filter)
    }
    defer { rows.reset() }
    var visits = 0
    while try rows.step() {
      if visits >= StoreConstants.retainedVisits || records.byteCount >= query.maximumBytes {
        next = last
        break
      }
      visits += 1
      last = rows.bytes(0)
      let facts = LoggedFacts(
        expiresAt: rows.word(2), qos: UInt8(truncatingIfNeeded: rows.number(1)), retain: true)
      guard !facts.isExpired(at: now), filterMatches(filter, topic: last.span) else { continue }
      rows.withBytes(3) { properties in
        rows.withBytes(4) { payload in
          _ = records.append(
            facts, topic: last.span, properties: properties, payload: payload,
            index: UInt32(records.count))
        }
      }
    }
    let count = UInt32(records.count)
    return RetainedPage(
      asker: query.asker, tag: query.tag,
      messages: LogSegment(first: 0, span: count, records: records), next: next)
  }
}
