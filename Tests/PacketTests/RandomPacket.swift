import Packet
import Util

/// Makes random packets with the encoders, with everything a version allows in them.
struct RandomPacket {
  var random: SeededGenerator
  let version: ProtocolVersion

  init(seed: UInt64) {
    random = SeededGenerator(seed: seed)
    version = ProtocolVersion.allCases.randomElement(using: &random) ?? .v5
  }

  mutating func make() -> [UInt8] {
    var types = PacketType.allCases
    if version != .v5 { types.removeLast() }
    switch types.randomElement(using: &random) ?? .publish {
    case .connect: return connect()
    case .connAck: return connAck()
    case .publish: return publish()
    case .pubAck: return ack(.pubAck)
    case .pubRec: return ack(.pubRec)
    case .pubRel: return ack(.pubRel)
    case .pubComp: return ack(.pubComp)
    case .subscribe: return subscribe()
    case .subAck: return subAck(.subAck)
    case .unsubscribe: return unsubscribe()
    case .unsubAck: return subAck(.unsubAck)
    case .pingReq: return encoded(encodedPingCount) { encodePingReq(into: &$0) }
    case .pingResp: return encoded(encodedPingCount) { encodePingResp(into: &$0) }
    case .disconnect: return disconnect()
    case .auth: return auth()
    }
  }

  private static let alphabet: [Unicode.Scalar] = [
    "a", "b", "z", "0", " ", "/", "/", "$", "\u{1}", "ä", "Ω", "\u{7FF}", "\u{800}", "日",
    "\u{FFFF}",
    "\u{FEFF}", "\u{D7FF}", "\u{E000}", "😀", "\u{10FFFF}",
  ]

  private mutating func string(_ minimum: Int = 0) -> [UInt8] {
    let limit = random.oneIn(20) ? 300 : 12
    var text = String.UnicodeScalarView()
    for _ in 0..<Int.random(in: minimum...limit, using: &random) {
      text.append(Self.alphabet.randomElement(using: &random) ?? "a")
    }
    return Array(String(text).utf8)
  }

  private mutating func maybe<Value>(_ make: (inout RandomPacket) -> Value) -> Value? {
    random.oneIn(2) ? make(&self) : nil
  }

  private mutating func number<Value: FixedWidthInteger>(_ minimum: Value = 0) -> Value {
    Value.random(in: minimum...Value.max, using: &random)
  }

  private mutating func qos() -> QoS { QoS.allCases.randomElement(using: &random) ?? .atMostOnce }

  private mutating func userProperties() -> [UInt8] {
    guard version == .v5 else { return [] }
    var block: [UInt8] = []
    while random.oneIn(2) {
      let name = string()
      let value = string()
      appendUserProperty(name: name.span, value: value.span, to: &block)
    }
    return block
  }

  /// Each forwarded property at most once, in any order, with user properties between them.
  private mutating func forwarded() -> [UInt8] {
    guard version == .v5 else { return [] }
    var block = userProperties()
    for id in [0x01, 0x03, 0x08, 0x09].shuffled(using: &random) where random.oneIn(2) {
      block.append(UInt8(id))
      if id == 0x01 {
        block.append(random.oneIn(2) ? 1 : 0)
      } else {
        let value = id == 0x09 ? random.bytes(upTo: 200) : string(1)
        block += [UInt8(value.count >> 8), UInt8(value.count & 0xFF)] + value
      }
      block += userProperties()
    }
    return block
  }

  private mutating func connect() -> [UInt8] {
    var packet = ConnectPacket(
      version: version, clientID: string(), cleanStart: random.oneIn(2), keepAlive: number())
    if random.oneIn(2) {
      var will = ConnectPacket.Will(
        qos: qos(), retain: random.oneIn(2), topic: string(1), payload: random.bytes(upTo: 40))
      will.forwardedProperties = forwarded()
      will.delayInterval = maybe { $0.number(1) }
      will.messageExpiryInterval = maybe { $0.number() }
      packet.will = will
    }
    packet.userName = maybe { $0.string() }
    if packet.userName != nil || version == .v5 {
      packet.password = maybe { $0.random.bytes(upTo: 30) }
    }
    packet.sessionExpiryInterval = maybe { $0.number() }
    packet.receiveMaximum = maybe { UInt16.random(in: 1...65_534, using: &$0.random) }
    packet.maximumPacketSize = maybe { $0.number(1) }
    packet.topicAliasMaximum = maybe { $0.number(1) }
    packet.requestResponseInformation = maybe { _ in true }
    packet.requestProblemInformation = maybe { _ in false }
    packet.authenticationMethod = maybe { $0.string() }
    if packet.authenticationMethod != nil {
      packet.authenticationData = maybe { $0.random.bytes(upTo: 30) }
    }
    packet.userProperties = userProperties()
    return encoded(packet.encodedCount) { packet.encode(into: &$0) }
  }

  private mutating func connAck() -> [UInt8] {
    let reasons: [UInt8] =
      version == .v5 ? [0, 0x87, 0x97, 0x9F] : [0, 0x84, 0x85, 0x86, 0x87, 0x88]
    let reason = ReasonCode(rawValue: reasons.randomElement(using: &random) ?? 0)
    var packet = ConnAckPacket(reason: reason, sessionPresent: random.oneIn(2))
    packet.sessionExpiryInterval = maybe { $0.number() }
    packet.receiveMaximum = maybe { UInt16.random(in: 1...65_534, using: &$0.random) }
    packet.maximumQoS = maybe { $0.qos() }
    packet.retainAvailable = maybe { _ in false }
    packet.maximumPacketSize = maybe { $0.number(1) }
    packet.assignedClientIdentifier = maybe { $0.string() }
    packet.topicAliasMaximum = maybe { $0.number(1) }
    packet.reasonString = maybe { $0.string() }
    packet.wildcardSubscriptionAvailable = maybe { _ in false }
    packet.subscriptionIdentifiersAvailable = maybe { _ in false }
    packet.sharedSubscriptionAvailable = maybe { _ in false }
    packet.serverKeepAlive = maybe { $0.number() }
    packet.responseInformation = maybe { $0.string() }
    packet.serverReference = maybe { $0.string() }
    packet.authenticationMethod = maybe { $0.string() }
    packet.authenticationData = maybe { $0.random.bytes(upTo: 30) }
    packet.userProperties = userProperties()
    return encoded(packet.encodedCount(version)) { [version] in packet.encode(version, into: &$0) }
  }

  private mutating func publish() -> [UInt8] {
    let qos = qos()
    var header = PublishHeader(
      version: version, qos: qos, retain: random.oneIn(2),
      dup: qos != .atMostOnce && random.oneIn(2),
      packetID: qos == .atMostOnce ? 0 : number(1))
    let topic = string(1)
    let payload = random.bytes(upTo: random.oneIn(10) ? 20_000 : 60)
    let forwarded = forwarded()
    var identifiers: [UInt32] = []
    if version == .v5 {
      header.messageExpiryInterval = maybe { $0.number() }
      header.topicAlias = maybe { $0.number() } ?? 0
      while random.oneIn(3) {
        identifiers.append(UInt32.random(in: 1...268_435_455, using: &random))
      }
    }
    let layout = header.layout(
      topicCount: topic.count, forwardedCount: forwarded.count, identifiers: identifiers.span,
      payloadCount: payload.count)
    return encoded(layout.totalCount) { [header] in
      encodePublish(
        header, topic: topic.span, forwarded: forwarded.span, identifiers: identifiers.span,
        payload: payload.span, into: &$0)
    }
  }

  private mutating func ack(_ type: PacketType) -> [UInt8] {
    var reasons: [UInt8] = [0]
    if version == .v5 { reasons += type == .pubRel || type == .pubComp ? [0x92] : [0x10, 0x97] }
    let packet = AcknowledgementPacket(
      type: type, packetID: number(1),
      reason: ReasonCode(rawValue: reasons.randomElement(using: &random) ?? 0),
      reasonString: maybe { $0.string() }, userProperties: userProperties())
    return encoded(packet.encodedCount(version)) { [version] in packet.encode(version, into: &$0) }
  }

  private mutating func subscribe() -> [UInt8] {
    let filters = (0...Int.random(in: 0...5, using: &random)).map { _ in
      SubscribePacket.Filter(
        string(),
        SubscriptionOptions(
          qos: qos(), noLocal: random.oneIn(2), retainAsPublished: random.oneIn(2),
          retainHandling: [.send, .sendIfNew, .doNotSend].randomElement(using: &random) ?? .send))
    }
    let packet = SubscribePacket(
      packetID: number(1), filters: filters,
      subscriptionIdentifier: UInt32.random(in: 0...268_435_455, using: &random),
      userProperties: userProperties())
    return encoded(packet.encodedCount(version)) { [version] in packet.encode(version, into: &$0) }
  }

  private mutating func unsubscribe() -> [UInt8] {
    let filters = (0...Int.random(in: 0...5, using: &random)).map { _ in string() }
    let packet = UnsubscribePacket(
      packetID: number(1), filters: filters, userProperties: userProperties())
    return encoded(packet.encodedCount(version)) { [version] in packet.encode(version, into: &$0) }
  }

  private mutating func subAck(_ type: PacketType) -> [UInt8] {
    let codes: [UInt8] = type == .unsubAck ? [0, 0x11, 0x80, 0x8F] : [0, 1, 2, 0x80, 0x8F]
    let reasons = (0...Int.random(in: 0...5, using: &random)).map { _ in
      codes.randomElement(using: &random) ?? 0
    }
    let packet = SubAckPacket(
      type: type, packetID: number(1), reasonString: maybe { $0.string() },
      userProperties: userProperties())
    let count = packet.encodedCount(version, reasonCount: reasons.count)
    return encoded(count) { [version] in
      packet.encode(version, reasons: reasons.span, into: &$0)
    }
  }

  private mutating func disconnect() -> [UInt8] {
    let reasons: [UInt8] = [0, 0x04, 0x81, 0x8E, 0x9D]
    let packet = DisconnectPacket(
      reason: ReasonCode(rawValue: reasons.randomElement(using: &random) ?? 0),
      sessionExpiryInterval: maybe { $0.number() }, reasonString: maybe { $0.string() },
      serverReference: maybe { $0.string() }, userProperties: userProperties())
    return encoded(packet.encodedCount(version)) { [version] in packet.encode(version, into: &$0) }
  }

  private mutating func auth() -> [UInt8] {
    let reasons: [UInt8] = [0, 0x18, 0x19]
    let packet = AuthPacket(
      reason: ReasonCode(rawValue: reasons.randomElement(using: &random) ?? 0),
      authenticationMethod: string(), authenticationData: maybe { $0.random.bytes(upTo: 40) },
      reasonString: maybe { $0.string() }, userProperties: userProperties())
    return encoded(packet.encodedCount) { packet.encode(into: &$0) }
  }
}
