import Util

/// A CONNECT to be encoded. What only MQTT 5 knows is left out before it.
public struct ConnectPacket: Sendable {
  /// The protocol version that the packet is for.
  public var version: ProtocolVersion
  /// Clean Start of MQTT 5, Clean Session before it.
  public var cleanStart: Bool
  /// Seconds; 0 turns the mechanism off.
  public var keepAlive: UInt16
  /// UTF-8; may be empty.
  public var clientID: [UInt8]
  /// What to publish if the connection breaks, or nil.
  public var will: Will?
  /// UTF-8.
  public var userName: [UInt8]?
  /// Before MQTT 5 only together with a user name.
  public var password: [UInt8]?
  /// Seconds.
  public var sessionExpiryInterval: UInt32?
  /// 1 to 65,535.
  public var receiveMaximum: UInt16?
  /// Bytes, at least 1.
  public var maximumPacketSize: UInt32?
  /// The highest topic alias that the client takes; nil stands for 0.
  public var topicAliasMaximum: UInt16?
  /// Whether the client wants response information.
  public var requestResponseInformation: Bool?
  /// Whether the client wants reason strings and user properties on failures.
  public var requestProblemInformation: Bool?
  /// UTF-8.
  public var authenticationMethod: [UInt8]?
  /// What the method defines, or nil; any bytes.
  public var authenticationData: [UInt8]?
  /// Encoded by `appendUserProperty`.
  public var userProperties: [UInt8] = []

  /// A will to be encoded.
  public struct Will: Sendable {
    /// The QoS of the message.
    public var qos: QoS
    /// The RETAIN flag of the message.
    public var retain: Bool
    /// A topic name.
    public var topic: [UInt8]
    /// The body of the message; any bytes, may be empty.
    public var payload: [UInt8]
    /// Seconds.
    public var delayInterval: UInt32?
    /// Seconds.
    public var messageExpiryInterval: UInt32?
    /// Encoded properties that are forwarded with the message, in any order.
    public var forwardedProperties: [UInt8] = []

    /// A will without properties; set those that are wanted.
    public init(qos: QoS, retain: Bool, topic: [UInt8], payload: [UInt8]) {
      self.qos = qos
      self.retain = retain
      self.topic = topic
      self.payload = payload
    }

    fileprivate var propertiesCount: Int {
      propertyCount(delayInterval, 5) + propertyCount(messageExpiryInterval, 5)
        + forwardedProperties.count
    }
  }

  /// A CONNECT without will, credentials and properties; set those that are wanted.
  public init(
    version: ProtocolVersion, clientID: [UInt8], cleanStart: Bool = true, keepAlive: UInt16 = 0
  ) {
    self.version = version
    self.clientID = clientID
    self.cleanStart = cleanStart
    self.keepAlive = keepAlive
  }

  private var propertiesCount: Int {
    var count = userProperties.count
    count += propertyCount(sessionExpiryInterval, 5)
    count += propertyCount(receiveMaximum, 3)
    count += propertyCount(maximumPacketSize, 5)
    count += propertyCount(topicAliasMaximum, 3)
    count += propertyCount(requestResponseInformation, 2)
    count += propertyCount(requestProblemInformation, 2)
    count += propertyCount(authenticationMethod)
    count += propertyCount(authenticationData)
    return count
  }

  private var remaining: Int {
    // The protocol name, the level, the flags and the keep alive: MQIsdp is two bytes longer.
    var count = (version == .v3_1 ? 12 : 10) + 2 + clientID.count
    if version.hasProperties {
      let properties = propertiesCount
      count += variableByteCount(properties) + properties
    }
    if let will {
      count += 4 + will.topic.count + will.payload.count
      if version.hasProperties {
        let properties = will.propertiesCount
        count += variableByteCount(properties) + properties
      }
    }
    if let userName { count += 2 + userName.count }
    if let password { count += 2 + password.count }
    return count
  }

  private var flags: UInt8 {
    var flags: UInt8 = cleanStart ? 0x02 : 0
    if let will { flags |= 0x04 | will.qos.rawValue << 3 | (will.retain ? 0x20 : 0) }
    if password != nil { flags |= 0x40 }
    if userName != nil { flags |= 0x80 }
    return flags
  }

  /// Bytes of the packet.
  public var encodedCount: Int { packetCount(remaining: remaining) }

  /// Writes the packet; `out` must have `encodedCount` bytes of capacity left.
  public func encode(into out: inout OutputSpan<UInt8>) {
    out.append(fixedHeader: .connect, remaining: remaining)
    let name: StaticString = version == .v3_1 ? "MQIsdp" : "MQTT"
    out.append(uint16: UInt16(name.utf8CodeUnitCount))
    for byte in name.description.utf8 { out.append(byte) }
    out.append(version.rawValue)
    out.append(flags)
    out.append(uint16: keepAlive)
    if version.hasProperties {
      out.append(variable: propertiesCount)
      out.append(.sessionExpiryInterval, uint32: sessionExpiryInterval)
      out.append(.receiveMaximum, uint16: receiveMaximum)
      out.append(.maximumPacketSize, uint32: maximumPacketSize)
      out.append(.topicAliasMaximum, uint16: topicAliasMaximum)
      out.append(.requestResponseInformation, flag: requestResponseInformation)
      out.append(.requestProblemInformation, flag: requestProblemInformation)
      out.append(.authenticationMethod, bytes: authenticationMethod)
      out.append(.authenticationData, bytes: authenticationData)
      out.append(copying: userProperties.span)
    }
    out.append(counted: clientID.span)
    if let will { encode(will, into: &out) }
    if let userName { out.append(counted: userName.span) }
    if let password { out.append(counted: password.span) }
  }

  private func encode(_ will: Will, into out: inout OutputSpan<UInt8>) {
    if version.hasProperties {
      out.append(variable: will.propertiesCount)
      out.append(.willDelayInterval, uint32: will.delayInterval)
      out.append(.messageExpiryInterval, uint32: will.messageExpiryInterval)
      out.append(copying: will.forwardedProperties.span)
    }
    out.append(counted: will.topic.span)
    out.append(counted: will.payload.span)
  }
}
