import Testing

@testable import Session

@Suite struct InboundTests {
  private func make() -> (SessionTable, UInt32) {
    let table = SessionTable(capacity: 100, limits: SessionLimits())
    return (table, table.create(entry: 1, version: .v5) ?? 0)
  }

  private func all(_ table: SessionTable, _ slot: UInt32) -> [UInt16] {
    var found: [UInt16] = []
    table.forEachInbound(slot) { found.append($0) }
    // In a list, the last takes the place of one that goes.
    return found.sorted()
  }

  @Test func onceUntilReleased() {
    // v5:MQTT-4.3.3-10 v5:MQTT-4.3.3-12 v3:MQTT-4.3.3-2
    let (table, slot) = make()
    #expect(table.arrived(slot, 7, limit: 10) == .new)
    #expect(table.arrived(slot, 7, limit: 10) == .duplicate)
    #expect(table.arrived(slot, 8, limit: 10) == .new && table.inboundCount(slot) == 2)
    #expect(table.released(slot, 7) && !table.released(slot, 7) && !table.released(slot, 9))
    #expect(table.arrived(slot, 7, limit: 10) == .new)
    #expect(all(table, slot) == [7, 8])
    #expect(table.released(slot, 8) && table.released(slot, 7))
    // A client without unreleased messages owns no block.
    #expect(table.inboundCount(slot) == 0 && table.blocks.count == 0 && all(table, slot).isEmpty)
    #expect(!table.released(slot, 7))
  }

  @Test func limit() {
    let (table, slot) = make()
    #expect(table.arrived(slot, 1, limit: 0) == .quotaExceeded && table.blocks.count == 0)
    for packetID in 1...3 as ClosedRange<UInt16> {
      #expect(table.arrived(slot, packetID, limit: 3) == .new)
    }
    #expect(table.arrived(slot, 4, limit: 3) == .quotaExceeded)
    // One that is repeated is no further one.
    #expect(table.arrived(slot, 2, limit: 3) == .duplicate)
    #expect(table.released(slot, 2) && table.arrived(slot, 4, limit: 3) == .new)
    table.remove(slot)
    #expect(table.blocks.count == 0)
  }

  /// A list up to 60, then a bit for each identifier there is; and all 65,535 of them.
  @Test func fromListToBits() {
    let (table, slot) = make()
    for packetID in stride(from: UInt16(65_535), through: 65_476, by: -1) {
      #expect(table.arrived(slot, packetID, limit: 70_000) == .new)
    }
    let small = table.blocks.usedBytes
    #expect(table.inboundCount(slot) == 60 && small <= 128)
    #expect(table.arrived(slot, 1, limit: 70_000) == .new)
    #expect(table.blocks.usedBytes > 8192 && table.blocks.count == 1)
    #expect(all(table, slot) == [1] + Array(65_476...65_535))
    for packetID in 65_476...65_535 as ClosedRange<UInt16> {
      #expect(table.arrived(slot, packetID, limit: 70_000) == .duplicate)
    }
    for packetID in 2...65_475 as ClosedRange<UInt16> {
      #expect(table.arrived(slot, packetID, limit: 70_000) == .new)
    }
    #expect(table.inboundCount(slot) == 65_535)
    for packetID in 1...65_535 as ClosedRange<UInt16> {
      #expect(table.released(slot, packetID))
    }
    #expect(table.inboundCount(slot) == 0 && table.blocks.count == 0)
    // Few again: a list again.
    #expect(table.arrived(slot, 5, limit: 10) == .new && table.blocks.usedBytes == small)
  }

  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func randomAgainstModel(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let (table, slot) = make()
    let limit = [5, 61, 200, 1000][Int(seed) - 1]
    var model = Set<UInt16>()
    for step in 0..<20_000 {
      let packetID = UInt16(1 + random.below(step % 3 == 0 ? 65_535 : 2 * limit))
      if random.chance(3) == (step / 5000 % 2 == 0) {
        let isKnown = model.remove(packetID) != nil
        #expect(table.released(slot, packetID) == isKnown, "seed \(seed), step \(step)")
      } else {
        let expected: ArrivalOutcome =
          model.contains(packetID) ? .duplicate : model.count < limit ? .new : .quotaExceeded
        #expect(
          table.arrived(slot, packetID, limit: limit) == expected, "seed \(seed), step \(step)")
        if expected == .new { model.insert(packetID) }
      }
      #expect(table.inboundCount(slot) == model.count, "seed \(seed), step \(step)")
      #expect((table.blocks.count == 0) == model.isEmpty, "seed \(seed), step \(step)")
      if step % 1000 == 0 { #expect(all(table, slot) == model.sorted(), "seed \(seed)") }
    }
    table.remove(slot)
    #expect(table.blocks.count == 0 && table.blocks.usedBytes == 0)
  }
}
