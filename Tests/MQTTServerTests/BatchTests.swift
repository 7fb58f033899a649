import Packet
import Session
import Testing
import Util

@testable import MQTTServer

/// What is put into a batch between loops comes out of it.
@Suite struct BatchTests {
  private struct Expected: Equatable {
    var topic: [UInt8]
    var properties: [UInt8]
    var payload: [UInt8]
    var wire: [UInt8]
    var hasProperties: Bool
    var hash: UInt32
    var session: UInt32?
  }

  /// A header as a publisher sends it: with its length, its topic, and an identifier.
  private func header(_ topic: [UInt8], _ properties: [UInt8], payloadCount: Int) -> [UInt8] {
    var wire: [UInt8] = [0x32]
    var length = 4 + topic.count + properties.count + payloadCount
    repeat {
      let more: UInt8 = length > 0x7F ? 0x80 : 0
      wire.append(UInt8(length & 0x7F) | more)
      length >>= 7
    } while length > 0
    wire.append(UInt8(topic.count >> 8))
    wire.append(UInt8(topic.count & 0xFF))
    wire += topic
    wire += [0, 1]
    wire += properties
    return wire
  }

  @Test func publishesComeBackAsTheyWere() {
    let account = MemoryAccount()
    let filled = PublishBatch(account)
    var random = SeededGenerator(seed: 31)
    var expected: [Expected] = []
    for number in 0..<2_000 {
      let topic = random.bytes(1 + random.below(random.chance(20) ? 65_000 : 60))
      let properties = random.chance(2) ? [] : random.bytes(random.below(300))
      let payload = random.bytes(random.below(random.chance(50) ? 300_000 : 200))
      let isWhole = random.chance(2)
      let isV5 = isWhole && random.chance(2)
      let wire = isWhole ? header(topic, properties, payloadCount: payload.count) : []
      let member =
        random.chance(3)
        ? MemberPart(
          session: UInt32(number + 1), generation: 2, identifier: 3, group: 4, serial: 5, epoch: 10,
          sequence: 11, id: 12, home: 6, options: 7) : nil
      let facts = MessageFacts(qos: .atLeastOnce, retain: false, expiresAt: 8, publisher: 9)
      let whole = MessageView(
        facts: facts, topic: topic.span, properties: properties.span, payload: payload.span,
        wire: wire.span, hasProperties: isV5)
      let parts = MessageView(
        facts: facts, topic: topic.span, properties: properties.span, payload: payload.span)
      let envelope = PublishEnvelope(topicHash: UInt32(number), member: member)
      if isWhole {
        filled.append(envelope, whole, nil)
      } else {
        filled.append(envelope, parts, nil)
      }
      expected.append(
        Expected(
          topic: topic, properties: properties, payload: payload, wire: wire, hasProperties: isV5,
          hash: UInt32(number), session: member?.session))
    }
    var found: [Expected] = []
    filled.forEach { envelope, message, _ in
      if message.facts.publisher != 9 || message.facts.expiresAt != 8 { return }
      found.append(
        Expected(
          topic: message.topic.array, properties: message.properties.array,
          payload: message.payload.array, wire: message.wire.array,
          hasProperties: message.wireHasProperties, hash: envelope.topicHash,
          session: envelope.member?.session))
    }
    #expect(found == expected)
    #expect(account.bytes >= filled.count && filled.count > 1_000_000)
    filled.clear()
    #expect(account.bytes <= Limits.keptBatchBytes)
  }
}
