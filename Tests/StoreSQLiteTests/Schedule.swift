import Store
import Testing

@testable import StoreSQLite

/// A random run of an engine beside its model: transactions of random orders, some of which fail,
/// housekeeping and restarts.
struct Schedule {
  /// What loops are to be told.
  enum Answer {
    case committed(loop: Int, ticket: UInt64, end: UInt64?)
    case page(StoredSessionID, LogQuery, items: [Model.Item], end: UInt64)
    case session(Model.Session?, StoredSessionID, unread: UInt64, lost: Set<UInt64>, end: UInt64)
    case unread(Asker, UInt64)
    case refused(pending: UInt64)
    /// What the order of this number makes watchers be told, in whichever order.
    case tiding(Model.Tiding, order: Int, end: UInt64)
    case groupPage(GroupQuery, Model.Group?, items: [Model.Item], end: UInt64)
    case kept(pending: UInt64, subscriptions: Int)
    case noSession(pending: UInt64)
    case sessions(SessionList)
    case keys(tag: UInt64, [[UInt8]: UInt32])
  }

  /// Clients that a loop is to be told of with a message.
  struct Absence {
    var loop: Int
    var clients: Set<String>
  }

  /// What has happened, so that a run in which too little did is noticed.
  struct Tally {
    var commits = 0
    var rollbacks = 0
    var restarts = 0
    var taken = 0
    var acknowledged = 0
    var dropped: Int64 = 0
    var compacted = 0
    var partialPages = 0
    var refused = 0
    var unread: UInt64 = 0
    var due = 0
    var handedOut = 0
    var passedOn = 0
    var givenBack = 0
    var lateOrders = 0
    var tidings = 0
    var groupItems = 0
    var direct = 0
    var strangers = 0
    var absent = 0
    var listed = 0
    var keys = 0
  }

  let seed: UInt64
  var random: SeededGenerator
  let bench: Bench
  var model: Model
  var tally = Tally()
  var answers: [Answer] = []
  /// Who is away, by the message's sequence number.
  var absences: [UInt64: Absence] = [:]
  private(set) var step = 0
  /// Orders so far.
  var orderCount = 0
  private var nextSession: UInt64 = 1

  init(seed: UInt64) throws {
    self.seed = seed
    random = SeededGenerator(seed: seed)
    var limits = StoreLimits()
    limits.maximumMessages = random.chance(2) ? 0 : 60
    limits.maximumBytes = random.chance(2) ? 0 : 20_000
    limits.maximumAge = random.chance(2) ? 0 : 200
    limits.maximumRetainedMessages = random.chance(2) ? 100 : 5
    limits.maximumRetainedBytes = random.chance(2) ? 1 << 20 : 600
    limits.maximumRequests = random.chance(2) ? 1000 : 4
    bench = try Bench(limits: limits)
    model = Model(limits: limits, now: bench.now)
  }

  var place: Comment { "seed \(seed), step \(step)" }

  /// - Parameter drains: whether the store is to be empty in the end.
  mutating func run(steps: Int, drains: Bool = true) throws {
    for _ in 0..<steps {
      step += 1
      // Once at least, whatever the seed.
      if random.chance(60) || step == steps / 2 {
        tally.restarts += 1
        try bench.restart()
        model.restart(at: bench.now)
        try model.check(bench, place)
      } else {
        try transaction()
      }
      if random.chance(3) { bench.now += UInt32(random.below(4)) }
      if random.chance(100) { bench.now += 100 }
    }
    if drains { try drain() }
  }

  /// One transaction, which may be rolled back.
  private mutating func transaction() throws {
    let before = model
    let sweeps = random.chance(8)
    answers = []
    absences = [:]
    model.now = max(model.now, bench.now)
    var batches: [StoreBatch] = []
    for _ in 0..<random.below(sweeps ? 3 : 4) {
      let batch = bench.batch(loop: random.below(3))
      var closes = false
      for _ in 0..<random.below(7) {
        order(batch)
        noteTidings()
        if case .subscribe? = batch.orders.last { closes = true }
      }
      answers.append(
        .committed(
          loop: batch.loop, ticket: batch.ticket, end: closes ? model.nextSequence - 1 : nil))
      batches.append(batch)
    }
    if random.chance(12) {
      try bench.rollBack(batches, sweeps: sweeps, flushes: random.chance(2))
      model = before
      tally.rollbacks += 1
      try model.check(bench, place)
      return
    }
    tally.commits += 1
    let effects = try bench.commit(batches, sweeps: sweeps)
    try take(effects)
    model.prune()
    if sweeps {
      model.sweep()
      tally.dropped = model.unreadTotal
      try noteCompaction()
    }
    if random.chance(8) || sweeps { try model.check(bench, place) }
  }

  // MARK: Orders

  private mutating func order(_ batch: StoreBatch) {
    guard let id = model.sessions.keys.sorted().randomElement(using: &random), !random.chance(40)
    else { return create(batch) }
    if random.chance(4) { return shareOrder(id, batch) }
    if random.chance(5) { return backendOrder(batch) }
    switch random.below(24) {
    case 0: create(batch)
    case 1...3: subscribe(id, batch)
    case 4:
      let known = model.sessions[id]?.subscriptions.keys.sorted() ?? []
      let filter =
        random.chance(8) ? nil : known.randomElement(using: &random)
      let number = filter ?? random.below(Vocabulary.filters.count)
      batch.orders.append(.unsubscribe(id, filter: Vocabulary.filters[number].bytes))
      model.unsubscribe(id, number)
    case 5: load(random.chance(20) ? "nobody" : model.sessions[id]?.client ?? "", batch)
    case 6: setPresence(id, batch)
    case 7...10: read(id, batch)
    case 11...15: takeSome(id, batch)
    case 16...18: acknowledge(id, batch)
    case 19 where random.chance(4):
      batch.orders.append(.end(id))
      model.end(id)
    default: publishSome(batch)
    }
  }

  private mutating func create(_ batch: StoreBatch) {
    let client = "client-\(random.below(8))"
    // A client that has a session seldom gets another before the first was ended.
    if model.sessions.values.contains(where: { $0.client == client }) && !random.chance(20) {
      return publishSome(batch)
    }
    let id = nextSession
    nextSession += 1
    let presence = randomPresence()
    let progress = SessionProgress(nextPacketID: UInt16(1 + random.below(65_535)))
    batch.orders.append(.create(id, client: client.bytes, presence, progress))
    model.create(id, client, presence, progress)
    for _ in 0..<random.below(4) { subscribe(id, batch) }
  }

  private mutating func randomPresence() -> SessionPresence {
    var presence = SessionPresence(
      version: UInt8(3 + random.below(3)), isConnected: random.chance(2),
      expiryInterval: random.chance(2) ? .max : UInt32(random.below(300)))
    if random.chance(2) {
      presence.will = StoredWill(
        qos: UInt8(random.below(3)), retain: random.chance(2), delay: UInt32(random.below(50)),
        lifetime: UInt32(random.below(100)), topic: "will/\(step)".bytes,
        properties: random.bytes(random.below(5)), payload: random.bytes(random.below(30)))
    }
    if !presence.isConnected && random.chance(3) {
      presence.expiresAt = model.now + UInt32(random.below(50))
    }
    if !presence.isConnected && random.chance(3) {
      presence.willDueAt = model.now + UInt32(random.below(50))
    }
    return presence
  }

  private mutating func setPresence(_ id: StoredSessionID, _ batch: StoreBatch) {
    let presence = randomPresence()
    batch.orders.append(.presence(id, presence))
    model.sessions[id]?.presence = presence
    model.sessions[id]?.left = nil
  }

  private mutating func subscribe(_ id: StoredSessionID, _ batch: StoreBatch) {
    let known = model.sessions[id]?.subscriptions.keys.sorted() ?? []
    let filter =
      random.chance(3)
      ? known.randomElement(using: &random) ?? 0
      : random.chance(3)
        ? Vocabulary.shares[random.below(Vocabulary.shares.count)]
        : random.below(Vocabulary.filters.count)
    // QoS, no local, retain as published.
    var options = UInt8(random.chance(4) ? 0 : 1 + random.below(2))
    if random.chance(3) { options |= 4 }
    if random.chance(3) { options |= 8 }
    let number = random.chance(2) ? 0 : UInt32(1 + random.below(1000))
    batch.subscribe(id, Vocabulary.filters[filter], options: options, identifier: number)
    model.subscribe(id, filter, options, number)
  }

  mutating func publishSome(_ batch: StoreBatch) {
    for _ in 0..<(random.chance(20) ? 30 : 1 + random.below(3)) {
      let (sample, topic) = randomMessage()
      let pending = random.next() >> 1
      // A loop that knows of no reader has a message retained only.
      let appends = !random.chance(10)
      batch.publish(sample, appends: appends, pending: pending)
      if model.publish(sample, topic: topic, appends: appends) == nil {
        answers.append(.refused(pending: pending))
      }
    }
  }

  /// A message, and the place of its topic in the vocabulary.
  mutating func randomMessage() -> (Sample, topic: Int) {
    let topic = random.below(Vocabulary.topics.count)
    let retain = random.chance(6)
    let publisher =
      random.chance(2) ? 0 : model.sessions.keys.sorted().randomElement(using: &random)
    var payload = [UInt8](
      repeating: UInt8(random.below(256)), count: random.chance(300) ? 300_000 : random.below(200))
    if retain && random.chance(3) { payload = [] }
    let sample = Sample(
      Vocabulary.topics[topic], payload, qos: UInt8(random.chance(8) ? 0 : 1 + random.below(2)),
      retain: retain, publisher: publisher ?? 0,
      expiresAt: random.chance(3) ? model.now + UInt32(random.below(60)) : 0,
      properties: random.bytes(random.chance(3) ? random.below(30) : 0))
    return (sample, topic)
  }
}
