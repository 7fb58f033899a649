import Testing

@testable import Store

/// A message with all that a record has.
private struct Logged: Equatable {
  var facts: LoggedFacts
  var index: UInt32
  var owed: UInt32
  var filters: [UInt32]
  var topic: [UInt8]
  var properties: [UInt8]
  var payload: [UInt8]

  init(_ random: inout SeededGenerator, index: Int) {
    facts = LoggedFacts(
      publisher: random.next(), expiresAt: UInt32(truncatingIfNeeded: random.next()),
      qos: UInt8(random.below(3)), retain: random.chance(2))
    self.index = UInt32(index)
    owed = UInt32(truncatingIfNeeded: random.next())
    filters = (0..<random.below(5)).map { _ in UInt32(truncatingIfNeeded: random.next()) }
    // All remainders of the padding, and empty parts.
    topic = random.bytes(random.below(20))
    properties = random.bytes(random.chance(2) ? 0 : random.below(20))
    payload = random.bytes(random.chance(4) ? 0 : random.below(60))
  }

  init(_ message: borrowing LoggedMessage) {
    facts = message.facts
    index = message.index
    owed = message.owed
    filters = message.filters.indices.map { message.filters[$0] }
    topic = message.topic.array
    properties = message.properties.array
    payload = message.payload.array
  }

  @discardableResult
  func append(to records: inout MessageRecords) -> Int {
    records.append(
      facts, topic: topic.span, properties: properties.span, payload: payload.span, index: index,
      owed: owed, filters: filters.span)
  }
}

extension MessageRecords {
  fileprivate borrowing func list() -> [Logged] {
    var found: [Logged] = []
    forEach { message, _ in found.append(Logged(message)) }
    return found
  }
}

@Suite struct MessageRecordsTests {
  @Test(arguments: [1, 2, 3] as [UInt64])
  func roundTrip(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    // Little room at first, so that it grows.
    var records = MessageRecords(capacity: 0)
    var expected: [Logged] = []
    var offsets: [Int] = []
    for number in 0..<500 {
      let message = Logged(&random, index: number)
      offsets.append(message.append(to: &records))
      expected.append(message)
      #expect(records.byteCount % 8 == 0 && records.count == number + 1)
    }
    let list = records.list()
    #expect(list == expected, "seed \(seed)")
    for (number, offset) in offsets.enumerated() {
      let found = records.withMessage(at: offset) { Logged($0) }
      let next = records.offset(after: offset)
      #expect(found == expected[number])
      #expect(next == (number + 1 < offsets.count ? offsets[number + 1] : records.byteCount))
    }
    let bytes = records.bytes.array
    guard let copy = MessageRecords(copying: bytes.span) else {
      Issue.record("what was written is refused, seed \(seed)")
      return
    }
    let copied = copy.list()
    let count = copy.count
    let copiedBytes = copy.bytes.array
    #expect(copied == expected && count == 500 && copiedBytes == bytes)
    records.removeAll()
    let (empty, emptyBytes) = (records.list(), records.byteCount)
    #expect(empty.isEmpty && emptyBytes == 0)
    // What is written again depends on nothing that was there before.
    for message in expected { message.append(to: &records) }
    let again = records.bytes.array
    #expect(again == bytes)
  }

  @Test func largeParts() {
    var random = SeededGenerator(seed: 1)
    var message = Logged(&random, index: 65_535)
    message.topic = random.bytes(65_535)
    message.payload = [UInt8](repeating: 7, count: 3_000_000)
    message.filters = Array(repeating: 9, count: 65_535)
    var records = MessageRecords()
    message.append(to: &records)
    message.append(to: &records)
    let list = records.list()
    #expect(list == [message, message])
  }

  @Test func nothing() {
    let none: [UInt8] = []
    guard let records = MessageRecords(copying: none.span) else {
      Issue.record("no bytes are no messages")
      return
    }
    let (count, list) = (records.count, records.list())
    #expect(count == 0 && list.isEmpty)
  }

  /// Records that were cut off are none.
  @Test func everyTruncation() {
    var random = SeededGenerator(seed: 2)
    var records = MessageRecords()
    var ends: Set<Int> = [0]
    for number in 0..<6 {
      Logged(&random, index: number).append(to: &records)
      ends.insert(records.byteCount)
    }
    let bytes = records.bytes.array
    for count in 0...bytes.count {
      let cut = Array(bytes[..<count])
      let isThere = MessageRecords(copying: cut.span) != nil
      #expect(isThere == ends.contains(count), "\(count) of \(bytes.count) bytes")
    }
  }

  /// Whatever is in the bytes: they are refused, or all that is read lies within them.
  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func randomDamage(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var taken = 0
    for _ in 0..<1500 {
      var records = MessageRecords()
      for number in 0..<1 + random.below(4) {
        Logged(&random, index: number).append(to: &records)
      }
      var bytes = random.chance(20) ? random.bytes(random.below(200)) : records.bytes.array
      for _ in 0..<1 + random.below(3) where !bytes.isEmpty {
        // The headers most of all.
        let place = random.below(random.chance(2) ? min(40, bytes.count) : bytes.count)
        bytes[place] =
          random.chance(3) ? [0, 0xFF, 0x80][random.below(3)] : UInt8(random.below(256))
      }
      guard let read = MessageRecords(copying: bytes.span) else { continue }
      taken += 1
      let list = read.list()
      let (count, byteCount) = (read.count, read.byteCount)
      #expect(list.count == count && byteCount == bytes.count, "seed \(seed)")
    }
    #expect(taken > 100, "seed \(seed): nothing was read")
  }
}

@Suite struct LogSegmentTests {
  /// A segment finds its messages by their places, also when some are missing.
  @Test func messagesByIndex() {
    var random = SeededGenerator(seed: 1)
    var records = MessageRecords()
    var offsets: [UInt32: Int] = [:]
    for index in 0..<50 where random.chance(2) {
      offsets[UInt32(index)] = Logged(&random, index: index).append(to: &records)
    }
    let segment = LogSegment(first: 1 << 40, span: 50, records: records)
    for index in 0..<60 as Range<UInt32> {
      #expect(segment.offset(of: index) == offsets[index], "\(index)")
    }
    #expect(segment.first == 1 << 40 && segment.span == 50)
    let none = LogSegment(first: 1, span: 0, records: MessageRecords())
    #expect(none.offset(of: 0) == nil)
  }

  @Test func expiry() {
    let never = LoggedFacts(qos: 1, retain: false)
    let once = LoggedFacts(expiresAt: 100, qos: 1, retain: false)
    #expect(!never.isExpired(at: .max) && !once.isExpired(at: 99))
    #expect(once.isExpired(at: 100) && once.isExpired(at: .max))
  }
}

@Suite(.serialized) struct RecordBuffersTests {
  @Test func capacitiesOfLargeBuffersArePowersOfTwo() {
    for (bytes, capacity) in [
      (64, 64), (32_768, 32_768), (32_769, 65_536), (65_536, 65_536), (65_537, 131_072),
      (2_097_152, 2_097_152), (2_097_153, 2_097_153),
    ] {
      #expect(RecordBuffers.capacity(for: bytes) == capacity)
    }
  }

  /// Records that grow past a buffer that was used before are as they were put in.
  @Test func buffersAreUsedAgain() {
    let payload = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
    for round in 0..<20 {
      var records = MessageRecords()
      for _ in 0..<200 + 100 * round {
        records.append(
          LoggedFacts(qos: 1, retain: false), topic: payload.span.extracting(0..<9),
          properties: Span(), payload: payload.span)
      }
      var isSame = true
      records.forEach { message, _ in
        if message.payload.count != 1000 || message.payload[999] != payload[999] { isSame = false }
      }
      #expect(isSame && records.count == 200 + 100 * round)
    }
    #expect(RecordBuffers.spareBytes > 0)
  }

  @Test func whatIsNotNeededGoesBack() {
    do { _ = MessageRecords(capacity: 1 << 20) }
    // Once for what was used since the last time, once for what was not. Other tests may use some.
    for _ in 0..<100 where RecordBuffers.spareBytes > 0 { RecordBuffers.trim() }
    #expect(RecordBuffers.spareBytes <= 16 << 20)
  }
}
