import Packet
import Session
import Util

/// An encoded header of the present message.
struct Template: BitwiseCopyable {
  var offset: Int
  var count: Int
  var packetIDOffset: Int
  /// Bytes of the whole packet.
  var totalCount: Int
}

/// Headers of the message that is being delivered, each encoded once: one for each version, QoS
/// and retain flag that occurs, and one for the identifier that was asked for last.
@safe
final class TemplateCache {
  private var bytes: UnsafeMutablePointer<UInt8>
  private var capacity = 4096
  private var used = 0
  /// Templates without identifier, by version, QoS and retain flag; valid where the bit is set.
  private var plain: InlineArray<16, Template> = .init(
    repeating: Template(offset: 0, count: 0, packetIDOffset: 0, totalCount: 0))
  private var valid: UInt32 = 0
  private var identified: Template?
  private var identifiedKey = 0

  init() { unsafe bytes = .allocate(capacity: capacity) }

  deinit { unsafe bytes.deallocate() }

  /// Forgets the headers of the message before.
  func begin() {
    used = 0
    valid = 0
    identified = nil
  }

  /// The header of a message for a kind of subscriber.
  func get(
    _ message: borrowing MessageView, version: ProtocolVersion, qos: QoS, retain: Bool,
    identifier: UInt32, second: UInt32
  ) -> Template {
    let key = (version == .v5 ? 8 : 0) | Int(qos.rawValue) << 1 | (retain ? 1 : 0)
    if identifier == 0 {
      if valid & 1 << UInt32(key) != 0 { return plain[key] }
      let made =
        reuse(message, version: version, qos: qos, retain: retain)
        ?? make(
          message, version: version, qos: qos, retain: retain, identifier: 0, second: second)
      plain[key] = made
      valid |= 1 << UInt32(key)
      return made
    }
    let identifiedKey = Int(identifier) << 4 | key
    if let identified, self.identifiedKey == identifiedKey { return identified }
    // A list of subscribers with an identifier each would pile up headers: the last one's room is
    // used again.
    if let identified, identified.offset + identified.count == used { used = identified.offset }
    let made = make(
      message, version: version, qos: qos, retain: retain, identifier: identifier, second: second)
    identified = made
    self.identifiedKey = identifiedKey
    return made
  }

  /// The header with which the message came, where the subscriber's differs in nothing that follows
  /// the first byte but the packet identifier.
  private func reuse(
    _ message: borrowing MessageView, version: ProtocolVersion, qos: QoS, retain: Bool
  ) -> Template? {
    let count = message.wire.count
    guard count != 0, message.wireHasProperties == version.hasProperties,
      message.facts.qos == qos
    else { return nil }
    reserve(count)
    // There is room for the header behind what is used.
    unsafe message.wire.withUnsafeBytes {
      if let start = $0.baseAddress {
        unsafe UnsafeMutableRawPointer(bytes + used).copyMemory(from: start, byteCount: count)
      }
    }
    // Not a repetition [MQTT-3.3.1-3].
    unsafe bytes[used] = 0x30 | qos.rawValue << 1 | (retain ? 1 : 0)
    let made = Template(
      offset: used, count: count,
      packetIDOffset: qos == .atMostOnce ? 0 : message.wireTopicOffset + message.topic.count,
      totalCount: count + message.payload.count)
    used += count
    return made
  }

  private func make(
    _ message: borrowing MessageView, version: ProtocolVersion, qos: QoS, retain: Bool,
    identifier: UInt32, second: UInt32
  ) -> Template {
    let header = PublishHeader(
      version: version, qos: qos, retain: retain,
      messageExpiryInterval: message.facts.intervalLeft(at: second))
    let identifiers: InlineArray<1, UInt32> = [identifier]
    let list = identifier == 0 ? identifiers.span.extracting(first: 0) : identifiers.span
    let layout = header.layout(
      topicCount: message.topic.count, forwardedCount: message.properties.count,
      identifiers: list, payloadCount: message.payload.count)
    reserve(layout.headerCount)
    // There is room for the header behind what is used.
    var out = unsafe OutputSpan(
      buffer: UnsafeMutableBufferPointer(start: bytes + used, count: layout.headerCount),
      initializedCount: 0)
    encodePublishHeader(
      header, topic: message.topic, forwarded: message.properties, identifiers: list,
      payloadCount: message.payload.count, into: &out)
    _ = consume out
    let made = Template(
      offset: used, count: layout.headerCount, packetIDOffset: max(0, layout.packetIDOffset),
      totalCount: layout.totalCount)
    used += layout.headerCount
    return made
  }

  /// Calls `body` with the bytes of a header.
  func withHeader(_ template: Template, _ body: (Span<UInt8>) -> Void) {
    // The template was made of this message, and what is used only grows meanwhile.
    body(
      unsafe UnsafeBufferPointer(start: bytes + template.offset, count: template.count).span)
  }

  private func reserve(_ count: Int) {
    guard used + count > capacity else { return }
    let larger = max(capacity * 2, used + count)
    let new = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
    unsafe new.update(from: bytes, count: used)
    unsafe bytes.deallocate()
    unsafe bytes = new
    capacity = larger
  }
}
