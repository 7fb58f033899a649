import PubSub
import Store
import Util

/// The tables and what they mean, one order after the other, for the store's thread. It decides no
/// transaction: whoever calls it begins one, and commits it or calls `reset`.
final class Engine {
  let database: Database
  let limits: StoreLimits
  let listener: any StoreListener
  /// Clients that have a session, by hashes; asked by all loops.
  let clients: InterestIndex
  let filters: FilterCache
  /// Whether the database is only read: what is damaged there stays.
  let isReadOnly: Bool
  /// The number of this run of the broker.
  private(set) var epoch: UInt64 = 0
  /// The second since 1970 of the present transaction; it never goes back, not even over a restart.
  private(set) var now: UInt32 = 0
  /// The second at which this run began.
  private(set) var startedAt: UInt32 = 0
  /// Whether an `Announcement` is under way. Until its end nothing is taken out of the indices that it
  /// adds to: what is to be gathers here.
  var isAnnouncing = false
  private var takenAway: [[UInt8]] = []
  private var takenAwayClients: [[UInt8]] = []
  /// Whether all sessions that the last run left connected are noted as away.
  var areConnectionsEnded = false
  /// The session up to which it was seen whether they have too much waiting.
  var limitedThrough: StoredSessionID = 0
  /// The sequence number of the next message.
  var nextSequence: UInt64 = 1
  var totals = Totals()
  /// Totals as the database has them.
  private var storedTotals = Totals()
  private var storedSequence: UInt64 = 0

  // MARK: The present transaction

  /// The segment that is being filled; nil where none is.
  var open: OpenSegment?
  /// What sessions have in flight that is not written yet.
  var progress: [StoredSessionID: SessionProgress] = [:]
  /// Scratch of one message: the rows of the filters that match.
  var matchedFilters: [UInt32] = []
  /// Subscriptions that may still be looked at to tell who is away.
  var absentVisits = StoreConstants.absentVisits
  /// Segments whose counts have changed.
  var touched: [SegmentState] = []
  /// What is to be told once the transaction is committed, in order.
  var effects: [Effect] = []
  /// What of the log could not be read and was given up, for people.
  var damages: [String] = []
  /// Whether loops that watch shared subscriptions are among those that are told.
  var watchersAreTold = false
  var appended: UInt64 = 0
  private var gained: [[UInt8]] = []
  private var lost: [[UInt8]] = []
  var gainedClients: [[UInt8]] = []
  var lostClients: [[UInt8]] = []

  // MARK: Shared subscriptions

  /// Those that were asked for lately.
  var groups: [StoredGroupID: GroupState] = [:]
  /// Who is told of them, by the whole filter: for the loop that hands out their messages.
  var watchers: [[UInt8]: GroupWatcher] = [:]
  /// The watchers, or none, that were replaced in this transaction, in order.
  var formerWatchers: [(filter: [UInt8], watcher: GroupWatcher?)] = []

  // MARK: The cache of segments

  var states: [UInt64: SegmentState] = [:]
  /// The keys of `states`, rising.
  var stateOrder: [UInt64] = []
  var cachedBytes = 0
  /// Counts transactions, to say when a segment was used.
  var cacheTurn: UInt64 = 0

  /// What the log and the other tables hold.
  struct Totals: Equatable {
    var messages: Int64 = 0
    var bytes: Int64 = 0
    var unread: Int64 = 0
    var sessions: Int64 = 0
    var retained: Int64 = 0
    var retainedBytes: Int64 = 0
    var requests: Int64 = 0
  }

  /// Something that loops are told.
  enum Effect {
    case event(loop: Int, StoreEvent)
    case segment(LogSegment, loops: UInt64)
  }

  init(
    _ database: Database, limits: StoreLimits, seed: HashSeed, clients: InterestIndex,
    listener: any StoreListener, isReadOnly: Bool = false
  ) {
    self.database = database
    self.limits = limits
    self.listener = listener
    self.isReadOnly = isReadOnly
    self.clients = clients
    filters = FilterCache(seed: seed)
  }

  // MARK: Beginning and ending

  /// Begins a run, whose epoch is in the database already: reads what is kept in memory.
  func begin(wallClock: UInt32) throws(DatabaseError) {
    epoch = UInt64(try meta("epoch"))
    try readTotals()
    setClock(wallClock)
    startedAt = now
    try readWildcards()
  }

  /// All filters with readers and all clients with sessions have been told: what was taken away
  /// meanwhile is taken away now.
  func endAnnouncement() {
    isAnnouncing = false
    takeAway()
  }

  private func takeAway() {
    guard !isAnnouncing else { return }
    for filter in takenAway { listener.lostReaders(filter.span) }
    for client in takenAwayClients {
      clients.remove(InterestKey(exactly: client.span, seed: clients.seed), loop: 0)
    }
    takenAway.removeAll()
    takenAwayClients.removeAll()
  }

  /// Sets the time of the transaction.
  func setClock(_ wallClock: UInt32) { now = max(now, wallClock) }

  private func readTotals() throws(DatabaseError) {
    totals.messages = try meta("messages")
    totals.bytes = try meta("bytes")
    totals.unread = try meta("unread")
    totals.sessions = try meta("sessions")
    totals.retained = try meta("retained")
    totals.retainedBytes = try meta("retained-bytes")
    totals.requests = try meta("requests")
    storedTotals = totals
    nextSequence = max(1, UInt64(try meta("next-sequence")))
    storedSequence = nextSequence
    setClock(UInt32(truncatingIfNeeded: try meta("clock")))
  }

  private func readWildcards() throws(DatabaseError) {
    filters.removeAll()
    let query = try database.statement(
      "SELECT text, id, readers FROM filter WHERE is_wildcard = 1 AND readers > 0")
    while try query.step() {
      let value = FilterCache.Known(id: query.word(1), readers: query.word(2), isWildcard: true)
      query.withBytes(0) { filters.set($0, value) }
    }
  }

  private func meta(_ name: StaticString) throws(DatabaseError) -> Int64 {
    let query = try database.statement("SELECT value FROM meta WHERE name = ?1")
    query.bindText(1, name)
    defer { query.reset() }
    guard try query.step() else {
      throw DatabaseError.damaged("the store has no number '\(name)'")
    }
    let number = query.number(0)
    // So that no sum of it and what is counted overflows.
    guard number >= 0, number < 1 << 62 else {
      throw DatabaseError.damaged("the store's number '\(name)' is damaged")
    }
    return number
  }

  private func setMeta(_ name: StaticString, _ value: Int64) throws(DatabaseError) {
    let update = try database.statement("UPDATE meta SET value = ?2 WHERE name = ?1")
    update.bindText(1, name)
    try update.bind(2, value).run()
  }

  /// Writes what was gathered over the transaction, which is committed next.
  func flush() throws(DatabaseError) {
    try closeSegment()
    try flushCounts()
    try flushGroups()
    try flushProgress()
    if nextSequence != storedSequence {
      try setMeta("next-sequence", Int64(nextSequence))
      try setMeta("clock", Int64(now))
    }
    if totals != storedTotals {
      try setMeta("messages", totals.messages)
      try setMeta("bytes", totals.bytes)
      if totals.unread != storedTotals.unread { try setMeta("unread", totals.unread) }
      if totals.sessions != storedTotals.sessions { try setMeta("sessions", totals.sessions) }
      if totals.retained != storedTotals.retained
        || totals.retainedBytes != storedTotals.retainedBytes
      {
        try setMeta("retained", totals.retained)
        try setMeta("retained-bytes", totals.retainedBytes)
      }
      if totals.requests != storedTotals.requests { try setMeta("requests", totals.requests) }
    }
  }

  /// The transaction was committed: gives what loops are to be told.
  func committed() -> [Effect] {
    storedTotals = totals
    storedSequence = nextSequence
    takenAway += lost
    takenAwayClients += lostClients
    takeAway()
    for damage in damages { listener.storeDamaged(damage) }
    for state in touched { state.isDirty = false }
    groupsCommitted()
    let told = effects
    forgetTransaction()
    trimCache()
    return told
  }

  private func forgetTransaction() {
    open = nil
    progress.removeAll(keepingCapacity: true)
    touched.removeAll(keepingCapacity: true)
    effects.removeAll(keepingCapacity: true)
    damages.removeAll()
    watchersAreTold = false
    formerWatchers.removeAll()
    gained.removeAll()
    lost.removeAll()
    gainedClients.removeAll()
    lostClients.removeAll()
    appended = 0
    absentVisits = StoreConstants.absentVisits
  }

  /// The transaction was rolled back: forgets all that may differ from the database.
  func reset() throws(DatabaseError) {
    for filter in gained { listener.lostReaders(filter.span) }
    for client in gainedClients {
      clients.remove(InterestKey(exactly: client.span, seed: clients.seed), loop: 0)
    }
    // As the orders are done again, nobody may be told of what he asks for only later.
    for former in formerWatchers.reversed() { watchers[former.filter] = former.watcher }
    forgetTransaction()
    groups.removeAll()
    states.removeAll()
    stateOrder.removeAll()
    cachedBytes = 0
    areConnectionsEnded = false
    try readTotals()
    try readWildcards()
  }

  func gain(_ filter: Span<UInt8>) {
    listener.gainedReaders(filter)
    gained.append(filter.array)
  }

  func lose(_ filter: Span<UInt8>) { lost.append(filter.array) }

  // MARK: Orders

  /// Does all orders of a batch.
  func apply(_ batch: StoreBatch) throws(DatabaseError) {
    var ordersEnd = false
    for order in batch.orders {
      switch order {
      case .publish(let offset, let appends, let pending):
        try batch.messages.withMessage(at: offset) { message throws(DatabaseError) in
          _ = try publish(message, loop: batch.loop, appends: appends, pending: pending)
        }
      case .create(let id, let client, let presence, let progress):
        try create(id, client, presence, progress)
      case .load(let query):
        let answer = SessionAnswer(asker: query.asker, session: try load(query.client.span))
        try tell(batch.loop, .session(answer))
      case .presence(let id, let presence): try setPresence(id, presence)
      case .progress(let id, let progress): self.progress[id] = progress
      case .end(let id): try end(id)
      case .subscribe(let id, let subscription):
        try closeSegment()
        try subscribe(id, subscription)
        ordersEnd = true
      case .unsubscribe(let id, let filter):
        try closeSegment()
        try unsubscribe(id, filter.span)
      case .read(let query):
        try closeSegment()
        try tell(batch.loop, .page(read(query)))
      case .release(let sequence, let count): try release(sequence, count)
      case .releaseEach(let sequences): try releaseEach(sequences)
      case .findRetained(let query): try tell(batch.loop, .retained(findRetained(query)))
      case .resume(let id, let asker): try resume(id, asker, loop: batch.loop)
      case .watch(let filter, let asker): try watch(filter, asker, loop: batch.loop)
      case .unwatch(let filter, let asker): unwatch(filter, asker)
      case .assign(let group, let sequence, let isTaken):
        try assign(group, sequence, isTaken: isTaken)
      case .taken(let group, let sequence): try taken(group, sequence)
      case .settle(let group, let sequence): try settle(group, sequence)
      case .giveBack(let session, let group, let sequence):
        try giveBack(session, group, sequence)
      case .readGroup(let query):
        try closeSegment()
        try tell(batch.loop, .groupPage(query, read(query)))
      case .publishCounted(let offset, let appends, let pending, let tellsAbsent):
        try batch.messages.withMessage(at: offset) { message throws(DatabaseError) in
          let owed = try publish(
            message, loop: batch.loop, appends: appends, pending: pending, tellsAbsent: tellsAbsent)
          if let owed { tellKept(owed, loop: batch.loop, pending: pending) }
        }
      case .publishTo(let client, let offset, let pending, let tellsAbsent):
        try batch.messages.withMessage(at: offset) { message throws(DatabaseError) in
          try publish(
            message, to: client, loop: batch.loop, pending: pending, tellsAbsent: tellsAbsent)
        }
      case .listSessions(let query):
        effects.append(.event(loop: batch.loop, .sessions(try list(query))))
      case .remember(let key, let until): try remember(key, until: until)
      case .readKeys(let tag):
        effects.append(.event(loop: batch.loop, .keys(tag: tag, try readKeys())))
      }
    }
    effects.append(.event(loop: batch.loop, .committed(ticket: batch.ticket)))
    // What is appended from now on is behind the subscriptions that the loop learns of here.
    if ordersEnd { try closeSegment() }
  }

  /// Tells a loop something, behind the segments that were filled before.
  private func tell(_ loop: Int, _ event: StoreEvent) throws(DatabaseError) {
    try closeSegment()
    effects.append(.event(loop: loop, event))
  }
}
