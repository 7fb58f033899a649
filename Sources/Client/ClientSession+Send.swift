import Packet
import Util

extension ClientSession {
  /// Publishes a message, at once or as soon as the server's receive maximum allows.
  ///
  /// Gives the packet identifier under which `published` will come; 0 at QoS 0, and nil where the
  /// message waits.
  /// - Throws: `ClientError` where the server does not take such a message; nothing was sent.
  @discardableResult
  public mutating func publish(
    _ message: OutgoingMessage, into out: inout [UInt8]
  ) throws(ClientError) -> UInt16? {
    guard phase == .connected else { throw .notAllowed("there is no connection to publish to") }
    try check(message)
    if message.qos == .atMostOnce {
      out += Encoded.publish(message, version, packetID: 0).bytes
      return 0
    }
    guard inflight < Int(receiveMaximum), waitingHead == waiting.count else {
      waiting.append(message)
      return nil
    }
    return try send(message, into: &out)
  }

  /// Subscribes; gives the packet identifier of the answer.
  /// - Throws: `ClientError` for a filter that is not one.
  @discardableResult
  public mutating func subscribe(
    _ filters: [SubscribePacket.Filter], identifier: UInt32 = 0, userProperties: [UInt8] = [],
    into out: inout [UInt8]
  ) throws(ClientError) -> UInt16 {
    guard phase == .connected else { throw .notAllowed("there is no connection to subscribe on") }
    for filter in filters where !validateTopicFilter(filter.filter.span) {
      throw .notAllowed("not a topic filter: \(String(decoding: filter.filter, as: UTF8.self))")
    }
    let id = try makePacketID()
    requests[id] = .subscribe
    let packet = SubscribePacket(
      packetID: id, filters: filters, subscriptionIdentifier: identifier,
      userProperties: userProperties)
    out += Encoded.subscribe(packet, version)
    return id
  }

  /// Takes subscriptions back; gives the packet identifier of the answer.
  /// - Throws: `ClientError` for a filter that is not one.
  @discardableResult
  public mutating func unsubscribe(
    _ filters: [[UInt8]], into out: inout [UInt8]
  ) throws(ClientError) -> UInt16 {
    guard phase == .connected else { throw .notAllowed("there is no connection") }
    for filter in filters where !validateTopicFilter(filter.span) {
      throw .notAllowed("not a topic filter: \(String(decoding: filter, as: UTF8.self))")
    }
    let id = try makePacketID()
    requests[id] = .unsubscribe
    let packet = UnsubscribePacket(packetID: id, filters: filters)
    append(packet.encodedCount(version), to: &out) { packet.encode(version, into: &$0) }
    return id
  }

  private func check(_ message: OutgoingMessage) throws(ClientError) {
    let isAlias = message.topic.isEmpty && message.topicAlias != 0 && version.hasProperties
    guard isAlias || validateTopicName(message.topic.span) else {
      throw .notAllowed("not a topic name: \(String(decoding: message.topic, as: UTF8.self))")
    }
    if message.qos > maximumQoS {
      throw .notAllowed("the server takes QoS \(maximumQoS.rawValue) at most")  // [MQTT-3.2.2-11]
    }
    if message.retain && !retainAvailable {
      throw .notAllowed("the server keeps no retained messages")  // [MQTT-3.2.2-14]
    }
    if version.hasProperties && message.topicAlias > topicAliasMaximum {
      throw .notAllowed("the server takes topic aliases up to \(topicAliasMaximum)")
    }
    let size = message.header(version, packetID: 0).layout(
      topicCount: message.topic.count, forwardedCount: message.forwardedProperties.count,
      payloadCount: message.payload.count
    ).totalCount
    if size > maximumPacketSize {  // [MQTT-3.2.2-15]
      throw .notAllowed("the packet has \(size) bytes; the server takes \(maximumPacketSize)")
    }
  }

  /// Sends a message of QoS 1 or 2.
  private mutating func send(
    _ message: OutgoingMessage, into out: inout [UInt8]
  ) throws(ClientError) -> UInt16 {
    let id = try makePacketID()
    requests[id] = .publish(message)
    publishOrder.append(id)
    inflight += 1
    out += Encoded.publish(message, version, packetID: id).bytes
    return id
  }

  /// Sends what waits, as far as the server's receive maximum allows.
  mutating func sendWaiting(into out: inout [UInt8]) throws(ClientError) {
    while waitingHead < waiting.count && inflight < Int(receiveMaximum) {
      let message = waiting[waitingHead]
      waitingHead += 1
      _ = try send(message, into: &out)
    }
    if waitingHead == waiting.count {
      waiting.removeAll(keepingCapacity: true)
      waitingHead = 0
    }
  }

  /// Repeats what was under way when the last connection ended [MQTT-4.4.0-1], or forgets about
  /// answers that will never come.
  mutating func resume(sessionPresent: Bool, into out: inout [UInt8]) throws(ClientError) {
    requests = requests.filter {
      if case .publish = $0.value { true } else if case .release = $0.value { true } else { false }
    }
    let order = publishOrder
    if sessionPresent {
      for id in order {
        switch requests[id] {
        case .publish(let message):
          var header = message.header(version, packetID: id)
          header.dup = true
          let layout = header.layout(
            topicCount: message.topic.count, forwardedCount: message.forwardedProperties.count,
            payloadCount: message.payload.count)
          append(layout.totalCount, to: &out) {
            encodePublish(
              header, topic: message.topic.span, forwarded: message.forwardedProperties.span,
              payload: message.payload.span, into: &$0)
          }
        case .release: acknowledge(.pubRel, id, into: &out)
        default: break
        }
      }
    } else {
      // The server knows nothing: a message is sent as a new one, and one that it had is done with.
      unreleased.removeAll()
      let old = requests
      requests.removeAll()
      publishOrder.removeAll()
      inflight = 0
      for id in order {
        if case .publish(let message) = old[id] { _ = try send(message, into: &out) }
      }
    }
    try sendWaiting(into: &out)
  }

  func acknowledge(
    _ type: PacketType, _ id: UInt16, reason: ReasonCode = .success, into out: inout [UInt8]
  ) {
    append(encodedAckCount(reason: reason, version: version), to: &out) {
      encodeAck(type: type, packetID: id, reason: reason, version: version, into: &$0)
    }
  }
}
