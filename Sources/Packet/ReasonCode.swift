/// A reason code of MQTT 5; values from 0x80 are failures.
///
/// Two names may share a value, because the standard names some values differently by packet.
public struct ReasonCode: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  /// The byte on the wire; any value, known or not.
  public var rawValue: UInt8

  /// A reason code from its byte, which may be an unknown one.
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Whether the code reports a failure.
  @inlinable public var isError: Bool { rawValue >= 0x80 }
}

extension ReasonCode {
  /// The operation succeeded (0x00).
  @inlinable public static var success: ReasonCode { ReasonCode(rawValue: 0x00) }
  /// The connection ends as planned, without the will (0x00).
  @inlinable public static var normalDisconnection: ReasonCode { ReasonCode(rawValue: 0x00) }
  /// The subscription is accepted with at most QoS 0 (0x00).
  @inlinable public static var grantedQoS0: ReasonCode { ReasonCode(rawValue: 0x00) }
  /// The subscription is accepted with at most QoS 1 (0x01).
  @inlinable public static var grantedQoS1: ReasonCode { ReasonCode(rawValue: 0x01) }
  /// The subscription is accepted with at most QoS 2 (0x02).
  @inlinable public static var grantedQoS2: ReasonCode { ReasonCode(rawValue: 0x02) }
  /// The client leaves and wants its will published (0x04).
  @inlinable public static var disconnectWithWillMessage: ReasonCode { ReasonCode(rawValue: 0x04) }
  /// The message is accepted, and nobody subscribes to its topic (0x10).
  @inlinable public static var noMatchingSubscribers: ReasonCode { ReasonCode(rawValue: 0x10) }
  /// There was no subscription to take away (0x11).
  @inlinable public static var noSubscriptionExisted: ReasonCode { ReasonCode(rawValue: 0x11) }
  /// The exchange of authentication goes on (0x18).
  @inlinable public static var continueAuthentication: ReasonCode { ReasonCode(rawValue: 0x18) }
  /// The client starts an authentication anew (0x19).
  @inlinable public static var reAuthenticate: ReasonCode { ReasonCode(rawValue: 0x19) }
  /// The sender does not say why (0x80).
  @inlinable public static var unspecifiedError: ReasonCode { ReasonCode(rawValue: 0x80) }
  /// A packet could not be parsed (0x81).
  @inlinable public static var malformedPacket: ReasonCode { ReasonCode(rawValue: 0x81) }
  /// A packet was out of order or broke a rule (0x82).
  @inlinable public static var protocolError: ReasonCode { ReasonCode(rawValue: 0x82) }
  /// The packet is valid, and this receiver does not accept it (0x83).
  @inlinable public static var implementationSpecificError: ReasonCode {
    ReasonCode(rawValue: 0x83)
  }
  /// The server does not speak the requested version (0x84).
  @inlinable public static var unsupportedProtocolVersion: ReasonCode { ReasonCode(rawValue: 0x84) }
  /// The client identifier is not allowed (0x85).
  @inlinable public static var clientIdentifierNotValid: ReasonCode { ReasonCode(rawValue: 0x85) }
  /// User name or password are wrong (0x86).
  @inlinable public static var badUserNameOrPassword: ReasonCode { ReasonCode(rawValue: 0x86) }
  /// The client may not do this (0x87).
  @inlinable public static var notAuthorized: ReasonCode { ReasonCode(rawValue: 0x87) }
  /// The server cannot serve now (0x88).
  @inlinable public static var serverUnavailable: ReasonCode { ReasonCode(rawValue: 0x88) }
  /// The server is busy; try again later (0x89).
  @inlinable public static var serverBusy: ReasonCode { ReasonCode(rawValue: 0x89) }
  /// The client is shut out by an administrator (0x8A).
  @inlinable public static var banned: ReasonCode { ReasonCode(rawValue: 0x8A) }
  /// The server is going down (0x8B).
  @inlinable public static var serverShuttingDown: ReasonCode { ReasonCode(rawValue: 0x8B) }
  /// The authentication method is unknown, or not the one in use (0x8C).
  @inlinable public static var badAuthenticationMethod: ReasonCode { ReasonCode(rawValue: 0x8C) }
  /// Nothing came for one and a half times the keep alive (0x8D).
  @inlinable public static var keepAliveTimeout: ReasonCode { ReasonCode(rawValue: 0x8D) }
  /// Another connection uses the same client identifier (0x8E).
  @inlinable public static var sessionTakenOver: ReasonCode { ReasonCode(rawValue: 0x8E) }
  /// The topic filter is well-formed, and not accepted (0x8F).
  @inlinable public static var topicFilterInvalid: ReasonCode { ReasonCode(rawValue: 0x8F) }
  /// The topic name is well-formed, and not accepted (0x90).
  @inlinable public static var topicNameInvalid: ReasonCode { ReasonCode(rawValue: 0x90) }
  /// The packet identifier is in use already (0x91).
  @inlinable public static var packetIdentifierInUse: ReasonCode { ReasonCode(rawValue: 0x91) }
  /// The packet identifier is not known (0x92).
  @inlinable public static var packetIdentifierNotFound: ReasonCode { ReasonCode(rawValue: 0x92) }
  /// More messages are in flight than the receiver takes (0x93).
  @inlinable public static var receiveMaximumExceeded: ReasonCode { ReasonCode(rawValue: 0x93) }
  /// The topic alias is 0, too large or unknown (0x94).
  @inlinable public static var topicAliasInvalid: ReasonCode { ReasonCode(rawValue: 0x94) }
  /// The packet is larger than the receiver takes (0x95).
  @inlinable public static var packetTooLarge: ReasonCode { ReasonCode(rawValue: 0x95) }
  /// Messages come too fast (0x96).
  @inlinable public static var messageRateTooHigh: ReasonCode { ReasonCode(rawValue: 0x96) }
  /// A limit of the server or its administrator is reached (0x97).
  @inlinable public static var quotaExceeded: ReasonCode { ReasonCode(rawValue: 0x97) }
  /// An administrator ends the connection (0x98).
  @inlinable public static var administrativeAction: ReasonCode { ReasonCode(rawValue: 0x98) }
  /// The payload is not what its format indicator says (0x99).
  @inlinable public static var payloadFormatInvalid: ReasonCode { ReasonCode(rawValue: 0x99) }
  /// The server keeps no retained messages (0x9A).
  @inlinable public static var retainNotSupported: ReasonCode { ReasonCode(rawValue: 0x9A) }
  /// The QoS is above what the server announced (0x9B).
  @inlinable public static var qosNotSupported: ReasonCode { ReasonCode(rawValue: 0x9B) }
  /// The client should go to another server for now (0x9C).
  @inlinable public static var useAnotherServer: ReasonCode { ReasonCode(rawValue: 0x9C) }
  /// The client should go to another server for good (0x9D).
  @inlinable public static var serverMoved: ReasonCode { ReasonCode(rawValue: 0x9D) }
  /// The server has no shared subscriptions (0x9E).
  @inlinable public static var sharedSubscriptionsNotSupported: ReasonCode {
    ReasonCode(rawValue: 0x9E)
  }
  /// Connections are opened too fast (0x9F).
  @inlinable public static var connectionRateExceeded: ReasonCode { ReasonCode(rawValue: 0x9F) }
  /// The connection was open for as long as it may (0xA0).
  @inlinable public static var maximumConnectTime: ReasonCode { ReasonCode(rawValue: 0xA0) }
  /// The server has no subscription identifiers (0xA1).
  @inlinable public static var subscriptionIdentifiersNotSupported: ReasonCode {
    ReasonCode(rawValue: 0xA1)
  }
  /// The server takes no filter with a wildcard (0xA2).
  @inlinable public static var wildcardSubscriptionsNotSupported: ReasonCode {
    ReasonCode(rawValue: 0xA2)
  }
}

extension ReasonCode: CustomStringConvertible {
  /// The name for a log, in lower case.
  public var description: String {
    switch rawValue {
    case 0x00: "success"
    case 0x01: "granted QoS 1"
    case 0x02: "granted QoS 2"
    case 0x04: "disconnect with will message"
    case 0x10: "no matching subscribers"
    case 0x11: "no subscription existed"
    case 0x18: "continue authentication"
    case 0x19: "re-authenticate"
    case 0x80: "unspecified error"
    case 0x81: "malformed packet"
    case 0x82: "protocol error"
    case 0x83: "implementation specific error"
    case 0x84: "unsupported protocol version"
    case 0x85: "client identifier not valid"
    case 0x86: "bad user name or password"
    case 0x87: "not authorized"
    case 0x88: "server unavailable"
    case 0x89: "server busy"
    case 0x8A: "banned"
    case 0x8B: "server shutting down"
    case 0x8C: "bad authentication method"
    case 0x8D: "keep alive timeout"
    case 0x8E: "session taken over"
    case 0x8F: "topic filter invalid"
    case 0x90: "topic name invalid"
    case 0x91: "packet identifier in use"
    case 0x92: "packet identifier not found"
    case 0x93: "receive maximum exceeded"
    case 0x94: "topic alias invalid"
    case 0x95: "packet too large"
    case 0x96: "message rate too high"
    case 0x97: "quota exceeded"
    case 0x98: "administrative action"
    case 0x99: "payload format invalid"
    case 0x9A: "retain not supported"
    case 0x9B: "QoS not supported"
    case 0x9C: "use another server"
    case 0x9D: "server moved"
    case 0x9E: "shared subscriptions not supported"
    case 0x9F: "connection rate exceeded"
    case 0xA0: "maximum connect time"
    case 0xA1: "subscription identifiers not supported"
    case 0xA2: "wildcard subscriptions not supported"
    default: "reason code \(rawValue)"
    }
  }
}
