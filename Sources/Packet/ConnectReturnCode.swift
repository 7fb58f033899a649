/// The return code of CONNACK in MQTT 3.1 and 3.1.1.
public enum ConnectReturnCode: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  case accepted = 0
  case unacceptableProtocolVersion = 1
  case identifierRejected = 2
  case serverUnavailable = 3
  case badUserNameOrPassword = 4
  case notAuthorized = 5

  /// The return code that tells a client of MQTT 3 what `reason` tells one of MQTT 5.
  ///
  /// MQTT 3 has few codes: a refusal without one of its own becomes `serverUnavailable` when it may
  /// pass, and `notAuthorized` when it won't.
  public init(_ reason: ReasonCode) {
    switch reason {
    case _ where !reason.isError: self = .accepted
    case .unsupportedProtocolVersion: self = .unacceptableProtocolVersion
    case .clientIdentifierNotValid: self = .identifierRejected
    case .badUserNameOrPassword, .badAuthenticationMethod: self = .badUserNameOrPassword
    case .notAuthorized, .banned, .topicNameInvalid, .payloadFormatInvalid, .retainNotSupported,
      .qosNotSupported, .packetTooLarge, .malformedPacket, .protocolError:
      self = .notAuthorized
    default: self = .serverUnavailable
    }
  }

  /// The reason code of MQTT 5 with the same meaning.
  public var reason: ReasonCode {
    switch self {
    case .accepted: .success
    case .unacceptableProtocolVersion: .unsupportedProtocolVersion
    case .identifierRejected: .clientIdentifierNotValid
    case .serverUnavailable: .serverUnavailable
    case .badUserNameOrPassword: .badUserNameOrPassword
    case .notAuthorized: .notAuthorized
    }
  }
}
