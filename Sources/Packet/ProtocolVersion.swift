/// The versions of MQTT that the codec speaks; the raw value is the protocol level in CONNECT.
public enum ProtocolVersion: UInt8, Sendable, BitwiseCopyable, Comparable, CaseIterable {
  /// MQTT 3.1, whose protocol name is `MQIsdp`.
  case v3_1 = 3
  /// MQTT 3.1.1.
  case v3_1_1 = 4
  /// MQTT 5.0.
  case v5 = 5

  /// Whether packets of this version carry properties and reason codes.
  @inlinable public var hasProperties: Bool { self == .v5 }

  /// Older before newer.
  @inlinable
  public static func < (left: ProtocolVersion, right: ProtocolVersion) -> Bool {
    left.rawValue < right.rawValue
  }
}

/// The type of a packet: the high half of its first byte.
public enum PacketType: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  case connect = 1
  case connAck = 2
  case publish = 3
  case pubAck = 4
  case pubRec = 5
  case pubRel = 6
  case pubComp = 7
  case subscribe = 8
  case subAck = 9
  case unsubscribe = 10
  case unsubAck = 11
  case pingReq = 12
  case pingResp = 13
  case disconnect = 14
  /// Only in MQTT 5.
  case auth = 15

  /// The low half of the first byte, which the standard fixes for each type but PUBLISH.
  @inlinable public var requiredFlags: UInt8 {
    switch self {
    case .pubRel, .subscribe, .unsubscribe: 0b0010
    default: 0
    }
  }
}

/// Quality of service, as on the wire. The value 3 is malformed and has no case.
public enum QoS: UInt8, Sendable, BitwiseCopyable, Comparable, CaseIterable {
  case atMostOnce = 0
  case atLeastOnce = 1
  case exactlyOnce = 2

  /// Weaker before stronger.
  @inlinable
  public static func < (left: QoS, right: QoS) -> Bool { left.rawValue < right.rawValue }
}
