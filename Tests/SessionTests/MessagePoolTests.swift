import Packet
import Testing
import Util

@testable import Session

@Suite struct MessagePoolTests {
  @Test func keepsEveryPart() {
    let pool = MessagePool()
    var samples: [Sample] = []
    for count in [0, 1, 7, 500, 70_000, 1_000_000] {
      var sample = Sample(count, count: count, qos: .exactlyOnce, expiresAt: UInt32(count))
      sample.topic = Array("t/\(count)".utf8)
      sample.properties = [UInt8](repeating: 3, count: count % 11)
      sample.retain = count % 2 == 1
      samples.append(sample)
    }
    let kept = samples.map { sample in sample.withView { pool.keep($0) } ?? 0 }
    #expect(pool.count == samples.count && !kept.contains(0))
    for (handle, sample) in zip(kept, samples) {
      #expect(pool.withView(handle) { Sample($0) } == sample)
      #expect(pool.byteCount(handle) == sample.byteCount)
      let facts = pool.facts(handle)
      #expect(facts.qos == .exactlyOnce && facts.expiresAt == sample.expiresAt)
    }
    for handle in kept { pool.release(handle) }
    let count = pool.count
    let used = pool.usedBytes
    #expect(count == 0 && used == 0)
  }

  @Test func theLastOneFrees() {
    let pool = MessagePool()
    let sample = Sample(5)
    guard let handle = sample.withView({ pool.keep($0) }) else { return }
    for _ in 0..<1000 { pool.retain(handle) }
    for _ in 0..<1000 { pool.release(handle) }
    #expect(pool.withView(handle) { Sample($0) } == sample)
    pool.release(handle)
    let count = pool.count
    #expect(count == 0)
  }

  /// After a burst most of the memory comes back at once, and all of it when it is quiet.
  @Test func memoryComesBack() {
    let pool = MessagePool()
    var kept: [UInt32] = []
    for number in 0..<20_000 {
      if let handle = Sample(number, count: 200).withView({ pool.keep($0) }) {
        kept.append(handle)
      }
    }
    let most = pool.residentBytes
    for handle in kept { pool.release(handle) }
    let some = pool.residentBytes
    #expect(kept.count == 20_000 && most > 4_000_000)
    #expect(some <= Limits.spareChunks * 65_536)
    let hadSpare = pool.hasSpare
    // Twice: what was in use since the last time keeps a chunk.
    pool.trim()
    #expect(pool.residentBytes <= 65_536)
    pool.trim()
    let least = pool.residentBytes
    let hasSpare = pool.hasSpare
    #expect(hadSpare && !hasSpare && least == 0)
  }

  @Test func expiry() {
    let facts = MessageFacts(qos: .atMostOnce, retain: false, expiresAt: 100)
    #expect(!facts.isExpired(at: 99) && facts.isExpired(at: 100) && facts.isExpired(at: 101))
    let never = MessageFacts(qos: .atMostOnce, retain: false)
    #expect(!never.isExpired(at: .max) && never.intervalLeft(at: .max) == nil)
    // Never too early: 10 seconds that begin late in second 50 end in second 60.
    let sum = MessageFacts.expiry(after: 10, at: 50)
    let ten = MessageFacts(qos: .atMostOnce, retain: false, expiresAt: sum)
    #expect(!ten.isExpired(at: 60) && ten.isExpired(at: 61))
    // v5:MQTT-3.3.2-6
    #expect(ten.intervalLeft(at: 50) == 10 && ten.intervalLeft(at: 57) == 3)
    #expect(ten.intervalLeft(at: 60) == 0 && ten.intervalLeft(at: 70) == 0)
    for (interval, second) in [(.max, 1), (.max - 1, 1), (1, .max), (0, .max)]
      as [(UInt32, UInt32)]
    {
      #expect(MessageFacts.expiry(after: interval, at: second) == .max)
    }
  }
}

@Suite struct IdentifierTests {
  private func keep(_ table: SessionTable, _ list: [UInt32]) -> UInt32? {
    table.keepIdentifiers(list.span)
  }

  @Test func noneOneAndMany() {
    let table = SessionTable(capacity: 10, limits: SessionLimits())
    for count in [0, 1, 2, 3, 100, 1024, 1279] {
      let list = (0..<count).map { UInt32(268_435_455 - $0) }
      guard let kept = keep(table, list) else {
        return #expect(Bool(false), "no room for \(count)")
      }
      #expect(table.blocks.count == (count > 1 ? 1 : 0) && (kept == 0) == (count == 0))
      var read: [UInt32] = [42]
      table.readIdentifiers(kept, into: &read)
      #expect(read == [42] + list)
      table.freeIdentifiers(kept)
      #expect(table.blocks.count == 0)
    }
    // More than a handle with the mark can name.
    for count in [1280, 2000, 20_000] {
      #expect(keep(table, [UInt32](repeating: 1, count: count)) == nil)
      #expect(table.blocks.count == 0)
    }
  }
}
