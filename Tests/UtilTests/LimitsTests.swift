import Testing
import Util

@Suite("Limits")
struct LimitsTests {
  @Test("a turn's limits fit each other")
  func turn() {
    // What is kept of a read fits in front of the next one with room to spare.
    #expect(Limits.copiedRemainderBytes * 4 <= Limits.readBytes)
    // A connection is written to before its output counts as slow.
    #expect(Limits.outputHighWater <= Limits.gatheredBytes)
    // One loop's batch passes the mark before the next turn reads more.
    #expect(Limits.mailboxHighWater >= 64 * Limits.readBytes)
    #expect(Limits.acceptsPerTurn <= Limits.eventsPerTurn)
    // A batch that grew by doubling and was posted when it was full is kept.
    #expect(Limits.batchBytes < Limits.keptBatchBytes)
    #expect(Limits.announcedBytes <= Limits.batchBytes)
    // What is lent is worth a part of its own.
    #expect(Limits.lentBytes * Limits.gatheredParts >= Limits.gatheredBytes)
  }

  @Test("slots, identifiers and sets of loops have room for their limits")
  func widths() {
    #expect(Limits.loops <= UInt64.bitWidth)
    #expect(Limits.sessionsPerLoop < 1 << 24)
    #expect(Limits.sessions <= Limits.sessionsPerLoop * Limits.loops)
    // Newer and older identifiers can be told apart only within half of all.
    #expect(Int(Limits.packetIdentifiersOut) * 2 < 65_535)
    #expect(Limits.acknowledgementSpread >= 2)
    #expect(Limits.identifiersPerDelivery * 5 < Limits.outputHighWater)
  }
}
