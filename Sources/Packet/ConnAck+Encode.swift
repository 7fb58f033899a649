import Util

/// A CONNACK to be encoded. Before MQTT 5 only `sessionPresent` and `reason` are written.
public struct ConnAckPacket: Sendable {
  /// Written as false with a refusal [MQTT-3.2.2-6], and in MQTT 3.1, which doesn't know it.
  public var sessionPresent: Bool
  /// Before MQTT 5 it becomes the return code that comes nearest.
  public var reason: ReasonCode
  /// Seconds; nil if the client's own holds.
  public var sessionExpiryInterval: UInt32?
  /// 1 to 65,535; nil stands for 65,535.
  public var receiveMaximum: UInt16?
  /// nil and `exactlyOnce` are both left out: there is no other way to write QoS 2.
  public var maximumQoS: QoS?
  /// nil stands for true, as with each flag here.
  public var retainAvailable: Bool?
  /// Bytes, at least 1; nil for no limit.
  public var maximumPacketSize: UInt32?
  /// UTF-8.
  public var assignedClientIdentifier: [UInt8]?
  /// nil stands for 0.
  public var topicAliasMaximum: UInt16?
  /// UTF-8.
  public var reasonString: [UInt8]?
  /// Whether the server takes filters with wildcards.
  public var wildcardSubscriptionAvailable: Bool?
  /// Whether the server takes subscription identifiers.
  public var subscriptionIdentifiersAvailable: Bool?
  /// Whether the server has shared subscriptions.
  public var sharedSubscriptionAvailable: Bool?
  /// Seconds; nil if the client's own holds.
  public var serverKeepAlive: UInt16?
  /// UTF-8.
  public var responseInformation: [UInt8]?
  /// UTF-8.
  public var serverReference: [UInt8]?
  /// UTF-8.
  public var authenticationMethod: [UInt8]?
  /// What the method defines, or nil; any bytes.
  public var authenticationData: [UInt8]?
  /// Encoded by `appendUserProperty`.
  public var userProperties: [UInt8] = []

  /// A CONNACK without properties; set those that are wanted.
  public init(reason: ReasonCode, sessionPresent: Bool = false) {
    self.reason = reason
    self.sessionPresent = sessionPresent
  }

  /// QoS 2 can't be written: it is what the property's absence means (3.2.2.3.4).
  private var writtenMaximumQoS: QoS? { maximumQoS == .exactlyOnce ? nil : maximumQoS }

  private var propertiesCount: Int {
    var count = userProperties.count
    count += propertyCount(sessionExpiryInterval, 5)
    count += propertyCount(receiveMaximum, 3)
    count += propertyCount(writtenMaximumQoS, 2)
    count += propertyCount(retainAvailable, 2)
    count += propertyCount(maximumPacketSize, 5)
    count += propertyCount(assignedClientIdentifier)
    count += propertyCount(topicAliasMaximum, 3)
    count += propertyCount(reasonString)
    count += propertyCount(wildcardSubscriptionAvailable, 2)
    count += propertyCount(subscriptionIdentifiersAvailable, 2)
    count += propertyCount(sharedSubscriptionAvailable, 2)
    count += propertyCount(serverKeepAlive, 3)
    count += propertyCount(responseInformation)
    count += propertyCount(serverReference)
    count += propertyCount(authenticationMethod)
    count += propertyCount(authenticationData)
    return count
  }

  /// Bytes of the packet.
  public func encodedCount(_ version: ProtocolVersion) -> Int {
    guard version.hasProperties else { return 4 }
    let properties = propertiesCount
    return packetCount(remaining: 2 + variableByteCount(properties) + properties)
  }

  /// Writes the packet; `out` must have `encodedCount` bytes of capacity left.
  public func encode(_ version: ProtocolVersion, into out: inout OutputSpan<UInt8>) {
    let flags: UInt8 = sessionPresent && !reason.isError && version > .v3_1 ? 1 : 0
    guard version.hasProperties else {
      out.append(fixedHeader: .connAck, remaining: 2)
      out.append(flags)
      out.append(ConnectReturnCode(reason).rawValue)
      return
    }
    let properties = propertiesCount
    out.append(
      fixedHeader: .connAck, remaining: 2 + variableByteCount(properties) + properties)
    out.append(flags)
    out.append(reason.rawValue)
    out.append(variable: properties)
    out.append(.sessionExpiryInterval, uint32: sessionExpiryInterval)
    out.append(.receiveMaximum, uint16: receiveMaximum)
    out.append(.maximumQoS, byte: writtenMaximumQoS?.rawValue)
    out.append(.retainAvailable, flag: retainAvailable)
    out.append(.maximumPacketSize, uint32: maximumPacketSize)
    out.append(.assignedClientIdentifier, bytes: assignedClientIdentifier)
    out.append(.topicAliasMaximum, uint16: topicAliasMaximum)
    out.append(.reasonString, bytes: reasonString)
    out.append(.wildcardSubscriptionAvailable, flag: wildcardSubscriptionAvailable)
    out.append(.subscriptionIdentifierAvailable, flag: subscriptionIdentifiersAvailable)
    out.append(.sharedSubscriptionAvailable, flag: sharedSubscriptionAvailable)
    out.append(.serverKeepAlive, uint16: serverKeepAlive)
    out.append(.responseInformation, bytes: responseInformation)
    out.append(.serverReference, bytes: serverReference)
    out.append(.authenticationMethod, bytes: authenticationMethod)
    out.append(.authenticationData, bytes: authenticationData)
    out.append(copying: userProperties.span)
  }
}
