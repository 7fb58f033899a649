import Packet
import PubSub
import Session
import Store
import Util

extension MQTTBroker {
  /// See `Gateway`.
  public func publish(
    _ messages: [OutsideMessage], loop: Int, key: [UInt8],
    done: @escaping @Sendable ([PublishOutcome]) -> Void
  ) {
    broker.mailboxes[loop].post(.perform { $0.publish(messages, key: key, done: done) })
  }

  /// See `Gateway`.
  public func publish(
    _ batch: OutsideBatch, loop: Int, done: @escaping @Sendable ([PublishOutcome]) -> Void
  ) {
    broker.mailboxes[loop].post(.perform { $0.publish(batch, done: done) })
  }

  /// See `Gateway`.
  public func rememberedKeys(
    _ done: @escaping @Sendable ([(key: [UInt8], until: UInt32)]) -> Void
  ) {
    broker.mailboxes[0].post(.perform { $0.readKeys(done) })
  }
}

/// Messages that are published from outside of MQTT.
extension Worker {
  /// Takes messages, each as if a client had published it.
  func publish(
    _ messages: [OutsideMessage], key: [UInt8],
    done: @escaping @Sendable ([PublishOutcome]) -> Void
  ) {
    let receipt = PublishReceipt(messages.count, done: done)
    for place in messages.indices {
      let part = ReceiptPart(receipt: receipt, place: place)
      if let client = messages[place].client {
        publish(messages[place], to: client, part)
      } else {
        publish(checking: messages[place], part)
      }
    }
    // In one batch with what the request has the store keep, so that the store has both or neither.
    if !key.isEmpty, let stored, !stored.store.isFailing {
      stored.add(
        .remember(key: key, until: WallClock.second &+ Limits.rememberedSeconds),
        bytes: key.count)
      isKept = true
    }
    awaitStore(receipt)
    receipt.leave()
  }

  /// Takes the messages of a batch, each as if a client had published it.
  func publish(_ batch: OutsideBatch, done: @escaping @Sendable ([PublishOutcome]) -> Void) {
    let receipt = PublishReceipt(
      batch.records.count, isForRefusals: !batch.wantsOutcomes, done: done)
    // The bytes are held by the batch, which is held until after this.
    unsafe batch.bytes.withUnsafeBytes { bytes in
      unsafe loop.lending(bytes) {
        for place in batch.records.indices {
          let record = batch.records[place]
          let part = ReceiptPart(receipt: receipt, place: place)
          guard record.client.isEmpty else {
            let message = batch.message(record)
            if let client = message.client { publish(message, to: client, part) }
            continue
          }
          publish(
            MessageView(
              facts: facts(record.qos, record.retain, record.lifetime),
              topic: batch.bytes.span.extracting(record.topic),
              properties: batch.properties.span.extracting(record.properties),
              payload: batch.bytes.span.extracting(record.payload)), part)
        }
      }
    }
    awaitStore(receipt)
    receipt.leave()
  }

  /// A receipt waits for what was handed to the store for it.
  private func awaitStore(_ receipt: PublishReceipt) {
    guard isKept else { return }
    isKept = false
    receipt.join()
    stored?.wait(.errand { _ in receipt.leave() })
  }

  /// Publishes to whoever subscribes.
  private func publish(checking message: OutsideMessage, _ part: ReceiptPart) {
    guard validateTopicName(message.topic.span) else {
      return part.receipt.refuse(part.place, .topicInvalid)
    }
    publish(view(message), part)
  }

  /// Publishes to whoever subscribes. The topic is a topic name.
  private func publish(_ message: borrowing MessageView, _ part: ReceiptPart) {
    let topic = message.topic
    guard hasFewLevels(topic) else {
      return part.receipt.refuse(part.place, .topicInvalid)
    }
    guard !isReserved(topic), !message.facts.retain || options.retainAvailable else {
      return part.receipt.refuse(part.place, .notAllowed)
    }
    countReceived(message.payload.count)
    receiptPart = part
    let routing = route(message, from: 0)
    receiptPart = nil
    switch routing {
    case .matched, .unmatched: break
    case .stored: isKept = true
    case .refused:
      let isStoreFailing = stored.map { $0.store.isFailing } ?? false
      part.receipt.refuse(part.place, isStoreFailing ? .storeUnavailable : .quotaExceeded)
    }
  }

  /// Publishes to one client.
  private func publish(_ message: OutsideMessage, to client: [UInt8], _ part: ReceiptPart) {
    let topic = message.topic.span
    guard validateTopicName(topic), hasFewLevels(topic) else {
      return part.receipt.refuse(part.place, .topicInvalid)
    }
    guard !isReserved(topic), !message.retain else {
      return part.receipt.refuse(part.place, .notAllowed)
    }
    guard message.qos != .atMostOnce, let stored, stored.store.mayHaveSession(of: client.span)
    else { return send(message, to: client, part, hops: 0) }
    keep(message, for: client, part)
  }

  /// Sends a message to a client that the store has no session of, or need not know of it.
  private func send(
    _ message: OutsideMessage, to client: [UInt8], _ part: ReceiptPart, hops: Int
  ) {
    guard let owner = broker.directory.find(client.span) else { return }
    guard Int(owner.loop) == number else {
      guard hops < Limits.handOvers else {
        return part.receipt.refuse(part.place, .quotaExceeded)
      }
      part.receipt.join()
      return post(
        .perform { other in
          other.send(message, to: client, part, hops: hops + 1)
          other.awaitStore(part.receipt)
          part.receipt.leave()
        }, to: Int(owner.loop))
    }
    give(message, to: owner.slot, client, part)
  }

  /// Gives a message to a session of this loop, whatever it has subscribed to.
  private func give(
    _ message: OutsideMessage, to session: UInt32, _ client: [UInt8], _ part: ReceiptPart
  ) {
    let isOnline = sessions.records[session].connection != 0
    if message.qos != .atMostOnce && (sessions.isStored(session) || isArriving(session)) {
      // It has become one since it was asked for.
      return keep(message, for: client, part)
    }
    let isPersistent = sessions.records[session].flags.contains(.isPersistent)
    guard isOnline || (message.qos != .atMostOnce && isPersistent) else { return }
    countReceived(message.payload.count)
    let dropped = counters.publishesDropped
    templates.begin()
    var kept: UInt32 = 0
    give(
      view(message), to: session, qos: message.qos, retain: false, identifier: 0, kept: &kept)
    if kept != 0 { sessions.messages.release(kept) }
    guard counters.publishesDropped == dropped else {
      return part.receipt.refuse(part.place, .quotaExceeded)
    }
    part.receipt.add(part.place, isOnline ? Audience(online: 1) : Audience(away: 1))
  }

  /// Hands a message to the store for the session of one client, to which it comes from the log.
  private func keep(_ message: OutsideMessage, for client: [UInt8], _ part: ReceiptPart) {
    guard let stored, !stored.store.isFailing else {
      return part.receipt.refuse(part.place, .storeUnavailable)
    }
    let view = view(message)
    stored.publish(
      LoggedFacts(
        publisher: 0, expiresAt: wallSecond(view.facts.expiresAt), qos: message.qos.rawValue,
        retain: false),
      topic: view.topic, properties: view.properties, payload: view.payload,
      to: client, tellsAbsent: tellsOffline && hooks?.tellsOffline(view.topic) ?? false,
      receipt: DirectPart(part: part, message: message))
    isKept = true
  }

  /// The store keeps a message for the session of one client: whether that is connected its loop knows.
  func noteKept(_ direct: DirectPart) {
    countReceived(direct.message.payload.count)
    let part = direct.part
    guard let client = direct.message.client, let owner = broker.directory.find(client.span) else {
      return
    }
    part.receipt.join()
    post(
      .perform { other in
        if other.sessions.isCurrent(owner.slot, owner.generation),
          other.sessions.records[owner.slot].connection != 0
        {
          part.receipt.add(part.place, Audience(online: 1, keptOnline: 1))
        }
        part.receipt.leave()
      }, to: Int(owner.loop))
  }

  /// The store has no session of the client that a message is for: it may have one that ends with its
  /// connection.
  func noteNotKept(_ direct: DirectPart) {
    guard let client = direct.message.client else { return }
    send(direct.message, to: client, direct.part, hops: 0)
    awaitStore(direct.part.receipt)
  }

  private func countReceived(_ bytes: Int) {
    counters.publishesReceived += 1
    counters.publishBytesReceived += UInt64(bytes)
  }

  /// A view on a message from outside.
  @_lifetime(borrow message)
  func view(_ message: borrowing OutsideMessage) -> MessageView {
    MessageView(
      facts: facts(message.qos, message.retain, message.lifetime), topic: message.topic.span,
      properties: message.properties.span, payload: message.payload.span)
  }

  private func facts(_ qos: QoS, _ retain: Bool, _ lifetime: UInt32) -> MessageFacts {
    MessageFacts(
      qos: qos, retain: retain,
      expiresAt: lifetime == 0 ? 0 : MessageFacts.expiry(after: lifetime, at: second))
  }

  // MARK: Who gets it

  /// Counts to whom a message went on this loop, whose filters are in `matched`.
  /// - Parameter dropped: how many did not get it although they were to.
  func note(_ message: borrowing MessageView, for part: ReceiptPart, dropped: UInt64) {
    var audience = Audience()
    var seen: Set<UInt32> = []
    for index in 0..<matched.count {
      var slot = subscriptions.firstSubscription(of: matched[index])
      while slot != 0 {
        let subscription = subscriptions[slot]
        slot = subscription.nextInFilter
        if subscription.isShared {
          count(group: subscription.session, message.facts, &audience)
          continue
        }
        let session = subscription.session
        let isOnline = sessions.records[session].connection != 0
        let isOwed =
          message.facts.qos != .atMostOnce
          && SubscriptionOptions(rawValue: subscription.options).qos != .atMostOnce
        if isOnline {
          if isOwed && message.facts.isLogged && sessions.isStored(session) {
            audience.keptOnline += 1
          }
          if matched.count == 1 || seen.insert(session).inserted { audience.online += 1 }
        } else if isOwed && !sessions.isStored(session)
          && sessions.records[session].flags.contains(.isPersistent)
        {
          audience.away += 1
        }
      }
    }
    audience.dropped = min(audience.online, Int(clamping: dropped))
    audience.online -= audience.dropped
    part.receipt.add(part.place, audience)
  }

  /// A shared subscription counts once, as its member that gets the message does.
  private func count(group: UInt32, _ facts: MessageFacts, _ audience: inout Audience) {
    let hasPresent = shares.hasMember(of: group) { $0.options & Worker.isAway == 0 }
    let isLogged = facts.isLogged && (groupLogs[group]?.id ?? 0) != 0
    if hasPresent {
      audience.online += 1
      if isLogged { audience.keptOnline += 1 }
    } else if !isLogged && facts.qos != .atMostOnce {
      audience.away += 1
    }
  }

  // MARK: Keys

  func readKeys(_ done: @escaping @Sendable ([(key: [UInt8], until: UInt32)]) -> Void) {
    guard let stored else { return done([]) }
    stored.readKeys(done)
  }
}
