import Util

extension Connect {
  /// Decodes a CONNECT of any version.
  ///
  /// After an error `peekVersion` tells in which version, if any, the client can be answered.
  ///
  /// - Parameters:
  ///   - packet: Bytes from the packet's first one; must hold the whole packet.
  ///   - header: What `decodeFrame` found there.
  public static func decode(
    _ packet: Span<UInt8>, header: FixedHeader
  ) throws(DecodeError) -> Connect {
    var reader = PacketReader(packet, header: header)
    let name = try reader.readBinary()
    let isMQTT = isProtocolName(packet.extracting(name), "MQTT")
    guard isMQTT || isProtocolName(packet.extracting(name), "MQIsdp") else {
      throw .protocolNameUnknown
    }
    let level = try reader.readByte()
    guard let version = ProtocolVersion(rawValue: level), (version == .v3_1) != isMQTT else {
      throw .protocolLevelUnsupported
    }
    let flags = ConnectFlags(rawValue: try reader.readByte())
    try flags.validate(version: version)
    let keepAlive = try reader.readUInt16()
    var connect = Connect(
      version: version, cleanStart: flags.cleanStart, keepAlive: keepAlive,
      clientID: ByteRange(offset: 0, count: 0))
    if version.hasProperties {
      connect.properties = try reader.readPropertyBlock()
      try connect.decodeProperties(packet)
    }
    connect.clientID = try reader.readString()
    if flags.hasWill {
      connect.will = try Will.decode(&reader, packet, flags: flags, version: version)
    }
    if flags.hasUserName, !isLeftOut(reader.remaining, version: version) {
      connect.userName = try reader.readString()
    }
    if flags.hasPassword, !isLeftOut(reader.remaining, version: version) {
      connect.password = try reader.readBinary()
    }
    try reader.expectEnd()
    return connect
  }

  /// The version in which a CONNECT that can't be decoded wants to be answered; nil if it isn't
  /// MQTT at all, so that the connection is closed without an answer.
  ///
  /// A level above 5 is answered as MQTT 5, one below as 3.1.1. Bridges of some servers set the
  /// high bit of the level; they are answered in the version that the other bits name.
  public static func peekVersion(
    _ packet: Span<UInt8>, header: FixedHeader
  ) -> ProtocolVersion? {
    var reader = PacketReader(packet, header: header)
    guard header.type == .connect, let name = try? reader.readBinary() else { return nil }
    if isProtocolName(packet.extracting(name), "MQIsdp") { return .v3_1 }
    guard isProtocolName(packet.extracting(name), "MQTT"), let level = try? reader.readByte() else {
      return nil
    }
    return level & 0x7F >= 5 ? .v5 : .v3_1_1
  }

  /// Reads the properties of CONNECT (3.1.2.11).
  private mutating func decodeProperties(_ packet: Span<UInt8>) throws(DecodeError) {
    var reader = PropertyReader(packet, block: properties, allowed: .connect)
    while let property = try reader.next() {
      switch property.id {
      case .sessionExpiryInterval: sessionExpiryInterval = property.number
      case .receiveMaximum: receiveMaximum = UInt16(truncatingIfNeeded: property.number)
      case .maximumPacketSize: maximumPacketSize = property.number
      case .topicAliasMaximum: topicAliasMaximum = UInt16(truncatingIfNeeded: property.number)
      case .requestResponseInformation: requestResponseInformation = property.number == 1
      case .requestProblemInformation: requestProblemInformation = property.number == 1
      case .authenticationMethod: authenticationMethod = property.range
      case .authenticationData: authenticationData = property.range
      default: break
      }
    }
    guard authenticationData == nil || authenticationMethod != nil else {
      throw .authenticationDataWithoutMethod
    }
  }

  /// MQTT 3.1 lets a client announce a user name or password and leave it out: there the remaining
  /// length outweighs the flags.
  private static func isLeftOut(_ remaining: Int, version: ProtocolVersion) -> Bool {
    version == .v3_1 && remaining == 0
  }
}

extension Connect.Will {
  /// Reads the will's properties, topic and payload (3.1.3.2 to 3.1.3.4).
  fileprivate static func decode(
    _ reader: inout PacketReader, _ packet: Span<UInt8>, flags: ConnectFlags,
    version: ProtocolVersion
  ) throws(DecodeError) -> Connect.Will {
    guard let qos = QoS(rawValue: flags.willQoS) else { throw .willQoSOutOfRange }
    var properties = PublishProperties()
    var delayInterval: UInt32 = 0
    if version.hasProperties {
      let block = try reader.readPropertyBlock()
      properties.raw = block
      var blockReader = PropertyReader(packet, block: block, allowed: .will)
      while let property = try blockReader.next() {
        if property.id == .willDelayInterval {
          delayInterval = property.number
        } else {
          properties.take(property)
        }
      }
      properties.forwardedCount = UInt32(
        truncatingIfNeeded: forwardedPropertiesCount(packet.extracting(block)))
    }
    let topic = try reader.readTopicName()
    let payload = try reader.readBinary()
    return Connect.Will(
      qos: qos, retain: flags.willRetain, topic: topic, payload: payload,
      delayInterval: delayInterval, properties: properties)
  }
}

/// The connect flags byte (3.1.2.3).
struct ConnectFlags: BitwiseCopyable {
  var rawValue: UInt8

  var cleanStart: Bool { rawValue & 0x02 != 0 }
  var hasWill: Bool { rawValue & 0x04 != 0 }
  var willQoS: UInt8 { (rawValue >> 3) & 0x03 }
  var willRetain: Bool { rawValue & 0x20 != 0 }
  var hasPassword: Bool { rawValue & 0x40 != 0 }
  var hasUserName: Bool { rawValue & 0x80 != 0 }

  func validate(version: ProtocolVersion) throws(DecodeError) {
    // MQTT 3.1 calls the bit unused, without asking for a value.
    guard rawValue & 0x01 == 0 || version == .v3_1 else { throw .connectReservedFlag }
    guard hasWill || (willQoS == 0 && !willRetain) else { throw .willFlagsWithoutWill }
    guard willQoS <= 2 else { throw .willQoSOutOfRange }
    // MQTT 5 dropped the rule: a token may travel as a password of its own.
    guard hasUserName || !hasPassword || version == .v5 else { throw .passwordWithoutUserName }
  }
}

/// Whether `bytes` are `name`, which is ASCII; case counts [MQTT-3.1.2-1].
private func isProtocolName(_ bytes: Span<UInt8>, _ name: String) -> Bool {
  guard bytes.count == name.utf8.count else { return false }
  var index = 0
  for byte in name.utf8 {
    guard bytes[index] == byte else { return false }
    index += 1
  }
  return true
}
