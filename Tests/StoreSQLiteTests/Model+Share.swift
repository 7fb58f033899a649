import Store

@testable import StoreSQLite

/// Shared subscriptions: one reader for all members.
extension Model {
  struct Group {
    var id: StoredGroupID
    /// What its messages match, by its place in the vocabulary.
    var inner: Int
    var cursor: UInt64
    /// Messages up to the cursor that no session has.
    var pending: Set<UInt64> = []
    /// How far the loop that hands out its messages has read.
    var readThrough: UInt64

    func matches(_ message: Message) -> Bool { message.matches(inner) }

    /// Whether the group itself is owed a message.
    func holds(_ message: Message) -> Bool {
      message.sequence > cursor ? matches(message) : pending.contains(message.sequence)
    }
  }

  struct Watcher {
    var loop: Int
    var asker: Asker
  }

  /// What a watcher is told.
  struct Tiding {
    var watcher: Watcher
    var news: News

    enum News {
      case group(StoredGroup?)
      case returned(StoredGroupID, sequence: UInt64)
    }
  }

  /// The group of a number, by its place in the vocabulary; nil where it has ended.
  func share(of id: StoredGroupID) -> Int? { groups.first { $0.value.id == id }?.key }

  func image(of share: Int) -> StoredGroup? {
    groups[share].map {
      StoredGroup(id: $0.id, cursor: $0.cursor, pending: $0.pending.sorted())
    }
  }

  private mutating func tell(_ share: Int, _ news: Tiding.News) {
    if let watcher = watchers[share] { tidings.append(Tiding(watcher: watcher, news: news)) }
  }

  /// A group lasts from its first stored member of QoS 1 or 2 to its last.
  mutating func beginAndEndGroups() {
    for share in Vocabulary.shares {
      let isKept = sessions.values.contains { $0.subscriptions[share]?.isKept == true }
      if isKept && groups[share] == nil {
        groups[share] = Group(
          id: nextGroup, inner: Vocabulary.inner(share), cursor: nextSequence - 1,
          readThrough: nextSequence - 1)
        nextGroup += 1
        tell(share, .group(image(of: share)))
      } else if !isKept, let ended = groups.removeValue(forKey: share) {
        endedGroups.append(ended.id)
        tell(share, .group(nil))
      }
    }
  }

  // MARK: Orders

  mutating func watch(_ share: Int, _ watcher: Watcher) {
    watchers[share] = watcher
    if let cursor = groups[share]?.cursor { groups[share]?.readThrough = cursor }
    tell(share, .group(image(of: share)))
  }

  mutating func unwatch(_ share: Int, _ asker: Asker) {
    if watchers[share]?.asker == asker { watchers[share] = nil }
  }

  mutating func assign(_ id: StoredGroupID, _ sequence: UInt64, isTaken: Bool) {
    guard let share = share(of: id), var group = groups[share] else { return }
    if sequence > group.cursor {
      group.cursor = sequence
      group.readThrough = max(group.readThrough, sequence)
      if !isTaken { group.pending.insert(sequence) }
    } else if isTaken {
      group.pending.remove(sequence)
    }
    groups[share] = group
  }

  /// What a session has taken, or is done.
  mutating func forget(_ id: StoredGroupID, _ sequence: UInt64) {
    if let share = share(of: id) { groups[share]?.pending.remove(sequence) }
  }

  mutating func giveBack(
    _ session: StoredSessionID, _ id: StoredGroupID, _ sequence: UInt64
  ) {
    let window = sessions[session]?.progress.window ?? []
    guard sequence != 0 else { return }
    let place = window.firstIndex { $0.sequence == sequence && $0.isShared && $0.group == id }
    guard let place else { return }
    sessions[session]?.progress.window.remove(at: place)
    guard let share = share(of: id), let group = groups[share],
      sequence <= group.cursor, !group.pending.contains(sequence)
    else { return }
    groups[share]?.pending.insert(sequence)
    tell(share, .returned(group.id, sequence: sequence))
  }

  // MARK: What is read

  /// What a group is owed behind a place of the log, or of the messages named what the log still has.
  func items(_ query: GroupQuery) -> [Item] {
    guard let share = share(of: query.group), let group = groups[share] else { return [] }
    let wanted = messages.filter { message in
      query.sequences.isEmpty
        ? message.sequence > query.after && group.matches(message)
        : query.sequences.contains(message.sequence)
    }
    return wanted.map { message in
      let facts = message.sample.facts
      let isExpired = facts.expiresAt != 0 && facts.expiresAt <= now
      return Item(
        sequence: message.sequence, count: 1, qos: isExpired ? 0 : facts.qos, retain: false,
        identifiers: [])
    }
  }
}
