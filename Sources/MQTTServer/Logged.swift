import Net
import Packet
import PubSub
import Session
import Store
import Util

/// A stored session that a message of the log goes to.
struct LoggedHit: BitwiseCopyable {
  var session: UInt32
  /// Subscriptions of the session that it is owed through.
  var count: UInt32
  var qos: UInt8
  var keepsRetain: Bool
  /// Whether one of its subscriptions wants it, and not only such as want nothing of its own.
  var isWanted: Bool
  /// Last of its identifiers in `hitIdentifiers`; -1 for none.
  var identifiers: Int32
}

/// How messages of the log reach stored sessions: those that are live get them as they are appended,
/// the others read them from the store.
extension Worker {
  /// Serves the live sessions here of what was appended.
  func deliver(_ segment: LogSegment) {
    segment.records.forEach { message, _ in
      let sequence = segment.first + UInt64(message.index)
      let facts = message.facts
      if let direct = DirectTopic(message.topic) {
        return deliver(message, direct, sequence)
      }
      matched.removeAll()
      subscriptions.filters.match(message.topic, into: &matched)
      guard matched.count > 0 else { return }
      collectLogged(facts)
      guard loggedHits.count > 0 || !loggedGroups.isEmpty else { return }
      let view = MessageView(message, expiresAt: localSecond(facts.expiresAt))
      templates.begin()
      for group in loggedGroups { deliverLogged(group, sequence, view) }
      var kept: UInt32 = 0
      for index in 0..<loggedHits.count {
        let hit = loggedHits[index]
        collectIdentifiers(hit.identifiers)
        let isRetained = hit.keepsRetain && facts.retain
        if hit.count == 0 {
          if hit.isWanted { pass(view, hit.session, retain: isRetained) }
          continue
        }
        let record = sessions.records[hit.session].lasting
        guard sessions.lasting[record].flags.contains(.isLive) else { continue }
        guard hit.qos > 0 else {
          if hit.isWanted { pass(view, hit.session, retain: isRetained) }
          passOver(hit.session, sequence, hit.count)
          continue
        }
        let wasTaken = takeLogged(
          view, hit.session, sequence, count: hit.count, qos: hit.qos,
          retain: isRetained, kept: &kept)
        if !wasTaken { sessions.lasting[record].flags.remove(.isLive) }
      }
      if kept != 0 { sessions.messages.release(kept) }
    }
  }

  /// Serves the session that a message alone is for, if it is here and live.
  private func deliver(
    _ message: borrowing LoggedMessage, _ direct: DirectTopic, _ sequence: UInt64
  ) {
    guard let owner = broker.directory.find(message.topic.extracting(direct.client)),
      Int(owner.loop) == number, sessions.isCurrent(owner.slot, owner.generation),
      sessions.storedID(owner.slot) == direct.session
    else { return }
    let record = sessions.records[owner.slot].lasting
    guard sessions.lasting[record].flags.contains(.isLive) else { return }
    templates.begin()
    identifierList.removeAll(keepingCapacity: true)
    var kept: UInt32 = 0
    let wasTaken = takeLogged(
      MessageView(message, expiresAt: localSecond(message.facts.expiresAt)), owner.slot, sequence,
      count: 1, qos: message.facts.qos, retain: false, kept: &kept)
    if !wasTaken { sessions.lasting[record].flags.remove(.isLive) }
    if kept != 0 { sessions.messages.release(kept) }
  }

  /// Sends a message with QoS 0, with the identifiers in `identifierList`: that is owed to nobody, so a
  /// client that is away or slow does not get it.
  private func pass(_ message: borrowing MessageView, _ session: UInt32, retain: Bool) {
    let slot = sessions.records[session].connection
    guard slot != 0, !message.facts.isExpired(at: second) else { return }
    guard takesMore(slot, message.byteCount),
      transmit(
        message, session, slot, qos: .atMostOnce, retain: retain, isRetry: false, packetID: 0)
    else { return countDrop(session) }
  }

  /// The stored sessions among the subscribers of the filters that matched, each once.
  private func collectLogged(_ facts: LoggedFacts) {
    loggedHits.removeAll()
    loggedGroups.removeAll(keepingCapacity: true)
    hitIdentifiers.removeAll()
    for index in 0..<matched.count {
      var slot = subscriptions.firstSubscription(of: matched[index])
      while slot != 0 {
        let subscription = subscriptions[slot]
        slot = subscription.nextInFilter
        if subscription.isShared {
          loggedGroups.append(subscription.session)
          continue
        }
        let session = subscription.session
        let storedID = sessions.storedID(session)
        guard storedID != 0 else { continue }
        let options = SubscriptionOptions(rawValue: subscription.options)
        var place = Int(sessions.records[session].hit)
        if place >= loggedHits.count || loggedHits[place].session != session {
          place = loggedHits.count
          sessions.records[session].hit = UInt32(place)
          loggedHits.append(
            LoggedHit(
              session: session, count: 0, qos: 0, keepsRetain: false, isWanted: false,
              identifiers: -1))
        }
        // One of QoS 0 is owed nothing, but what comes because of another bears its identifier.
        if options.qos != .atMostOnce { loggedHits[place].count += 1 }
        if options.noLocal && facts.publisher == storedID { continue }
        loggedHits[place].isWanted = true
        loggedHits[place].qos = max(loggedHits[place].qos, min(facts.qos, options.qos.rawValue))
        if options.retainAsPublished { loggedHits[place].keepsRetain = true }
        link(subscription.identifier, to: &loggedHits[place].identifiers)
      }
    }
  }

  /// Gives a session a message that it is owed, with the identifiers in `identifierList`: sent now, or
  /// held until the client takes it. False where the session has too much of that, or there is no
  /// memory: it reads the message from the store later.
  private func takeLogged(
    _ message: borrowing MessageView, _ session: UInt32, _ sequence: UInt64, count: UInt32,
    qos rawQoS: UInt8, retain: Bool, kept: inout UInt32
  ) -> Bool {
    let record = sessions.records[session].lasting
    let slot = sessions.records[session].connection
    guard let qos = QoS(rawValue: rawQoS), qos != .atMostOnce,
      !message.facts.isExpired(at: second)
    else {
      if rawQoS != 0 { counters.expired += 1 }
      passOver(session, sequence, count)
      return true
    }
    let sendsNow =
      qos == .atLeastOnce && slot != 0 && sessions.maySendNow(session)
      && loop.pendingOutput(slot) <= Limits.outputHighWater
    guard sendsNow || sessions.mayTakeAhead(session, bytes: message.byteCount),
      hold(message, &kept)
    else { return false }
    let list = identifierList
    guard let identifiers = sessions.keepIdentifiers(list.span) else {
      sessions.messages.release(kept)
      return false
    }
    let delivery = Delivery(
      message: kept, identifiers: identifiers, qos: qos, retain: retain, isShared: false,
      sequence: sequence)
    if sendsNow {
      guard let packetID = sessions.sendNow(session, delivery, bytes: message.byteCount) else {
        return giveUp(identifiers, kept)
      }
      write(message, session, slot, packetID: packetID, qos: qos, retain: retain)
    } else {
      guard sessions.takeAhead(session, delivery, bytes: message.byteCount) else {
        return giveUp(identifiers, kept)
      }
      sessions.prepare(session, second: second, expired: &counters.expired)
      if slot != 0 { awaitRoom(slot) }
    }
    sessions.lasting[record].cursor = sequence
    if count > 1 { stored?.add(.release(sequence: sequence, count: count - 1)) }
    touch(session)
    return true
  }

  /// There was no memory for a delivery: gives up what it held.
  private func giveUp(_ identifiers: UInt32, _ kept: UInt32) -> Bool {
    sessions.messages.release(kept)
    sessions.freeIdentifiers(identifiers)
    return false
  }

  /// A message that a session is owed and does not get: it has expired, or is its own.
  private func passOver(_ session: UInt32, _ sequence: UInt64, _ count: UInt32) {
    sessions.lasting[sessions.records[session].lasting].cursor = sequence
    stored?.add(.release(sequence: sequence, count: count))
    touch(session)
  }

  /// Writes a message that has its packet identifier, with the identifiers in `identifierList`.
  func write(
    _ message: borrowing MessageView, _ session: UInt32, _ slot: UInt32, packetID: UInt16,
    qos: QoS, retain: Bool
  ) {
    let record = sessions.records[session]
    let isPlain =
      identifierList.count <= 1 && (record.extras == 0 || !usesAliases(record.extras))
    guard isPlain else {
      if !transmit(
        message, session, slot, qos: qos, retain: retain, isRetry: false,
        packetID: packetID)
      {
        countDrop(session)
        sessions.dropTransmission(session, packetID)
      }
      return
    }
    let template = templates.get(
      message, version: record.version, qos: qos, retain: retain,
      identifier: record.version == .v5 ? identifierList.first ?? 0 : 0, second: second)
    guard fits(template.totalCount, record) else {
      countDrop(session)
      return sessions.dropTransmission(session, packetID)
    }
    write(message, template, to: slot, packetID: packetID)
  }

  // MARK: Reading what was missed

  /// Asks the store for what a session is owed behind its cursor, where it is not live, nothing is on
  /// the way, and there is room for it.
  func readOn(_ session: UInt32) {
    let record = sessions.records[session].lasting
    guard let stored, record != 0 else { return }
    let value = sessions.lasting[record]
    guard value.storedID != 0, !value.flags.contains(.isLive), !value.flags.contains(.isReading),
      sessions.records[session].connection != 0,
      sessions.waitingCount(session) * 2 <= Limits.takenAhead
    else { return }
    sessions.lasting[record].flags.insert(.isReading)
    let room = Int(sessions.roomInFlight(session)) + Limits.takenAhead
    stored.add(
      .read(
        LogQuery(
          asker: Asker(slot: session, generation: sessions.records[session].generation),
          session: value.storedID, after: value.cursor, epoch: value.epoch,
          maximumMessages: room, maximumBytes: Limits.takenAheadBytes)))
  }

  /// What a session is owed, or a part of it.
  func take(_ page: LogPage) {
    let session = page.asker.slot
    guard sessions.isCurrent(session, page.asker.generation) else { return }
    let record = sessions.records[session].lasting
    guard record != 0 else { return }
    sessions.lasting[record].flags.remove(.isReading)
    // It was asked before the client unsubscribed, or before it came anew.
    guard sessions.lasting[record].epoch == page.epoch, sessions.records[session].connection != 0
    else { return readOn(session) }
    for item in page.items where item.sequence > sessions.lasting[record].cursor {
      let wasTaken = item.place.segment.records.withMessage(at: item.place.offset) { message in
        templates.begin()
        identifierList.removeAll(keepingCapacity: true)
        identifierList.append(contentsOf: item.identifiers.prefix(Limits.identifiersPerDelivery))
        var kept: UInt32 = 0
        let view = MessageView(message, expiresAt: localSecond(message.facts.expiresAt))
        let wasTaken = takeLogged(
          view, session, item.sequence, count: item.count, qos: item.qos, retain: item.retain,
          kept: &kept)
        if kept != 0 { sessions.messages.release(kept) }
        return wasTaken
      }
      guard wasTaken else { return pump(session) }
    }
    if page.through > sessions.lasting[record].cursor {
      sessions.lasting[record].cursor = page.through
    }
    if page.isAtEnd { sessions.lasting[record].flags.insert(.isLive) }
    pump(session)
  }
}

extension MessageView {
  /// A message of the log, or a retained one of the store, in place.
  /// - Parameter expiresAt: the second of the loop's clock; 0 for never.
  @_lifetime(copy message)
  init(_ message: borrowing LoggedMessage, expiresAt: UInt32) {
    // One for a single session is stored with whom it is for in front of its topic.
    var topic = message.topic
    if let direct = DirectTopic(topic) { topic = topic.extracting(direct.topic) }
    self.init(
      facts: MessageFacts(
        qos: QoS(rawValue: message.facts.qos) ?? .atMostOnce, retain: message.facts.retain,
        expiresAt: expiresAt),
      topic: topic, properties: message.properties, payload: message.payload)
  }
}
