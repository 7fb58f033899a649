import Testing
import Util

@testable import Session

/// A million sessions cost a million times these figures: who changes one, changes it here too.
@Suite struct StrideTests {
  @Test func records() {
    #expect(MemoryLayout<SessionRecord>.stride == 48)
    #expect(MemoryLayout<SessionExtras>.stride == 56)
    #expect(MemoryLayout<Outbound>.stride == 56)
    #expect(MemoryLayout<Delivery>.stride == 20)
    #expect(MemoryLayout<LastingRecord>.stride == 32)
    #expect(MemoryLayout<MessageFacts>.stride == 12)
    #expect(MemoryLayout<SessionOwner>.stride == 12)
  }

  /// A session that was made and is idle holds its record, and nothing else.
  @Test func idleSessions() {
    let table = SessionTable(capacity: 100_000, limits: SessionLimits())
    for number in 0..<100_000 {
      #expect(table.create(entry: UInt32(number + 1), version: .v5) != nil)
    }
    #expect(table.blocks.residentBytes == 0 && table.messages.residentBytes == 0)
    #expect(table.extras.residentBytes == 0 && table.rings.residentBytes == 0)
    #expect(table.records.residentBytes <= 61 * 100_000)
    for slot in 1...UInt32(100_000) { table.remove(slot) }
    #expect(table.records.residentBytes <= 65_536)
  }

  @Test func generationsTellSessionsApart() {
    let table = SessionTable(capacity: 10, limits: SessionLimits())
    guard let slot = table.create(entry: 1, version: .v5) else { return }
    let generation = table.records[slot].generation
    #expect(table.isCurrent(slot, generation) && !table.isCurrent(slot, generation + 1))
    #expect(!table.isCurrent(0, generation))
    table.remove(slot)
    // Neither the old one, nor the 0 that a free record has.
    #expect(!table.isCurrent(slot, generation) && !table.isCurrent(slot, 0))
    guard let again = table.create(entry: 1, version: .v5) else { return }
    #expect(again == slot && !table.isCurrent(slot, generation))
  }

  @Test func extrasComeAndGo() {
    let table = SessionTable(capacity: 10, limits: SessionLimits())
    guard let slot = table.create(entry: 1, version: .v5) else { return }
    #expect(table.maximumPacketSize(slot) == .max)
    table.discardWill(slot)
    table.trimExtras(slot)
    guard let extra = table.makeExtras(slot) else { return }
    #expect(table.makeExtras(slot) == extra && table.maximumPacketSize(slot) == .max)
    table.extras[extra].will = Sample("w", "x").withView { table.messages.keep($0) } ?? 0
    table.extras[extra].willDue = 70
    table.extras[extra].maximumPacketSize = 99
    table.trimExtras(slot)
    #expect(table.records[slot].extras == extra && table.maximumPacketSize(slot) == 99)
    table.discardWill(slot)
    #expect(table.messages.count == 0 && table.extras[extra].willDue == 0)
    table.extras[extra].maximumPacketSize = 0
    table.trimExtras(slot)
    #expect(table.records[slot].extras == 0 && table.extras.count == 0)
  }
}
