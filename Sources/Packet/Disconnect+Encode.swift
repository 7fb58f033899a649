import Util

/// A DISCONNECT to be encoded. Before MQTT 5 it has no body; there only a client sends it.
public struct DisconnectPacket: Sendable {
  /// Why the connection ends; normal disconnection leaves it out of the shortest form.
  public var reason: ReasonCode
  /// Seconds; only from a client [MQTT-3.14.2-2].
  public var sessionExpiryInterval: UInt32?
  /// UTF-8.
  public var reasonString: [UInt8]?
  /// UTF-8; only from a server.
  public var serverReference: [UInt8]?
  /// Encoded by `appendUserProperty`.
  public var userProperties: [UInt8]

  /// A DISCONNECT with what is given; without anything it is a normal one.
  public init(
    reason: ReasonCode = .normalDisconnection, sessionExpiryInterval: UInt32? = nil,
    reasonString: [UInt8]? = nil, serverReference: [UInt8]? = nil, userProperties: [UInt8] = []
  ) {
    self.reason = reason
    self.sessionExpiryInterval = sessionExpiryInterval
    self.reasonString = reasonString
    self.serverReference = serverReference
    self.userProperties = userProperties
  }

  private var propertiesCount: Int {
    propertyCount(sessionExpiryInterval, 5) + propertyCount(reasonString)
      + propertyCount(serverReference) + userProperties.count
  }

  private func remaining(_ version: ProtocolVersion) -> Int {
    guard version.hasProperties else { return 0 }
    let properties = propertiesCount
    if properties == 0 { return reason == .normalDisconnection ? 0 : 1 }
    return 1 + variableByteCount(properties) + properties
  }

  /// Bytes of the packet, in its shortest form (3.14.2.1).
  public func encodedCount(_ version: ProtocolVersion) -> Int {
    packetCount(remaining: remaining(version))
  }

  /// Writes the packet; `out` must have `encodedCount` bytes of capacity left.
  public func encode(_ version: ProtocolVersion, into out: inout OutputSpan<UInt8>) {
    let remaining = remaining(version)
    out.append(fixedHeader: .disconnect, remaining: remaining)
    guard remaining > 0 else { return }
    out.append(reason.rawValue)
    guard remaining > 1 else { return }
    out.append(variable: propertiesCount)
    out.append(.sessionExpiryInterval, uint32: sessionExpiryInterval)
    out.append(.reasonString, bytes: reasonString)
    out.append(.serverReference, bytes: serverReference)
    out.append(copying: userProperties.span)
  }
}

/// An AUTH to be encoded; only in MQTT 5.
public struct AuthPacket: Sendable {
  /// Success, continue authentication or re-authenticate.
  public var reason: ReasonCode
  /// UTF-8; nil only with success and without any other property.
  public var authenticationMethod: [UInt8]?
  /// What the method defines, or nil; any bytes.
  public var authenticationData: [UInt8]?
  /// UTF-8.
  public var reasonString: [UInt8]?
  /// Encoded by `appendUserProperty`.
  public var userProperties: [UInt8]

  /// An AUTH with what is given.
  public init(
    reason: ReasonCode, authenticationMethod: [UInt8]?, authenticationData: [UInt8]? = nil,
    reasonString: [UInt8]? = nil, userProperties: [UInt8] = []
  ) {
    self.reason = reason
    self.authenticationMethod = authenticationMethod
    self.authenticationData = authenticationData
    self.reasonString = reasonString
    self.userProperties = userProperties
  }

  private var propertiesCount: Int {
    propertyCount(authenticationMethod) + propertyCount(authenticationData)
      + propertyCount(reasonString) + userProperties.count
  }

  private var remaining: Int {
    let properties = propertiesCount
    if properties == 0, reason == .success { return 0 }
    return 1 + variableByteCount(properties) + properties
  }

  /// Bytes of the packet.
  public var encodedCount: Int { packetCount(remaining: remaining) }

  /// Writes the packet; `out` must have `encodedCount` bytes of capacity left.
  public func encode(into out: inout OutputSpan<UInt8>) {
    let remaining = remaining
    out.append(fixedHeader: .auth, remaining: remaining)
    guard remaining > 0 else { return }
    out.append(reason.rawValue)
    out.append(variable: propertiesCount)
    out.append(.authenticationMethod, bytes: authenticationMethod)
    out.append(.authenticationData, bytes: authenticationData)
    out.append(.reasonString, bytes: reasonString)
    out.append(copying: userProperties.span)
  }
}
