import Foundation

/// SplitMix64: small, and the same everywhere, so that a seed tells the whole run.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }

  /// Whether something with a chance of one in `count` happens.
  mutating func oneIn(_ count: Int) -> Bool { Int.random(in: 0..<count, using: &self) == 0 }

  mutating func bytes(upTo limit: Int) -> [UInt8] {
    let count = Int.random(in: 0...limit, using: &self)
    return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &self) }
  }
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
