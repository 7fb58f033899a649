import Packet
import Testing
import Util

@testable import Client

/// A server's side of a conversation with a session, without a network.
struct Conversation {
  var session: ClientSession
  /// What the session sent and nobody looked at.
  var out: [UInt8] = []

  init(_ version: ProtocolVersion = .v3_1_1, _ adjust: (inout ConnectPacket) -> Void = { _ in }) {
    var packet = ConnectPacket(version: version, clientID: Array("c".utf8))
    adjust(&packet)
    session = ClientSession(packet)
  }

  /// Gives bytes of the server to the session.
  @discardableResult
  mutating func give(_ bytes: [UInt8]) throws -> ClientEvent? {
    let frame = try decodeFrame(
      bytes.span, from: 0, maximumPacketSize: maximumPossiblePacketSize, version: session.version)
    guard case .packet(let header) = frame, header.totalLength == bytes.count else {
      Issue.record("not one packet: \(bytes)")
      return nil
    }
    return try session.receive(bytes.span, header, into: &out)
  }

  /// Connects; the answer has these properties.
  mutating func connect(present: Bool = false, properties: [UInt8] = []) throws {
    session.connect(into: &out)
    _ = take()
    let rest = session.version == .v5 ? [UInt8(properties.count)] + properties : []
    let event = try give([0x20, UInt8(2 + rest.count), present ? 1 : 0, 0] + rest)
    #expect(event == .connected(sessionPresent: present))
  }

  /// What the session sent since the last look.
  mutating func take() -> [UInt8] {
    defer { out = [] }
    return out
  }
}

func message(_ topic: String, _ payload: String, _ qos: QoS) -> OutgoingMessage {
  OutgoingMessage(topic: Array(topic.utf8), payload: Array(payload.utf8), qos: qos)
}

/// A PUBLISH to topic `t` with payload `p` as a server sends it.
func publish(_ qos: UInt8, id: UInt8 = 0, dup: Bool = false) -> [UInt8] {
  let identifier = qos == 0 ? [] : [0, id]
  return [0x30 | qos << 1 | (dup ? 8 : 0), UInt8(4 + identifier.count), 0, 1, 0x74] + identifier
    + [0x70]
}
