import Packet
import PubSub
import Store
import Util

/// Sessions, what they subscribe to, and what they have in flight.
extension StoreVerifier {
  func checkFilters() throws(DatabaseError) {
    try forEach("SELECT id, text, is_wildcard FROM filter") { row in
      let text = row.bytes(1)
      guard validateTopicFilter(text.span) || DirectTopic.session(ofInbox: text.span) != nil else {
        return find("filter \(row.number(0)), \(text.quoted), is none")
      }
      let isWildcard = text.span.hasWildcard && !text.span.isShareFilter
      if (row.number(2) != 0) != isWildcard {
        find("filter \(text.quoted) is marked wrongly as to wildcards")
      }
      if !(1...Int64(UInt32.max)).contains(row.number(0)) {
        find("filter \(text.quoted) has a number that can't be, \(row.number(0))")
      }
    }
    try forEach(
      """
      WITH
        used(filter, reads) AS (
          SELECT filter, options & 3 <> 0 FROM subscription UNION ALL SELECT inner, 1 FROM share),
        counted(filter, subscriptions, readers) AS (
          SELECT filter, count(*), sum(reads) FROM used GROUP BY filter)
      SELECT f.text, f.subscriptions, f.readers, coalesce(c.subscriptions, 0),
        coalesce(c.readers, 0)
      FROM filter f LEFT JOIN counted c ON c.filter = f.id
      WHERE f.subscriptions <> coalesce(c.subscriptions, 0) OR f.readers <> coalesce(c.readers, 0)
        OR c.filter IS NULL
      """
    ) { row in
      let text = row.bytes(0).quoted
      if row.number(3) == 0 { return find("filter \(text) has no subscription") }
      find(
        "filter \(text) counts \(row.number(1)) subscriptions and \(row.number(2)) that messages are "
          + "kept for, and should count \(row.number(3)) and \(row.number(4))")
    }
  }

  func checkSubscriptions() throws(DatabaseError) {
    try forEach(
      """
      SELECT s.session, s.filter, s.options, s.position, c.client, f.text FROM subscription s
      LEFT JOIN session c ON c.id = s.session LEFT JOIN filter f ON f.id = s.filter
      """
    ) { row in
      if row.isNull(4) {
        find(
          "a subscription to filter \(row.number(1)) is of session \(row.number(0)), which does not exist"
        )
      }
      if row.isNull(5) {
        find("session \(row.number(0)) subscribes to filter \(row.number(1)), which does not exist")
      }
      guard !row.isNull(4), !row.isNull(5) else { return }
      let name = { (row: Statement) in
        "the subscription of \(row.bytes(4).quoted) to \(row.bytes(5).quoted)"
      }
      let options = row.number(2)
      let isShared = row.withBytes(5) { $0.isShareFilter }
      if row.withBytes(5, { DirectTopic.isDirect($0) }) {
        if options != Int64(SubscriptionRow.inboxOptions)
          || row.bytes(5) != DirectTopic.inbox(of: row.unsigned(0))
        {
          find("\(name(row)) can't be, with options \(options)")
        }
      } else if !(0...0x7F).contains(options) || options & 3 == 3
        || (options & Int64(SubscriptionRow.isShared) != 0) != isShared
      {
        find("\(name(row)) has options that can't be, \(options)")
      }
      if row.unsigned(3) >= nextSequence {
        find("\(name(row)) begins behind the end of the log, at \(row.number(3))")
      }
    }
  }

  func checkShares() throws(DatabaseError) {
    try forEach(
      """
      SELECT h.id, h.cursor, h.pending, f.text, i.text, length(h.pending) FROM share h
      LEFT JOIN filter f ON f.id = h.filter LEFT JOIN filter i ON i.id = h.inner
      """
    ) { row in
      guard !row.isNull(3), !row.isNull(4) else {
        return find("shared subscription \(row.number(0)) has a filter that does not exist")
      }
      let text = row.bytes(3)
      if innerFilter(text.span) != row.bytes(4) {
        find("\(text.quoted) is no shared subscription to \(row.bytes(4).quoted)")
      }
      let cursor = row.unsigned(1)
      if cursor >= nextSequence {
        find("\(text.quoted) has read beyond the end of the log, up to \(cursor)")
      }
      let pending = row.withBytes(2) { decodePending($0) }
      if row.number(5) % 8 != 0 || pending.contains(where: { $0 == 0 || $0 > cursor }) {
        find("the pending messages of \(text.quoted) are damaged")
      }
    }
    try forEach(
      """
      SELECT f.text FROM share h JOIN filter f ON f.id = h.filter
      WHERE NOT EXISTS (SELECT 1 FROM subscription s WHERE s.filter = h.filter)
      """
    ) {
      find("\($0.bytes(0).quoted) keeps messages, and nobody subscribes to it")
    }
  }

  func checkSessions() throws(DatabaseError) {
    var sessions: Int64 = 0
    try forEach(
      """
      SELECT s.client, s.version, s.connected, s.expiry_interval, s.expires_at, s.will_due_at, s.will,
        s.due, s.id, p.session, p.cursor, p.next_packet_id, p.window, p.inbound
      FROM session s LEFT JOIN progress p ON p.session = s.id
      """
    ) { row in
      sessions += 1
      let name = "session \(row.bytes(0).quoted)"
      let presence = StoreReader.presence(row, from: 1)
      if !validateUTF8String(row.bytes(0).span) || !(3...5).contains(row.number(1)) {
        find("\(name) has a client id or a protocol version that can't be")
      }
      if row.unsigned(2) > epoch {
        find("\(name) is connected to broker \(row.number(2)), and only \(epoch) have run")
      }
      if row.word(7) != Engine.due(presence) { find("\(name) has a wrong time of what is due") }
      if !row.isNull(6) && presence.will == nil { find("\(name) has a will that is damaged") }
      if row.isNull(9) {
        find("\(name) has nothing that says how far it has read the log")
      } else {
        checkProgress(row, name)
      }
    }
    try checkTotal("sessions", sessions)
    try forEach("SELECT session FROM progress WHERE session NOT IN (SELECT id FROM session)") {
      find("something is in flight of session \($0.number(0)), which does not exist")
    }
    try forEach("SELECT session FROM missed WHERE session NOT IN (SELECT id FROM session)") {
      find("session \($0.number(0)), which does not exist, has missed messages")
    }
  }

  /// The cursor, window and identifiers from column 10 on.
  private func checkProgress(_ row: Statement, _ name: String) {
    let cursor = row.unsigned(10)
    if cursor >= nextSequence {
      find("\(name) has read beyond the end of the log, up to \(cursor)")
    }
    if !(0...Int64(UInt16.max)).contains(row.number(11)) {
      find("\(name) has a next packet identifier that can't be")
    }
    let window = row.withBytes(12) { WindowEntry.decode($0) }
    if WindowEntry.encode(window).count != row.withBytes(12, { $0.count }) {
      find("the window of \(name) is damaged at its end")
    }
    var used: Set<UInt16> = []
    for entry in window {
      // What a group gave it does not depend on how far it has read for itself.
      if entry.sequence > cursor && !(entry.isShared && entry.sequence < nextSequence) {
        find("the window of \(name) has message \(entry.sequence), which is behind its cursor")
      }
      if !entry.canBe {
        find(
          "the window of \(name) has an entry that can't be: message \(entry.sequence), identifier "
            + "\(entry.packetID), state \(entry.state), traits \(entry.traits)")
      }
      if entry.packetID != 0 && !used.insert(entry.packetID).inserted {
        find("the window of \(name) has identifier \(entry.packetID) twice")
      }
    }
    let inbound = row.withBytes(13) { SessionProgress.decodeInbound($0) }
    if row.withBytes(13, { $0.count }) % 2 != 0 || inbound.contains(0)
      || Set(inbound).count != inbound.count
    {
      find("the identifiers that \(name) has published with are damaged")
    }
  }

  /// What a message in a window belongs to, for people.
  func name(reader: Int64) throws(DatabaseError) -> String {
    let query = try database.statement(
      """
      SELECT client, 0 FROM session WHERE id = ?1
      UNION ALL SELECT f.text, 1 FROM share h JOIN filter f ON f.id = h.filter WHERE h.id = -?1
      """
    ).bind(1, reader)
    defer { query.reset() }
    guard try query.step() else { return "session \(reader)" }
    return (query.number(1) == 0 ? "session " : "the group of ") + query.bytes(0).quoted
  }
}

extension WindowEntry {
  /// Whether a session can have such an entry: the first of its states alone, "waiting", has no packet
  /// identifier, and is nothing without a message.
  var canBe: Bool {
    state <= 4 && (packetID == 0) == (state == 0) && traits & 3 != 3
      && (sequence != 0 || state != 0)
  }
}
