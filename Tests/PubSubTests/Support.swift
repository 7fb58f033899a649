import Glibc
import PubSub
import Util

/// A generator that is replayed from its seed (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) {
    state = seed
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}

/// Hash seed of tests; which filters share a bucket is then the same in each run.
let testSeed = HashSeed(0x1234_5678_9ABC_DEF1, 0xFEDC_BA98_7654_3211)

/// Random topics and filters from a vocabulary so small that they often match.
struct TopicSource {
  var generator: SeededGenerator
  var words = ["a", "b", "", "c", "$x", "device-0001", "a longer level of a topic"]
  var maximumDepth = 5

  init(seed: UInt64) {
    generator = SeededGenerator(seed: seed)
  }

  mutating func topic() -> String {
    let depth = Int.random(in: 1...maximumDepth, using: &generator)
    let text = (0..<depth).map { _ in words.randomElement(using: &generator)! }
      .joined(separator: "/")
    // A topic has at least one character [MQTT-4.7.3-1].
    return text.isEmpty ? "/" : text
  }

  mutating func filter() -> String {
    var levels = Naive.levels(topic())
    for index in levels.indices where Int.random(in: 0..<4, using: &generator) == 0 {
      levels[index] = "+"
    }
    if Int.random(in: 0..<4, using: &generator) == 0 {
      if Bool.random(using: &generator) {
        levels.append("#")
      } else {
        levels[levels.count - 1] = "#"
      }
    }
    return levels.joined(separator: "/")
  }

  mutating func chance(_ outOf: Int) -> Bool {
    Int.random(in: 0..<outOf, using: &generator) == 0
  }

  mutating func below(_ bound: Int) -> Int {
    Int.random(in: 0..<bound, using: &generator)
  }
}

extension String {
  var bytes: [UInt8] { Array(utf8) }
}

extension FilterIndex {
  func insert(_ filter: String) -> UInt32 { insert(filter.bytes.span) }
  func find(_ filter: String) -> UInt32 { find(filter.bytes.span) }
  func text(of slot: UInt32) -> String { withText(of: slot) { $0.description } }

  /// The texts of the filters that match, sorted.
  func matching(_ topic: String) -> [String] {
    var hits = MatchedFilters()
    match(topic.bytes.span, into: &hits)
    return (0..<hits.count).map { text(of: hits[$0]) }.sorted()
  }
}

extension InterestIndex {
  func add(_ filter: String, loop: Int) {
    add(InterestKey(filter: filter.bytes.span, seed: seed), loop: loop)
  }

  func remove(_ filter: String, loop: Int) {
    remove(InterestKey(filter: filter.bytes.span, seed: seed), loop: loop)
  }

  func loops(_ topic: String) -> UInt64 {
    let bytes = topic.bytes
    return loops(forTopic: bytes.span, topicHash: topicHash(bytes.span, seed: seed))
  }
}

/// Runs the bodies at once, each on a thread of its own, and waits for all.
func onThreads(_ bodies: [@Sendable () -> Void]) {
  final class Box {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var threads: [pthread_t] = []
  for body in bodies {
    var thread = pthread_t()
    let box = unsafe Unmanaged.passRetained(Box(body)).toOpaque()
    let result = unsafe pthread_create(
      &thread, nil,
      { argument in
        unsafe Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
        return nil
      }, box)
    precondition(result == 0, "no thread")
    threads.append(thread)
  }
  for thread in threads { pthread_join(thread, nil) }
}
