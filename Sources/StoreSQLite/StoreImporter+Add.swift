import Packet
import PubSub
import Store
import Util

/// What each thing becomes in the tables.
extension StoreImporter {
  /// Numbers from here on have room to grow.
  private static var largest: UInt64 { 1 << 62 }

  func begin(_ head: StoreItem.Head) throws(DatabaseError) {
    // The upper half of a session's number is that of a run.
    guard head.epoch < 1 << 30, (1..<StoreImporter.largest).contains(head.nextSequence),
      head.unread < StoreImporter.largest, head.lastShare < StoreImporter.largest
    else { throw .invalid("a number of the head can't be") }
    self.head = head
  }

  /// A sequence number that was given out.
  private func check(_ sequence: UInt64, _ what: String) throws(DatabaseError) {
    guard sequence < head.nextSequence else {
      throw .invalid("\(what) \(sequence) is not below next_sequence \(head.nextSequence)")
    }
  }

  func add(_ filter: StoreItem.Filter) throws(DatabaseError) {
    let text = filter.text.span
    guard filter.id > 0, validateTopicFilter(text) || DirectTopic.session(ofInbox: text) != nil
    else {
      throw .invalid("it is no filter with a number")
    }
    let isWildcard = text.hasWildcard && !text.isShareFilter
    try database.statement("INSERT INTO filter VALUES (?1, ?2, ?3, 0, 0)")
      .bind(1, filter.id).bind(2, text).bind(3, Int64(isWildcard ? 1 : 0)).run()
    let insert = try database.statement("INSERT INTO unread VALUES (?1, ?2, ?3)")
    for row in filter.unread {
      try check(row.through, "the sequence number")
      guard row.total < StoreImporter.largest else { throw .invalid("so many can't be unread") }
      try insert.bind(1, filter.id).bind(2, row.through).bind(3, row.total).run()
    }
  }

  /// The number of a filter by its text.
  private func find(_ text: [UInt8]) throws(DatabaseError) -> UInt32 {
    let query = try database.statement("SELECT id FROM filter WHERE text = ?1").bind(1, text)
    defer { query.reset() }
    guard try query.step() else {
      throw .invalid("the filter \(text.quoted) was not told before")
    }
    return query.word(0)
  }

  private func count(_ filter: UInt32, isReader: Bool) throws(DatabaseError) {
    try database.statement(
      "UPDATE filter SET subscriptions = subscriptions + 1, readers = readers + ?2 WHERE id = ?1"
    ).bind(1, filter).bind(2, Int64(isReader ? 1 : 0)).run()
  }

  func add(_ share: StoreItem.Share) throws(DatabaseError) {
    guard share.id > 0, share.id <= head.lastShare, innerFilter(share.filter.span) == share.inner
    else {
      throw .invalid("\(share.filter.quoted) is no shared subscription to \(share.inner.quoted)")
    }
    try check(share.cursor, "the cursor")
    var pending: [UInt8] = []
    for sequence in share.pending {
      guard sequence > 0, sequence <= share.cursor else {
        throw .invalid("the pending message \(sequence) is behind the cursor")
      }
      pending.append(littleEndian: sequence)
    }
    let inner = try find(share.inner)
    try database.statement("INSERT INTO share VALUES (?1, ?2, ?3, ?4, ?5)")
      .bind(1, share.id).bind(2, try find(share.filter)).bind(3, inner).bind(4, share.cursor)
      .bind(5, pending).run()
    try count(inner, isReader: true)
  }

  func add(_ session: StoreItem.Session) throws(DatabaseError) {
    let presence = session.presence
    guard session.id > 0, session.id < (head.epoch + 1) << 32, (3...5).contains(presence.version),
      session.client.count <= Int(UInt16.max), validateUTF8String(session.client.span)
    else { throw .invalid("number, protocol or client id of the session can't be") }
    let insert = try database.statement(
      "INSERT INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
    insert.bind(1, session.id).bind(2, session.client).bind(3, UInt32(presence.version))
    insert.bind(4, presence.isConnected ? head.epoch : 0).bind(5, presence.expiryInterval)
    insert.bind(6, presence.expiresAt).bind(7, presence.willDueAt).bind(8, Engine.due(presence))
    if let will = presence.will {
      guard will.qos <= 2, will.topic.count <= Int(UInt16.max), validateTopicName(will.topic.span)
      else { throw .invalid("topic or QoS of the will can't be") }
      insert.bind(9, will.encoded)
    } else {
      insert.bindNull(9)
    }
    try insert.run()
    try add(session.progress, of: session.id)
    if session.missed > 0 {
      guard session.missed < StoreImporter.largest else {
        throw .invalid("so many messages can't be missed")
      }
      try database.statement("INSERT INTO missed VALUES (?1, ?2)")
        .bind(1, session.id).bind(2, session.missed).run()
    }
    for subscription in session.subscriptions { try add(subscription, of: session.id) }
    if let position = session.inbox { try addInbox(of: session.id, position: position) }
    totals.sessions += 1
  }

  private func add(
    _ progress: SessionProgress, of session: StoredSessionID
  ) throws(DatabaseError) {
    try check(progress.cursor, "the cursor")
    var used: Set<UInt16> = []
    var taken: Set<UInt64> = []
    for entry in progress.window {
      let isNew = entry.sequence == 0 || entry.isShared || taken.insert(entry.sequence).inserted
      let isFree = entry.packetID == 0 || used.insert(entry.packetID).inserted
      let end = entry.isShared ? head.nextSequence - 1 : progress.cursor
      guard isNew, isFree, entry.canBe, entry.sequence <= end else {
        throw .invalid(
          "message \(entry.sequence), identifier \(entry.packetID), can't be in the window so")
      }
    }
    guard !progress.inbound.contains(0), Set(progress.inbound).count == progress.inbound.count
    else { throw .invalid("'inbound' has an identifier twice, or 0") }
    try database.statement("INSERT INTO progress VALUES (?1, ?2, ?3, ?4, ?5)")
      .bind(1, session).bind(2, progress.cursor).bind(3, UInt32(progress.nextPacketID))
      .bind(4, WindowEntry.encode(progress.window)).bind(5, progress.encodedInbound).run()
  }

  private func add(
    _ detail: SessionDetail.Subscription, of session: StoredSessionID
  ) throws(DatabaseError) {
    let subscription = detail.subscription
    try check(detail.position, "the position")
    guard subscription.options & 0xC0 == 0, subscription.qos <= 2 else {
      throw .invalid("options of a subscription can't be \(subscription.options)")
    }
    guard !DirectTopic.isDirect(subscription.filter.span) else {
      throw .invalid("nobody subscribes to an inbox")
    }
    let filter = try find(subscription.filter)
    var options = subscription.options
    if subscription.filter.span.isShareFilter { options |= SubscriptionRow.isShared }
    try database.statement("INSERT INTO subscription VALUES (?1, ?2, ?3, ?4, ?5)")
      .bind(1, session).bind(2, filter).bind(3, UInt32(options)).bind(4, subscription.identifier)
      .bind(5, detail.position).run()
    try count(filter, isReader: SubscriptionRow.isKept(options))
  }

  private func addInbox(
    of session: StoredSessionID, position: UInt64
  ) throws(DatabaseError) {
    try check(position, "the position of the inbox")
    let filter = try find(DirectTopic.inbox(of: session))
    try database.statement("INSERT INTO subscription VALUES (?1, ?2, ?3, 0, ?4)")
      .bind(1, session).bind(2, filter).bind(3, UInt32(SubscriptionRow.inboxOptions))
      .bind(4, position).run()
    try count(filter, isReader: true)
  }

  func add(_ request: StoreItem.Request) throws(DatabaseError) {
    try closeSegment()
    guard (1...RequestKey.maximumBytes).contains(request.key.count) else {
      throw .invalid("the key of a request has 1 to \(RequestKey.maximumBytes) bytes")
    }
    try database.statement("INSERT INTO request VALUES (?1, ?2)")
      .bind(1, request.key).bind(2, request.until).run()
    totals.requests += 1
  }

  func add(_ retained: StoreItem.Retained) throws(DatabaseError) {
    try closeSegment()
    guard retained.qos <= 2, !retained.payload.isEmpty, retained.topic.count <= Int(UInt16.max),
      validateTopicName(retained.topic.span)
    else { throw .invalid("topic, QoS or payload of the retained message can't be") }
    let insert = try database.statement(
      "INSERT INTO retained VALUES (NULL, ?1, ?2, ?3, ?4, ?5)")
    insert.bind(1, retained.topic).bind(2, UInt32(retained.qos)).bind(3, retained.expiresAt)
    try insert.bind(4, retained.properties).run(5, lending: retained.payload.span)
    totals.retained += 1
    totals.retainedBytes += Int64(
      retained.topic.count + retained.properties.count + retained.payload.count)
  }
}

/// What messages are matched with of a shared subscription; nil where the text is none.
func innerFilter(_ text: Span<UInt8>) -> [UInt8]? {
  guard case .shared(_, let range) = parseSharedSubscription(text) else { return nil }
  return text.extracting(range).array
}

extension [UInt8] {
  /// The text between quotation marks, for people; of an inbox, whose it is.
  var quoted: String {
    if let session = DirectTopic.session(ofInbox: span) { return "'inbox of session \(session)'" }
    return "'\(String(decoding: self, as: UTF8.self))'"
  }
}
