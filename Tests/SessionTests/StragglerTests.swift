import Packet
import Testing

@testable import Session

/// Messages that a client leaves unacknowledged while it takes much that is newer.
@Suite struct StragglerTests {
  /// One that is never acknowledged holds no other back, and costs no more than itself.
  @Test func oneHoldsNothingBack() {
    // v5:MQTT-2.2.1-4 v3:MQTT-2.3.1-4
    let bench = Bench(quota: 4)
    #expect(bench.send(Sample(0)) == 1)
    var last: UInt16 = 1
    for number in 1..<140_000 {
      guard let id = bench.send(Sample(number)) else {
        return #expect(Bool(false), "held back at \(number)")
      }
      // Around the wrap, identifier 1 is left out: it is in use.
      #expect(id == (last == 65_535 ? 2 : last + 1))
      last = id
      #expect(bench.ack(id) == .completed)
    }
    #expect(bench.table.messages.count == 1 && bench.table.inFlightCount(bench.slot) == 1)
    let used = bench.table.blocks.usedBytes
    #expect(used <= 1536, "\(used) bytes")
    bench.reconnect()
    #expect(bench.pump() == [.publish(1, Sample(0), dup: true)])
    #expect(bench.ack(1) == .completed && bench.isEmpty)
  }

  /// Some with each state, over two connections.
  @Test func retriedBeforeTheRing() {
    // v5:MQTT-4.4.0-1 v3:MQTT-4.4.0-1 v5:MQTT-3.3.4-10 v3:MQTT-4.6.0-1
    let bench = Bench(quota: 6)
    for number in 1...4 {
      let qos: QoS = number % 2 == 0 ? .exactlyOnce : .atLeastOnce
      #expect(bench.send(Sample(number, qos: qos)) == UInt16(number))
    }
    #expect(bench.ack(2, .pubRec) == .release && bench.ack(4, .pubRec) == .release)
    for number in 5..<100 {
      guard let id = bench.send(Sample(number)) else {
        return #expect(Bool(false), "held back at \(number)")
      }
      #expect(bench.ack(id) == .completed)
    }
    #expect(bench.send(Sample(100, qos: .exactlyOnce)) == 100)
    #expect(bench.send(Sample(101)) == 101)
    #expect(bench.ack(100, .pubRec) == .release)
    bench.enqueue(Sample(102))
    let ring = bench.table.records[bench.slot].outbound
    #expect(bench.table.rings[ring].stragglerCount == 4)

    bench.reconnect(quota: 1)
    #expect(bench.table.inFlightCount(bench.slot) == 0)
    #expect(bench.ack(1) == .unknown && bench.ack(2, .pubComp) == .unknown)
    #expect(bench.pump() == [.release(2), .release(4), .release(100)])
    for id in [100, 2, 4] as [UInt16] { #expect(bench.ack(id, .pubComp) == .completed) }
    #expect(bench.pump() == [.publish(1, Sample(1), dup: true)])
    #expect(bench.ack(3) == .unknown && bench.ack(1, .pubRec) == .unexpected)
    #expect(bench.ack(1) == .completed)

    bench.reconnect(quota: 2)
    #expect(
      bench.pump() == [.publish(3, Sample(3), dup: true), .publish(101, Sample(101), dup: true)])
    #expect(bench.ack(3) == .completed && bench.ack(101) == .completed)
    #expect(bench.pump() == [.publish(102, Sample(102))])
    #expect(bench.ack(102) == .completed && bench.isEmpty)
  }

  @Test func refusalsDropsAndRemoval() {
    let bench = Bench(quota: 6)
    for number in 1...5 { _ = bench.send(Sample(number, qos: .exactlyOnce)) }
    for number in 6..<100 {
      guard let id = bench.send(Sample(number)) else { break }
      #expect(bench.ack(id) == .completed)
    }
    // From the middle, from the end and from the start of the list.
    #expect(bench.ack(3, .pubRec, isError: true) == .completed && bench.ack(3, .pubRec) == .unknown)
    #expect(bench.ack(5, .pubRec) == .release && bench.ack(5, .pubRec) == .release)
    #expect(bench.ack(5, .pubComp) == .completed && bench.ack(2, .pubComp) == .unexpected)
    #expect(bench.ack(1, .pubRec) == .release && bench.ack(1, .pubComp) == .completed)
    bench.reconnect()
    #expect(bench.pumpOne() == .publish(2, Sample(2), dup: true))
    bench.table.dropTransmission(bench.slot, 2)
    #expect(bench.pump() == [.publish(4, Sample(4), dup: true)])
    #expect(bench.table.messages.count == 1)
    bench.table.remove(bench.slot)
    #expect(bench.isEmpty)
  }

  @Test func ofSharedSubscriptions() {
    let bench = Bench(quota: 3)
    _ = bench.send(Sample(1), isShared: true)
    _ = bench.send(Sample(2, qos: .exactlyOnce), isShared: true)
    for number in 3..<60 {
      guard let id = bench.send(Sample(number)) else { break }
      #expect(bench.ack(id) == .completed)
    }
    var given: [[UInt8]] = []
    bench.table.forEachShared(bench.slot) { delivery in
      guard delivery.mayGoToAnother else { return }
      given.append(bench.table.messages.withView(delivery.message) { $0.payload.array })
    }
    #expect(given == [Sample(1).payload])
  }
}
