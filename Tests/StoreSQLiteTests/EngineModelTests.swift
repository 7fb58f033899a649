import Foundation
import Testing

/// Thousands of random transactions, each compared with the model.
@Suite struct EngineModelTests {
  private func run(_ seed: UInt64) throws {
    var schedule = try Schedule(seed: seed)
    try schedule.run(steps: 500)
    let tally = schedule.tally
    #expect(
      tally.commits > 300 && tally.rollbacks > 15 && tally.restarts > 0 && tally.taken > 60
        && tally.acknowledged > 100 && tally.partialPages > 10,
      "seed \(seed): too little happened, \(tally)")
    #expect(
      tally.handedOut > 50 && tally.passedOn > 10 && tally.givenBack > 15 && tally.lateOrders > 15
        && tally.tidings > 15 && tally.groupItems > 20 && schedule.model.endedGroups.count > 3,
      "seed \(seed): too little was shared, \(tally)")
    #expect(
      tally.direct > 30 && tally.strangers > 3 && tally.absent > 20 && tally.listed > 20
        && tally.keys > 10, "seed \(seed): too little was asked by backends, \(tally)")
  }

  /// With limits of each kind and with none.
  @Test(arguments: [1, 2, 14] as [UInt64])
  func schedules(seed: UInt64) throws { try run(seed) }

  /// Others in each run. `BIFROST_TEST_SEED` repeats one; `BIFROST_FUZZ_SECONDS` says how long to
  /// go on, which is not beyond the first otherwise.
  @Test func newSchedules() throws {
    let environment = ProcessInfo.processInfo.environment
    let given = environment["BIFROST_TEST_SEED"].flatMap { UInt64($0) }
    let seconds = environment["BIFROST_FUZZ_SECONDS"].flatMap { Double($0) } ?? 0
    let clock = ContinuousClock()
    let end = clock.now + .seconds(seconds)
    var seed = given ?? UInt64.random(in: 100...UInt64(Int64.max))
    repeat {
      print("transactions of a store: seed \(seed)")
      try run(seed)
      seed += 1
    } while given == nil && clock.now < end
  }
}
