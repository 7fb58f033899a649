import Util

/// A CONNACK packet. Ranges count from the packet's first byte.
public struct ConnAck: Equatable, Sendable, BitwiseCopyable {
  /// Whether the server has kept a session of this client.
  public var sessionPresent: Bool
  /// The reason code; before MQTT 5 the one that means what the return code says.
  public var reason: ReasonCode
  /// Seconds; nil if the server keeps what the client asked for.
  public var sessionExpiryInterval: UInt32?
  /// How many QoS 1 and 2 messages the server takes unacknowledged: 1 to 65,535.
  public var receiveMaximum: UInt16 = 65_535
  /// The highest QoS that the server takes.
  public var maximumQoS: QoS = .exactlyOnce
  /// Whether the server keeps retained messages.
  public var retainAvailable = true
  /// Bytes of the largest packet that the server takes; 0 if it named no limit.
  public var maximumPacketSize: UInt32 = 0
  /// The client identifier that the server chose.
  public var assignedClientIdentifier: ByteRange?
  /// The highest topic alias that the server takes; 0 for none.
  public var topicAliasMaximum: UInt16 = 0
  /// Text for people, or nil; UTF-8.
  public var reasonString: ByteRange?
  /// Whether the server takes filters with wildcards.
  public var wildcardSubscriptionAvailable = true
  /// Whether the server takes subscription identifiers.
  public var subscriptionIdentifiersAvailable = true
  /// Whether the server has shared subscriptions.
  public var sharedSubscriptionAvailable = true
  /// Seconds; the client must use it instead of its own.
  public var serverKeepAlive: UInt16?
  /// What to build response topics from, or nil; UTF-8.
  public var responseInformation: ByteRange?
  /// Where else to connect to, or nil; UTF-8.
  public var serverReference: ByteRange?
  /// The name of the method, or nil; UTF-8.
  public var authenticationMethod: ByteRange?
  /// What the method defines, or nil; any bytes.
  public var authenticationData: ByteRange?
  /// The whole block of properties, without its length.
  public var properties = ByteRange(offset: 0, count: 0)

  /// A cursor over the user properties.
  public func userProperties() -> UserPropertyCursor { UserPropertyCursor(block: properties) }

  /// Decodes a CONNACK.
  ///
  /// - Parameters:
  ///   - packet: Bytes from the packet's first one; must hold the whole packet.
  ///   - header: What `decodeFrame` found there.
  ///   - version: The version that the CONNECT named.
  public static func decode(
    _ packet: Span<UInt8>, header: FixedHeader, version: ProtocolVersion
  ) throws(DecodeError) -> ConnAck {
    var reader = PacketReader(packet, header: header)
    let flags = try reader.readByte()
    // MQTT 3.1 knows no flags here, and reserves the whole byte.
    guard flags & 0xFE == 0, flags == 0 || version > .v3_1 else { throw .connAckFlags }
    let code = try reader.readByte()
    var reason = ReasonCode(rawValue: code)
    if version.hasProperties {
      guard reason.isAllowedInConnAck else { throw .reasonCodeNotAllowed }
    } else {
      guard let old = ConnectReturnCode(rawValue: code) else { throw .reasonCodeNotAllowed }
      reason = old.reason
    }
    guard flags == 0 || !reason.isError else { throw .sessionPresentWithError }
    var connAck = ConnAck(sessionPresent: flags == 1, reason: reason)
    if version.hasProperties {
      connAck.properties = try reader.readPropertyBlock()
      try connAck.decodeProperties(packet)
    }
    try reader.expectEnd()
    return connAck
  }

  init(sessionPresent: Bool, reason: ReasonCode) {
    self.sessionPresent = sessionPresent
    self.reason = reason
  }

  /// Reads the properties (3.2.2.3).
  private mutating func decodeProperties(_ packet: Span<UInt8>) throws(DecodeError) {
    var reader = PropertyReader(packet, block: properties, allowed: .connAck)
    while let property = try reader.next() {
      switch property.id {
      case .sessionExpiryInterval: sessionExpiryInterval = property.number
      case .receiveMaximum: receiveMaximum = UInt16(truncatingIfNeeded: property.number)
      case .maximumQoS: maximumQoS = property.number == 0 ? .atMostOnce : .atLeastOnce
      case .retainAvailable: retainAvailable = property.number == 1
      case .maximumPacketSize: maximumPacketSize = property.number
      case .assignedClientIdentifier: assignedClientIdentifier = property.range
      case .topicAliasMaximum: topicAliasMaximum = UInt16(truncatingIfNeeded: property.number)
      case .reasonString: reasonString = property.range
      case .wildcardSubscriptionAvailable: wildcardSubscriptionAvailable = property.number == 1
      case .subscriptionIdentifierAvailable:
        subscriptionIdentifiersAvailable = property.number == 1
      case .sharedSubscriptionAvailable: sharedSubscriptionAvailable = property.number == 1
      case .serverKeepAlive: serverKeepAlive = UInt16(truncatingIfNeeded: property.number)
      case .responseInformation: responseInformation = property.range
      case .serverReference: serverReference = property.range
      case .authenticationMethod: authenticationMethod = property.range
      case .authenticationData: authenticationData = property.range
      default: break
      }
    }
  }
}
