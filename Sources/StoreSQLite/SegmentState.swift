import Store

/// A segment of the log, and what of it is still owed.
final class SegmentState {
  let segment: LogSegment
  /// The second at which it was appended.
  let appendedAt: UInt32
  /// For each message, by index, how many subscriptions it is owed to.
  private(set) var counts: [UInt32]
  /// Where each message is in the records; `missing` for one that is gone.
  private(set) var offsets: [UInt32]
  /// Messages that are owed to somebody.
  private(set) var liveMessages = 0
  /// Bytes of their records.
  private(set) var liveBytes = 0
  /// The last transaction that used it.
  var usedAt: UInt64 = 0
  /// Whether the counts differ from those in the database.
  var isDirty = false

  static let missing = UInt32.max

  var first: UInt64 { segment.first }
  var last: UInt64 { segment.first + UInt64(segment.span) - 1 }
  /// Nobody is owed any of it.
  var isDone: Bool { liveMessages == 0 }

  /// - Parameter counts: what is left of each, by index; nil where it is as it was appended.
  init(_ segment: LogSegment, appendedAt: UInt32, counts: [UInt32]? = nil) {
    self.segment = segment
    self.appendedAt = appendedAt
    let span = Int(segment.span)
    offsets = Array(repeating: SegmentState.missing, count: span)
    var owed = Array(repeating: UInt32(0), count: span)
    var places: [(index: Int, offset: UInt32)] = []
    places.reserveCapacity(segment.records.count)
    segment.records.forEach { message, offset in
      guard Int(message.index) < span else { return }
      owed[Int(message.index)] = message.owed
      places.append((Int(message.index), UInt32(offset)))
    }
    if let counts, counts.count == span { owed = counts }
    self.counts = owed
    for (index, offset) in places {
      offsets[index] = offset
      if owed[index] > 0 {
        liveMessages += 1
        liveBytes += size(at: offset)
      }
    }
  }

  private func size(at offset: UInt32) -> Int {
    segment.records.offset(after: Int(offset)) - Int(offset)
  }

  /// Where a message is; nil where it is gone.
  func place(of sequence: UInt64) -> LogPlace? {
    let index = Int(sequence - segment.first)
    guard index < offsets.count, offsets[index] != SegmentState.missing else { return nil }
    return LogPlace(segment: segment, offset: Int(offsets[index]))
  }

  /// A message is owed to `count` subscriptions fewer. Gives by how many it was more than there were,
  /// which is never so unless the database was changed by others.
  func release(_ sequence: UInt64, _ count: UInt32) -> UInt32 {
    let index = Int(sequence - segment.first)
    guard index < counts.count, counts[index] > 0 else { return count }
    let taken = min(count, counts[index])
    counts[index] -= taken
    isDirty = true
    if counts[index] == 0 && offsets[index] != SegmentState.missing {
      liveMessages -= 1
      liveBytes -= size(at: offsets[index])
    }
    return count - taken
  }

  /// The filters of all its messages, each once.
  var filters: Set<UInt32> {
    var found: Set<UInt32> = []
    segment.records.forEach { message, _ in
      for place in message.filters.indices { found.insert(message.filters[place]) }
    }
    return found
  }

  /// The counts as the database keeps them.
  var encodedCounts: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(4 * counts.count)
    for count in counts { bytes.append(littleEndian: count) }
    return bytes
  }

  static func decodeCounts(_ bytes: Span<UInt8>) -> [UInt32] {
    var counts: [UInt32] = []
    counts.reserveCapacity(bytes.count / 4)
    for place in 0..<bytes.count / 4 { counts.append(bytes.word(at: 4 * place)) }
    return counts
  }
}

extension [UInt8] {
  /// Adds a number, lowest byte first.
  mutating func append<Number: FixedWidthInteger>(littleEndian number: Number) {
    for shift in stride(from: 0, to: Number.bitWidth, by: 8) {
      append(UInt8(truncatingIfNeeded: number >> Number(shift)))
    }
  }
}

extension Span where Element == UInt8 {
  /// The number in `width` bytes from an offset on, lowest byte first.
  private func number(at offset: Int, width: Int) -> UInt64 {
    var value: UInt64 = 0
    for place in 0..<width { value |= UInt64(self[offset + place]) << UInt64(8 * place) }
    return value
  }

  func halfWord(at offset: Int) -> UInt16 {
    UInt16(truncatingIfNeeded: number(at: offset, width: 2))
  }

  func word(at offset: Int) -> UInt32 { UInt32(truncatingIfNeeded: number(at: offset, width: 4)) }

  func doubleWord(at offset: Int) -> UInt64 { number(at: offset, width: 8) }
}

extension Span where Element == UInt8 {
  /// Calls `body` with the sequence numbers of an entry's places behind one, the places counted from the
  /// first of the segment.
  func forEachSequence(of first: UInt64, after start: UInt64, _ body: (UInt64) -> Void) {
    for number in 0..<count / 2 {
      let sequence = first + UInt64(halfWord(at: 2 * number))
      if sequence > start { body(sequence) }
    }
  }
}
