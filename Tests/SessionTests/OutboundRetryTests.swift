import Packet
import Testing

@testable import Session

@Suite struct OutboundRetryTests {
  @Test func inOrderUnderTheSameIdentifiers() {
    // v5:MQTT-4.4.0-1 v3:MQTT-4.4.0-1 v5:MQTT-4.3.3-6 v3:MQTT-4.6.0-1
    let bench = Bench()
    for number in 1...5 {
      let qos: QoS = number % 2 == 0 ? .exactlyOnce : .atLeastOnce
      #expect(bench.send(Sample(number, qos: qos)) == UInt16(number))
    }
    bench.enqueue(Sample(6))
    #expect(bench.ack(3) == .completed && bench.ack(2, .pubRec) == .release)
    bench.reconnect()
    #expect(bench.table.inFlightCount(bench.slot) == 0 && bench.send(Sample(7)) == nil)
    #expect(
      bench.pump() == [
        .release(2), .publish(1, Sample(1), dup: true), .publish(4, Sample(4), dup: true),
        .publish(5, Sample(5), dup: true), .publish(6, Sample(6)),
      ])
    #expect(bench.pump().isEmpty)
    #expect(bench.ack(2, .pubComp) == .completed && bench.ack(1) == .completed)
    #expect(bench.ack(4, .pubRec) == .release && bench.ack(4, .pubComp) == .completed)
    #expect(bench.ack(6) == .completed && bench.ack(5) == .completed && bench.isEmpty)
  }

  @Test func nothingIsRepeatedWithoutAReconnect() {
    // v5:MQTT-4.4.0-1
    let bench = Bench()
    _ = bench.send(Sample(1))
    _ = bench.send(Sample(2, qos: .exactlyOnce))
    #expect(bench.pump().isEmpty)
    #expect(bench.ack(2, .pubRec) == .release && bench.pump().isEmpty)
  }

  /// The oldest is acknowledged before those behind it were looked at again, and one of them was
  /// done over the connection before.
  @Test func doneOnesBehindTheOldest() {
    let bench = Bench()
    for number in 1...4 { _ = bench.send(Sample(number)) }
    #expect(bench.ack(2) == .completed && bench.ack(3) == .completed)
    bench.reconnect()
    #expect(bench.pumpOne() == .publish(1, Sample(1), dup: true))
    #expect(bench.ack(1) == .completed)
    #expect(bench.pump() == [.publish(4, Sample(4), dup: true)])
    #expect(bench.ack(4) == .completed && bench.isEmpty)
  }

  @Test func whatIsNotYetRepeatedCantBeAcknowledged() {
    let bench = Bench()
    for number in 1...3 { _ = bench.send(Sample(number, qos: .exactlyOnce)) }
    bench.reconnect(quota: 1)
    #expect(bench.pump() == [.publish(1, Sample(1), dup: true)])
    #expect(bench.ack(2, .pubRec) == .unknown && bench.ack(3, .pubComp) == .unknown)
    #expect(bench.ack(1, .pubRec) == .release && bench.pump().isEmpty)
    #expect(bench.ack(1, .pubComp) == .completed)
    #expect(bench.pump() == [.publish(2, Sample(2), dup: true)])
  }

  /// A smaller receive maximum than before delays PUBLISH, and no PUBREL.
  @Test func quotaDelaysNoRelease() {
    // v5:MQTT-3.3.4-10
    let bench = Bench()
    for number in 1...4 { _ = bench.send(Sample(number, qos: .exactlyOnce)) }
    #expect(bench.ack(3, .pubRec) == .release && bench.ack(4, .pubRec) == .release)
    bench.reconnect(quota: 1)
    #expect(bench.pump() == [.release(3), .release(4)])
    #expect(bench.ack(4, .pubRec) == .release && bench.ack(4, .pubComp) == .completed)
    #expect(bench.pump().isEmpty && bench.ack(3, .pubComp) == .completed)
    #expect(bench.pump() == [.publish(1, Sample(1), dup: true)])
    #expect(bench.ack(1, .pubRec) == .release && bench.pump().isEmpty)
    #expect(bench.ack(1, .pubComp) == .completed)
    #expect(bench.pump() == [.publish(2, Sample(2), dup: true)])
    // The PUBREL that was sent over this connection goes out again over the next one only.
    #expect(bench.ack(2, .pubRec) == .release && bench.pump().isEmpty)
    bench.reconnect()
    #expect(bench.pump() == [.release(2)] && bench.pump().isEmpty)
    #expect(bench.ack(2, .pubComp) == .completed && bench.isEmpty)
  }

  @Test func sessionsThatEndKeepNoBodies() {
    let bench = Bench(isPersistent: false)
    let identifiers: [UInt32] = [3, 5]
    guard let kept = bench.table.keepIdentifiers(identifiers.span) else {
      return #expect(Bool(false), "no room")
    }
    bench.enqueue(Sample(1), identifiers: kept)
    bench.enqueue(Sample(2, qos: .exactlyOnce))
    #expect(bench.pump() == [.publish(1, Sample(1)), .publish(2, Sample(2))])
    #expect(bench.table.messages.count == 0 && bench.table.blocks.count == 1)
    #expect(bench.ack(2, .pubRec) == .release && bench.ack(1) == .completed)
    #expect(bench.ack(2, .pubComp) == .completed && bench.isEmpty)
  }

  /// What a session was given for a group and has not acknowledged goes to another member, also
  /// where the session itself would keep nothing.
  @Test(arguments: [true, false]) func sharedMessagesCanBeGivenOn(isPersistent: Bool) {
    // v5:MQTT-4.8.2-5
    let bench = Bench(quota: 3, isPersistent: isPersistent)
    #expect(bench.send(Sample(1), isShared: true) == 1)
    #expect(bench.send(Sample(2, qos: .exactlyOnce), isShared: true) == 2)
    bench.enqueue(Sample(3), isShared: true)
    bench.enqueue(Sample(4), isShared: true)
    bench.enqueue(Sample(5), isShared: false)
    bench.enqueue(Sample(6, qos: .exactlyOnce), isShared: true)
    #expect(bench.pump() == [.publish(3, Sample(3))])
    var given: [[UInt8]] = []
    bench.table.forEachShared(bench.slot) { delivery in
      guard delivery.mayGoToAnother else { return }
      given.append(bench.table.messages.withView(delivery.message) { $0.payload.array })
    }
    // The second went out with QoS 2: only this client may still get it.
    #expect(given == [1, 3, 4, 6].map { Sample($0).payload })
    bench.table.remove(bench.slot)
    #expect(bench.isEmpty)
  }

  /// A message of QoS 2 that went out is its client's; what waits, or is of QoS 1 and not
  /// acknowledged, may go to another.
  @Test func whatMayGoToAnother() {
    // v5:MQTT-4.8.2-4
    func states(_ bench: Bench) -> [Bool] {
      var found: [Bool] = []
      bench.table.forEachShared(bench.slot) { found.append($0.mayGoToAnother) }
      return found
    }
    let bench = Bench(quota: 2)
    #expect(bench.send(Sample(1), isShared: true) == 1)
    #expect(bench.send(Sample(2, qos: .exactlyOnce), isShared: true) == 2)
    bench.enqueue(Sample(3, qos: .exactlyOnce), isShared: true)
    bench.enqueue(Sample(4), isShared: false)
    #expect(states(bench) == [true, false, true])
    #expect(bench.ack(2, .pubRec) == .release)
    // Of the second only the identifier is left; nobody else may have it.
    #expect(states(bench) == [true, true])
    #expect(bench.ack(1) == .completed && bench.pump().count == 1)
    #expect(states(bench) == [false])
  }

  /// Of a message of the log that is done, it is told whose it was and whether a group's.
  @Test func whatIsDoneIsToldWithWhoseItWas() {
    let bench = Bench(quota: 10)
    func take(_ sample: Sample, _ sequence: UInt64, isShared: Bool) {
      var delivery = bench.delivery(sample, isShared: isShared)
      delivery.sequence = sequence
      #expect(bench.table.takeAhead(bench.slot, delivery, bytes: sample.byteCount))
    }
    take(Sample(1), 41, isShared: true)
    take(Sample(2), 42, isShared: false)
    take(Sample(3, qos: .exactlyOnce), 43, isShared: true)
    bench.enqueue(Sample(4), isShared: true)
    #expect(bench.pump().count == 4 && bench.table.finished.isEmpty)
    #expect(bench.ack(2) == .completed && bench.ack(4) == .completed && bench.ack(1) == .completed)
    // Done with PUBREC: the message is with the client.
    #expect(bench.ack(3, .pubRec) == .release && bench.ack(3, .pubComp) == .completed)
    let finished = bench.table.finished
    #expect(finished.map(\.sequence) == [42, 41, 43])
    #expect(finished.map(\.isShared) == [false, true, true])
    #expect(finished.allSatisfy { $0.session == bench.slot })
    // What it still had as it ends is not done.
    take(Sample(5), 45, isShared: true)
    bench.table.remove(bench.slot)
    #expect(bench.table.finished.count == 3 && bench.isEmpty)
  }

  @Test func removalGivesAllBack() {
    let table = SessionTable(capacity: 1000, limits: SessionLimits())
    for number in 0..<200 {
      guard let slot = table.create(entry: UInt32(number), version: .v3_1_1) else { return }
      table.records[slot].sendQuota = 5
      table.records[slot].flags.insert(.isPersistent)
      for other in 0..<20 {
        let sample = Sample(other, qos: other % 2 == 0 ? .atLeastOnce : .exactlyOnce)
        let message = sample.withView { table.messages.keep($0) } ?? 0
        let identifiers: [UInt32] = [1, 2, 3]
        let kept = table.keepIdentifiers(identifiers.span) ?? 0
        let delivery = Delivery(
          message: message, identifiers: kept, qos: sample.qos, retain: false, isShared: false)
        if table.maySendNow(slot) {
          #expect(table.sendNow(slot, delivery, bytes: sample.byteCount) != nil)
        } else {
          #expect(table.enqueue(slot, delivery, bytes: sample.byteCount))
        }
        #expect(table.arrived(slot, UInt16(other + 1), limit: 100) == .new)
      }
      #expect(table.acknowledge(slot, 2, .pubRec, isError: false) == .release)
      if let extra = table.makeExtras(slot) {
        table.extras[extra].will = sample(table)
        table.extras[extra].maximumPacketSize = 100
      }
      #expect(table.maximumPacketSize(slot) == 100)
    }
    #expect(table.count == 200 && table.messages.count == 200 * 20)
    for slot in 1...UInt32(200) { table.remove(slot) }
    #expect(table.count == 0 && table.messages.count == 0 && table.blocks.count == 0)
    #expect(table.rings.count == 0 && table.extras.count == 0)
    #expect(table.messages.usedBytes == 0 && table.blocks.usedBytes == 0)
  }

  private func sample(_ table: SessionTable) -> UInt32 {
    Sample("will", "gone").withView { table.messages.keep($0) } ?? 0
  }
}
