import Packet

/// Appends bytes that `fill` writes, exactly `count` of them.
func append(
  _ count: Int, to out: inout [UInt8], _ fill: (inout OutputSpan<UInt8>) -> Void
) {
  let bytes = [UInt8](capacity: count) { fill(&$0) }
  precondition(bytes.count == count, "a packet's size was miscounted")
  out += bytes
}

/// Encodes packets that a program keeps and sends more than once.
public enum Encoded {
  /// A CONNECT.
  public static func connect(_ packet: ConnectPacket) -> [UInt8] {
    var out: [UInt8] = []
    append(packet.encodedCount, to: &out) { packet.encode(into: &$0) }
    return out
  }

  /// A SUBSCRIBE.
  public static func subscribe(_ packet: SubscribePacket, _ version: ProtocolVersion) -> [UInt8] {
    var out: [UInt8] = []
    append(packet.encodedCount(version), to: &out) { packet.encode(version, into: &$0) }
    return out
  }

  /// A PUBLISH, and where its packet identifier lies; -1 at QoS 0.
  public static func publish(
    _ message: OutgoingMessage, _ version: ProtocolVersion, packetID: UInt16
  ) -> (bytes: [UInt8], packetIDOffset: Int) {
    let header = message.header(version, packetID: packetID)
    let layout = header.layout(
      topicCount: message.topic.count, forwardedCount: message.forwardedProperties.count,
      payloadCount: message.payload.count)
    var out: [UInt8] = []
    append(layout.totalCount, to: &out) {
      encodePublish(
        header, topic: message.topic.span, forwarded: message.forwardedProperties.span,
        payload: message.payload.span, into: &$0)
    }
    return (out, layout.packetIDOffset)
  }

  /// A DISCONNECT.
  public static func disconnect(
    _ packet: DisconnectPacket, _ version: ProtocolVersion
  ) -> [UInt8] {
    var out: [UInt8] = []
    append(packet.encodedCount(version), to: &out) { packet.encode(version, into: &$0) }
    return out
  }

  /// A PINGREQ.
  public static func ping() -> [UInt8] {
    var out: [UInt8] = []
    append(encodedPingCount, to: &out) { encodePingReq(into: &$0) }
    return out
  }
}
