/// The first 16 bytes of a payload: when the message was to be sent, and which one it is. Both
/// numbers are big-endian.
struct Stamp: Equatable {
  /// Nanoseconds of the monotonic clock; 0 where latency is not measured.
  var time: UInt64
  /// Which publisher of the channel sent it: 24 bits.
  var publisher: Int
  /// How many messages that publisher had sent before: 40 bits.
  var sequence: UInt64

  static var sequenceBits: UInt64 { 40 }
  static var sequenceMask: UInt64 { 1 << sequenceBits - 1 }

  init(time: UInt64, publisher: Int, sequence: UInt64) {
    self.time = time
    self.publisher = publisher
    self.sequence = sequence
  }

  /// The stamp from its two words.
  init(time: UInt64, word: UInt64) {
    self.time = time
    publisher = Int(word >> Stamp.sequenceBits)
    sequence = word & Stamp.sequenceMask
  }

  /// Publisher and sequence number in one word.
  var word: UInt64 { UInt64(publisher) << Stamp.sequenceBits | (sequence & Stamp.sequenceMask) }
}

/// What one subscriber saw of the messages of one publisher.
struct SequenceTracker: BitwiseCopyable {
  /// The number after the highest that was seen.
  var next: UInt64 = 0

  enum Finding: Equatable {
    case inOrder
    /// Numbers before it have not been seen.
    case ahead
    /// Its number, or a later one, was seen before.
    case late
  }

  mutating func see(_ sequence: UInt64) -> Finding {
    if sequence == next {
      next &+= 1
      return .inOrder
    }
    if sequence > next {
      next = sequence &+ 1
      return .ahead
    }
    return .late
  }
}
