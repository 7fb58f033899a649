import Util

/// What is said of a message in a log besides its bytes.
public struct LoggedFacts: BitwiseCopyable, Sendable, Equatable {
  /// The stored session that published it, for "no local"; 0 for any other publisher.
  public var publisher: UInt64
  /// Second since 1970 at which it expires; 0 for never.
  public var expiresAt: UInt32
  /// The QoS it was published with: 0 to 2.
  public var qos: UInt8
  /// Whether it was published to be retained.
  public var retain: Bool

  /// Nothing is checked.
  public init(publisher: UInt64 = 0, expiresAt: UInt32 = 0, qos: UInt8, retain: Bool) {
    self.publisher = publisher
    self.expiresAt = expiresAt
    self.qos = qos
    self.retain = retain
  }

  /// Whether the message has expired at `second`.
  public func isExpired(at second: UInt32) -> Bool { expiresAt != 0 && expiresAt <= second }
}

/// A message of a log, in place.
public struct LoggedMessage: ~Escapable {
  /// What is said of it.
  public let facts: LoggedFacts
  /// Its place in its segment: its sequence number is the segment's first and this.
  public let index: UInt32
  /// How many subscriptions it was owed to when it was appended.
  public let owed: UInt32
  /// The stored filters that matched it: four bytes each, in the byte order of the machine.
  public let filters: Span<UInt32>
  /// The topic name.
  public let topic: Span<UInt8>
  /// Properties that are forwarded, encoded as MQTT 5 has them.
  public let properties: Span<UInt8>
  /// The bytes of the application.
  public let payload: Span<UInt8>

  @_lifetime(copy filters, copy topic, copy properties, copy payload)
  init(
    facts: LoggedFacts, index: UInt32, owed: UInt32, filters: Span<UInt32>, topic: Span<UInt8>,
    properties: Span<UInt8>, payload: Span<UInt8>
  ) {
    self.facts = facts
    self.index = index
    self.owed = owed
    self.filters = filters
    self.topic = topic
    self.properties = properties
    self.payload = payload
  }
}

/// Messages one behind the other in one buffer: what a loop hands to the store, what is in a segment
/// of the log, and what is read back from it.
///
/// One thread fills it; then it may be read by several. The layout is the file's too, so a change of
/// it is a change of the schema's version. Little-endian, as all machines are that this runs on.
@safe
public struct MessageRecords: ~Copyable, @unchecked Sendable {
  private struct Header: BitwiseCopyable {
    /// Bytes of the record, this header and the padding at its end included.
    var byteCount: UInt32
    var index: UInt32
    var publisher: UInt64
    var expiresAt: UInt32
    var owed: UInt32
    var payloadCount: UInt32
    var propertiesCount: UInt32
    var topicCount: UInt16
    var filterCountLow: UInt16
    var qos: UInt8
    var retain: UInt8
    /// Not 0 only for a message that more than 65,535 filters matched.
    var filterCountHigh: UInt16

    var filterCount: Int { Int(filterCountHigh) << 16 | Int(filterCountLow) }

    /// Bytes before the padding.
    var contentCount: Int {
      MessageRecords.headerBytes + 4 * filterCount + Int(topicCount) + Int(propertiesCount)
        + Int(payloadCount)
    }
  }

  static var headerBytes: Int { 40 }

  private var buffer: UnsafeMutableRawPointer
  private var capacity: Int
  /// Bytes of all records.
  public private(set) var byteCount = 0
  /// Number of messages.
  public private(set) var count = 0

  /// No messages, with room for some bytes.
  public init(capacity: Int = 1024) {
    self.capacity = RecordBuffers.capacity(for: max(capacity, 64))
    unsafe buffer = RecordBuffers.take(self.capacity)
  }

  /// The records of bytes that come from a file; nil where they are not whole records.
  public init?(copying bytes: Span<UInt8>) {
    self.init(capacity: bytes.count)
    _ = unsafe bytes.copy(to: buffer)
    var offset = 0
    while offset < bytes.count {
      guard bytes.count - offset >= MessageRecords.headerBytes else { return nil }
      let header = unsafe (buffer + offset).load(as: Header.self)
      let size = Int(header.byteCount)
      guard size == (header.contentCount + 7) & ~7, size <= bytes.count - offset else { return nil }
      offset += size
      count += 1
    }
    byteCount = offset
  }

  deinit { unsafe RecordBuffers.giveBack(buffer, self.capacity) }

  /// Empties the buffer and keeps its memory.
  public mutating func removeAll() {
    byteCount = 0
    count = 0
  }

  /// Copies a message behind the others, and gives its offset.
  @discardableResult
  public mutating func append(
    _ facts: LoggedFacts, topic: Span<UInt8>, properties: Span<UInt8>, payload: Span<UInt8>,
    index: UInt32 = 0, owed: UInt32 = 0, filters: Span<UInt32> = Span()
  ) -> Int {
    var header = Header(
      byteCount: 0, index: index, publisher: facts.publisher, expiresAt: facts.expiresAt,
      owed: owed, payloadCount: UInt32(payload.count), propertiesCount: UInt32(properties.count),
      topicCount: UInt16(topic.count),
      filterCountLow: UInt16(truncatingIfNeeded: filters.count), qos: facts.qos,
      retain: facts.retain ? 1 : 0, filterCountHigh: UInt16(filters.count >> 16))
    let content = header.contentCount
    let size = (content + 7) & ~7
    header.byteCount = UInt32(size)
    reserve(size)
    let offset = byteCount
    unsafe (buffer + offset).storeBytes(of: header, as: Header.self)
    var next = unsafe buffer + offset + MessageRecords.headerBytes
    for place in filters.indices {
      unsafe next.storeBytes(of: filters[place], as: UInt32.self)
      unsafe next += 4
    }
    unsafe next = topic.copy(to: next)
    unsafe next = properties.copy(to: next)
    unsafe next = payload.copy(to: next)
    // Zeros, so that what is written to a file does not depend on what was in memory.
    unsafe next.initializeMemory(as: UInt8.self, repeating: 0, count: size - content)
    byteCount += size
    count += 1
    return offset
  }

  private mutating func reserve(_ more: Int) {
    guard byteCount + more > capacity else { return }
    let larger = RecordBuffers.capacity(for: max(capacity * 2, byteCount + more))
    let new = unsafe RecordBuffers.take(larger)
    unsafe new.copyMemory(from: buffer, byteCount: byteCount)
    unsafe RecordBuffers.giveBack(buffer, capacity)
    unsafe buffer = new
    capacity = larger
  }

  /// All records as bytes.
  public var bytes: Span<UInt8> {
    @_lifetime(borrow self)
    borrowing get {
      // The buffer lives as long as the records, and does not change while they are borrowed.
      let span = unsafe UnsafeRawBufferPointer(start: buffer, count: byteCount)
        .bindMemory(to: UInt8.self).span
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// The message at an offset that `append` or `forEach` gave.
  @_lifetime(borrow self)
  public borrowing func message(at offset: Int) -> LoggedMessage {
    precondition(offset >= 0 && offset + MessageRecords.headerBytes <= byteCount, "no record there")
    let header = unsafe (buffer + offset).load(as: Header.self)
    precondition(offset + header.contentCount <= byteCount, "a record beyond the end")
    let all = bytes
    let filters = unsafe UnsafeBufferPointer(
      start: (buffer + offset + MessageRecords.headerBytes).assumingMemoryBound(to: UInt32.self),
      count: header.filterCount
    ).span
    let topicStart = offset + MessageRecords.headerBytes + 4 * header.filterCount
    let topicEnd = topicStart + Int(header.topicCount)
    let propertiesEnd = topicEnd + Int(header.propertiesCount)
    return LoggedMessage(
      facts: LoggedFacts(
        publisher: header.publisher, expiresAt: header.expiresAt, qos: header.qos,
        retain: header.retain != 0),
      index: header.index, owed: header.owed,
      filters: unsafe _overrideLifetime(filters, borrowing: self),
      topic: all.extracting(topicStart..<topicEnd),
      properties: all.extracting(topicEnd..<propertiesEnd),
      payload: all.extracting(propertiesEnd..<propertiesEnd + Int(header.payloadCount)))
  }

  /// Calls `body` with the message at an offset. (One can't be taken out of a class's property
  /// otherwise.)
  public borrowing func withMessage<Result, E: Error>(
    at offset: Int, _ body: (borrowing LoggedMessage) throws(E) -> Result
  ) throws(E) -> Result {
    try body(message(at: offset))
  }

  /// The offset of the record behind the one at `offset`; `byteCount` behind the last.
  public borrowing func offset(after offset: Int) -> Int {
    precondition(offset >= 0 && offset + MessageRecords.headerBytes <= byteCount, "no record there")
    return offset + Int(unsafe (buffer + offset).load(as: UInt32.self))
  }

  /// The place of the record at `offset` in its segment.
  borrowing func index(at offset: Int) -> UInt32 {
    precondition(offset >= 0 && offset + MessageRecords.headerBytes <= byteCount, "no record there")
    return unsafe (buffer + offset + 4).load(as: UInt32.self)
  }

  /// Calls `body` with each message and its offset.
  public borrowing func forEach<E: Error>(
    _ body: (borrowing LoggedMessage, Int) throws(E) -> Void
  ) throws(E) {
    var offset = 0
    while offset < byteCount {
      try body(message(at: offset), offset)
      offset = self.offset(after: offset)
    }
  }
}

/// Messages that were appended to the log together: once committed, they never change.
public final class LogSegment: Sendable {
  /// The sequence number of the message with index 0. Sequence numbers rise along the log and are
  /// never used again.
  public let first: UInt64
  /// How many sequence numbers are the segment's: the index of each message is below it.
  public let span: UInt32
  /// The messages, in order. Those that nobody is owed any more may be missing.
  public let records: MessageRecords

  /// `records` is not changed any more.
  public init(first: UInt64, span: UInt32, records: consuming MessageRecords) {
    self.first = first
    self.span = span
    self.records = records
  }

  /// The offset of the message with an index; nil where it is gone.
  public func offset(of index: UInt32) -> Int? {
    var offset = 0
    while offset < records.byteCount {
      let found = records.index(at: offset)
      if found == index { return offset }
      if found > index { return nil }
      offset = records.offset(after: offset)
    }
    return nil
  }
}
