import Packet
import Store
import Util

/// The log: segments, what is owed of them, and how they are found.
extension StoreVerifier {
  func checkLog() throws(DatabaseError) {
    var doubles: [(Int64, UInt64)] = []
    let owed = try OwedCounts(database) { doubles.append(($0, $1)) }
    for (reader, sequence) in doubles {
      find("\(try name(reader: reader)) has message \(sequence) in flight twice")
    }
    var messages: Int64 = 0
    var bytes: Int64 = 0
    var entries: Int64 = 0
    var end: UInt64 = 0
    try forEach(
      """
      SELECT l.sequence, l.span, l.messages, l.bytes, l.appended_at, l.expires_at, l.body, o.counts
      FROM log l LEFT JOIN owed o ON o.sequence = l.sequence ORDER BY l.sequence
      """
    ) { row throws(DatabaseError) in
      messages &+= row.number(2)
      bytes &+= row.number(3)
      let first = row.unsigned(0)
      let span = row.unsigned(1)
      if first < end { find("segment \(first) of the log begins in the one before it") }
      end = first + span
      if end > nextSequence || first == 0 {
        find("segment \(first) of the log ends behind the end of the log, \(nextSequence)")
      }
      guard (1...1 << 16).contains(span),
        let records = row.withBytes(6, { MessageRecords(copying: $0) })
      else {
        return find("segment \(first) of the log can't be decoded")
      }
      if Int64(records.count) != row.number(2) || Int64(records.byteCount) != row.number(3) {
        find(
          "segment \(first) has \(records.count) messages of \(records.byteCount) bytes, and its row "
            + "says \(row.number(2)) of \(row.number(3))")
      }
      let counts = row.isNull(7) ? nil : row.withBytes(7) { SegmentState.decodeCounts($0) }
      if let counts, counts.count != Int(span) {
        find("segment \(first) has counts of \(counts.count) messages, and \(span) numbers")
      }
      let segment = LogSegment(first: first, span: UInt32(span), records: records)
      guard checkOrder(segment, expiresAt: row.word(5)) else { return }
      let state = SegmentState(segment, appendedAt: row.word(4), counts: counts)
      if state.isDone { find("segment \(first) has no message that anybody is owed") }
      try checkCounts(state, owed)
      try checkDirect(state)
      entries += try checkEntries(of: state)
    }
    try checkTotal("messages", messages)
    try checkTotal("bytes", bytes)
    try checkStrays(entries)
    try owed.forEachMissing { reader, sequence throws(DatabaseError) in
      note(
        "\(try name(reader: reader)) has message \(sequence) in flight, which is gone: it went unread"
      )
    }
  }

  /// Whether the messages of a segment are in order, and each is one. What nobody was owed when it was
  /// appended says nothing of the segment's expiry.
  private func checkOrder(_ segment: LogSegment, expiresAt: UInt32) -> Bool {
    var next: UInt32 = 0
    var isSound = true
    segment.records.forEach { message, _ in
      let name = "message \(segment.first + UInt64(message.index))"
      if message.index < next || message.index >= segment.span {
        find("\(name) of segment \(segment.first) is not in its place")
        isSound = false
      }
      next = message.index &+ 1
      if !isTopic(message.topic) || !(1...2).contains(message.facts.qos) {
        find("\(name) has a topic or a QoS that can't be")
      }
      let expiry = message.facts.expiresAt
      if expiresAt != 0 && message.owed > 0 && (expiry == 0 || expiry > expiresAt) {
        find("\(name) expires behind its segment, which goes at \(expiresAt)")
      }
    }
    return isSound
  }

  /// Whether each message is kept for as many as are to read it.
  private func checkCounts(_ state: SegmentState, _ owed: OwedCounts) throws(DatabaseError) {
    try state.segment.records.forEach { message, _ throws(DatabaseError) in
      let sequence = state.first + UInt64(message.index)
      let left = UInt64(state.counts[Int(message.index)])
      if left > UInt64(message.owed) {
        find(
          "message \(sequence) is owed to \(left), more than the \(message.owed) of its beginning")
      }
      let actual = try owed.count(sequence, filters: message.filters)
      if left < actual {
        find(
          "message \(sequence) is kept for \(left), and \(actual) are to read it: it may go too soon"
        )
      } else if left > actual {
        find("message \(sequence) is kept for \(left), and only \(actual) are to read it")
      }
      try owed.found(sequence)
    }
  }

  /// Whether messages to one client, and no others, are found through the inbox of their session.
  private func checkDirect(_ state: SegmentState) throws(DatabaseError) {
    let filters = try database.statement("SELECT text FROM filter WHERE id = ?1")
    var inboxes: [UInt32: StoredSessionID] = [:]
    var others: Set<UInt32> = []
    for filter in state.filters {
      // Of a session that has ended, nobody is owed anything.
      guard try filters.bind(1, filter).step() else { continue }
      if let session = filters.withBytes(0, { DirectTopic.session(ofInbox: $0) }) {
        inboxes[filter] = session
      } else {
        others.insert(filter)
      }
      filters.reset()
    }
    let clients = try database.statement("SELECT client FROM session WHERE id = ?1")
    try state.segment.records.forEach { message, _ throws(DatabaseError) in
      let name = "message \(state.first + UInt64(message.index))"
      let topic = message.topic
      let direct = DirectTopic(topic)
      for place in message.filters.indices {
        let filter = message.filters[place]
        if direct == nil && inboxes[filter] != nil {
          find("\(name) is for no one client, and is found through \(filter), an inbox")
        } else if let direct,
          others.contains(filter) || inboxes[filter] ?? direct.session != direct.session
        {
          find("\(name) is for one client, and is found through filter \(filter) of others")
        }
      }
      guard let direct else { return }
      if try clients.bind(1, direct.session).step(),
        clients.bytes(0) != topic.extracting(direct.client).array
      {
        find("\(name) is for another client than that of session \(direct.session)")
      }
      clients.reset()
    }
  }

  /// Whether the messages of a segment are found through their filters. Gives how many rows there are.
  private func checkEntries(of state: SegmentState) throws(DatabaseError) -> Int64 {
    let query = try database.statement(
      "SELECT places FROM entry WHERE filter = ?1 AND sequence = ?2")
    var found: Int64 = 0
    for filter in state.filters.sorted() {
      query.bind(1, filter).bind(2, state.first)
      guard try query.step() else {
        // Of a filter that was forgotten since, nobody asks for it.
        find("segment \(state.first) is not found through filter \(filter)")
        continue
      }
      found += 1
      let bytes = query.withBytes(0) { $0.count }
      let places = query.withBytes(0) { SessionProgress.decodeInbound($0) }
      query.reset()
      if bytes % 2 != 0 || places.contains(where: { UInt32($0) >= state.segment.span }) {
        find("the places of filter \(filter) in segment \(state.first) are damaged")
      }
      checkPlaces(Set(places), of: filter, in: state.segment)
    }
    return found
  }

  private func checkPlaces(_ places: Set<UInt16>, of filter: UInt32, in segment: LogSegment) {
    segment.records.forEach { message, _ in
      var names = false
      for place in message.filters.indices where message.filters[place] == filter { names = true }
      let sequence = segment.first + UInt64(message.index)
      let isFound = places.contains(UInt16(truncatingIfNeeded: message.index))
      if names && !isFound {
        find("message \(sequence) is not found through filter \(filter), which it matches")
      } else if !names && isFound {
        find("message \(sequence) is found through filter \(filter), which it does not match")
      }
    }
  }

  /// Rows that belong to no segment.
  private func checkStrays(_ entries: Int64) throws(DatabaseError) {
    try forEach("SELECT sequence FROM owed WHERE sequence NOT IN (SELECT sequence FROM log)") {
      find("counts are kept for segment \($0.number(0)), which does not exist")
    }
    var known = entries
    try forEach(
      "SELECT filter, sequence FROM entry WHERE sequence NOT IN (SELECT sequence FROM log)"
    ) {
      known += 1
      find("filter \($0.number(0)) names segment \($0.number(1)), which does not exist")
    }
    let all = try database.number("SELECT count(*) FROM entry") ?? 0
    if all != known {
      find("\(all - known) rows name segments for filters that none of their messages matches")
    }
  }
}
