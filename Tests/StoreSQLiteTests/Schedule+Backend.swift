import Store

@testable import StoreSQLite

/// What backends ask for through a loop.
extension Schedule {
  mutating func backendOrder(_ batch: StoreBatch) {
    switch random.below(12) {
    case 0...4: publishDirect(batch)
    case 5...8: publishCounted(batch)
    case 9:
      let client = "client-\(random.below(8))"
      let query = SessionListQuery(
        tag: random.next(), after: random.chance(2) ? [] : client.bytes,
        prefix: random.chance(3) ? Array(client.bytes.prefix(random.below(9))) : [],
        maximum: 1 + random.below(6))
      batch.orders.append(.listSessions(query))
      answers.append(.sessions(model.list(query)))
    case 10:
      let tag = random.next()
      batch.orders.append(.readKeys(tag: tag))
      answers.append(.keys(tag: tag, model.requests.filter { $0.value > model.now }))
    default:
      for _ in 0..<1 + random.below(3) {
        let key = "key-\(random.below(12))".bytes
        let until = model.now + UInt32(random.below(60))
        batch.orders.append(.remember(key: key, until: until))
        model.remember(key, until: until)
      }
    }
  }

  /// To a client that has a session, most often.
  private mutating func publishDirect(_ batch: StoreBatch) {
    for _ in 0..<1 + random.below(3) {
      let client = "client-\(random.below(8))"
      let (sample, topic) = randomMessage()
      let pending = random.chance(8) ? 0 : random.next() >> 1
      let tellsAbsent = random.chance(2)
      let offset = batch.append(sample)
      batch.orders.append(
        .publishTo(
          client: client.bytes, offset: offset, pending: pending, tellsAbsent: tellsAbsent))
      let owed = model.publish(sample, topic: topic, to: client)
      if let owed {
        tally.direct += Int(owed)
        if owed > 0 && tellsAbsent { noteAbsent(batch.loop) }
      }
      guard pending != 0 else { continue }
      answers.append(
        owed.map { .kept(pending: pending, subscriptions: Int($0)) } ?? .noSession(pending: pending)
      )
    }
  }

  private mutating func publishCounted(_ batch: StoreBatch) {
    for _ in 0..<1 + random.below(3) {
      let (sample, topic) = randomMessage()
      let pending = random.chance(8) ? 0 : random.next() >> 1
      let tellsAbsent = random.chance(2)
      let appends = !random.chance(10)
      let offset = batch.append(sample)
      batch.orders.append(
        .publishCounted(
          offset: offset, appends: appends, pending: pending, tellsAbsent: tellsAbsent))
      guard let owed = model.publish(sample, topic: topic, appends: appends) else {
        answers.append(.refused(pending: pending))
        continue
      }
      if tellsAbsent && appends && sample.facts.qos > 0 { noteAbsent(batch.loop) }
      if pending != 0 { answers.append(.kept(pending: pending, subscriptions: Int(owed))) }
    }
  }

  private mutating func noteAbsent(_ loop: Int) {
    let clients = model.absent
    guard !clients.isEmpty, let sequence = model.messages.last?.sequence else { return }
    absences[sequence] = Absence(loop: loop, clients: clients)
  }
}
