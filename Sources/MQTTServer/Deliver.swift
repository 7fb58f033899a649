import Net
import Packet
import PubSub
import Session
import Util

/// A session that a message goes to because of more than one filter.
struct Hit: BitwiseCopyable {
  var session: UInt32
  var qos: UInt8
  var keepsRetain: Bool
  /// Last of its identifiers in `hitIdentifiers`; -1 for none.
  var identifiers: Int32
}

/// One subscription identifier of a hit, linked to the one before.
struct HitIdentifier: BitwiseCopyable {
  var value: UInt32
  var previous: Int32
}

/// How a message reaches the sessions of this loop.
extension Worker {
  /// Serves the subscribers on this loop, but for what stored sessions and groups get from the log. False
  /// when there are none.
  @discardableResult
  func deliver(_ message: borrowing MessageView, _ hash: UInt32) -> Bool {
    matched.removeAll()
    subscriptions.filters.match(message.topic, hash: hash, into: &matched)
    guard matched.count > 0 else { return false }
    templates.begin()
    var kept: UInt32 = 0
    if matched.count == 1 {
      // Within one filter a session stands once: nothing overlaps.
      var slot = subscriptions.firstSubscription(of: matched[0])
      while slot != 0 {
        let subscription = subscriptions[slot]
        slot = subscription.nextInFilter
        if subscription.isShared {
          if !message.facts.isLogged { deliverToGroup(subscription.session, message) }
          continue
        }
        let options = SubscriptionOptions(rawValue: subscription.options)
        if options.noLocal && isOwn(subscription.session, message.facts) { continue }
        if isFromLog(subscription.session, message.facts, options) { continue }
        give(
          message, to: subscription.session, qos: min(message.facts.qos, options.qos),
          retain: options.retainAsPublished && message.facts.retain,
          identifier: subscription.identifier, kept: &kept)
      }
    } else {
      collectHits(message)
      for index in 0..<hits.count {
        let hit = hits[index]
        let qos = QoS(rawValue: hit.qos) ?? .atMostOnce
        let retain = hit.keepsRetain && message.facts.retain
        collectIdentifiers(hit.identifiers)
        if identifierList.count > 1 {
          giveWithList(message, to: hit.session, qos: qos, retain: retain, kept: &kept)
        } else {
          give(
            message, to: hit.session, qos: qos, retain: retain,
            identifier: identifierList.first ?? 0, kept: &kept)
        }
      }
    }
    if kept != 0 { sessions.messages.release(kept) }
    return true
  }

  /// Whether a message was published by the client of this session.
  private func isOwn(_ session: UInt32, _ facts: MessageFacts) -> Bool {
    facts.publisher != 0 && facts.publisher == sessions.records[session].entry
  }

  /// Whether a session gets a message not now but from the log, or is not owed it: a subscription of
  /// QoS 1 or 2 of a stored session counts from its place in the log on, so one that a message which
  /// is not logged finds here was made after the message was published.
  private func isFromLog(
    _ session: UInt32, _ facts: MessageFacts, _ options: SubscriptionOptions
  ) -> Bool {
    guard sessions.isStored(session) else { return false }
    return facts.isLogged || (facts.qos != .atMostOnce && options.qos != .atMostOnce)
  }

  /// Several filters matched: one delivery for each session, at the highest QoS, with all
  /// identifiers [MQTT-3.3.4-2] [MQTT-3.3.4-3].
  private func collectHits(_ message: borrowing MessageView) {
    hits.removeAll()
    hitIdentifiers.removeAll()
    for index in 0..<matched.count {
      var slot = subscriptions.firstSubscription(of: matched[index])
      while slot != 0 {
        let subscription = subscriptions[slot]
        slot = subscription.nextInFilter
        if subscription.isShared {
          if !message.facts.isLogged { deliverToGroup(subscription.session, message) }
          continue
        }
        let options = SubscriptionOptions(rawValue: subscription.options)
        let session = subscription.session
        if options.noLocal && isOwn(session, message.facts) { continue }
        if isFromLog(session, message.facts, options) { continue }
        let qos = min(message.facts.qos, options.qos).rawValue
        // The session says which hit is its own, and the hit whether that is so.
        var place = Int(sessions.records[session].hit)
        if place >= hits.count || hits[place].session != session {
          place = hits.count
          sessions.records[session].hit = UInt32(place)
          hits.append(
            Hit(
              session: session, qos: qos, keepsRetain: options.retainAsPublished, identifiers: -1))
        } else {
          hits[place].qos = max(hits[place].qos, qos)
          if options.retainAsPublished { hits[place].keepsRetain = true }
        }
        link(subscription.identifier, to: &hits[place].identifiers)
      }
    }
  }

  /// Adds a subscription identifier to those that are linked from `last` on, if it is one.
  func link(_ identifier: UInt32, to last: inout Int32) {
    guard identifier != 0 else { return }
    hitIdentifiers.append(HitIdentifier(value: identifier, previous: last))
    last = Int32(hitIdentifiers.count - 1)
  }

  /// Puts the identifiers that are linked from one on into `identifierList`.
  func collectIdentifiers(_ last: Int32) {
    identifierList.removeAll(keepingCapacity: true)
    var place = Int(last)
    while place >= 0 && identifierList.count < Limits.identifiersPerDelivery {
      identifierList.append(hitIdentifiers[place].value)
      place = Int(hitIdentifiers[place].previous)
    }
  }

  /// One message to one session, with at most one identifier: sent now, or kept for later.
  func give(
    _ message: borrowing MessageView, to session: UInt32, qos: QoS, retain: Bool,
    identifier: UInt32, isShared: Bool = false, kept: inout UInt32
  ) {
    let record = sessions.records[session]
    let slot = record.connection
    let isV5 = record.version == .v5
    if record.extras != 0 && slot != 0 && usesAliases(record.extras) {
      identifierList.removeAll(keepingCapacity: true)
      if identifier != 0 { identifierList.append(identifier) }
      giveWithList(
        message, to: session, qos: qos, retain: retain, isShared: isShared, kept: &kept)
      return
    }
    if qos == .atMostOnce {
      guard slot != 0 else { return }
      let template = templates.get(
        message, version: record.version, qos: qos, retain: retain,
        identifier: isV5 ? identifier : 0, second: second)
      guard fits(template.totalCount, record) else { return countDrop(session) }
      guard takesMore(slot, template.totalCount) else { return countDrop(session) }
      write(message, template, to: slot, packetID: 0)
      return
    }
    let isPersistent = record.flags.contains(.isPersistent)
    if slot != 0 && sessions.maySendNow(session)
      && loop.pendingOutput(slot) <= Limits.outputHighWater
    {
      let template = templates.get(
        message, version: record.version, qos: qos, retain: retain,
        identifier: isV5 ? identifier : 0, second: second)
      guard fits(template.totalCount, record) else { return countDrop(session) }
      var delivery = Delivery(
        message: 0, identifiers: 0, qos: qos, retain: retain, isShared: isShared)
      if isPersistent || isShared || tellsDelivered && isTold(message) {
        guard hold(message, &kept) else { return countDrop(session) }
        delivery.message = kept
        delivery.identifiers = identifier
      }
      guard let packetID = sessions.sendNow(session, delivery, bytes: message.byteCount) else {
        if delivery.message != 0 { sessions.messages.release(delivery.message) }
        return countDrop(session)
      }
      write(message, template, to: slot, packetID: packetID)
      return
    }
    enqueue(
      message, session, qos: qos, retain: retain, identifiers: identifier, isShared: isShared,
      kept: &kept)
  }

  /// Writes a message behind a header that was made for it.
  /// - Parameter packetID: 0 for QoS 0, whose header has no place for one.
  func write(
    _ message: borrowing MessageView, _ template: Template, to slot: UInt32, packetID: UInt16
  ) {
    counters.publishesSent += 1
    counters.messagesSent += 1
    counters.publishBytesSent += UInt64(message.payload.count)
    templates.withHeader(template) { header in
      _ = loop.write(
        slot, header: header, packetIDOffset: template.packetIDOffset, packetID: packetID,
        body: message.payload)
    }
  }

  /// As `give`, with the identifiers in `identifierList`, or with an alias for the topic.
  private func giveWithList(
    _ message: borrowing MessageView, to session: UInt32, qos: QoS, retain: Bool,
    isShared: Bool = false, kept: inout UInt32
  ) {
    let record = sessions.records[session]
    let slot = record.connection
    if qos == .atMostOnce {
      guard slot != 0 else { return }
      guard takesMore(slot, message.byteCount) else { return countDrop(session) }
      transmit(
        message, session, slot, qos: qos, retain: retain, isRetry: false, packetID: 0)
      return
    }
    let list = identifierList
    guard let identifiers = sessions.keepIdentifiers(list.span) else {
      return countDrop(session)
    }
    if slot != 0 && sessions.maySendNow(session)
      && loop.pendingOutput(slot) <= Limits.outputHighWater
    {
      guard hold(message, &kept) else {
        sessions.freeIdentifiers(identifiers)
        return countDrop(session)
      }
      let delivery = Delivery(
        message: kept, identifiers: identifiers, qos: qos, retain: retain, isShared: isShared)
      guard let packetID = sessions.sendNow(session, delivery, bytes: message.byteCount) else {
        sessions.messages.release(kept)
        sessions.freeIdentifiers(identifiers)
        return countDrop(session)
      }
      if !transmit(
        message, session, slot, qos: qos, retain: retain, isRetry: false, packetID: packetID)
      {
        sessions.dropTransmission(session, packetID)
      }
      return
    }
    enqueue(
      message, session, qos: qos, retain: retain, identifiers: identifiers, isShared: isShared,
      kept: &kept)
  }

  /// Lets a message wait in its session. Takes over `identifiers`.
  private func enqueue(
    _ message: borrowing MessageView, _ session: UInt32, qos: QoS, retain: Bool,
    identifiers: UInt32, isShared: Bool, kept: inout UInt32
  ) {
    guard hold(message, &kept) else {
      sessions.freeIdentifiers(identifiers)
      return countDrop(session)
    }
    let delivery = Delivery(
      message: kept, identifiers: identifiers, qos: qos, retain: retain, isShared: isShared)
    guard sessions.enqueue(session, delivery, bytes: message.byteCount) else {
      sessions.messages.release(kept)
      sessions.freeIdentifiers(identifiers)
      return countDrop(session)
    }
    let slot = sessions.records[session].connection
    if slot != 0 {
      awaitRoom(slot)
    } else if tellsOffline {
      tellOffline(message, clients: [broker.directory.clientID(sessions.records[session].entry)])
    }
  }

  /// One more reference to the copy of the message that sessions share, made for the first.
  func hold(_ message: borrowing MessageView, _ kept: inout UInt32) -> Bool {
    if kept == 0 {
      guard let made = sessions.messages.keep(message) else { return false }
      kept = made
    }
    sessions.messages.retain(kept)
    return true
  }

  /// Whether a packet is no larger than the client takes [MQTT-3.1.2-24].
  func fits(_ count: Int, _ record: SessionRecord) -> Bool {
    guard record.extras != 0 else { return true }
    let maximum = sessions.extras[record.extras].maximumPacketSize
    return maximum == 0 || count <= Int(maximum)
  }

  /// Whether a client that may have stopped reading gets a QoS 0 message still.
  func takesMore(_ slot: UInt32, _ count: Int) -> Bool {
    !loop.isBacklogged(slot) || loop.pendingOutput(slot) + count <= options.maximumOutputBytes
  }

  func usesAliases(_ extra: UInt32) -> Bool {
    sessions.extras[extra].sendAliasMaximum != 0
  }

  /// A message that a client does not get: counted, and logged once until the client has caught
  /// up.
  func countDrop(_ session: UInt32) {
    counters.publishesDropped += 1
    guard !sessions.records[session].flags.contains(.hasDropped) else { return }
    sessions.records[session].flags.insert(.hasDropped)
    journal.note(self, session: session, "messages are dropped: it is slow, away, or takes less")
  }
}
