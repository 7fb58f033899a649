/// Which reason codes the standard lets each packet carry; any other is a protocol error.
extension ReasonCode {
  /// CONNACK [MQTT-3.2.2-8].
  public var isAllowedInConnAck: Bool {
    switch rawValue {
    case 0x00, 0x80...0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99...0x9D, 0x9F: true
    default: false
    }
  }

  /// PUBACK and PUBREC [MQTT-3.4.2-1] [MQTT-3.5.2-1].
  public var isAllowedInPubAck: Bool {
    switch rawValue {
    case 0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99: true
    default: false
    }
  }

  /// PUBREL and PUBCOMP [MQTT-3.6.2-1] [MQTT-3.7.2-1].
  var isAllowedInPubRel: Bool { rawValue == 0x00 || rawValue == 0x92 }

  /// SUBACK [MQTT-3.9.3-2].
  public var isAllowedInSubAck: Bool {
    switch rawValue {
    case 0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2: true
    default: false
    }
  }

  /// [MQTT-3.11.3-2]
  var isAllowedInUnsubAck: Bool {
    switch rawValue {
    case 0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91: true
    default: false
    }
  }

  /// [MQTT-3.14.2-1]
  var isAllowedInDisconnect: Bool {
    switch rawValue {
    case 0x00, 0x04, 0x80...0x83, 0x87, 0x89, 0x8B, 0x8D...0x90, 0x93...0xA2: true
    default: false
    }
  }

  /// [MQTT-3.15.2-1]
  var isAllowedInAuth: Bool { rawValue == 0x00 || rawValue == 0x18 || rawValue == 0x19 }

  /// The codes of SUBACK before MQTT 5 [MQTT-3.9.3-2 in 3.1.1].
  var isAllowedInSubAck3: Bool { rawValue <= 2 || rawValue == 0x80 }
}
