/// Why a packet can't be accepted.
///
/// One byte, so that throwing costs no allocation. `reason` is the one place where a fault becomes
/// a reason code; `message` and `clause` are for the log, and a case's own name for a counter.
public enum DecodeError: UInt8, Error, Sendable, BitwiseCopyable, CaseIterable {
  // Framing.
  case reservedPacketType
  case reservedFlags
  case remainingLengthMalformed
  case packetTooLarge
  case bodyNotEmpty
  // Fields of any packet.
  case truncated
  case trailingBytes
  case variableByteIntegerMalformed
  case invalidUTF8
  case nulCharacter
  case packetIdentifierZero
  case reasonCodeNotAllowed
  case notInThisVersion
  // Properties.
  case unknownProperty
  case propertyNotAllowed
  case duplicateProperty
  case propertyValueOutOfRange
  case propertyLengthOutOfRange
  // CONNECT and CONNACK.
  case protocolNameUnknown
  case protocolLevelUnsupported
  case connectReservedFlag
  case willFlagsWithoutWill
  case willQoSOutOfRange
  case passwordWithoutUserName
  case authenticationDataWithoutMethod
  case connAckFlags
  case sessionPresentWithError
  // PUBLISH.
  case publishQoSOutOfRange
  case duplicateFlagAtQoS0
  case topicEmpty
  case topicHasWildcard
  case topicMissing
  case topicAliasZero
  case responseTopicInvalid
  // SUBSCRIBE, UNSUBSCRIBE and their answers.
  case noTopicFilter
  case subscriptionOptionsReserved
  case subscriptionQoSOutOfRange
  case retainHandlingOutOfRange
  case noLocalOnSharedSubscription
  case noReasonCode
  // AUTH.
  case authenticationMethodMissing
}

extension DecodeError {
  /// The reason code of MQTT 5 for CONNACK or DISCONNECT; before MQTT 5 the connection is closed.
  public var reason: ReasonCode {
    switch self {
    case .reservedPacketType, .reservedFlags, .remainingLengthMalformed, .bodyNotEmpty, .truncated,
      .trailingBytes, .variableByteIntegerMalformed, .invalidUTF8, .nulCharacter,
      .unknownProperty, .propertyNotAllowed, .propertyLengthOutOfRange, .connectReservedFlag,
      .willFlagsWithoutWill, .willQoSOutOfRange, .passwordWithoutUserName, .connAckFlags,
      .publishQoSOutOfRange, .duplicateFlagAtQoS0, .subscriptionOptionsReserved:
      .malformedPacket
    case .packetIdentifierZero, .reasonCodeNotAllowed, .notInThisVersion, .duplicateProperty,
      .propertyValueOutOfRange, .authenticationDataWithoutMethod, .sessionPresentWithError,
      .topicMissing, .responseTopicInvalid, .noTopicFilter, .subscriptionQoSOutOfRange,
      .retainHandlingOutOfRange, .noLocalOnSharedSubscription, .noReasonCode,
      .authenticationMethodMissing:
      .protocolError
    case .packetTooLarge: .packetTooLarge
    case .protocolNameUnknown, .protocolLevelUnsupported: .unsupportedProtocolVersion
    case .topicEmpty, .topicHasWildcard: .topicNameInvalid
    case .topicAliasZero: .topicAliasInvalid
    }
  }

  /// The statement of the standard that was not kept.
  public var clause: StaticString {
    switch self {
    case .reservedPacketType: "2.1.2"
    case .reservedFlags: "MQTT-2.1.3-1"
    case .remainingLengthMalformed: "2.1.4"
    case .packetTooLarge: "MQTT-3.2.2-15"
    case .bodyNotEmpty: "3.12.1"
    case .truncated: "4.13.1"
    case .trailingBytes: "4.13.1"
    case .variableByteIntegerMalformed: "MQTT-1.5.5-1"
    case .invalidUTF8: "MQTT-1.5.4-1"
    case .nulCharacter: "MQTT-1.5.4-2"
    case .packetIdentifierZero: "MQTT-2.2.1-3"
    case .reasonCodeNotAllowed: "2.4"
    case .notInThisVersion: "2.1.2"
    case .unknownProperty: "2.2.2.2"
    case .propertyNotAllowed: "2.2.2.2"
    case .duplicateProperty: "2.2.2.2"
    case .propertyValueOutOfRange: "2.2.2.2"
    case .propertyLengthOutOfRange: "2.2.2.1"
    case .protocolNameUnknown: "MQTT-3.1.2-1"
    case .protocolLevelUnsupported: "MQTT-3.1.2-2"
    case .connectReservedFlag: "MQTT-3.1.2-3"
    case .willFlagsWithoutWill: "MQTT-3.1.2-11"
    case .willQoSOutOfRange: "MQTT-3.1.2-12"
    case .passwordWithoutUserName: "MQTT-3.1.2-22 (3.1.1)"
    case .authenticationDataWithoutMethod: "3.1.2.11.10"
    case .connAckFlags: "MQTT-3.2.2-1"
    case .sessionPresentWithError: "MQTT-3.2.2-6"
    case .publishQoSOutOfRange: "MQTT-3.3.1-4"
    case .duplicateFlagAtQoS0: "MQTT-3.3.1-2"
    case .topicEmpty: "MQTT-4.7.3-1"
    case .topicHasWildcard: "MQTT-3.3.2-2"
    case .topicMissing: "3.3.2.1"
    case .topicAliasZero: "MQTT-3.3.2-8"
    case .responseTopicInvalid: "MQTT-3.3.2-14"
    case .noTopicFilter: "MQTT-3.8.3-2"
    case .subscriptionOptionsReserved: "MQTT-3.8.3-5"
    case .subscriptionQoSOutOfRange: "3.8.3.1"
    case .retainHandlingOutOfRange: "3.8.3.1"
    case .noLocalOnSharedSubscription: "MQTT-3.8.3-4"
    case .noReasonCode: "MQTT-3.8.4-6"
    case .authenticationMethodMissing: "3.15.2.2.2"
    }
  }

  /// One line for the log; it has no variable part, so that logging it allocates nothing.
  public var message: StaticString {
    switch self {
    case .reservedPacketType: "packet type 0 is reserved"
    case .reservedFlags: "reserved flags of the fixed header are not as required"
    case .remainingLengthMalformed: "remaining length is not a minimal integer of 1 to 4 bytes"
    case .packetTooLarge: "packet is larger than the maximum packet size"
    case .bodyNotEmpty: "packet of this type has no body"
    case .truncated: "a field runs past the end of the packet or its block"
    case .trailingBytes: "bytes are left after the last field"
    case .variableByteIntegerMalformed: "not a minimal variable byte integer of 1 to 4 bytes"
    case .invalidUTF8: "string is not well-formed UTF-8"
    case .nulCharacter: "string contains U+0000"
    case .packetIdentifierZero: "packet identifier is 0"
    case .reasonCodeNotAllowed: "reason code is not one of this packet's"
    case .notInThisVersion: "packet type is not in this protocol version"
    case .unknownProperty: "property identifier is unknown"
    case .propertyNotAllowed: "property is not one of this packet's"
    case .duplicateProperty: "property appears more than once"
    case .propertyValueOutOfRange: "property has a value that is not allowed"
    case .propertyLengthOutOfRange: "property length runs past the end of the packet"
    case .protocolNameUnknown: "protocol name is not MQTT or MQIsdp"
    case .protocolLevelUnsupported: "protocol level is not supported"
    case .connectReservedFlag: "reserved connect flag is set"
    case .willFlagsWithoutWill: "will QoS or will retain is set without a will"
    case .willQoSOutOfRange: "will QoS is 3"
    case .passwordWithoutUserName: "password without a user name"
    case .authenticationDataWithoutMethod: "authentication data without a method"
    case .connAckFlags: "reserved acknowledge flags are set"
    case .sessionPresentWithError: "session present with a refusal"
    case .publishQoSOutOfRange: "QoS is 3"
    case .duplicateFlagAtQoS0: "DUP is set at QoS 0"
    case .topicEmpty: "topic name is empty"
    case .topicHasWildcard: "topic name contains a wildcard"
    case .topicMissing: "neither topic name nor topic alias"
    case .topicAliasZero: "topic alias is 0"
    case .responseTopicInvalid: "response topic is empty or contains a wildcard"
    case .noTopicFilter: "no topic filter"
    case .subscriptionOptionsReserved: "reserved subscription options are set"
    case .subscriptionQoSOutOfRange: "requested QoS is 3"
    case .retainHandlingOutOfRange: "retain handling is 3"
    case .noLocalOnSharedSubscription: "no local on a shared subscription"
    case .noReasonCode: "no reason code"
    case .authenticationMethodMissing: "authentication method is missing"
    }
  }
}
