import Store
import Testing

@testable import StoreSQLite

/// What loops do for shared subscriptions: the one that watches a group reads what it is owed and hands
/// it out, members take messages into their windows, are done with them, or give them back.
extension Schedule {
  /// So that what groups hand out does not keep a session from what it is owed itself for long.
  private static let sharedWindowSize = 20

  /// - Parameter id: a session, which may take part or not.
  mutating func shareOrder(_ id: StoredSessionID, _ batch: StoreBatch) {
    switch random.below(16) {
    case 0: watch(batch)
    case 1: unwatch(batch)
    case 2...5: handOut(id, batch)
    case 6...8: passOn(id, batch)
    case 9...10: readGroup(batch)
    case 11...13: giveBack(batch)
    default: lateOrder(id, batch)
    }
  }

  /// The last order made watchers be told something.
  mutating func noteTidings() {
    orderCount += 1
    for tiding in model.tidings {
      answers.append(.tiding(tiding, order: orderCount, end: model.nextSequence - 1))
    }
    model.tidings = []
  }

  private mutating func randomGroup() -> Model.Group? {
    guard let share = model.groups.keys.sorted().randomElement(using: &random) else { return nil }
    return model.groups[share]
  }

  // MARK: Watching

  private mutating func watch(_ batch: StoreBatch) {
    let share = Vocabulary.shares[random.below(Vocabulary.shares.count)]
    orderCount += 1
    let asker = Asker(slot: UInt32(share), generation: UInt32(orderCount))
    batch.orders.append(.watch(filter: Vocabulary.filters[share].bytes, asker))
    model.watch(share, Model.Watcher(loop: batch.loop, asker: asker))
  }

  private mutating func unwatch(_ batch: StoreBatch) {
    let share = Vocabulary.shares[random.below(Vocabulary.shares.count)]
    // One that asked before is not asked for any more: nothing happens.
    let asker =
      random.chance(3)
      ? Asker(slot: UInt32(share), generation: 0) : model.watchers[share]?.asker ?? .nobody
    batch.orders.append(.unwatch(filter: Vocabulary.filters[share].bytes, asker))
    model.unwatch(share, asker)
  }

  // MARK: Handing out

  /// Hands out messages behind the cursor, in order.
  private mutating func handOut(_ id: StoredSessionID, _ batch: StoreBatch) {
    guard let group = randomGroup() else { return publishSome(batch) }
    let owed = model.messages.filter { $0.sequence > group.cursor && group.matches($0) }
    for message in owed.prefix(1 + random.below(4)) {
      tally.handedOut += 1
      let hasRoom = (model.sessions[id]?.progress.window.count ?? .max) < Schedule.sharedWindowSize
      let isTaken = hasRoom && random.chance(2)
      assign(group.id, message.sequence, isTaken: isTaken, batch)
      if isTaken {
        take(message, of: group.id, id, batch)
      } else if random.chance(3) {
        settle(group.id, message.sequence, batch)
      }
    }
  }

  /// A message that the group holds is in a session's window, handed out anew, or done.
  private mutating func passOn(_ id: StoredSessionID, _ batch: StoreBatch) {
    guard let group = randomGroup(),
      let sequence = group.pending.sorted().randomElement(using: &random)
    else { return handOut(id, batch) }
    tally.passedOn += 1
    let hasRoom = (model.sessions[id]?.progress.window.count ?? .max) < Schedule.sharedWindowSize
    let message = model.messages.first { $0.sequence == sequence }
    // What was dropped meanwhile may be on its way to a member all the same.
    guard hasRoom, let message, !random.chance(4) else {
      if random.chance(4) { assign(group.id, sequence, isTaken: false, batch) }
      if !random.chance(4) { settle(group.id, sequence, batch) }
      return
    }
    if random.chance(2) {
      assign(group.id, sequence, isTaken: true, batch)
    } else {
      batch.orders.append(.taken(group.id, sequence: sequence))
      model.forget(group.id, sequence)
    }
    take(message, of: group.id, id, batch)
  }

  private mutating func assign(
    _ id: StoredGroupID, _ sequence: UInt64, isTaken: Bool, _ batch: StoreBatch
  ) {
    batch.orders.append(.assign(id, sequence: sequence, isTaken: isTaken))
    model.assign(id, sequence, isTaken: isTaken)
  }

  private mutating func settle(_ id: StoredGroupID, _ sequence: UInt64, _ batch: StoreBatch) {
    batch.orders.append(.settle(id, sequence: sequence))
    model.forget(id, sequence)
  }

  /// A message of a group comes into a session's window.
  private mutating func take(
    _ message: Model.Message, of group: StoredGroupID, _ id: StoredSessionID, _ batch: StoreBatch
  ) {
    guard var progress = model.sessions[id]?.progress else { return }
    progress.window.append(
      WindowEntry(
        sequence: message.sequence, identifier: 0, packetID: progress.nextPacketID, state: 1,
        traits: message.sample.facts.qos | WindowEntry.sharedTrait, group: group))
    progress.nextPacketID = progress.nextPacketID == .max ? 1 : progress.nextPacketID + 1
    batch.orders.append(.progress(id, progress))
    model.sessions[id]?.progress = progress
  }

  private mutating func giveBack(_ batch: StoreBatch) {
    let holders = model.sessions.filter { $0.value.progress.window.contains { $0.isShared } }
    guard let id = holders.keys.sorted().randomElement(using: &random),
      let window = holders[id]?.progress.window
    else { return publishSome(batch) }
    let shared = window.filter { $0.isShared }
    for entry in shared.shuffled(using: &random).prefix(1 + random.below(3)) {
      tally.givenBack += 1
      // The whole window, so that what came through a plain subscription is named too, and stays.
      let sequence =
        random.chance(6) ? window[random.below(window.count)].sequence : entry.sequence
      giveBack(id, sequence, batch)
    }
    // Most often the session ends next.
    guard random.chance(3) else { return }
    batch.orders.append(.end(id))
    model.end(id)
  }

  /// To the group that gave it, which may have ended, or now and then to one that did not.
  private mutating func giveBack(
    _ session: StoredSessionID, _ sequence: UInt64, _ batch: StoreBatch
  ) {
    let window = model.sessions[session]?.progress.window ?? []
    var id = window.first { $0.isShared && $0.sequence == sequence }?.group ?? 0
    if random.chance(6) { id = model.endedGroups.randomElement(using: &random) ?? 0 }
    if random.chance(8) { id = randomGroup()?.id ?? 0 }
    batch.orders.append(.giveBack(session, id, sequence: sequence))
    model.giveBack(session, id, sequence)
  }

  // MARK: Reading

  private mutating func readGroup(_ batch: StoreBatch) {
    guard let group = randomGroup() else { return watch(batch) }
    // It has one question under way at a time.
    let isAsking = answers.contains {
      if case .groupPage(let query, _, _, _) = $0 { query.group == group.id } else { false }
    }
    guard !isAsking else { return }
    var sequences: [UInt64] = []
    if random.chance(3) {
      sequences = group.pending.filter { _ in random.chance(2) }.sorted()
    }
    // A loop that has read on, or one that begins anew with what the store has.
    let start = random.chance(2) ? group.readThrough : group.cursor
    readGroup(group.id, sequences, after: start, batch)
  }

  private mutating func readGroup(
    _ id: StoredGroupID, _ sequences: [UInt64], after start: UInt64, _ batch: StoreBatch
  ) {
    let query = GroupQuery(
      asker: Asker(slot: UInt32(id), generation: UInt32(step)), group: id, sequences: sequences,
      after: start, maximumMessages: random.chance(3) ? 1 + random.below(5) : 100,
      maximumBytes: random.chance(3) ? 1 + random.below(1000) : 1 << 20)
    batch.orders.append(.readGroup(query))
    answers.append(
      .groupPage(
        query, model.share(of: id).flatMap { model.groups[$0] }, items: model.items(query),
        end: model.nextSequence - 1))
  }

  // MARK: Orders that come late

  /// For a group that has ended, or a session that holds the message no more: nothing happens.
  private mutating func lateOrder(_ id: StoredSessionID, _ batch: StoreBatch) {
    guard let ended = model.endedGroups.suffix(8).randomElement(using: &random),
      let sequence = model.messages.randomElement(using: &random)?.sequence
    else { return publishSome(batch) }
    tally.lateOrders += 1
    switch random.below(6) {
    case 0: assign(ended, sequence, isTaken: random.chance(2), batch)
    case 1: settle(ended, sequence, batch)
    case 2: batch.orders.append(.taken(ended, sequence: sequence))
    case 3: readGroup(ended, random.chance(2) ? [sequence] : [], after: 0, batch)
    case 4: giveBack(id, sequence, batch)
    default:
      // What the group has, but does not hold: it is in a window, or done, or not handed out.
      guard let group = randomGroup(), !group.pending.contains(sequence) else { return }
      settle(group.id, sequence, batch)
      giveBack(.max, sequence, batch)
    }
  }

  // MARK: The end

  /// In the end all that groups are owed is handed out and done.
  mutating func drainGroups() throws {
    for share in model.groups.keys.sorted() {
      guard let group = model.groups[share] else { continue }
      try commit { schedule, batch in
        for sequence in group.pending.sorted() { schedule.settle(group.id, sequence, batch) }
        let owed = schedule.model.messages.filter {
          $0.sequence > group.cursor && group.matches($0)
        }
        for message in owed {
          schedule.assign(group.id, message.sequence, isTaken: false, batch)
          schedule.settle(group.id, message.sequence, batch)
        }
      }
    }
  }
}
