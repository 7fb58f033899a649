import Packet
import PubSub
import Store
import Util

/// A shared subscription with stored members, as it is in this transaction.
final class GroupState {
  let id: StoredGroupID
  /// The row of the whole text among the filters.
  let filter: UInt32
  /// The row of what messages are matched with.
  let inner: UInt32
  /// The sequence number up to which messages were handed out.
  var cursor: UInt64
  /// Messages up to there that are the group's still, rising.
  var pending: [UInt64]
  /// Whether it differs from the database.
  var isDirty = false

  init(id: StoredGroupID, filter: UInt32, inner: UInt32, cursor: UInt64, pending: [UInt64]) {
    self.id = id
    self.filter = filter
    self.inner = inner
    self.cursor = cursor
    self.pending = pending
  }

  /// Adds a message that the group holds. False where it does already.
  @discardableResult
  func hold(_ sequence: UInt64) -> Bool { pending.insertRising(sequence) }

  /// Takes a message away. False where the group does not hold it.
  func drop(_ sequence: UInt64) -> Bool { pending.removeRising(sequence) }
}

/// Who is told of a shared subscription.
struct GroupWatcher {
  var loop: Int
  var asker: Asker
}

/// Shared subscriptions: each is one reader of the log, with one cursor for all its members.
///
/// A message is owed to the group once. While it is handed out and no stored session has it in its
/// window, it is among the group's `pending`; what a session takes into its window is the session's. So
/// each order here finds by itself whether it still holds: one that comes late, for a group that has
/// ended, does nothing.
extension Engine {
  /// The group of a number; nil where it has ended.
  private func group(_ id: StoredGroupID) throws(DatabaseError) -> GroupState? {
    if let known = groups[id] { return known }
    let query = try database.statement(
      "SELECT id, filter, inner, cursor, pending FROM share WHERE id = ?1")
    return try readGroup(query.bind(1, id))
  }

  /// The group of a filter's row; nil where it has none.
  private func group(ofFilter filter: UInt32) throws(DatabaseError) -> GroupState? {
    let query = try database.statement(
      "SELECT id, filter, inner, cursor, pending FROM share WHERE filter = ?1")
    return try readGroup(query.bind(1, filter))
  }

  private func readGroup(_ query: Statement) throws(DatabaseError) -> GroupState? {
    defer { query.reset() }
    guard try query.step() else { return nil }
    // What is in memory may be newer than what is written.
    if let known = groups[query.unsigned(0)] { return known }
    let state = GroupState(
      id: query.unsigned(0), filter: query.word(1), inner: query.word(2),
      cursor: query.unsigned(3), pending: query.withBytes(4) { GroupState.decode($0) })
    groups[state.id] = state
    return state
  }

  // MARK: Beginning and end

  /// A shared subscription has got its first stored member that messages are kept for.
  func beginGroup(_ filter: UInt32, _ text: Span<UInt8>) throws(DatabaseError) {
    guard case .shared(_, let range) = parseSharedSubscription(text) else { return }
    try closeSegment()
    let innerText = text.extracting(range)
    var inner = try lookUp(innerText) ?? FilterCache.Known()
    if inner.id == 0 { inner = try addFilter(innerText) }
    let insert = try database.statement("INSERT INTO share VALUES (NULL, ?1, ?2, ?3, x'')")
    try insert.bind(1, filter).bind(2, inner.id).bind(3, nextSequence - 1).run()
    try change(inner, innerText, subscriptions: 1, readers: 1)
    tellWatcher(of: text, try group(ofFilter: filter))
  }

  /// It has lost its last one: what nobody has in a window, nobody is owed.
  func endGroup(_ filter: UInt32, _ text: Span<UInt8>) throws(DatabaseError) {
    guard let state = try group(ofFilter: filter),
      case .shared(_, let range) = parseSharedSubscription(text)
    else { return }
    try closeSegment()
    try releaseAll(filter: state.inner, after: state.cursor)
    for sequence in state.pending { try release(sequence, 1) }
    try database.statement("DELETE FROM share WHERE id = ?1").bind(1, state.id).run()
    groups[state.id] = nil
    let innerText = text.extracting(range)
    if let inner = try lookUp(innerText), inner.id == state.inner {
      try change(inner, innerText, subscriptions: -1, readers: -1)
    }
    tellWatcher(of: text, nil)
  }

  /// Writes what has changed of groups.
  func flushGroups() throws(DatabaseError) {
    for state in groups.values where state.isDirty {
      let update = try database.statement(
        "UPDATE share SET cursor = ?2, pending = ?3 WHERE id = ?1")
      try update.bind(1, state.id).bind(2, state.cursor).bind(3, state.encodedPending).run()
    }
  }

  /// The transaction was committed: lets go of groups where there are many.
  func groupsCommitted() {
    if groups.count > StoreConstants.cachedGroups {
      groups.removeAll()
    } else {
      for state in groups.values { state.isDirty = false }
    }
  }

  // MARK: Watching

  func watch(_ text: [UInt8], _ asker: Asker, loop: Int) throws(DatabaseError) {
    let watcher = GroupWatcher(loop: loop, asker: asker)
    setWatcher(of: text, watcher)
    try closeSegment()
    var state: GroupState?
    if let filter = try lookUp(text.span), filter.id != 0 { state = try group(ofFilter: filter.id) }
    tell(watcher, state)
  }

  func unwatch(_ text: [UInt8], _ asker: Asker) {
    if watchers[text]?.asker == asker { setWatcher(of: text, nil) }
  }

  private func setWatcher(of text: [UInt8], _ watcher: GroupWatcher?) {
    formerWatchers.append((text, watchers[text]))
    watchers[text] = watcher
  }

  /// The segment before is closed, so that what follows comes behind what is told.
  private func tellWatcher(of text: Span<UInt8>, _ state: GroupState?) {
    if !watchers.isEmpty, let watcher = watchers[text.array] { tell(watcher, state) }
  }

  private func tell(_ watcher: GroupWatcher, _ state: GroupState?) {
    let image = state.map { StoredGroup(id: $0.id, cursor: $0.cursor, pending: $0.pending) }
    effects.append(.event(loop: watcher.loop, .group(watcher.asker, image)))
    watchersAreTold = true
  }

  // MARK: Handing out

  func assign(
    _ id: StoredGroupID, _ sequence: UInt64, isTaken: Bool
  ) throws(DatabaseError) {
    guard let state = try group(id) else { return }
    state.isDirty = true
    if sequence > state.cursor {
      state.cursor = sequence
      if !isTaken { state.hold(sequence) }
    } else if isTaken {
      _ = state.drop(sequence)
    }
  }

  func taken(_ id: StoredGroupID, _ sequence: UInt64) throws(DatabaseError) {
    guard let state = try group(id) else { return }
    if state.drop(sequence) { state.isDirty = true }
  }

  func settle(_ id: StoredGroupID, _ sequence: UInt64) throws(DatabaseError) {
    guard let state = try group(id), state.drop(sequence) else { return }
    state.isDirty = true
    try release(sequence, 1)
  }

  /// A message that a group gave to a session goes from its window back to the group; it is done where
  /// there is no group any more.
  func giveBack(
    _ session: StoredSessionID, _ id: StoredGroupID, _ sequence: UInt64
  ) throws(DatabaseError) {
    // Of one that is done only the identifier is in the window.
    guard sequence != 0 else { return }
    var progress = try readProgress(session)
    let place = progress.window.firstIndex {
      $0.sequence == sequence && $0.isShared && $0.group == id
    }
    guard let place else { return }
    progress.window.remove(at: place)
    self.progress[session] = progress
    guard let state = try group(id), sequence <= state.cursor, state.hold(sequence) else {
      return try release(sequence, 1)
    }
    state.isDirty = true
    let text = try text(of: state.filter)
    guard let watcher = watchers[text] else { return }
    try closeSegment()
    effects.append(
      .event(
        loop: watcher.loop, .returned(watcher.asker, state.id, sequence: sequence)))
  }

  /// What a group is owed, or messages that it names.
  func read(_ query: GroupQuery) throws(DatabaseError) -> LogPage {
    var page = LogPage(
      asker: query.asker, epoch: 0, items: [], through: query.after, isAtEnd: false)
    guard let state = try group(query.group) else { return page }
    let row = SubscriptionRow(
      filter: state.inner, options: 2, identifier: 0, position: 0)
    guard query.sequences.isEmpty else {
      for sequence in query.sequences {
        guard let place = try self.state(of: sequence)?.place(of: sequence) else { continue }
        page.items.append(item(place, sequence, row))
      }
      return page
    }
    return try read(
      [row], after: query.after, others: [], session: 0, page,
      maximumMessages: query.maximumMessages, maximumBytes: query.maximumBytes)
  }
}

extension GroupState {
  var encodedPending: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 * pending.count)
    for sequence in pending { bytes.append(littleEndian: sequence) }
    return bytes
  }

  static func decode(_ bytes: Span<UInt8>) -> [UInt64] {
    var list: [UInt64] = []
    // Rising and each once, whatever the file says.
    for sequence in decodePending(bytes) { list.insertRising(sequence) }
    return list
  }
}
