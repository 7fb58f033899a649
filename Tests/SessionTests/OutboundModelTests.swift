import Packet
import Testing

@testable import Session

/// The plainest model of a session's deliveries: a list of all that are not done.
private struct Model {
  enum State { case waiting, published, received }
  struct Entry {
    var id: UInt16 = 0
    var sample: Sample
    var state = State.waiting
    /// Whether its last packet went over the present connection.
    var isHere = false
  }

  var entries: [Entry] = []
  var nextID: UInt16
  var quota: Int
  let isPersistent: Bool
  let limits: SessionLimits

  var inFlight: Int {
    entries.count { $0.isHere && ($0.state == .published || $0.state == .received) }
  }
  var numbered: Int { entries.count { $0.state != .waiting } }
  var waiting: Int { entries.count - numbered }
  var isBehind: Bool {
    entries.contains { !$0.isHere && ($0.state == .published || $0.state == .received) }
  }
  var maySend: Bool { waiting == 0 && !isBehind && inFlight < quota }

  /// Bytes that the session answers for: a body is held until PUBACK or PUBREC, and of a session
  /// that ends with its connection only until it was sent.
  var bytes: Int {
    entries.reduce(0) { sum, entry in
      let isHeld = entry.state == .waiting || (isPersistent && entry.state == .published)
      return sum + (isHeld ? entry.sample.byteCount : 0)
    }
  }

  func mayWait(_ sample: Sample) -> Bool {
    waiting < limits.maximumQueuedMessages && bytes + sample.byteCount <= limits.maximumQueuedBytes
  }

  mutating func number(_ place: Int) -> UInt16 {
    func isInUse(_ id: UInt16) -> Bool {
      entries.contains { $0.id == id && ($0.state == .published || $0.state == .received) }
    }
    while isInUse(nextID) { nextID = nextID == 65_535 ? 1 : nextID + 1 }
    let id = nextID
    nextID = id == 65_535 ? 1 : id + 1
    entries[place].id = id
    entries[place].state = .published
    entries[place].isHere = true
    return id
  }

  mutating func complete(_ place: Int) {
    entries.remove(at: place)
  }

  /// What is to go out. Where PUBRELs are to go out again, it may be any of them: `sent`.
  mutating func next(
    after sent: Bench.Sent?, second: UInt32, expired: inout UInt64
  ) -> Bench.Sent? {
    let due = entries.indices.filter { entries[$0].state == .received && !entries[$0].isHere }
    if let place = due.first(where: { entries[$0].id == sent?.id }) ?? due.first {
      entries[place].isHere = true
      return .release(entries[place].id)
    }
    if let place = entries.firstIndex(where: { $0.state == .published && !$0.isHere }) {
      guard inFlight < quota else { return nil }
      entries[place].isHere = true
      return .publish(entries[place].id, entries[place].sample, dup: true)
    }
    while let place = entries.firstIndex(where: { $0.state == .waiting }) {
      guard inFlight < quota else { return nil }
      let sample = entries[place].sample
      let id = number(place)
      if sample.expiresAt == 0 || sample.expiresAt > second { return .publish(id, sample) }
      expired += 1
      complete(place)
    }
    return nil
  }

  mutating func acknowledge(
    _ id: UInt16, _ type: PacketType, isError: Bool
  ) -> AcknowledgementOutcome {
    guard
      let place = entries.firstIndex(where: {
        $0.id == id && $0.isHere && ($0.state == .published || $0.state == .received)
      })
    else { return .unknown }
    switch (type, entries[place].state, entries[place].sample.qos) {
    case (.pubAck, .published, .atLeastOnce), (.pubComp, .received, _):
      complete(place)
      return .completed
    case (.pubRec, .published, .exactlyOnce):
      if isError {
        complete(place)
        return .completed
      }
      entries[place].state = .received
      return .release
    case (.pubRec, .received, _): return .release
    default: return .unexpected
    }
  }

  mutating func reconnect(quota: Int) {
    for index in entries.indices { entries[index].isHere = false }
    self.quota = quota
  }
}

@Suite struct OutboundModelTests {
  struct Case: Sendable {
    var seed: UInt64
    var isPersistent: Bool
    var quota: UInt16
    var firstID: UInt16
  }

  static let cases = (0..<12 as Range<UInt64>).map { seed in
    Case(
      seed: 100 + seed, isPersistent: seed % 4 != 3, quota: [1, 3, 20, 200][Int(seed) / 3],
      firstID: seed % 2 == 0 ? 1 : 65_400)
  }

  /// Messages come, go out, are acknowledged in any order, rightly and wrongly, expire and are
  /// dropped, and the client comes back with another quota; each answer is compared.
  @Test(arguments: cases)
  func randomAgainstModel(item: Case) {
    // v5:MQTT-2.2.1-4 v5:MQTT-3.3.4-9 v5:MQTT-4.4.0-1 v3:MQTT-2.3.1-4 v3:MQTT-4.4.0-1
    var random = SeededGenerator(seed: item.seed)
    var limits = SessionLimits()
    limits.maximumQueuedMessages = 50
    limits.maximumQueuedBytes = 4000
    let bench = Bench(quota: item.quota, isPersistent: item.isPersistent, limits: limits)
    bench.table.records[bench.slot].nextPacketID = item.firstID
    var model = Model(
      nextID: item.firstID, quota: Int(item.quota), isPersistent: item.isPersistent,
      limits: limits)
    var isDry = true
    var expired: UInt64 = 0
    var completed = 0
    var mostStragglers: UInt16 = 0
    for step in 0..<6000 {
      let place: Comment = "seed \(item.seed), step \(step)"
      switch random.below(12) {
      case 0...3:
        let sample = Sample(
          step, count: random.below(120), qos: random.chance(2) ? .atLeastOnce : .exactlyOnce,
          expiresAt: random.chance(4) ? bench.second + UInt32(random.below(20)) : 0)
        let maySend = bench.table.maySendNow(bench.slot)
        // It may be careful while there is something left to look at.
        #expect(isDry ? maySend == model.maySend : !maySend || model.maySend, place)
        if maySend && item.isPersistent {
          model.entries.append(Model.Entry(sample: sample))
          let expected = model.number(model.entries.count - 1)
          #expect(bench.send(sample) == expected, place)
        } else {
          let mayWait = model.mayWait(sample)
          #expect(bench.enqueue(sample) == mayWait, place)
          if mayWait {
            model.entries.append(Model.Entry(sample: sample))
            isDry = false
          }
        }
      case 4...8:
        // Mostly the newer ones, so that the oldest fall far behind.
        let out = model.entries.filter { $0.state != .waiting }
        let known = out.suffix(random.chance(30) ? out.count : (out.count + 1) / 2)
          .randomElement(using: &random)
        let isWild = random.chance(12)
        let id =
          isWild || known == nil
          ? UInt16(truncatingIfNeeded: random.next()) : known?.id ?? 0
        let type: PacketType =
          if let known, !isWild, !random.chance(20) {
            known.state == .received
              ? .pubComp : known.sample.qos == .atLeastOnce ? .pubAck : .pubRec
          } else {
            [.pubAck, .pubRec, .pubComp][random.below(3)]
          }
        let isError = random.chance(10)
        let expected = model.acknowledge(id, type, isError: isError)
        #expect(bench.ack(id, type, isError: isError) == expected, place)
        if expected == .completed {
          isDry = false
          completed += 1
        }
      case 9:
        // As far as the socket takes it.
        for _ in 0..<random.below(4) {
          let sent = bench.pumpOne()
          let expected = model.next(after: sent, second: bench.second, expired: &expired)
          #expect(sent == expected, place)
          isDry = expected == nil
        }
      case 10:
        while true {
          let sent = bench.pumpOne()
          let expected = model.next(after: sent, second: bench.second, expired: &expired)
          #expect(sent == expected, place)
          guard let sent, expected != nil else { break }
          if sent.payload != nil && random.chance(30) {
            bench.table.dropTransmission(bench.slot, sent.id)
            if let gone = model.entries.firstIndex(where: {
              $0.id == sent.id && $0.state == .published
            }) {
              model.complete(gone)
            }
          }
        }
        isDry = true
      default:
        bench.second += 1
        if item.isPersistent && random.chance(8) {
          let quota = random.chance(2) ? item.quota : UInt16(1 + random.below(30))
          bench.reconnect(quota: quota)
          model.reconnect(quota: Int(quota))
          isDry = false
        }
      }
      #expect(bench.table.waitingCount(bench.slot) == model.waiting, place)
      #expect(bench.table.inFlightCount(bench.slot) == model.inFlight, place)
      #expect(bench.expired == expired, place)
      let ring = bench.table.records[bench.slot].outbound
      #expect((ring == 0) == model.entries.isEmpty, place)
      if ring != 0 {
        #expect(bench.table.rings[ring].bytes == model.bytes, place)
        mostStragglers = max(mostStragglers, bench.table.rings[ring].stragglerCount)
      }
    }
    // The oldest did fall behind, or what is compared here was never compared.
    #expect(mostStragglers > 0 || !item.isPersistent || item.quota > 20, "seed \(item.seed)")
    #expect(completed > 300, "seed \(item.seed): too little happened")
    if item.seed % 2 == 0 {
      bench.table.remove(bench.slot)
    } else {
      drain(bench, &model)
    }
    #expect(bench.isEmpty && bench.table.messages.usedBytes == 0, "seed \(item.seed)")
  }

  /// Acknowledges all there is.
  private func drain(_ bench: Bench, _ model: inout Model) {
    for _ in 0..<10_000 where !model.entries.isEmpty {
      var expired: UInt64 = 0
      while true {
        let sent = bench.pumpOne()
        let expected = model.next(after: sent, second: bench.second, expired: &expired)
        #expect(sent == expected)
        if sent == nil { break }
      }
      for entry in model.entries where entry.isHere {
        let type: PacketType =
          entry.state == .received ? .pubComp : entry.sample.qos == .atLeastOnce ? .pubAck : .pubRec
        let expected = model.acknowledge(entry.id, type, isError: false)
        #expect(bench.ack(entry.id, type) == expected && expected != .unexpected)
      }
    }
  }
}
