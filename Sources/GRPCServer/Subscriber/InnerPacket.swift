import Packet
import Session

/// What the broker sends over a connection within the process.
enum InnerPacket: Sendable {
  case connAck(ReasonCode)
  case subAck([UInt8])
  /// A message with its packet identifier: 0 at QoS 0.
  case publish(OutsideMessage, packetID: UInt16, isRepeated: Bool)
  case disconnect(ReasonCode)
}

/// Takes packets out of a stream of bytes.
struct InnerPackets: Sendable {
  private var bytes: [UInt8] = []

  /// Takes what came, and gives the packets that are whole. What is left of one stays here: as much as
  /// `mqtt.max-packet-size` at most, as the broker sent us nothing larger than it takes.
  mutating func take(_ new: some Sequence<UInt8>) throws(DecodeError) -> [InnerPacket] {
    bytes.append(contentsOf: new)
    var packets: [InnerPacket] = []
    var offset = 0
    while case .packet(let header) = try decodeFrame(
      bytes.span, from: offset, maximumPacketSize: maximumPossiblePacketSize)
    {
      let range = offset..<offset + header.totalLength
      if let packet = try Self.decode(bytes.span.extracting(range), header) {
        packets.append(packet)
      }
      offset = range.upperBound
    }
    bytes.removeFirst(offset)
    return packets
  }

  private static func decode(
    _ packet: Span<UInt8>, _ header: FixedHeader
  ) throws(DecodeError) -> InnerPacket? {
    switch header.type {
    case .publish: return try publish(packet, header)
    case .connAck:
      return .connAck(try ConnAck.decode(packet, header: header, version: .v5).reason)
    case .subAck:
      let answer = try SubAck.decode(packet, header: header, version: .v5)
      return .subAck(copy(packet, answer.reasons.range))
    case .disconnect:
      return .disconnect(try Disconnect.decode(packet, header: header, version: .v5).reason)
    // Nothing else is sent to a subscriber that asks for QoS 1 at most, and never pings.
    default: return nil
    }
  }

  private static func publish(
    _ packet: Span<UInt8>, _ header: FixedHeader
  ) throws(DecodeError) -> InnerPacket {
    let publish = try Publish.decode(packet, header: header, version: .v5)
    let properties = packet.extracting(publish.properties.raw.range)
    let message = OutsideMessage(
      topic: copy(packet, publish.topic.range),
      properties: [UInt8](capacity: Int(publish.properties.forwardedCount)) {
        appendForwardedProperties(properties, to: &$0)
      },
      payload: copy(packet, publish.payload.range), qos: publish.qos, retain: publish.retain,
      lifetime: publish.properties.messageExpiryInterval ?? 0)
    return .publish(message, packetID: publish.packetID, isRepeated: publish.dup)
  }

  private static func copy(_ packet: Span<UInt8>, _ range: Range<Int>) -> [UInt8] {
    let part = packet.extracting(range)
    return [UInt8](capacity: part.count) { out in
      for index in part.indices { out.append(part[index]) }
    }
  }
}
