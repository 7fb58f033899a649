import Packet
import Util

/// A packet of the server that was taken apart; ranges count from its first byte.
private enum ServerPacket {
  case connAck(ConnAck)
  case publish(Publish)
  case acknowledgement(Acknowledgement)
  case answers(SubAck)
  case pong
  case disconnect(Disconnect)
  case unexpected
}

extension ClientSession {
  /// Takes one packet of the server, appends the answer that the protocol asks for, and tells what
  /// it means to the program; nil where it means nothing.
  ///
  /// - Parameters:
  ///   - packet: exactly the bytes of the packet.
  ///   - header: what `decodeFrame` found there.
  ///   - out: where packets to the server are appended.
  /// - Throws: `ClientError` where the server broke the protocol: the connection is to be closed.
  public mutating func receive(
    _ packet: Span<UInt8>, _ header: FixedHeader, into out: inout [UInt8]
  ) throws(ClientError) -> ClientEvent? {
    let found: ServerPacket
    do throws(DecodeError) {
      found = try decode(packet, header)
    } catch {
      throw .malformed(error)
    }
    switch found {
    case .connAck(let answer): return try connected(answer, packet, into: &out)
    case .publish(let publish): return try message(publish, packet, into: &out)
    case .acknowledgement(let answer): return try acknowledged(answer, into: &out)
    case .answers(let answers): return try answered(answers, packet)
    case .pong: return .pong
    case .disconnect(let goodbye):
      phase = .ended
      return .disconnected(goodbye.reason, text(goodbye.reasonString, packet))
    case .unexpected: throw .unexpected(header.type)
    }
  }

  private func decode(
    _ packet: Span<UInt8>, _ header: FixedHeader
  ) throws(DecodeError) -> ServerPacket {
    switch (phase, header.type) {
    case (.connecting, .connAck):
      .connAck(try ConnAck.decode(packet, header: header, version: version))
    case (.connected, .publish):
      .publish(try Publish.decode(packet, header: header, version: version))
    case (.connected, .pubAck), (.connected, .pubRec), (.connected, .pubRel),
      (.connected, .pubComp):
      .acknowledgement(try Acknowledgement.decode(packet, header: header, version: version))
    case (.connected, .subAck), (.connected, .unsubAck):
      .answers(try SubAck.decode(packet, header: header, version: version))
    case (.connected, .pingResp): .pong
    case (.connected, .disconnect) where version.hasProperties:
      .disconnect(try Disconnect.decode(packet, header: header, version: version))
    default: .unexpected
    }
  }

  private mutating func connected(
    _ answer: ConnAck, _ packet: Span<UInt8>, into out: inout [UInt8]
  ) throws(ClientError) -> ClientEvent {
    guard !answer.reason.isError else {
      phase = .ended
      return .refused(answer.reason, text(answer.reasonString, packet))
    }
    phase = .connected
    receiveMaximum = answer.receiveMaximum
    maximumQoS = answer.maximumQoS
    retainAvailable = answer.retainAvailable
    if answer.maximumPacketSize != 0 { maximumPacketSize = Int(answer.maximumPacketSize) }
    topicAliasMaximum = answer.topicAliasMaximum
    if let seconds = answer.serverKeepAlive { keepAlive = seconds }
    if let name = answer.assignedClientIdentifier {
      // A later connection is to be the same client's [MQTT-3.1.3-7].
      options.clientID = bytes(name, packet)
    }
    try resume(sessionPresent: answer.sessionPresent, into: &out)
    return .connected(sessionPresent: answer.sessionPresent)
  }

  private mutating func message(
    _ publish: Publish, _ packet: Span<UInt8>, into out: inout [UInt8]
  ) throws(ClientError) -> ClientEvent? {
    var topic = bytes(publish.topic, packet)
    if let alias = publish.properties.topicAlias {
      if topic.isEmpty {
        guard let known = aliases[alias] else { throw .malformed(.topicAliasZero) }
        topic = known
      } else {
        guard alias <= options.topicAliasMaximum ?? 0 else {
          throw .malformed(.propertyValueOutOfRange)  // [MQTT-3.1.2-26]
        }
        aliases[alias] = topic
      }
    }
    switch publish.qos {
    case .atMostOnce: break
    case .atLeastOnce: acknowledge(.pubAck, publish.packetID, into: &out)
    case .exactlyOnce:
      let isNew = unreleased.insert(publish.packetID).inserted
      acknowledge(.pubRec, publish.packetID, into: &out)
      guard isNew else { return nil }
    }
    return .message(
      IncomingMessage(
        topic: topic, payload: bytes(publish.payload, packet), qos: publish.qos,
        retain: publish.retain, dup: publish.dup))
  }

  /// PUBACK, PUBREC, PUBREL and PUBCOMP.
  private mutating func acknowledged(
    _ answer: Acknowledgement, into out: inout [UInt8]
  ) throws(ClientError) -> ClientEvent? {
    let id = answer.packetID
    if answer.type == .pubRel {
      let isKnown = unreleased.remove(id) != nil
      acknowledge(.pubComp, id, reason: isKnown ? .success : .packetIdentifierNotFound, into: &out)
      return nil
    }
    switch (requests[id], answer.type) {
    case (.publish(let message), .pubAck) where message.qos == .atLeastOnce: break
    case (.release, .pubComp): break
    case (.publish(let message), .pubRec) where message.qos == .exactlyOnce:
      if !answer.reason.isError {
        requests[id] = .release
        acknowledge(.pubRel, id, into: &out)
        return nil
      }
    case (_, .pubRec):
      // A repetition, or one of a session that we forgot [MQTT-4.3.3-4].
      let isReleased = if case .release = requests[id] { true } else { false }
      acknowledge(
        .pubRel, id, reason: isReleased ? .success : .packetIdentifierNotFound, into: &out)
      return nil
    default:
      // An answer to nothing changes nothing.
      return nil
    }
    requests[id] = nil
    // Answers come in the order of the messages, so that it is nearly always the first.
    if let index = publishOrder.firstIndex(of: id) { publishOrder.remove(at: index) }
    inflight -= 1
    try sendWaiting(into: &out)
    return .published(packetID: id, answer.reason)
  }

  private mutating func answered(
    _ answers: SubAck, _ packet: Span<UInt8>
  ) throws(ClientError) -> ClientEvent? {
    let reasons = bytes(answers.reasons, packet).map { ReasonCode(rawValue: $0) }
    switch (requests[answers.packetID], answers.type) {
    case (.subscribe, .subAck):
      requests[answers.packetID] = nil
      return .subscribed(packetID: answers.packetID, reasons)
    case (.unsubscribe, .unsubAck):
      requests[answers.packetID] = nil
      return .unsubscribed(packetID: answers.packetID, reasons)
    default: throw .unexpected(answers.type)
    }
  }

  private func bytes(_ range: ByteRange, _ packet: Span<UInt8>) -> [UInt8] {
    let span = packet.extracting(range)
    return [UInt8](capacity: span.count) { for index in span.indices { $0.append(span[index]) } }
  }

  private func text(_ range: ByteRange?, _ packet: Span<UInt8>) -> String {
    guard let range else { return "" }
    return String(decoding: bytes(range, packet), as: UTF8.self)
  }
}
