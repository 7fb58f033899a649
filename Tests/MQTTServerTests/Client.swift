import Glibc
import Packet
import Util

/// A packet that came, with its bytes.
struct Incoming {
  let header: FixedHeader
  let bytes: [UInt8]

  var type: PacketType { header.type }
  /// What follows the fixed header.
  var body: ArraySlice<UInt8> { bytes[header.headerLength...] }
}

/// A message that came.
struct Message: Equatable, Sendable {
  var topic: String
  var payload: [UInt8]
  var qos: QoS
  var retain = false
  var dup = false
  var packetID: UInt16 = 0

  var text: String { String(decoding: payload, as: UTF8.self) }
}

/// Bytes of a packet.
func bytes(_ count: Int, _ encode: (inout OutputSpan<UInt8>) -> Void) -> [UInt8] {
  [UInt8](capacity: count) { encode(&$0) }
}

/// A blocking MQTT client that does what the test says and nothing by itself.
final class Client {
  let peer: Peer
  let version: ProtocolVersion
  private var buffer: [UInt8] = []
  private var offset = 0
  private var nextID: UInt16 = 1

  init(
    port: UInt16, version: ProtocolVersion = .v5, receiveBuffer: Int32 = 0, seconds: Int = 5
  ) throws {
    peer = try Peer(port: port, receiveBuffer: receiveBuffer, seconds: seconds)
    self.version = version
  }

  /// A client on a socket that is connected already.
  init(_ peer: Peer, version: ProtocolVersion = .v5) {
    self.peer = peer
    self.version = version
  }

  // MARK: Reading

  /// The next packet; nil at the end of the stream.
  func next() throws -> Incoming? {
    while true {
      if case .packet(let header) = try frame() {
        let packet = Array(buffer[offset..<(offset + header.totalLength)])
        offset += header.totalLength
        if offset == buffer.count || offset > 262_144 {
          buffer.removeFirst(offset)
          offset = 0
        }
        return Incoming(header: header, bytes: packet)
      }
      let more = try peer.receive(upTo: 262_144)
      guard !more.isEmpty else {
        guard offset == buffer.count else { throw TestFailure("the stream ends in a packet") }
        return nil
      }
      buffer += more
    }
  }

  private func frame() throws -> Frame {
    let bytes = buffer
    return try decodeFrame(
      bytes.span, from: offset, maximumPacketSize: maximumPossiblePacketSize, version: version)
  }

  /// The next packet, which must be of this type.
  func expect(_ type: PacketType) throws -> Incoming {
    guard let packet = try next() else { throw TestFailure("the end instead of \(type)") }
    guard packet.type == type else { throw TestFailure("\(packet) instead of \(type)") }
    return packet
  }

  /// The next packet, which must be a PUBLISH.
  func message() throws -> Message {
    let packet = try expect(.publish)
    let publish = try Publish.decode(packet.bytes.span, header: packet.header, version: version)
    return Message(
      topic: String(decoding: packet.bytes[publish.topic.range], as: UTF8.self),
      payload: Array(packet.bytes[publish.payload.range]), qos: publish.qos, retain: publish.retain,
      dup: publish.dup, packetID: publish.packetID)
  }

  /// Messages of which each is acknowledged once they are all here, up to PUBCOMP.
  func messages(_ count: Int) throws -> [Message] {
    var messages: [Message] = []
    for _ in 0..<count { messages.append(try message()) }
    for message in messages { try acknowledge(message) }
    return messages
  }

  /// Acknowledges a message to the end.
  func acknowledge(_ message: Message) throws {
    switch message.qos {
    case .atMostOnce: break
    case .atLeastOnce: try send(ack(.pubAck, message.packetID))
    case .exactlyOnce:
      try send(ack(.pubRec, message.packetID))
      _ = try expect(.pubRel)
      try send(ack(.pubComp, message.packetID))
    }
  }

  /// Whether the stream ends without another packet.
  func isAtEnd() throws -> Bool { try next() == nil }

  // MARK: Writing

  func send(_ bytes: [UInt8]) throws { try peer.send(bytes) }

  func ack(_ type: PacketType, _ packetID: UInt16) -> [UInt8] {
    let version = version
    return bytes(encodedAckCount(reason: .success, version: version)) {
      encodeAck(type: type, packetID: packetID, reason: .success, version: version, into: &$0)
    }
  }

  func newID() -> UInt16 {
    defer { nextID = nextID == 65_535 ? 1 : nextID + 1 }
    return nextID
  }

  /// Sends CONNECT and gives CONNACK, whatever its reason.
  @discardableResult
  func connect(
    _ id: String, clean: Bool = true, keepAlive: UInt16 = 0,
    _ adjust: (inout ConnectPacket) -> Void = { _ in }
  ) throws -> ConnAck {
    try sendConnect(id, clean: clean, keepAlive: keepAlive, adjust)
    let answer = try expect(.connAck)
    return try ConnAck.decode(answer.bytes.span, header: answer.header, version: version)
  }

  func sendConnect(
    _ id: String, clean: Bool = true, keepAlive: UInt16 = 0,
    _ adjust: (inout ConnectPacket) -> Void = { _ in }
  ) throws {
    var packet = ConnectPacket(
      version: version, clientID: Array(id.utf8), cleanStart: clean, keepAlive: keepAlive)
    adjust(&packet)
    try send(bytes(packet.encodedCount) { packet.encode(into: &$0) })
  }

  /// Subscribes and gives the reason codes.
  @discardableResult
  func subscribe(_ filters: String..., qos: QoS = .atLeastOnce) throws -> [UInt8] {
    let packet = SubscribePacket(
      packetID: newID(),
      filters: filters.map { SubscribePacket.Filter(Array($0.utf8), SubscriptionOptions(qos: qos)) }
    )
    try send(bytes(packet.encodedCount(version)) { packet.encode(version, into: &$0) })
    let answer = try expect(.subAck)
    let subAck = try SubAck.decode(answer.bytes.span, header: answer.header, version: version)
    return Array(answer.bytes[subAck.reasons.range])
  }

  /// A PUBLISH on the wire.
  func publishBytes(
    _ topic: String, _ payload: [UInt8], qos: QoS = .atLeastOnce, retain: Bool = false,
    packetID: UInt16? = nil
  ) -> [UInt8] {
    let id = qos == .atMostOnce ? 0 : packetID ?? newID()
    let header = PublishHeader(version: version, qos: qos, retain: retain, packetID: id)
    let topic = Array(topic.utf8)
    let layout = header.layout(topicCount: topic.count, payloadCount: payload.count)
    return bytes(layout.totalCount) {
      encodePublish(header, topic: topic.span, payload: payload.span, into: &$0)
    }
  }

  /// Publishes at QoS 1, and gives the reason of PUBACK.
  @discardableResult
  func publish(_ topic: String, _ text: String, retain: Bool = false) throws -> ReasonCode {
    try send(publishBytes(topic, Array(text.utf8), retain: retain))
    return try pubAck()
  }

  /// The reason of a PUBACK, which must be next.
  func pubAck() throws -> ReasonCode {
    let answer = try expect(.pubAck)
    return try Acknowledgement.decode(answer.bytes.span, header: answer.header, version: version)
      .reason
  }

  /// PINGREQ and PINGRESP with nothing between them.
  func ping() throws {
    try send([0xC0, 0])
    _ = try expect(.pingResp)
  }

  /// The reason of a DISCONNECT, which must be next, with the end behind it.
  func goodbye() throws -> ReasonCode {
    let packet = try expect(.disconnect)
    guard try isAtEnd() else { throw TestFailure("something follows DISCONNECT") }
    return try Disconnect.decode(packet.bytes.span, header: packet.header, version: version).reason
  }

  /// DISCONNECT, and waits for the end.
  func disconnect() throws {
    try send([0xE0, 0])
    guard try isAtEnd() else { throw TestFailure("something follows our DISCONNECT") }
  }
}
