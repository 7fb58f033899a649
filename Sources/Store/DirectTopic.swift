/// How a message to one client is named in a log: a topic that no client can publish to, because it
/// begins with `$` and U+0000 [MQTT-1.5.4-2].
///
/// Behind these stand the number of the session that it is for (16 hexadecimal digits), the length of the
/// client id (4 of them), the client id, and the topic that its client sees. `$`, U+0000 and the number
/// alone are the text of a filter, the session's inbox: what a store keeps such messages by.
public struct DirectTopic: Sendable, Equatable {
  /// The session that it is for; only this one, not a later one of the same client.
  public let session: StoredSessionID
  /// Where the client id stands.
  public let client: Range<Int>
  /// Where the topic stands that its client sees; it is not empty.
  public let topic: Range<Int>

  /// The most bytes that a topic has, with all that stands before it.
  public static var maximumBytes: Int { 65_535 }

  private static var sessionDigits: Int { 16 }
  private static var lengthDigits: Int { 4 }
  private static var inboxBytes: Int { 2 + sessionDigits }
  private static var headerBytes: Int { inboxBytes + lengthDigits }

  /// Takes a topic of a log apart; nil where it is not that of a message to one client.
  public init?(_ bytes: Span<UInt8>) {
    let header = DirectTopic.headerBytes
    guard DirectTopic.isDirect(bytes), bytes.count > header,
      let session = DirectTopic.number(bytes, 2..<DirectTopic.inboxBytes),
      let length = DirectTopic.number(bytes, DirectTopic.inboxBytes..<header),
      header + Int(length) < bytes.count
    else { return nil }
    self.session = session
    client = header..<header + Int(length)
    topic = client.upperBound..<bytes.count
  }

  /// Whether a topic is that of a message to one client, or a filter a session's inbox, or either of them
  /// damaged: nothing that a client could name.
  public static func isDirect(_ bytes: Span<UInt8>) -> Bool {
    bytes.count >= 2 && bytes[0] == UInt8(ascii: "$") && bytes[1] == 0
  }

  /// The topic under which a message to a session's client is kept; nil where it would have more than
  /// `maximumBytes`.
  /// - Parameter client: the client id: at most 65,535 bytes.
  /// - Parameter topic: the topic that the client sees: at least one byte.
  public static func encode(
    session: StoredSessionID, client: Span<UInt8>, topic: Span<UInt8>
  ) -> [UInt8]? {
    let count = headerBytes + client.count + topic.count
    guard count <= maximumBytes else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    appendInbox(of: session, to: &bytes)
    append(UInt64(client.count), digits: lengthDigits, to: &bytes)
    for place in client.indices { bytes.append(client[place]) }
    for place in topic.indices { bytes.append(topic[place]) }
    return bytes
  }

  /// The filter by which messages to a session's client are kept.
  public static func inbox(of session: StoredSessionID) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(inboxBytes)
    appendInbox(of: session, to: &bytes)
    return bytes
  }

  /// The session whose inbox a filter is; nil where it is none.
  public static func session(ofInbox filter: Span<UInt8>) -> StoredSessionID? {
    guard filter.count == inboxBytes, isDirect(filter) else { return nil }
    return number(filter, 2..<inboxBytes)
  }

  private static func appendInbox(of session: StoredSessionID, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "$"))
    bytes.append(0)
    append(session, digits: sessionDigits, to: &bytes)
  }

  private static func append(_ number: UInt64, digits: Int, to bytes: inout [UInt8]) {
    for place in stride(from: 4 * (digits - 1), through: 0, by: -4) {
      let digit = UInt8(truncatingIfNeeded: number >> UInt64(place) & 15)
      bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
    }
  }

  /// The number of lower-case hexadecimal digits; nil where they are none.
  private static func number(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt64? {
    var number: UInt64 = 0
    for place in range {
      let byte = bytes[place]
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"):
        number = number << 4 | UInt64(byte - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"):
        number = number << 4 | UInt64(byte - UInt8(ascii: "a") + 10)
      default: return nil
      }
    }
    return number
  }
}
