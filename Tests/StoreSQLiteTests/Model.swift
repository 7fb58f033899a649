import Store

@testable import StoreSQLite

/// The plainest model of what the tables mean: a list of messages, and sessions that remember how
/// far they have read. How often a message is owed is never counted down here, but asked of all
/// sessions.
struct Model {
  struct Message {
    var sequence: UInt64
    /// Its place in the vocabulary.
    var topic: Int
    /// The session that it is for alone.
    var direct: StoredSessionID?
    var sample: Sample
    var owed: UInt32
    /// The filters that it was owed through when it was appended.
    var filters: Set<Int>

    /// Whether a filter of the vocabulary matches it.
    func matches(_ filter: Int) -> Bool { direct == nil && Vocabulary.matches[filter][topic] }
  }

  struct Subscription: Equatable {
    var options: UInt8
    var identifier: UInt32
    var position: UInt64
    /// Whether messages are kept for it alone.
    var isReader: Bool
    /// Whether they are kept for it or its group.
    var isKept: Bool { options & 3 != 0 }
  }

  struct Item: Equatable {
    var sequence: UInt64
    var count: UInt32
    var qos: UInt8
    var retain: Bool
    var identifiers: [UInt32]
  }

  struct Session {
    var client: String
    var presence: SessionPresence
    /// The presence that the last run left, until a sweep has noted that the connection ended.
    var left: SessionPresence?
    var progress: SessionProgress
    var subscriptions: [Int: Subscription] = [:]
    /// Behind which message those to its client alone are owed; nil where there were none yet.
    var inbox: UInt64?
    /// What pages gave and is not taken, how far they were read, and what makes a page stale.
    var pending: [Item] = []
    var readThrough: UInt64
    var epoch: UInt32 = 0

    mutating func forgetPages() {
      pending = []
      readThrough = progress.cursor
      epoch += 1
    }
  }

  struct Segment: Equatable {
    var first: UInt64
    var span: UInt32
    /// These two fall when it is written anew.
    var messages: Int64
    var bytes: Int64
    var appendedAt: UInt32
    var expiresAt: UInt32

    var last: UInt64 { first + UInt64(span) - 1 }
    func contains(_ message: Message) -> Bool {
      message.sequence >= first && message.sequence <= last
    }
  }

  /// Messages of a filter that were dropped.
  struct Unread {
    var filter: Int
    var through: UInt64
    var count: UInt64
  }

  var limits = StoreLimits()
  var now: UInt32
  var sessions: [StoredSessionID: Session] = [:]
  var messages: [Message] = []
  var segments: [Segment] = []
  var unread: [Unread] = []
  var unreadTotal: Int64 = 0
  var retained: [Int: Sample] = [:]
  /// Keys of requests, and until when they are remembered.
  var requests: [[UInt8]: UInt32] = [:]
  /// Shared subscriptions with stored members, by their place in the vocabulary.
  var groups: [Int: Group] = [:]
  var nextGroup: StoredGroupID = 1
  /// Those that have ended.
  var endedGroups: [StoredGroupID] = []
  var watchers: [Int: Watcher] = [:]
  /// What watchers are to be told, until the schedule has noted it.
  var tidings: [Tiding] = []
  var nextSequence: UInt64 = 1
  /// Messages from this one on are in no segment that was told.
  var firstUntold: UInt64 = 1

  init(limits: StoreLimits, now: UInt32) {
    self.limits = limits
    self.now = now
  }

  // MARK: What is owed

  /// How many subscriptions a session is owed a message through.
  private func count(_ id: StoredSessionID, _ session: Session, _ message: Message) -> Int {
    var count = isInInbox(of: id, session, message) ? 1 : 0
    for (filter, subscription) in session.subscriptions
    where subscription.isReader && subscription.position < message.sequence
      && message.matches(filter)
    {
      count += 1
    }
    return count
  }

  /// How many subscriptions, and window entries, a message is owed to at present.
  func remaining(_ message: Message) -> UInt32 {
    var sum = 0
    for (id, session) in sessions {
      if message.sequence > session.progress.cursor { sum += count(id, session, message) }
      // More than one where it came through shared subscriptions.
      for entry in session.progress.window where entry.sequence == message.sequence { sum += 1 }
    }
    for group in groups.values where group.holds(message) { sum += 1 }
    return UInt32(sum)
  }

  /// What a session is owed behind a place of the log.
  func items(_ id: StoredSessionID, after start: UInt64) -> [Item] {
    guard let session = sessions[id] else { return [] }
    var items: [Item] = []
    for message in messages where message.sequence > start {
      var item = Item(
        sequence: message.sequence, count: 0, qos: 0, retain: false, identifiers: [])
      let facts = message.sample.facts
      let isExpired = facts.expiresAt != 0 && facts.expiresAt <= now
      if isInInbox(of: id, session, message) {
        item.count = 1
        item.qos = isExpired ? 0 : facts.qos
      }
      for (filter, subscription) in session.subscriptions
      where subscription.isReader && subscription.position < message.sequence
        && message.matches(filter)
      {
        item.count += 1
        if isExpired || (subscription.options & 4 != 0 && facts.publisher == id) { continue }
        item.qos = max(item.qos, min(facts.qos, subscription.options & 3))
        item.retain = item.retain || (facts.retain && subscription.options & 8 != 0)
        if subscription.identifier != 0 { item.identifiers.append(subscription.identifier) }
      }
      guard item.count > 0 else { continue }
      if item.qos > 0 { addBystanders(to: &item, session, id, message) }
      item.identifiers.sort()
      items.append(item)
    }
    return items
  }

  /// Subscriptions of QoS 0, through which nothing is owed, take part in what comes anyway.
  private func addBystanders(
    to item: inout Item, _ session: Session, _ id: StoredSessionID, _ message: Message
  ) {
    let facts = message.sample.facts
    for (filter, subscription) in session.subscriptions
    where subscription.options & 3 == 0 && subscription.position < message.sequence
      && message.matches(filter)
    {
      if subscription.options & 4 != 0 && facts.publisher == id { continue }
      item.retain = item.retain || (facts.retain && subscription.options & 8 != 0)
      if subscription.identifier != 0 { item.identifiers.append(subscription.identifier) }
    }
  }

  /// What a session is told that it did not read.
  func unread(_ id: StoredSessionID, _ session: Session) -> UInt64 {
    var sum: UInt64 = 0
    var readers = session.subscriptions.filter(\.value.isReader).mapValues(\.position)
    readers[Model.inbox(of: id)] = session.inbox
    for (filter, position) in readers {
      let start = max(session.progress.cursor, position)
      for dropped in unread where dropped.filter == filter && dropped.through > start {
        sum += dropped.count
      }
    }
    return sum
  }

  func holds(_ sequence: UInt64) -> Bool { messages.contains { $0.sequence == sequence } }

  /// Subscriptions of each filter that has any, and how many of them messages are kept for.
  var filters: [Int: (subscriptions: Int64, readers: Int64)] {
    var counts: [Int: (subscriptions: Int64, readers: Int64)] = [:]
    for (id, session) in sessions {
      if session.inbox != nil { counts[Model.inbox(of: id)] = (1, 1) }
      for (filter, subscription) in session.subscriptions {
        counts[filter, default: (0, 0)].subscriptions += 1
        if subscription.isKept { counts[filter, default: (0, 0)].readers += 1 }
      }
    }
    for group in groups.values {
      counts[group.inner, default: (0, 0)].subscriptions += 1
      counts[group.inner, default: (0, 0)].readers += 1
    }
    return counts
  }

  // MARK: Orders

  mutating func create(
    _ id: StoredSessionID, _ client: String, _ presence: SessionPresence,
    _ progress: SessionProgress
  ) {
    if let old = sessions.first(where: { $0.value.client == client })?.key { end(old) }
    var started = progress
    started.cursor = nextSequence - 1
    sessions[id] = Session(
      client: client, presence: presence, progress: started, readThrough: started.cursor)
  }

  mutating func end(_ id: StoredSessionID) {
    sessions[id] = nil
    beginAndEndGroups()
    forgetUnread()
  }

  mutating func subscribe(_ id: StoredSessionID, _ filter: Int, _ options: UInt8, _ number: UInt32)
  {
    let old = sessions[id]?.subscriptions[filter]
    let isKept = options & 3 != 0
    let isReader = isKept && !Vocabulary.isShared(filter)
    let wasReader = old?.isReader ?? false
    var position = old?.position ?? 0
    if old == nil || (isKept && old?.isKept == false) { position = nextSequence - 1 }
    sessions[id]?.subscriptions[filter] = Subscription(
      options: options, identifier: number, position: position, isReader: isReader)
    // It is owed less now: a page that was read before counts too much.
    if wasReader && !isReader { sessions[id]?.forgetPages() }
    beginAndEndGroups()
    forgetUnread()
  }

  mutating func unsubscribe(_ id: StoredSessionID, _ filter: Int) {
    guard sessions[id]?.subscriptions.removeValue(forKey: filter) != nil else { return }
    sessions[id]?.forgetPages()
    beginAndEndGroups()
    forgetUnread()
  }

  // Of a filter that nobody subscribes to, nothing is remembered.
  private mutating func forgetUnread() {
    let known = filters
    unread.removeAll { known[$0.filter] == nil }
  }

  /// How many subscriptions it is owed to; nil where the message is refused.
  mutating func publish(_ sample: Sample, topic: Int, appends: Bool) -> UInt32? {
    if sample.facts.retain {
      if sample.payload.isEmpty {
        retained[topic] = nil
      } else {
        var kept = retained
        kept[topic] = sample
        let bytes = kept.values.reduce(0) { $0 + $1.byteCount }
        guard kept.count <= limits.maximumRetainedMessages, bytes <= limits.maximumRetainedBytes
        else { return nil }
        retained = kept
      }
    }
    guard appends, sample.facts.qos > 0 else { return 0 }
    var message = Message(
      sequence: nextSequence, topic: topic, sample: sample, owed: 0, filters: [])
    for session in sessions.values {
      for (filter, subscription) in session.subscriptions
      where subscription.isReader && Vocabulary.matches[filter][topic] {
        message.owed += 1
        message.filters.insert(filter)
      }
    }
    for group in groups.values where Vocabulary.matches[group.inner][topic] {
      message.owed += 1
      message.filters.insert(group.inner)
    }
    // One that nobody is owed has its place too: loops may have thought that somebody is.
    messages.append(message)
    nextSequence += 1
    return message.owed
  }
}
