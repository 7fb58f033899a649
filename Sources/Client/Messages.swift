import Packet

/// A message to be published.
public struct OutgoingMessage: Sendable {
  /// A topic name; empty only with an alias.
  public var topic: [UInt8]
  /// Any bytes; may be empty.
  public var payload: [UInt8]
  /// The quality of service to publish with.
  public var qos: QoS
  /// Whether the server is to keep it.
  public var retain: Bool
  /// Seconds until it expires; nil for never. Left out before MQTT 5, as what follows is.
  public var expiryInterval: UInt32?
  /// 1 to 65,535; 0 for none.
  public var topicAlias: UInt16 = 0
  /// Encoded properties that are forwarded with the message; see `NamedProperties`.
  public var forwardedProperties: [UInt8] = []

  /// A message without properties; set those that are wanted.
  public init(topic: [UInt8], payload: [UInt8], qos: QoS = .atMostOnce, retain: Bool = false) {
    self.topic = topic
    self.payload = payload
    self.qos = qos
    self.retain = retain
  }

  /// The header of its PUBLISH.
  func header(_ version: ProtocolVersion, packetID: UInt16) -> PublishHeader {
    PublishHeader(
      version: version, qos: qos, retain: retain, packetID: packetID,
      messageExpiryInterval: expiryInterval, topicAlias: topicAlias)
  }
}

/// A message that arrived.
public struct IncomingMessage: Sendable, Equatable {
  /// The topic name, also where the server sent an alias for it.
  public var topic: [UInt8]
  /// Any bytes.
  public var payload: [UInt8]
  /// The quality of service with which it was sent here.
  public var qos: QoS
  /// Whether it was kept by the server, or the subscription asked for the flag of its publisher.
  public var retain: Bool
  /// Whether it may have been sent before.
  public var dup: Bool
}

/// What a packet from the server means to the program.
public enum ClientEvent: Sendable, Equatable {
  /// The server took the client. `sessionPresent`: it still has what was subscribed to before.
  case connected(sessionPresent: Bool)
  /// The server did not take the client, and ends the connection.
  case refused(ReasonCode, String)
  /// A message of a subscription.
  case message(IncomingMessage)
  /// The server has a published message, or an error says that it does not want it.
  case published(packetID: UInt16, ReasonCode)
  /// Answers to the filters of a SUBSCRIBE, in their order.
  case subscribed(packetID: UInt16, [ReasonCode])
  /// Answers to the filters of an UNSUBSCRIBE, in their order; empty before MQTT 5.
  case unsubscribed(packetID: UInt16, [ReasonCode])
  /// The server is there.
  case pong
  /// The server ends the connection, and says why.
  case disconnected(ReasonCode, String)
}

/// Why a client cannot go on, or cannot send what it was asked to.
public enum ClientError: Error, Sendable, Equatable {
  /// The server sent what is no packet, or one with a fault.
  case malformed(DecodeError)
  /// The server sent a packet that has no place here.
  case unexpected(PacketType)
  /// The program asked for something that the server or the standard does not allow.
  case notAllowed(String)
  /// All 65,535 packet identifiers are in use.
  case noPacketID
}

extension ClientError: CustomStringConvertible {
  /// One line without a full stop.
  public var description: String {
    switch self {
    case .malformed(let error): "the server broke the protocol: \(error.message)"
    case .unexpected(let type): "the server sent a packet out of turn: \(type)"
    case .notAllowed(let what): what
    case .noPacketID: "all packet identifiers are in use"
    }
  }
}
