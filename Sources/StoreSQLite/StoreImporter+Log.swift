import Packet
import Store
import Util

/// A segment that is being filled by an import.
final class ImportedSegment {
  let first: UInt64
  let appendedAt: UInt32
  var last: UInt64
  var records = MessageRecords(capacity: 4096)
  /// For each filter the places of its messages, as the database has them.
  var filters: [UInt32: [UInt8]] = [:]
  /// The last second at which one of the messages expires; 0 once one never does.
  var expiresAt: UInt32 = 1

  init(first: UInt64, appendedAt: UInt32) {
    self.first = first
    self.appendedAt = appendedAt
    last = first
  }
}

/// Messages: they are put together to segments again.
extension StoreImporter {
  func add(_ message: StoreItem.Message) throws(DatabaseError) {
    guard message.sequence > lastSequence, message.sequence < head.nextSequence else {
      throw .invalid(
        "sequence number \(message.sequence) does not rise, or is not below next_sequence")
    }
    let direct = DirectTopic(message.topic.span)
    guard (1...2).contains(message.facts.qos), message.topic.count <= Int(UInt16.max),
      message.filters.count <= Int(UInt16.max), isTopic(message.topic.span)
    else { throw .invalid("topic or QoS of the message can't be") }
    lastSequence = message.sequence
    if let direct {
      try require(direct.session, of: message.topic.span.extracting(direct.client))
    }
    for filter in message.filters { try requireFilter(filter, inboxOf: direct?.session) }
    if owed == nil { owed = try OwedCounts(database) }
    let count = try owed?.count(message.sequence, filters: message.filters.span) ?? 0
    guard count > 0 else { return }
    if let open,
      message.sequence - open.first >= UInt64(StoreConstants.segmentMessages)
        || open.records.byteCount >= StoreConstants.segmentBytes
        || open.appendedAt != message.appendedAt
    {
      try closeSegment()
    }
    if open == nil {
      open = ImportedSegment(first: message.sequence, appendedAt: message.appendedAt)
    }
    open?.append(message, owed: UInt32(clamping: count))
  }

  /// Whether a filter is there, and the inbox of a session or, without one, of none.
  private func requireFilter(
    _ id: UInt32, inboxOf session: StoredSessionID?
  ) throws(DatabaseError) {
    let query = try database.statement("SELECT text FROM filter WHERE id = ?1").bind(1, id)
    defer { query.reset() }
    guard try query.step() else { throw .invalid("filter \(id) was not told before") }
    guard query.withBytes(0, { DirectTopic.session(ofInbox: $0) }) == session else {
      throw .invalid("filter \(id) can't match the message")
    }
  }

  /// Whether a message to one client is for one that has the session.
  private func require(
    _ session: StoredSessionID, of client: Span<UInt8>
  ) throws(DatabaseError) {
    let query = try database.statement("SELECT 1 FROM session WHERE id = ?1 AND client = ?2")
      .bind(1, session).bind(2, client)
    defer { query.reset() }
    guard try query.step() else { throw .invalid("the message's client has no such session") }
  }

  /// Writes the segment that is being filled, if one is.
  func closeSegment() throws(DatabaseError) {
    guard let segment = open else { return }
    open = nil
    let count = segment.records.count
    let bytes = segment.records.byteCount
    totals.messages += Int64(count)
    totals.bytes += Int64(bytes)
    let insert = try database.statement("INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
    insert.bind(1, segment.first).bind(2, segment.last - segment.first + 1).bind(3, Int64(count))
    insert.bind(4, Int64(bytes)).bind(5, segment.appendedAt).bind(6, segment.expiresAt)
    try insert.run(7, lending: segment.records.bytes)
    let entry = try database.statement("INSERT INTO entry VALUES (?1, ?2, ?3)")
    for (filter, places) in segment.filters {
      try entry.bind(1, filter).bind(2, segment.first).run(3, lending: places.span)
    }
  }
}

extension ImportedSegment {
  func append(_ message: StoreItem.Message, owed: UInt32) {
    let index = UInt32(message.sequence - first)
    last = message.sequence
    records.append(
      message.facts, topic: message.topic.span, properties: message.properties.span,
      payload: message.payload.span, index: index, owed: owed, filters: message.filters.span)
    for filter in message.filters {
      filters[filter, default: []].append(littleEndian: UInt16(index))
    }
    let expiry = message.facts.expiresAt
    expiresAt = expiry == 0 || expiresAt == 0 ? 0 : max(expiresAt, expiry)
  }
}

/// Whether a topic can be one of the log: a topic name, or what stands for a message to one client.
func isTopic(_ topic: Span<UInt8>) -> Bool {
  guard DirectTopic.isDirect(topic) else { return validateTopicName(topic) }
  guard let direct = DirectTopic(topic) else { return false }
  return validateUTF8String(topic.extracting(direct.client))
    && validateTopicName(topic.extracting(direct.topic))
}
