import Util

/// The bytes that have a meaning in topics and filters.
enum TopicByte {
  static let separator = UInt8(ascii: "/")
  static let single = UInt8(ascii: "+")
  static let multi = UInt8(ascii: "#")
  static let system = UInt8(ascii: "$")
}

/// The hash under which an exact filter, or a topic that is looked up, is found. Filter indices and
/// interest indices that are asked about the same topic must have the same seed.
public func topicHash(_ topic: Span<UInt8>, seed: HashSeed) -> UInt32 {
  UInt32(truncatingIfNeeded: hashBytes(topic, seed: seed))
}

/// One level of a topic: its place and its hash. A topic has at most 65,535 bytes, and so at most
/// 65,536 levels; an offset fits 16 bits, as the level behind a last separator starts at 65,535.
struct LevelReference: BitwiseCopyable {
  var offset: UInt16
  var count: UInt16
  var hash: UInt32

  var range: Range<Int> { Int(offset)..<Int(offset) + Int(count) }
}

extension Span where Element == UInt8 {
  /// Where the level that starts at `start` ends: the next separator, or the end.
  func endOfLevel(from start: Int) -> Int {
    var index = start
    while index < count && self[index] != TopicByte.separator { index += 1 }
    return index
  }

  /// Whether the level in `range` is the one byte `byte`.
  func isLevel(_ range: Range<Int>, _ byte: UInt8) -> Bool {
    range.count == 1 && self[range.lowerBound] == byte
  }

  /// Whether the topic or filter starts with `$`, and is therefore hidden from filters that start
  /// with a wildcard [MQTT-4.7.2-1].
  public var isSystemTopic: Bool { count > 0 && self[0] == TopicByte.system }

  /// Whether a valid filter has a wildcard.
  public var hasWildcard: Bool {
    for index in 0..<count where self[index] == TopicByte.single || self[index] == TopicByte.multi {
      return true
    }
    return false
  }

  /// Whether this is the whole text of a shared subscription, `$share/{name}/{filter}`, which is
  /// remembered by its session but is no filter that a topic can match [MQTT-4.8.2-1].
  public var isShareFilter: Bool {
    guard count >= 7, self[0] == TopicByte.system, self[6] == TopicByte.separator else {
      return false
    }
    return self[1] == UInt8(ascii: "s") && self[2] == UInt8(ascii: "h")
      && self[3] == UInt8(ascii: "a") && self[4] == UInt8(ascii: "r")
      && self[5] == UInt8(ascii: "e")
  }
}

extension ScratchArray where Element == LevelReference {
  /// Replaces the contents by the levels of `text` (MQTT 5, 4.7.1.1): a separator at either end, or
  /// two in a row, makes an empty level, which is a level like any other.
  mutating func split(_ text: Span<UInt8>, seed: HashSeed) {
    removeAll()
    var start = 0
    while true {
      let end = text.endOfLevel(from: start)
      append(
        LevelReference(
          offset: UInt16(start), count: UInt16(end - start),
          hash: topicHash(text.extracting(start..<end), seed: seed)))
      if end == text.count { return }
      start = end + 1
    }
  }
}
