import Util

/// What a filter looks like when its literal levels are taken out: how many levels, which of them
/// are `+`, and whether it ends in `#`. Filters of one shape are found with one look-up: the hash
/// of a topic's levels at the places where the shape has literal ones.
struct FilterShape: Equatable, BitwiseCopyable, Sendable {
  /// Levels that a shape can describe; deeper filters are not looked up but always match.
  static let maximumLevels = 16

  /// Bits 0-15: which levels are `+`; 16-20: number of levels, without a `#`; 21: ends in `#`;
  /// 22: always set.
  let bits: UInt32

  /// No shape: a filter without wildcards.
  static let exact = FilterShape(bits: 0)
  /// A filter with more levels than a shape has.
  static let tooDeep = FilterShape(bits: .max)

  init(bits: UInt32) {
    self.bits = bits
  }

  init(levelCount: Int, singles: UInt32, endsInMulti: Bool) {
    bits = singles | UInt32(levelCount) << 16 | (endsInMulti ? 1 << 21 : 0) | 1 << 22
  }

  var singles: UInt32 { bits & 0xFFFF }
  var levelCount: Int { Int(bits >> 16 & 0x1F) }
  var endsInMulti: Bool { bits & 1 << 21 != 0 }

  /// Whether topics with `count` levels can match. `#` stands for its parent too [MQTT-4.7.1-2].
  func fits(levelCount count: Int) -> Bool {
    endsInMulti ? count >= levelCount : count == levelCount
  }

  /// Whether filters of this shape start with a wildcard.
  var startsWithWildcard: Bool { bits & 1 != 0 || (levelCount == 0 && endsInMulti) }

  /// The hash of this shape's filters whose literal levels have parts that add up to `sum`.
  func hash(sum: UInt64) -> UInt32 {
    UInt32(truncatingIfNeeded: mix(sum ^ UInt64(bits), 0xD6E8_FEB8_6659_FD93) >> 16)
  }
}

/// What a literal level at `depth` adds to a hash. A sum, so that leaving levels out is a
/// subtraction; the depth goes in, so that the order of levels matters.
func levelPart(_ level: Span<UInt8>, depth: Int, seed: HashSeed) -> UInt64 {
  mix(hashBytes(level, seed: seed) &+ UInt64(depth), 0xA076_1D64_78BD_642F)
}

/// What an `InterestIndex` keeps of a filter.
public struct InterestKey: Hashable, BitwiseCopyable, Sendable {
  let hash: UInt32
  private let shapeBits: UInt32

  var shape: FilterShape { FilterShape(bits: shapeBits) }

  init(hash: UInt32, shape: FilterShape) {
    self.hash = hash
    shapeBits = shape.bits
  }

  /// The key of any text, which is looked up as it is.
  /// - Parameter seed: that of the index.
  public init(exactly text: Span<UInt8>, seed: HashSeed) {
    self.init(hash: topicHash(text, seed: seed), shape: .exact)
  }

  /// The key of a valid filter.
  /// - Parameter seed: that of the index.
  public init(filter: Span<UInt8>, seed: HashSeed) {
    guard filter.hasWildcard else {
      self.init(hash: topicHash(filter, seed: seed), shape: .exact)
      return
    }
    var start = 0
    var depth = 0
    var singles: UInt32 = 0
    var sum: UInt64 = 0
    while true {
      let end = filter.endOfLevel(from: start)
      let isLast = end == filter.count
      if isLast && filter.isLevel(start..<end, TopicByte.multi) {
        let shape = FilterShape(levelCount: depth, singles: singles, endsInMulti: true)
        self.init(hash: shape.hash(sum: sum), shape: shape)
        return
      }
      if depth == FilterShape.maximumLevels {
        self.init(hash: topicHash(filter, seed: seed), shape: .tooDeep)
        return
      }
      if filter.isLevel(start..<end, TopicByte.single) {
        singles |= 1 << UInt32(depth)
      } else {
        sum &+= levelPart(filter.extracting(start..<end), depth: depth, seed: seed)
      }
      depth += 1
      if isLast {
        let shape = FilterShape(levelCount: depth, singles: singles, endsInMulti: false)
        self.init(hash: shape.hash(sum: sum), shape: shape)
        return
      }
      start = end + 1
    }
  }
}

/// The first levels of a topic, so prepared that the hash for any shape is a few subtractions.
struct TopicParts {
  private var parts = InlineArray<16, UInt64>(repeating: 0)
  private var sums = InlineArray<17, UInt64>(repeating: 0)
  /// Number of levels; one more than a shape can have stands for any larger number.
  private var levelCount = 0
  private let isSystem: Bool

  init(_ topic: Span<UInt8>, seed: HashSeed) {
    isSystem = topic.isSystemTopic
    var start = 0
    while levelCount < FilterShape.maximumLevels {
      let end = topic.endOfLevel(from: start)
      let part = levelPart(topic.extracting(start..<end), depth: levelCount, seed: seed)
      parts[levelCount] = part
      sums[levelCount + 1] = sums[levelCount] &+ part
      levelCount += 1
      if end == topic.count { return }
      start = end + 1
    }
    levelCount += 1
  }

  /// The hash that a filter of `shape` has if it matches the topic; nil when none of that shape
  /// can [MQTT-4.7.2-1].
  func hash(for shape: FilterShape) -> UInt32? {
    guard shape.fits(levelCount: levelCount), !(isSystem && shape.startsWithWildcard) else {
      return nil
    }
    var sum = sums[shape.levelCount]
    var singles = shape.singles
    while singles != 0 {
      sum &-= parts[singles.trailingZeroBitCount]
      singles &= singles - 1
    }
    return shape.hash(sum: sum)
  }
}
