import Packet
import Util

/// Bytes that an encoder wrote, which must be exactly as many as it announced.
func encoded(_ count: Int, _ body: (inout OutputSpan<UInt8>) -> Void) -> [UInt8] {
  let bytes = [UInt8](capacity: count) { (out: inout OutputSpan<UInt8>) in body(&out) }
  precondition(bytes.count == count, "announced \(count) bytes and wrote \(bytes.count)")
  return bytes
}

extension Array where Element == UInt8 {
  func field(_ range: ByteRange) -> [UInt8] { Array(self[range.range]) }
  func field(_ range: ByteRange?) -> [UInt8]? { range.map { field($0) } }

  /// The user properties of a block, encoded again one by one.
  func userProperties(_ cursor: UserPropertyCursor) -> [UInt8] {
    var cursor = cursor
    var block: [UInt8] = []
    while let property = cursor.next(span) {
      appendUserProperty(
        name: span.extracting(property.name), value: span.extracting(property.value), to: &block)
    }
    return block
  }

  /// The forwarded properties of a PUBLISH or a will; the two ways to count them must agree.
  func forwarded(_ properties: PublishProperties) -> [UInt8] {
    let raw = span.extracting(properties.raw)
    let count = forwardedPropertiesCount(raw)
    precondition(count == Int(properties.forwardedCount))
    precondition(properties.forwardedIsRaw == (count == raw.count))
    return encoded(count) { appendForwardedProperties(raw, to: &$0) }
  }
}

/// Decodes the packet at the head of `bytes` and encodes what was understood.
///
/// Every range of every decoded packet is applied to the bytes on the way, so that one that runs
/// out of bounds traps.
func reencode(
  _ bytes: [UInt8], version: ProtocolVersion, maximumPacketSize: Int = Vector.maximumPacketSize
) throws -> [UInt8] {
  let frame = try decodeFrame(
    bytes.span, from: 0, maximumPacketSize: maximumPacketSize, version: version)
  guard case .packet(let header) = frame else { throw VectorError(description: "incomplete") }
  let packet = Array(bytes.prefix(header.totalLength))
  switch header.type {
  case .connect: return try reencodeConnect(packet, header)
  case .connAck: return try reencodeConnAck(packet, header, version)
  case .publish: return try reencodePublish(packet, header, version)
  case .pubAck, .pubRec, .pubRel, .pubComp: return try reencodeAck(packet, header, version)
  case .subscribe: return try reencodeSubscribe(packet, header, version)
  case .subAck, .unsubAck: return try reencodeSubAck(packet, header, version)
  case .unsubscribe: return try reencodeUnsubscribe(packet, header, version)
  case .pingReq: return encoded(encodedPingCount) { encodePingReq(into: &$0) }
  case .pingResp: return encoded(encodedPingCount) { encodePingResp(into: &$0) }
  case .disconnect: return try reencodeDisconnect(packet, header, version)
  case .auth: return try reencodeAuth(packet, header, version)
  }
}

private func reencodeConnect(_ bytes: [UInt8], _ header: FixedHeader) throws -> [UInt8] {
  let connect = try Connect.decode(bytes.span, header: header)
  var packet = ConnectPacket(
    version: connect.version, clientID: bytes.field(connect.clientID),
    cleanStart: connect.cleanStart, keepAlive: connect.keepAlive)
  if let will = connect.will {
    var written = ConnectPacket.Will(
      qos: will.qos, retain: will.retain, topic: bytes.field(will.topic),
      payload: bytes.field(will.payload))
    written.delayInterval = will.delayInterval == 0 ? nil : will.delayInterval
    written.messageExpiryInterval = will.properties.messageExpiryInterval
    written.forwardedProperties = bytes.forwarded(will.properties)
    packet.will = written
  }
  packet.userName = bytes.field(connect.userName)
  packet.password = bytes.field(connect.password)
  packet.sessionExpiryInterval = connect.sessionExpiryInterval
  packet.receiveMaximum = connect.receiveMaximum == 65_535 ? nil : connect.receiveMaximum
  packet.maximumPacketSize = connect.maximumPacketSize == 0 ? nil : connect.maximumPacketSize
  packet.topicAliasMaximum = connect.topicAliasMaximum == 0 ? nil : connect.topicAliasMaximum
  packet.requestResponseInformation = connect.requestResponseInformation ? true : nil
  packet.requestProblemInformation = connect.requestProblemInformation ? nil : false
  packet.authenticationMethod = bytes.field(connect.authenticationMethod)
  packet.authenticationData = bytes.field(connect.authenticationData)
  packet.userProperties = bytes.userProperties(connect.userProperties())
  return encoded(packet.encodedCount) { packet.encode(into: &$0) }
}

private func reencodeConnAck(
  _ bytes: [UInt8], _ header: FixedHeader, _ version: ProtocolVersion
) throws -> [UInt8] {
  let connAck = try ConnAck.decode(bytes.span, header: header, version: version)
  var packet = ConnAckPacket(reason: connAck.reason, sessionPresent: connAck.sessionPresent)
  packet.sessionExpiryInterval = connAck.sessionExpiryInterval
  packet.receiveMaximum = connAck.receiveMaximum == 65_535 ? nil : connAck.receiveMaximum
  packet.maximumQoS = connAck.maximumQoS
  packet.retainAvailable = connAck.retainAvailable ? nil : false
  packet.maximumPacketSize = connAck.maximumPacketSize == 0 ? nil : connAck.maximumPacketSize
  packet.assignedClientIdentifier = bytes.field(connAck.assignedClientIdentifier)
  packet.topicAliasMaximum = connAck.topicAliasMaximum == 0 ? nil : connAck.topicAliasMaximum
  packet.reasonString = bytes.field(connAck.reasonString)
  packet.wildcardSubscriptionAvailable = connAck.wildcardSubscriptionAvailable ? nil : false
  packet.subscriptionIdentifiersAvailable =
    connAck.subscriptionIdentifiersAvailable ? nil : false
  packet.sharedSubscriptionAvailable = connAck.sharedSubscriptionAvailable ? nil : false
  packet.serverKeepAlive = connAck.serverKeepAlive
  packet.responseInformation = bytes.field(connAck.responseInformation)
  packet.serverReference = bytes.field(connAck.serverReference)
  packet.authenticationMethod = bytes.field(connAck.authenticationMethod)
  packet.authenticationData = bytes.field(connAck.authenticationData)
  packet.userProperties = bytes.userProperties(connAck.userProperties())
  return encoded(packet.encodedCount(version)) { packet.encode(version, into: &$0) }
}

private func reencodePublish(
  _ bytes: [UInt8], _ header: FixedHeader, _ version: ProtocolVersion
) throws -> [UInt8] {
  let publish = try Publish.decode(bytes.span, header: header, version: version)
  var identifiers: [UInt32] = []
  var cursor = publish.properties.subscriptionIdentifiers()
  while let identifier = cursor.next(bytes.span) { identifiers.append(identifier) }
  precondition(publish.properties.subscriptionIdentifier == identifiers.first ?? 0)
  _ = bytes.userProperties(publish.properties.userProperties())
  _ = bytes.field(publish.properties.contentType)
  _ = bytes.field(publish.properties.responseTopic)
  _ = bytes.field(publish.properties.correlationData)
  let written = PublishHeader(
    version: version, qos: publish.qos, retain: publish.retain, dup: publish.dup,
    packetID: publish.packetID, messageExpiryInterval: publish.properties.messageExpiryInterval,
    topicAlias: publish.properties.topicAlias ?? 0)
  let topic = bytes.field(publish.topic)
  let payload = bytes.field(publish.payload)
  let forwarded = bytes.forwarded(publish.properties)
  let layout = written.layout(
    topicCount: topic.count, forwardedCount: forwarded.count, identifiers: identifiers.span,
    payloadCount: payload.count)
  if publish.packetIDOffset >= 0 {
    let high = UInt16(bytes[publish.packetIDOffset])
    precondition(high << 8 | UInt16(bytes[publish.packetIDOffset + 1]) == publish.packetID)
  }
  precondition(layout.headerCount + payload.count == layout.totalCount)
  return encoded(layout.totalCount) {
    let written = encodePublish(
      written, topic: topic.span, forwarded: forwarded.span, identifiers: identifiers.span,
      payload: payload.span, into: &$0)
    precondition(written == layout)
  }
}

private func reencodeAck(
  _ bytes: [UInt8], _ header: FixedHeader, _ version: ProtocolVersion
) throws -> [UInt8] {
  let ack = try Acknowledgement.decode(bytes.span, header: header, version: version)
  let packet = AcknowledgementPacket(
    type: ack.type, packetID: ack.packetID, reason: ack.reason,
    reasonString: bytes.field(ack.reasonString),
    userProperties: bytes.userProperties(ack.userProperties()))
  return encoded(packet.encodedCount(version)) { packet.encode(version, into: &$0) }
}

private func reencodeSubscribe(
  _ bytes: [UInt8], _ header: FixedHeader, _ version: ProtocolVersion
) throws -> [UInt8] {
  let subscribe = try Subscribe.decode(bytes.span, header: header, version: version)
  var filters: [SubscribePacket.Filter] = []
  var cursor = subscribe.makeCursor()
  while let entry = cursor.next(bytes.span) {
    let filter = bytes.field(entry.filter)
    precondition(entry.isValid == validateTopicFilter(filter.span))
    filters.append(SubscribePacket.Filter(filter, entry.options))
  }
  precondition(filters.count == subscribe.filterCount && filters.count > 0)
  let packet = SubscribePacket(
    packetID: subscribe.packetID, filters: filters,
    subscriptionIdentifier: subscribe.subscriptionIdentifier,
    userProperties: bytes.userProperties(subscribe.userProperties()))
  return encoded(packet.encodedCount(version)) { packet.encode(version, into: &$0) }
}

private func reencodeSubAck(
  _ bytes: [UInt8], _ header: FixedHeader, _ version: ProtocolVersion
) throws -> [UInt8] {
  let subAck = try SubAck.decode(bytes.span, header: header, version: version)
  let packet = SubAckPacket(
    type: subAck.type, packetID: subAck.packetID, reasonString: bytes.field(subAck.reasonString),
    userProperties: bytes.userProperties(subAck.userProperties()))
  let reasons = bytes.field(subAck.reasons)
  return encoded(packet.encodedCount(version, reasonCount: reasons.count)) {
    packet.encode(version, reasons: reasons.span, into: &$0)
  }
}

private func reencodeUnsubscribe(
  _ bytes: [UInt8], _ header: FixedHeader, _ version: ProtocolVersion
) throws -> [UInt8] {
  let unsubscribe = try Unsubscribe.decode(bytes.span, header: header, version: version)
  var filters: [[UInt8]] = []
  var cursor = unsubscribe.makeCursor()
  while let entry = cursor.next(bytes.span) { filters.append(bytes.field(entry.filter)) }
  precondition(filters.count == unsubscribe.filterCount && filters.count > 0)
  let packet = UnsubscribePacket(
    packetID: unsubscribe.packetID, filters: filters,
    userProperties: bytes.userProperties(unsubscribe.userProperties()))
  return encoded(packet.encodedCount(version)) { packet.encode(version, into: &$0) }
}

private func reencodeDisconnect(
  _ bytes: [UInt8], _ header: FixedHeader, _ version: ProtocolVersion
) throws -> [UInt8] {
  let disconnect = try Disconnect.decode(bytes.span, header: header, version: version)
  let packet = DisconnectPacket(
    reason: disconnect.reason, sessionExpiryInterval: disconnect.sessionExpiryInterval,
    reasonString: bytes.field(disconnect.reasonString),
    serverReference: bytes.field(disconnect.serverReference),
    userProperties: bytes.userProperties(disconnect.userProperties()))
  return encoded(packet.encodedCount(version)) { packet.encode(version, into: &$0) }
}

private func reencodeAuth(
  _ bytes: [UInt8], _ header: FixedHeader, _ version: ProtocolVersion
) throws -> [UInt8] {
  let auth = try Auth.decode(bytes.span, header: header, version: version)
  let packet = AuthPacket(
    reason: auth.reason, authenticationMethod: bytes.field(auth.authenticationMethod),
    authenticationData: bytes.field(auth.authenticationData),
    reasonString: bytes.field(auth.reasonString),
    userProperties: bytes.userProperties(auth.userProperties()))
  return encoded(packet.encodedCount) { packet.encode(into: &$0) }
}
