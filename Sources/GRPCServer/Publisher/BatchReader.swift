import BifrostAPI
import Packet
import Session
import SwiftProtobuf
import Util

/// Reads a `bifrost.v1.PublishStreamRequest` in place: only where each publish has at most one target and no
/// idempotency key, every field is known, and nothing has to be refused.
struct BatchReader {
  /// The messages, in order.
  private(set) var records: [OutsideBatch.Record] = []
  /// Properties of the messages.
  private(set) var properties: [UInt8] = []
  /// Whether the answer is to have results.
  private(set) var wantsResults = false

  /// A field: its number, and how its value is encoded.
  private enum Tag {
    static func varint(_ number: UInt8) -> UInt8 { number << 3 }
    static func bytes(_ number: UInt8) -> UInt8 { number << 3 | 2 }
  }

  /// Where it is read, and to where it goes.
  private struct Cursor {
    var offset: Int
    let end: Int

    init(_ range: ByteRange) {
      offset = range.range.lowerBound
      end = range.range.upperBound
    }

    var isAtEnd: Bool { offset >= end }

    /// The next byte, where there is one.
    mutating func byte(_ bytes: Span<UInt8>) -> UInt8 {
      let byte = bytes[offset]
      offset &+= 1
      return byte
    }

    /// A number of up to 32 bits in up to five bytes; nil for any other.
    mutating func number(_ bytes: Span<UInt8>) -> UInt32? {
      guard offset < end else { return nil }
      let first = byte(bytes)
      if first < 0x80 { return UInt32(first) }
      var value = UInt64(first & 0x7F)
      var shift: UInt64 = 7
      while offset < end, shift < 35 {
        let next = byte(bytes)
        value |= UInt64(next & 0x7F) << shift
        if next < 0x80 { return UInt32(exactly: value) }
        shift &+= 7
      }
      return nil
    }

    /// A flag; nil for any other number than 0 and 1.
    mutating func flag(_ bytes: Span<UInt8>) -> Bool? {
      guard let value = number(bytes), value <= 1 else { return nil }
      return value == 1
    }

    /// Bytes behind their length; nil where they are not all there.
    mutating func field(_ bytes: Span<UInt8>) -> ByteRange? {
      guard let count = number(bytes), Int(count) <= end &- offset else { return nil }
      defer { offset &+= Int(count) }
      return ByteRange(offset: offset, count: Int(count))
    }
  }

  /// - Parameter byteCount: of the request.
  init(byteCount: Int) {
    // Few messages are shorter than this, with their topic.
    records.reserveCapacity(min(byteCount / 32, BackendLimits.publishes))
  }

  /// Reads a request; false where it is not one of those.
  mutating func read(_ request: [UInt8]) -> Bool {
    let bytes = request.span
    guard bytes.count <= Int(Int32.max) else { return false }
    var cursor = Cursor(ByteRange(offset: 0, count: bytes.count))
    while !cursor.isAtEnd {
      switch cursor.byte(bytes) {
      case Tag.bytes(1):
        guard let publish = cursor.field(bytes), records.count < BackendLimits.publishes,
          readPublish(bytes, publish, request)
        else { return false }
      case Tag.varint(2):
        guard let flag = cursor.flag(bytes) else { return false }
        wantsResults = flag
      default: return false
      }
    }
    return true
  }

  /// A `PublishRequest`.
  private mutating func readPublish(
    _ bytes: Span<UInt8>, _ range: ByteRange, _ request: [UInt8]
  ) -> Bool {
    var cursor = Cursor(range)
    var message: ByteRange?
    var target: ByteRange?
    while !cursor.isAtEnd {
      switch cursor.byte(bytes) {
      case Tag.bytes(1):
        // A second one would have to be merged with the first.
        guard message == nil, let field = cursor.field(bytes) else { return false }
        message = field
      case Tag.bytes(2):
        guard target == nil, let field = cursor.field(bytes) else { return false }
        target = field
      default: return false
      }
    }
    guard let message, var record = readMessage(bytes, message, request) else { return false }
    if let target, !readTarget(bytes, target, into: &record) { return false }
    guard isPublishable(bytes.extracting(record.topic)) else { return false }
    records.append(record)
    return true
  }

  /// A `Target` with one field.
  private func readTarget(
    _ bytes: Span<UInt8>, _ range: ByteRange, into record: inout OutsideBatch.Record
  ) -> Bool {
    var cursor = Cursor(range)
    guard !cursor.isAtEnd else { return false }
    let tag = cursor.byte(bytes)
    guard let field = cursor.field(bytes), cursor.isAtEnd else { return false }
    switch tag {
    case Tag.bytes(1):
      // The message's own topic is checked where it has one, though it goes nowhere.
      guard record.topic.isEmpty || isPublishable(bytes.extracting(record.topic)) else {
        return false
      }
      record.topic = field
    case Tag.bytes(2):
      guard !field.isEmpty, !record.retain, validateUTF8String(bytes.extracting(field)) else {
        return false
      }
      record.client = field
    default: return false
    }
    return true
  }

  /// A `Message`, but for its topic, which is not checked.
  private mutating func readMessage(
    _ bytes: Span<UInt8>, _ range: ByteRange, _ request: [UInt8]
  ) -> OutsideBatch.Record? {
    var cursor = Cursor(range)
    var record = OutsideBatch.Record(topic: .empty, payload: .empty)
    var hasTopic = false
    var hasProperties = false
    while !cursor.isAtEnd {
      switch cursor.byte(bytes) {
      case Tag.bytes(1):
        // All of several would have to be UTF-8.
        guard !hasTopic, let field = cursor.field(bytes) else { return nil }
        record.topic = field
        hasTopic = true
      case Tag.bytes(2):
        guard let field = cursor.field(bytes) else { return nil }
        record.payload = field
      case Tag.varint(3):
        guard let value = cursor.number(bytes) else { return nil }
        switch value {
        case 0, 2: record.qos = .atLeastOnce
        case 1: record.qos = .atMostOnce
        case 3: record.qos = .exactlyOnce
        default: return nil
        }
      case Tag.varint(4):
        guard let flag = cursor.flag(bytes) else { return nil }
        record.retain = flag
      case Tag.varint(5):
        guard let value = cursor.number(bytes) else { return nil }
        record.lifetime = value
      case Tag.bytes(6), Tag.bytes(7), Tag.bytes(8), Tag.bytes(10), Tag.bytes(11):
        guard cursor.field(bytes) != nil else { return nil }
        hasProperties = true
      case Tag.varint(9):
        guard cursor.flag(bytes) != nil else { return nil }
        hasProperties = true
      default: return nil
      }
    }
    if hasProperties {
      guard let block = Self.properties(Array(request[range.range])) else { return nil }
      record.properties = ByteRange(offset: properties.count, count: block.count)
      properties += block
    }
    return record
  }

  /// The properties of a message as MQTT 5 has them; nil where something is wrong with it.
  private static func properties(_ message: [UInt8]) -> [UInt8]? {
    guard let message = try? Bifrost_V1_Message(serializedBytes: message) else { return nil }
    return try? message.checked("", needsTopic: false).properties
  }
}
