import Packet
import Util

/// A client's side of MQTT: what it sent and is owed, without any I/O. It is given the server's
/// packets and appends its own to a buffer; the caller moves the bytes.
///
/// It outlives a connection: after `connectionLost` a new `connect` repeats what the server has not
/// acknowledged, if the server still has the session [MQTT-4.4.0-1].
public struct ClientSession {
  /// Where the connection is.
  public enum Phase: Sendable {
    /// There is none.
    case idle
    /// CONNECT was sent.
    case connecting
    /// The server took the client.
    case connected
    /// DISCONNECT was sent or received.
    case ended
  }

  /// A request that the server has not answered.
  enum Request {
    case publish(OutgoingMessage)
    /// PUBREL was sent, PUBCOMP is awaited.
    case release
    case subscribe
    case unsubscribe
  }

  /// What the client says in its CONNECT. The version cannot be changed during a connection.
  public var options: ConnectPacket
  /// Where the connection is.
  public internal(set) var phase = Phase.idle
  /// Seconds without a packet after which a ping is due: the server's wish before the client's own
  /// [MQTT-3.2.2-21]. 0 for none.
  public internal(set) var keepAlive: UInt16

  // What the server allows; all that the standard does, until CONNACK.
  var receiveMaximum: UInt16 = 65_535
  var maximumQoS = QoS.exactlyOnce
  var retainAvailable = true
  var maximumPacketSize = maximumPossiblePacketSize
  var topicAliasMaximum: UInt16 = 0

  var nextPacketID: UInt16 = 1
  /// Requests under way, by packet identifier.
  var requests: [UInt16: Request] = [:]
  /// Packet identifiers of messages in the order in which they were sent, for repeating them in
  /// that order [MQTT-4.6.0-1].
  var publishOrder: [UInt16] = []
  /// Messages under way that count against the server's receive maximum.
  var inflight = 0
  /// Messages that wait for the server's receive maximum, from `waitingHead` on.
  var waiting: [OutgoingMessage] = []
  var waitingHead = 0
  /// QoS 2 messages that were received and not released [MQTT-4.3.3-10].
  var unreleased: Set<UInt16> = []
  /// Topics that the server gave a number to, during this connection.
  var aliases: [UInt16: [UInt8]] = [:]

  /// A session that has not begun.
  public init(_ options: ConnectPacket) {
    self.options = options
    keepAlive = options.keepAlive
  }

  /// The protocol version that the client speaks.
  public var version: ProtocolVersion { options.version }

  /// Messages of QoS 1 and 2 that the server has not acknowledged, those that wait included.
  public var unacknowledgedCount: Int { inflight + waiting.count - waitingHead }

  /// Begins a connection.
  public mutating func connect(into out: inout [UInt8]) {
    phase = .connecting
    keepAlive = options.keepAlive
    aliases.removeAll()
    out += Encoded.connect(options)
  }

  /// The connection has ended without the session having said so.
  public mutating func connectionLost() {
    phase = .idle
  }

  /// Ends the connection in good order; with a reason other than the normal one, the will may be
  /// published (3.14.2.1).
  public mutating func disconnect(
    _ packet: DisconnectPacket = DisconnectPacket(), into out: inout [UInt8]
  ) {
    guard phase == .connected else { return }
    phase = .ended
    out += Encoded.disconnect(packet, version)
  }

  /// Asks the server for a sign of life.
  public mutating func ping(into out: inout [UInt8]) {
    if phase == .connected { out += Encoded.ping() }
  }

  /// An identifier that no request under way has.
  mutating func makePacketID() throws(ClientError) -> UInt16 {
    guard requests.count < 65_535 else { throw .noPacketID }
    while true {
      let id = nextPacketID
      nextPacketID = id == .max ? 1 : id + 1
      if requests[id] == nil { return id }
    }
  }
}
