import Store
import Testing

@testable import StoreSQLite

/// What a loop does for a session: it reads pages, takes messages from them, and is done with those
/// that were acknowledged.
extension Schedule {
  private static let windowSize = 12

  mutating func load(_ client: String, _ batch: StoreBatch) {
    batch.load(client)
    let found = model.sessions.first { $0.value.client == client }
    let lost = found?.value.progress.window.map(\.sequence).filter { !model.holds($0) } ?? []
    answers.append(
      .session(
        found?.value, found?.key ?? 0, unread: UInt64(lost.count { $0 != 0 }), lost: Set(lost),
        end: model.nextSequence - 1))
    guard let found, random.chance(50) else { return }
    let asker = Asker(slot: UInt32(found.key), generation: UInt32(step))
    batch.orders.append(.resume(found.key, asker))
    let unread = model.unread(found.key, found.value)
    if unread > 0 { answers.append(.unread(asker, unread)) }
  }

  mutating func read(_ id: StoredSessionID, _ batch: StoreBatch) {
    // A session has one question under way at a time.
    let isAsking = answers.contains { if case .page(id, _, _, _) = $0 { true } else { false } }
    guard !isAsking, let session = model.sessions[id] else { return }
    let query = LogQuery(
      asker: Asker(slot: UInt32(id), generation: UInt32(step)), session: id,
      after: session.readThrough, epoch: session.epoch,
      maximumMessages: random.chance(3) ? 1 + random.below(5) : 100,
      maximumBytes: random.chance(3) ? 1 + random.below(1000) : 1 << 20)
    batch.orders.append(.read(query))
    answers.append(
      .page(
        id, query, items: model.items(id, after: session.readThrough), end: model.nextSequence - 1))
  }

  /// Takes messages of pages into the window, as far as there is room.
  mutating func takeSome(_ id: StoredSessionID, _ batch: StoreBatch) {
    guard var session = model.sessions[id] else { return }
    var releases: [StoreOrder] = []
    for _ in 0..<1 + random.below(8) {
      let own = session.progress.window.count { !$0.isShared }
      guard own < Schedule.windowSize, let item = session.pending.first else { break }
      session.pending.removeFirst()
      session.progress.cursor = item.sequence
      if item.qos == 0 {
        // Not to be delivered: skipped.
        releases.append(.release(sequence: item.sequence, count: item.count))
        continue
      }
      tally.taken += 1
      session.progress.window.append(
        WindowEntry(
          sequence: item.sequence, identifier: item.identifiers.first ?? 0,
          packetID: session.progress.nextPacketID, state: 1, traits: item.qos))
      session.progress.nextPacketID =
        session.progress.nextPacketID == .max ? 1 : session.progress.nextPacketID + 1
      if item.count > 1 {
        releases.append(.release(sequence: item.sequence, count: item.count - 1))
      }
    }
    if session.pending.isEmpty && random.chance(2) { session.progress.cursor = session.readThrough }
    batch.orders.append(.progress(id, session.progress))
    batch.orders += releases
    model.sessions[id] = session
  }

  /// PUBACK, PUBREC or PUBCOMP of some messages in flight, in any order; and QoS 2 messages of the
  /// client's come and go.
  mutating func acknowledge(_ id: StoredSessionID, _ batch: StoreBatch) {
    guard var progress = model.sessions[id]?.progress else { return }
    var releases: [StoreOrder] = []
    for _ in 0..<1 + random.below(6) where !progress.window.isEmpty {
      let number = random.below(progress.window.count)
      let entry = progress.window[number]
      tally.acknowledged += 1
      if entry.sequence != 0 {
        releases.append(.release(sequence: entry.sequence, count: 1))
      }
      if entry.traits & 3 == 2 && entry.sequence != 0 {
        progress.window[number].sequence = 0
        progress.window[number].state = 1
      } else {
        progress.window.remove(at: number)
      }
    }
    if random.chance(3) { progress.inbound.append(UInt16(1 + random.below(65_535))) }
    if random.chance(3) && !progress.inbound.isEmpty { progress.inbound.removeFirst() }
    batch.orders.append(.progress(id, progress))
    batch.orders += releases
    model.sessions[id]?.progress = progress
  }

  /// In the end all sessions read what they are owed and acknowledge it, and some end: the log is
  /// empty then.
  mutating func drain() throws {
    for id in model.sessions.keys.sorted() {
      if random.chance(4) {
        try commit { schedule, batch in
          batch.orders.append(.end(id))
          schedule.model.end(id)
          schedule.noteTidings()
        }
        continue
      }
      var rounds = 0
      while model.items(id, after: model.sessions[id]?.progress.cursor ?? 0).count > 0
        || model.sessions[id]?.progress.window.isEmpty == false
      {
        rounds += 1
        try #require(rounds < 10_000, place)
        try commit { schedule, batch in
          schedule.read(id, batch)
          schedule.takeSome(id, batch)
          schedule.acknowledge(id, batch)
        }
      }
    }
    try drainGroups()
    try model.check(bench, place)
    try #require(model.messages.isEmpty, place)
    let rows = try bench.logRows
    #expect(rows == 0, place)
  }

  mutating func commit(
    _ fill: (inout Schedule, StoreBatch) -> Void
  ) throws {
    answers = []
    absences = [:]
    model.now = max(model.now, bench.now)
    let batch = bench.batch()
    fill(&self, batch)
    answers.append(.committed(loop: batch.loop, ticket: batch.ticket, end: nil))
    try take(try bench.commit([batch]))
    model.prune()
  }
}
