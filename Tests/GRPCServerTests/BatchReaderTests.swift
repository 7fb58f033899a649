import BifrostAPI
import Packet
import Session
import SwiftProtobuf
import Testing

@testable import GRPCServer

/// The quick way to read a request of a publish stream, beside the one that reads all.
struct BatchReaderTests {
  private typealias Request = Bifrost_V1_PublishStreamRequest

  /// A text that may be a topic, or nearly one.
  private func text(_ random: inout SeededGenerator) -> String {
    ["a", "a/b", "devices/12345/down", "ä/ö", "a/b/c/d/e/f/g/h", "", "+", "a/#", "$SYS", "\0"][
      random.chance(20) ? random.below(10) : random.below(5)]
  }

  private func message(_ random: inout SeededGenerator) -> Bifrost_V1_Message {
    var message = Bifrost_V1_Message()
    message.topic = text(&random)
    message.payload = .init(random.bytes(random.below(200)))
    message.qos = Bifrost_V1_Qos(rawValue: random.below(random.chance(50) ? 6 : 4)) ?? .unspecified
    message.retain = random.chance(8)
    if random.chance(4) { message.expirySeconds = UInt32(truncatingIfNeeded: random.next()) }
    guard random.chance(5) else { return message }
    message.contentType = text(&random)
    message.responseTopic = text(&random)
    message.correlationData = .init(random.bytes(random.below(5)))
    message.payloadIsUtf8 = random.chance(2)
    message.key = text(&random)
    message.userProperties = (0..<random.below(3)).map { _ in
      .with { ($0.name, $0.value) = (text(&random), text(&random)) }
    }
    return message
  }

  private func request(_ random: inout SeededGenerator) -> Request {
    .with { request in
      request.wantsResults = random.chance(2)
      request.publishes = (0..<random.below(4)).map { _ in
        .with { publish in
          if !random.chance(40) { publish.message = message(&random) }
          if random.chance(40) { publish.idempotencyKey = "k" }
          guard random.chance(3) else { return }
          publish.targets = (0..<(random.chance(8) ? 2 : 1)).map { _ in
            .with { target in
              switch random.below(8) {
              case 0: break
              case 1...3: target.topic = text(&random)
              default: target.clientID = text(&random)
              }
            }
          }
        }
      }
    }
  }

  /// What the other way makes of a request; nil where it is refused.
  private func plan(_ bytes: [UInt8]) -> (plan: PublishPlan, wantsResults: Bool)? {
    guard let request = try? Request(serializedBytes: bytes) else { return nil }
    var plan = PublishPlan()
    for publish in request.publishes {
      guard (try? plan.append(publish, "", Caller(name: ""))) != nil else { return nil }
    }
    return (plan, request.wantsResults)
  }

  private func isSame(_ one: OutsideMessage, _ other: OutsideMessage) -> Bool {
    one.client == other.client && one.topic == other.topic && one.properties == other.properties
      && one.payload == other.payload && one.qos == other.qos && one.retain == other.retain
      && one.lifetime == other.lifetime
  }

  /// Reads a request both ways; false where the quick way leaves it to the other.
  private func check(_ bytes: [UInt8], _ seed: UInt64) -> Bool {
    var reader = BatchReader(byteCount: bytes.count)
    guard reader.read(bytes) else { return false }
    guard let (plan, wantsResults) = plan(bytes) else {
      Issue.record("taken though it is wrong, seed \(seed): \(bytes)")
      return true
    }
    let batch = OutsideBatch(
      bytes: bytes, properties: reader.properties, records: reader.records, wantsOutcomes: false)
    let isEqual =
      wantsResults == reader.wantsResults && plan.messages.count == batch.records.count
      && plan.entries.allSatisfy { $0.key.isEmpty && $0.targets.count == 1 }
      && plan.entries.count == batch.records.count
      && zip(plan.messages, batch.records).allSatisfy { isSame($0, batch.message($1)) }
    #expect(isEqual, "seed \(seed): \(bytes)")
    return true
  }

  @Test func itTakesWhatTheOtherTakesAndNothingElse() throws {
    let seed = UInt64.random(in: 0 ... .max)
    var random = SeededGenerator(seed: seed)
    var taken = 0
    var damagedTaken = 0
    for _ in 0..<5000 {
      let bytes: [UInt8] = try request(&random).serializedBytes()
      if check(bytes, seed) { taken += 1 }
      guard !bytes.isEmpty else { continue }
      var damaged = bytes
      for _ in 0...random.below(2) {
        let place = random.below(damaged.count)
        switch random.below(5) {
        case 0: damaged[place] = UInt8(truncatingIfNeeded: random.next())
        case 1: damaged[place] ^= 1 << UInt8(random.below(8))
        case 2: damaged.insert(UInt8(random.below(256)), at: place)
        case 3 where damaged.count > 1: damaged.remove(at: place)
        default: damaged.append(contentsOf: bytes.prefix(random.below(bytes.count + 1)))
        }
      }
      if check(damaged, seed) { damagedTaken += 1 }
    }
    #expect(taken > 2500 && taken < 5000, "seed \(seed)")
    #expect(damagedTaken > 200, "seed \(seed)")
  }

  @Test func ordinaryRequestsAreTaken() throws {
    let request = Request.with {
      $0.publishes = (0..<500).map { number in
        .with {
          $0.message = .with {
            $0.topic = "devices/\(number)"
            $0.payload = .init(repeating: 7, count: 300)
            $0.key = "key-\(number)"
            $0.expirySeconds = 3600
          }
          if number % 3 == 1 { $0.targets = [.with { $0.clientID = "client-\(number)" }] }
        }
      }
      $0.wantsResults = true
    }
    #expect(check(try request.serializedBytes(), 0))
  }

  @Test func otherRequestsAreLeftToTheOther() throws {
    func isTaken(_ bytes: [UInt8]) -> Bool {
      var reader = BatchReader(byteCount: bytes.count)
      return reader.read(bytes)
    }
    let publish: [UInt8] = [0x0A, 3, 0x0A, 1, 0x61]
    #expect(isTaken([0x0A, 5] + publish))
    // An unknown field, one cut short, a number of six bytes, a second message.
    #expect(!isTaken([0x0A, 5] + publish + [0x18, 1]))
    #expect(!isTaken([0x0A, 6] + publish))
    #expect(!isTaken([0x0A, 5] + publish + [0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0]))
    #expect(!isTaken([0x0A, 10] + publish + publish))
    // More publishes than a request may have.
    #expect(!isTaken(Array(repeatElement([0x0A, 5] + publish, count: 10_001).joined())))
  }
}
