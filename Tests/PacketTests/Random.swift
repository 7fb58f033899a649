import Foundation

extension SeededGenerator {
  /// Whether something with a chance of one in `count` happens.
  mutating func oneIn(_ count: Int) -> Bool { chance(count) }

  mutating func bytes(upTo limit: Int) -> [UInt8] { bytes(Int.random(in: 0...limit, using: &self)) }
}

/// A run of random trials: each has a seed of its own, which a failure names.
struct Trials {
  /// `BIFROST_TEST_SEED` repeats one trial; without it each run has new ones.
  let seed: UInt64
  let isReplay: Bool
  let seconds: Double

  /// - Parameter seconds: How long to go on; `BIFROST_FUZZ_SECONDS` overrides it.
  init(_ name: String, seconds: Double) {
    let environment = ProcessInfo.processInfo.environment
    let given = environment["BIFROST_TEST_SEED"].flatMap { UInt64($0) }
    isReplay = given != nil
    seed = given ?? UInt64.random(in: 0...UInt64(Int64.max))
    self.seconds = environment["BIFROST_FUZZ_SECONDS"].flatMap { Double($0) } ?? seconds
    print("\(name): seed \(seed)")
  }

  /// Calls `body` with the seed of each trial until the time is over, or once to replay one.
  func run(_ body: (UInt64) throws -> Void) rethrows {
    if isReplay { return try body(seed) }
    let clock = ContinuousClock()
    let end = clock.now + .seconds(seconds)
    var trial: UInt64 = 0
    while trial == 0 || clock.now < end {
      try body(seed &+ trial)
      trial += 1
    }
    print("  \(trial) trials")
  }
}
