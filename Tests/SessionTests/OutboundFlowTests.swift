import Packet
import Testing
import Util

@testable import Session

@Suite struct OutboundFlowTests {
  @Test func qos1() {
    // v5:MQTT-4.3.2-1 v5:MQTT-4.3.2-3 v5:MQTT-2.2.1-4 v3:MQTT-2.3.1-4 v3:MQTT-4.3.2-1
    let bench = Bench()
    #expect(bench.send(Sample(1)) == 1 && bench.send(Sample(2)) == 2)
    #expect(bench.table.inFlightCount(bench.slot) == 2)
    #expect(bench.ack(2) == .completed && bench.ack(2) == .unknown)
    #expect(bench.table.inFlightCount(bench.slot) == 1 && bench.table.messages.count == 1)
    #expect(bench.send(Sample(3)) == 3)
    #expect(bench.ack(1) == .completed && bench.ack(3) == .completed && bench.isEmpty)
    #expect(bench.ack(1) == .unknown && bench.ack(0) == .unknown && bench.ack(4) == .unknown)
    #expect(bench.send(Sample(4)) == 4)
  }

  @Test func qos2() {
    // v5:MQTT-4.3.3-3 v5:MQTT-4.3.3-4 v5:MQTT-4.3.3-5 v3:MQTT-4.3.3-1
    let bench = Bench()
    #expect(bench.send(Sample(1, qos: .exactlyOnce)) == 1)
    #expect(bench.ack(1, .pubRec) == .release)
    // The client has it: nobody needs its body any more, but the identifier is still taken.
    #expect(bench.table.messages.count == 0 && bench.table.inFlightCount(bench.slot) == 1)
    #expect(bench.ack(1, .pubRec) == .release)
    #expect(bench.ack(1, .pubComp) == .completed && bench.isEmpty)
    #expect(bench.ack(1, .pubComp) == .unknown && bench.ack(1, .pubRec) == .unknown)
  }

  @Test func aRefusalEndsAMessage() {
    // v5:MQTT-4.4.0-2
    let bench = Bench()
    _ = bench.send(Sample(1))
    _ = bench.send(Sample(2, qos: .exactlyOnce))
    #expect(bench.ack(1, .pubAck, isError: true) == .completed)
    #expect(bench.ack(2, .pubRec, isError: true) == .completed)
    #expect(bench.isEmpty)
    bench.reconnect()
    #expect(bench.pump().isEmpty)
  }

  @Test func wrongKindsChangeNothing() {
    let bench = Bench()
    _ = bench.send(Sample(1))
    _ = bench.send(Sample(2, qos: .exactlyOnce))
    #expect(bench.ack(1, .pubRec) == .unexpected && bench.ack(1, .pubComp) == .unexpected)
    #expect(bench.ack(2, .pubAck) == .unexpected && bench.ack(2, .pubComp) == .unexpected)
    #expect(bench.ack(2, .pubRec) == .release && bench.ack(2, .pubAck) == .unexpected)
    #expect(bench.ack(1) == .completed && bench.ack(2, .pubComp) == .completed)
    #expect(bench.isEmpty)
  }

  @Test func quotaHoldsBackAndAcknowledgementsLetGo() {
    // v5:MQTT-4.9.0-2 v5:MQTT-3.3.4-9
    let bench = Bench(quota: 2)
    #expect(bench.send(Sample(1)) == 1 && bench.send(Sample(2, qos: .exactlyOnce)) == 2)
    #expect(bench.send(Sample(3)) == nil)
    for number in 3...5 { #expect(bench.enqueue(Sample(number))) }
    #expect(bench.table.waitingCount(bench.slot) == 3 && bench.pump().isEmpty)
    // A PUBREC frees nothing; its PUBCOMP does.
    #expect(bench.ack(2, .pubRec) == .release && bench.pump().isEmpty)
    #expect(bench.ack(2, .pubComp) == .completed)
    #expect(bench.pump() == [.publish(3, Sample(3))])
    // What waits goes first: nothing new overtakes it.
    #expect(bench.ack(1) == .completed && bench.send(Sample(6)) == nil)
    #expect(bench.pump() == [.publish(4, Sample(4))])
    #expect(bench.ack(4) == .completed && bench.ack(3) == .completed)
    #expect(bench.pump() == [.publish(5, Sample(5))])
    #expect(bench.ack(5) == .completed && bench.isEmpty && bench.send(Sample(6)) == 6)
  }

  @Test func nothingIsSentWithoutQuota() {
    let bench = Bench(quota: 0)
    #expect(bench.send(Sample(1)) == nil && bench.enqueue(Sample(1)) && bench.pump().isEmpty)
    bench.table.remove(bench.slot)
    #expect(bench.isEmpty)
  }

  @Test func identifiersWrapAndAreNeverInUseTwice() {
    // v5:MQTT-2.2.1-4 v3:MQTT-2.3.1-4
    let bench = Bench(quota: 60)
    var random = SeededGenerator(seed: 9)
    var out: [UInt16] = []
    var last: UInt16 = 0
    var number = 0
    while number < 70_000 {
      if let id = bench.send(Sample(number, count: 4)) {
        number += 1
        // The next one that is not in use: the oldest are acknowledged before the wrap meets them.
        #expect(id == (last == 65_535 ? 1 : last + 1) && !out.contains(id))
        last = id
        out.append(id)
      } else {
        #expect(bench.ack(out.remove(at: random.below(out.count / 2))) == .completed)
      }
    }
    for id in out { #expect(bench.ack(id) == .completed) }
    #expect(bench.isEmpty && last < 20_000)
  }

  @Test func aFullWindowAcrossTheWrap() {
    let bench = Bench(quota: 65_535)
    bench.table.records[bench.slot].nextPacketID = 50_000
    var ids: [UInt16] = []
    while let id = bench.send(Sample(ids.count, count: 4)), ids.count < 70_000 { ids.append(id) }
    let most = Int(Limits.packetIdentifiersOut)
    #expect(ids.count == most && Set(ids).count == most && !ids.contains(0))
    for (number, id) in ids.enumerated() where number % 2 == 1 {
      #expect(bench.ack(id) == .completed)
    }
    bench.reconnect()
    let again = bench.pump()
    let kept = ids.enumerated().filter { $0.offset % 2 == 0 }
    #expect(again == kept.map { .publish($0.element, Sample($0.offset, count: 4), dup: true) })
    bench.table.remove(bench.slot)
    #expect(bench.isEmpty)
  }

  @Test func waitingMessagesExpire() {
    // v5:MQTT-4.3.3-7
    let bench = Bench(quota: 2)
    // What was sent does not expire, not even while the client is away.
    #expect(bench.send(Sample(1, qos: .exactlyOnce, expiresAt: 101)) == 1)
    for number in 2...5 {
      #expect(bench.enqueue(Sample(number, expiresAt: number == 4 ? 0 : 100 + UInt32(number))))
    }
    bench.second = 103
    // The second and third have expired (the end of the lifetime counts), the fourth never does.
    #expect(bench.pump() == [.publish(4, Sample(4))] && bench.expired == 2)
    bench.reconnect()
    bench.second = 200
    #expect(
      bench.pump() == [
        .publish(1, Sample(1), dup: true), .publish(4, Sample(4), dup: true),
      ])
    #expect(bench.ack(4) == .completed && bench.pump().isEmpty && bench.expired == 3)
    #expect(bench.ack(1, .pubRec) == .release && bench.ack(1, .pubComp) == .completed)
    #expect(bench.isEmpty)
  }

  @Test func expiredOnesLeaveAnEmptySession() {
    let bench = Bench()
    for number in 1...3 { bench.enqueue(Sample(number, expiresAt: 50)) }
    #expect(bench.pump().isEmpty && bench.expired == 3 && bench.isEmpty)
    #expect(bench.send(Sample(4)) != nil)
  }

  @Test func limitOfWaitingMessages() {
    var limits = SessionLimits()
    limits.maximumQueuedMessages = 3
    let bench = Bench(quota: 1, limits: limits)
    #expect(bench.send(Sample(0)) == 1)
    for number in 1...3 { #expect(bench.enqueue(Sample(number))) }
    #expect(!bench.enqueue(Sample(4)) && bench.table.messages.count == 4)
    #expect(bench.ack(1) == .completed && bench.pump().count == 1)
    #expect(bench.enqueue(Sample(4)) && !bench.enqueue(Sample(5)))
    limits.maximumQueuedMessages = 0
    let none = Bench(limits: limits)
    #expect(!none.enqueue(Sample(1)) && none.isEmpty)
  }

  @Test func limitOfWaitingBytes() {
    var limits = SessionLimits()
    limits.maximumQueuedBytes = 1000
    let bench = Bench(quota: 1, limits: limits)
    // 3 bytes of topic in each.
    #expect(!bench.enqueue(Sample(0, count: 998)) && bench.isEmpty)
    #expect(bench.enqueue(Sample(0, count: 997)) && !bench.enqueue(Sample(1, count: 0)))
    #expect(bench.pump().count == 1)
    // The session still holds it, for a client that may come back without having it.
    #expect(!bench.enqueue(Sample(1, count: 8)))
    #expect(bench.ack(1) == .completed && bench.isEmpty)
    #expect(bench.enqueue(Sample(1, count: 497)) && bench.enqueue(Sample(2, count: 497)))
    #expect(!bench.enqueue(Sample(3, count: 0)))
    bench.table.remove(bench.slot)
    #expect(bench.isEmpty)
  }

  @Test func aMessageThatTheClientCantTake() {
    let bench = Bench()
    for number in 1...3 { bench.enqueue(Sample(number)) }
    #expect(bench.pumpOne() == .publish(1, Sample(1)))
    #expect(bench.pumpOne() == .publish(2, Sample(2)))
    bench.table.dropTransmission(bench.slot, 2)
    #expect(bench.pump() == [.publish(3, Sample(3))] && bench.ack(2) == .unknown)
    bench.table.dropTransmission(bench.slot, 3)
    #expect(bench.ack(1) == .completed && bench.isEmpty)
  }
}
