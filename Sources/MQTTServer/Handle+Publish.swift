import Net
import Packet
import PubSub
import Session
import Store
import Util

extension Worker {
  /// Takes a PUBLISH: checks it, acknowledges it, and sends it on its way.
  func handlePublish(
    _ slot: UInt32, _ session: UInt32, _ packet: Span<UInt8>, _ header: FixedHeader,
    _ version: ProtocolVersion
  ) throws(DecodeError) {
    let publish = try Publish.decode(packet, header: header, version: version)
    counters.publishesReceived += 1
    counters.publishBytesReceived += UInt64(publish.payload.count)
    if publish.properties.subscriptionIdentifier != 0 {
      // [MQTT-3.3.4-6]
      return disconnect(slot, .protocolError, "subscription identifier in a PUBLISH")
    }
    if Int(publish.qos.rawValue) > options.maximumQoS {
      return disconnect(slot, .qosNotSupported, "QoS is not supported")
    }
    if publish.retain && !options.retainAvailable {
      return disconnect(slot, .retainNotSupported, "retain is not supported")
    }
    let alias = publish.properties.topicAlias ?? 0
    if alias == 0 {
      accept(
        slot, session, publish, packet, packet.extracting(publish.topic), version, isWhole: true)
    } else if !publish.topic.isEmpty {
      guard learnAlias(session, alias, packet.extracting(publish.topic)) else {
        return disconnect(slot, .topicAliasInvalid, "topic alias is out of range")
      }
      accept(slot, session, publish, packet, packet.extracting(publish.topic), version)
    } else {
      let text = receivedAlias(session, alias)
      guard text != 0 else {
        // Out of range, or never told [MQTT-3.3.2-7].
        return disconnect(slot, .topicAliasInvalid, "topic alias is unknown")
      }
      // The table keeps the text while the publish is handled: only a PUBLISH of this connection
      // changes it.
      sessions.blocks.withText(text) { accept(slot, session, publish, packet, $0, version) }
    }
  }

  /// A PUBLISH with its topic known.
  /// - Parameter isWhole: whether the packet names its topic, and no alias.
  private func accept(
    _ slot: UInt32, _ session: UInt32, _ publish: Publish, _ packet: Span<UInt8>,
    _ topic: Span<UInt8>, _ version: ProtocolVersion, isWhole: Bool = false
  ) {
    let payload = packet.extracting(publish.payload)
    var verdict = ReasonCode.success
    if !hasFewLevels(topic) {
      verdict = .topicNameInvalid
    } else if isReserved(topic) {
      verdict = .notAuthorized
    } else if options.checksPayloadFormat && publish.properties.payloadFormatIndicator == 1
      && !isText(payload)
    {
      verdict = .payloadFormatInvalid
    }
    if publish.qos == .exactlyOnce {
      let limit = version == .v5 ? options.session.receiveMaximum : 65_535
      switch sessions.arrived(session, publish.packetID, limit: limit) {
      case .new: break
      case .duplicate:
        acknowledge(slot, .pubRec, publish.packetID, .success, version)
        return
      case .quotaExceeded:
        return disconnect(slot, .receiveMaximumExceeded, "more QoS 2 messages than we take")
      case .exhausted: return disconnect(slot, .quotaExceeded, "out of memory")
      }
    }
    guard verdict == .success else {
      return reject(slot, session, publish, verdict, version)
    }
    var facts = MessageFacts(
      qos: publish.qos, retain: publish.retain, publisher: sessions.records[session].entry)
    if let interval = publish.properties.messageExpiryInterval {
      facts.expiresAt = MessageFacts.expiry(after: interval, at: second)
    }
    let routing: Routing
    if publish.properties.forwardedIsRaw {
      let wire = packet.extracting(first: isWhole ? packet.count - payload.count : 0)
      routing = route(
        MessageView(
          facts: facts, topic: topic, properties: packet.extracting(publish.properties.raw),
          payload: payload, wire: wire, hasProperties: version.hasProperties), from: slot)
    } else {
      let properties = forwarded(publish.properties, of: packet)
      routing = route(
        MessageView(facts: facts, topic: topic, properties: properties.span, payload: payload),
        from: slot)
    }
    let reason: ReasonCode
    switch routing {
    case .matched: reason = .success
    case .unmatched: reason = .noMatchingSubscribers
    case .notRetained: return reject(slot, session, publish, .quotaExceeded, version)
    }
    switch publish.qos {
    case .atMostOnce: break
    case .atLeastOnce: acknowledge(slot, .pubAck, publish.packetID, reason, version)
    case .exactlyOnce: acknowledge(slot, .pubRec, publish.packetID, reason, version)
    }
  }

  /// Refuses a message but not its client, where the protocol can say so.
  private func reject(
    _ slot: UInt32, _ session: UInt32, _ publish: Publish, _ reason: ReasonCode,
    _ version: ProtocolVersion
  ) {
    counters.publishesDropped += 1
    journal.note(self, slot, "PUBLISH refused: \(reason)")
    switch publish.qos {
    case .exactlyOnce:
      // A refused QoS 2 message is done with its PUBREC [MQTT-4.3.3-9].
      if version == .v5 { _ = sessions.released(session, publish.packetID) }
      acknowledge(slot, .pubRec, publish.packetID, reason, version)
    case .atLeastOnce: acknowledge(slot, .pubAck, publish.packetID, reason, version)
    case .atMostOnce: break
    }
  }

  /// PUBACK, PUBREC, PUBREL or PUBCOMP, in its shortest form.
  func acknowledge(
    _ slot: UInt32, _ type: PacketType, _ packetID: UInt16, _ reason: ReasonCode,
    _ version: ProtocolVersion
  ) {
    send(slot, count: encodedAckCount(reason: reason, version: version)) {
      encodeAck(type: type, packetID: packetID, reason: reason, version: version, into: &$0)
    }
  }

  /// The properties of a message that are forwarded, where others stand between them.
  func forwarded(_ properties: PublishProperties, of packet: Span<UInt8>) -> [UInt8] {
    let raw = packet.extracting(properties.raw)
    return [UInt8](capacity: forwardedPropertiesCount(raw)) {
      appendForwardedProperties(raw, to: &$0)
    }
  }

  /// Where a message went.
  enum Routing {
    /// Somebody may have subscribed to its topic.
    case matched
    /// Nobody subscribes to its topic anywhere.
    case unmatched
    /// It could not be retained, and was not delivered either: the client may try again.
    case notRetained
  }

  /// Retains a message that is to be, sends it to the loops that may have subscribers, and serves
  /// those here.
  /// - Parameter slot: the publisher's connection; 0 for a will or `$SYS`, which are delivered even
  ///   if they can't be retained.
  @discardableResult
  func route(_ message: borrowing MessageView, from slot: UInt32) -> Routing {
    if message.facts.retain && !retain(message) && slot != 0 { return .notRetained }
    let hash = topicHash(message.topic, seed: broker.seed)
    var isMatched = false
    let others = interestedLoops(message.topic, hash)
    if others != 0 {
      isMatched = true
      forward(message, hash, to: others)
    }
    if deliver(message, hash) { isMatched = true }
    // Any loop counts: the home of a shared subscription passes on what it gets, and only the
    // publisher can be held back.
    if outboxesInUse != 0 && isPressed { holdForPressure(slot) }
    return isMatched ? .matched : .unmatched
  }

  private func retain(_ message: borrowing MessageView) -> Bool {
    do throws(StoreError) {
      try broker.retained.set(message)
      return true
    } catch {
      let topic = message.topic.description
      journal.note(self, "cannot retain a message on \(topic): \(error)")
      return false
    }
  }
}
