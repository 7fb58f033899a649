import Store
import Util

/// How what is in a column of bytes is written and read.
extension WindowEntry {
  /// Bytes of one, and of the group that follows one which came through a shared subscription.
  static var encodedBytes: Int { 16 }
  static var groupBytes: Int { 8 }

  static func encode(_ window: [WindowEntry]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity((encodedBytes + groupBytes) * window.count)
    for entry in window {
      bytes.append(littleEndian: entry.sequence)
      bytes.append(littleEndian: entry.identifier)
      bytes.append(littleEndian: entry.packetID)
      bytes.append(entry.state)
      bytes.append(entry.traits)
      if entry.isShared { bytes.append(littleEndian: entry.group) }
    }
    return bytes
  }

  /// What the bytes have, up to the first entry that is not whole.
  static func decode(_ bytes: Span<UInt8>) -> [WindowEntry] {
    var window: [WindowEntry] = []
    window.reserveCapacity(bytes.count / encodedBytes)
    var start = 0
    while bytes.count - start >= encodedBytes {
      var entry = WindowEntry(
        sequence: bytes.doubleWord(at: start), identifier: bytes.word(at: start + 8),
        packetID: bytes.halfWord(at: start + 12), state: bytes[start + 14],
        traits: bytes[start + 15])
      start += encodedBytes
      if entry.isShared {
        guard bytes.count - start >= groupBytes else { break }
        entry.group = bytes.doubleWord(at: start)
        start += groupBytes
      }
      window.append(entry)
    }
    return window
  }
}

extension SessionProgress {
  var encodedInbound: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(2 * inbound.count)
    for packetID in inbound { bytes.append(littleEndian: packetID) }
    return bytes
  }

  static func decodeInbound(_ bytes: Span<UInt8>) -> [UInt16] {
    var list: [UInt16] = []
    list.reserveCapacity(bytes.count / 2)
    for place in 0..<bytes.count / 2 { list.append(bytes.halfWord(at: 2 * place)) }
    return list
  }
}

extension StoredWill {
  private static var headerBytes: Int { 16 }

  var encoded: [UInt8] {
    var bytes: [UInt8] = [qos, retain ? 1 : 0]
    bytes.append(littleEndian: UInt16(topic.count))
    bytes.append(littleEndian: delay)
    bytes.append(littleEndian: lifetime)
    bytes.append(littleEndian: UInt32(properties.count))
    return bytes + topic + properties + payload
  }

  /// Nil where the bytes are not a will.
  init?(_ bytes: Span<UInt8>) {
    guard bytes.count >= StoredWill.headerBytes else { return nil }
    let topicEnd = StoredWill.headerBytes + Int(bytes.halfWord(at: 2))
    let propertiesEnd = topicEnd + Int(bytes.word(at: 12))
    guard propertiesEnd <= bytes.count else { return nil }
    self.init(
      qos: bytes[0], retain: bytes[1] != 0, delay: bytes.word(at: 4), lifetime: bytes.word(at: 8),
      topic: bytes.extracting(StoredWill.headerBytes..<topicEnd).array,
      properties: bytes.extracting(topicEnd..<propertiesEnd).array,
      payload: bytes.extracting(droppingFirst: propertiesEnd).array)
  }
}

/// A subscription's row.
struct SubscriptionRow: BitwiseCopyable {
  var filter: UInt32
  var options: UInt8
  var identifier: UInt32
  var position: UInt64

  /// Set in the options of a row whose filter is a shared subscription's.
  static var isShared: UInt8 { 0x40 }

  /// Set in the options of a row whose filter is the session's inbox.
  static var isInbox: UInt8 { 0x80 }

  /// The options of an inbox: whatever was published with QoS 1 or 2 comes as such.
  static var inboxOptions: UInt8 { isInbox | 2 }

  /// Whether messages are kept for it, or for its group.
  var isKept: Bool { SubscriptionRow.isKept(options) }

  static func isKept(_ options: UInt8) -> Bool { options & 3 != 0 }

  /// Whether messages are kept for it alone.
  var isReader: Bool { isKept && options & SubscriptionRow.isShared == 0 }
}
