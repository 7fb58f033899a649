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
    var replacement: OutsideMessage?
    var isDropped = false
    if judgesPublishes && (askedTopics.lets(topic) || !identities.isEmpty)
      && verdict != .topicNameInvalid && verdict != .notAuthorized
    {
      switch judge(slot, session, topic) {
      case .publish: break
      case .ask:
        counters.publishesReceived -= 1
        counters.publishBytesReceived -= UInt64(publish.payload.count)
        wantsToAsk = true
        return
      case .refuse(let reason): verdict = reason
      case .drop: isDropped = true
      case .replace(let message): replacement = message
      }
    }
    if publish.qos == .exactlyOnce {
      let limit = version == .v5 ? options.session.receiveMaximum : 65_535
      switch sessions.arrived(session, publish.packetID, limit: limit) {
      case .new: break
      case .duplicate:
        answer(
          slot, .pubRec, publish.packetID, .success, version, waits: sessions.isStored(session))
        return
      case .quotaExceeded:
        return disconnect(slot, .receiveMaximumExceeded, "more QoS 2 messages than we take")
      case .exhausted: return disconnect(slot, .quotaExceeded, "out of memory")
      }
      // That it came is stored with the message, and before the client may forget it.
      touch(session)
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
    if isDropped {
      counters.publishesDropped += 1
      routing = .matched
    } else if let replacement {
      let view = view(replacement)
      facts.retain = replacement.retain
      facts.expiresAt = view.facts.expiresAt
      routing = route(
        MessageView(
          facts: facts, topic: view.topic, properties: view.properties, payload: view.payload),
        from: slot)
    } else if publish.properties.forwardedIsRaw {
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
    var reason = ReasonCode.success
    var waits = false
    switch routing {
    case .matched: break
    case .unmatched: reason = .noMatchingSubscribers
    case .stored: waits = true
    case .refused: return reject(slot, session, publish, .quotaExceeded, version)
    }
    switch publish.qos {
    case .atMostOnce: break
    case .atLeastOnce:
      answer(slot, .pubAck, publish.packetID, reason, version, waits: waits)
    case .exactlyOnce:
      answer(
        slot, .pubRec, publish.packetID, reason, version,
        waits: waits || sessions.isStored(session))
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
      answer(slot, .pubRec, publish.packetID, reason, version, waits: false)
    case .atLeastOnce:
      answer(slot, .pubAck, publish.packetID, reason, version, waits: false)
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
    /// The store was asked to append or retain it: it is acknowledged when that is done.
    case stored
    /// It could not be kept, and was not delivered either: the client may try again.
    case refused
  }

  /// Retains a message that is to be, sends it to the loops that may have subscribers, and serves
  /// those here.
  /// - Parameter slot: the publisher's connection; 0 for a will or `$SYS`, which are delivered even
  ///   if they can't be retained.
  /// - Parameter session: whose will it is; 0 for none.
  @discardableResult
  func route(
    _ message: borrowing MessageView, from slot: UInt32, willOf session: UInt32 = 0
  ) -> Routing {
    let hash = topicHash(message.topic, seed: broker.seed)
    var isStored = false
    let isLogged =
      stored != nil && message.facts.qos != .atMostOnce
      && broker.mayHaveReaders(message.topic, hash)
    // What the broker says of itself it says anew when it starts.
    if isLogged || (stored != nil && message.facts.retain && !isReserved(message.topic)) {
      guard store(message, appends: isLogged, from: slot, willOf: session) else { return .refused }
      isStored = true
    } else if message.facts.retain && !retain(message) && (slot != 0 || receiptPart != nil) {
      return .refused
    }
    var isMatched = false
    var message = copy message
    message.facts.isLogged = isLogged
    // A message that is retained is with the store before loops are looked up: a subscription that is
    // missed here finds it there.
    if isStored && message.facts.retain { submitToStore() }
    let others = interestedLoops(message.topic, hash)
    if others != 0 {
      isMatched = true
      forward(message, hash, to: others)
    }
    let dropped = counters.publishesDropped
    if deliver(message, hash) {
      isMatched = true
      if let receiptPart {
        let lost = counters.publishesDropped - dropped
        // Where nobody but this loop may refuse it and it did not, there is nothing to be told of refusals.
        if lost != 0 || others != 0 || isStored || !receiptPart.receipt.isForRefusals {
          note(message, for: receiptPart, dropped: lost)
        }
      }
    }
    // Any loop counts: the home of a shared subscription passes on what it gets, and only the
    // publisher can be held back.
    if outboxesInUse != 0 && isPressed { holdForPressure(slot) }
    return isStored ? .stored : isMatched ? .matched : .unmatched
  }

  /// Hands a message to the store. False where the store can't be written, and the client can be told.
  private func store(
    _ message: borrowing MessageView, appends: Bool, from slot: UInt32, willOf will: UInt32
  ) -> Bool {
    guard let stored else { return false }
    if receiptPart != nil && stored.store.isFailing { return false }
    if slot != 0 {
      if stored.store.isFailing && message.facts.qos != .atMostOnce
        && loop.connections[slot].dialect == ProtocolVersion.v5.rawValue
      {
        return false
      }
    }
    let session = slot != 0 ? loop.connections[slot].owner : will
    let publisher = session == 0 ? 0 : sessions.storedID(session)
    stored.publish(
      LoggedFacts(
        publisher: publisher, expiresAt: wallSecond(message.facts.expiresAt),
        qos: message.facts.qos.rawValue, retain: message.facts.retain), topic: message.topic,
      properties: message.properties, payload: message.payload,
      appends: appends, isAnswered: slot != 0 && message.facts.qos != .atMostOnce,
      tellsAbsent: appends && tellsOffline && hooks?.tellsOffline(message.topic) ?? false,
      receipt: receiptPart)
    if broker.isStorePressed { holdForPressure(slot) }
    return true
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
