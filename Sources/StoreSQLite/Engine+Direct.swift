import Store
import Util

/// Messages to one client.
///
/// Each session has an inbox once it was sent one: a filter of its own, which no client can name, with one
/// subscription. So what is owed through it is read, released, bounded and forgotten like all else. Loops
/// are told neither of the filter nor of the subscription: that a message is a session's its topic says.
extension Engine {
  /// Appends a message for the session of a client.
  func publish(
    _ message: borrowing LoggedMessage, to client: [UInt8], loop: Int, pending: UInt64,
    tellsAbsent: Bool
  ) throws(DatabaseError) {
    let find = try database.statement("SELECT id FROM session WHERE client = ?1").bind(1, client)
    guard try find.step() else {
      if pending != 0 { effects.append(.event(loop: loop, .noSession(pending: pending))) }
      return
    }
    let session = find.unsigned(0)
    find.reset()
    var facts = message.facts
    facts.retain = false
    guard facts.qos > 0 else { return tellKept(0, loop: loop, pending: pending) }
    let topic = DirectTopic.encode(session: session, client: client.span, topic: message.topic)
    guard let topic else {
      if pending != 0 { effects.append(.event(loop: loop, .refused(pending: pending))) }
      return
    }
    matchedFilters.removeAll(keepingCapacity: true)
    matchedFilters.append(try inbox(of: session))
    try append(
      message, facts, topic: topic.span, owed: 1, loop: loop,
      absent: tellsAbsent ? try absentReaders(publisher: facts.publisher) : nil)
    tellKept(1, loop: loop, pending: pending)
  }

  /// The row of a session's inbox, which is made where there is none.
  private func inbox(of session: StoredSessionID) throws(DatabaseError) -> UInt32 {
    let text = DirectTopic.inbox(of: session)
    if let known = try lookUp(text.span) { return known.id }
    let filter = try addFilter(text.span)
    let insert = try database.statement("INSERT INTO subscription VALUES (?1, ?2, ?3, 0, ?4)")
    insert.bind(1, session).bind(2, filter.id).bind(3, UInt32(SubscriptionRow.inboxOptions))
    try insert.bind(4, nextSequence - 1).run()
    try change(filter, text.span, subscriptions: 1, readers: 1)
    return filter.id
  }

  func tellKept(_ owed: UInt32, loop: Int, pending: UInt64) {
    guard pending != 0 else { return }
    effects.append(.event(loop: loop, .kept(pending: pending, subscriptions: Int(owed))))
  }
}
