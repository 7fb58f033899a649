import Net
import Packet
import PubSub
import Session
import Store
import Util

/// A connection whose CONNECT waits for the store.
struct Arrival {
  var reply: Reply
  /// The CONNECT as it came: handled once the session is there.
  var packet: [UInt8]
  /// What answers it, where only the commit is awaited; nil where the CONNECT is yet to be handled.
  var answer: ConnAckPacket?
}

/// Sessions that come from the store, and go there.
extension Worker {
  /// Lets a connection wait for its session.
  func keepWaiting(_ slot: UInt32, _ session: UInt32, _ packet: [UInt8], _ answer: ConnAckPacket?) {
    if let other = arrivals[session], other.reply != reply(slot) {
      // The same client came once more before it was answered [MQTT-3.1.4-3].
      if isAlive(other.reply.slot, other.reply.generation) {
        refuseArrival(other.reply.slot, "the client connected anew")
      }
    }
    arrivals[session] = Arrival(reply: reply(slot), packet: packet, answer: answer)
    loop.connections[slot].phase = Phase.arriving
    hold(slot, .arrival)
  }

  /// Answers a connection that waits for the store, which does not answer.
  func refuseArrival(_ slot: UInt32, _ text: String) {
    let version = ProtocolVersion(rawValue: loop.connections[slot].dialect) ?? .v5
    let answer = ConnAckPacket(reason: .serverBusy)
    send(slot, count: answer.encodedCount(version)) { answer.encode(version, into: &$0) }
    refuse(slot, "CONNECT refused: \(text)")
  }

  /// Answers all that wait for the store, which began to fail: nobody knows for how long. What it was
  /// asked for them, it does when it can.
  func refuseArrivals() {
    for arrival in arrivals.values where isAlive(arrival.reply.slot, arrival.reply.generation) {
      refuseArrival(arrival.reply.slot, "the store can't be written at present")
    }
  }

  /// Asks the store for the session of a client; the placeholder in `session` gets what it finds.
  func load(_ session: UInt32, _ client: [UInt8]) -> Bool {
    guard let stored, sessions.setExpiryInterval(session, .max) else { return false }
    sessions.lasting[sessions.records[session].lasting].flags.insert(.isArriving)
    stored.add(
      .load(
        SessionQuery(
          client: client,
          asker: Asker(slot: session, generation: sessions.records[session].generation))),
      bytes: client.count)
    return true
  }

  /// Whether the session waits for the store.
  func isArriving(_ session: UInt32) -> Bool {
    let record = sessions.records[session].lasting
    return record != 0 && sessions.lasting[record].flags.contains(.isArriving)
  }

  /// The store has answered for the session of a client.
  func arrive(_ answer: SessionAnswer) {
    let session = answer.asker.slot
    guard sessions.isCurrent(session, answer.asker.generation), isArriving(session) else { return }
    sessions.lasting[sessions.records[session].lasting].flags.remove(.isArriving)
    let arrival = arrivals.removeValue(forKey: session)
    if let image = answer.session {
      guard restore(session, image) else {
        // What is in the store stays there.
        journal.note(self, session: session, "out of memory: its session can't be read")
        forget(session)
        if let arrival, isAlive(arrival.reply.slot, arrival.reply.generation) {
          refuseArrival(arrival.reply.slot, "out of memory")
        }
        return
      }
      let extra = sessions.records[session].extras
      if sessions.expiryInterval(session) == 0 {
        // It was to end with its connection, which ended with the broker.
        endSession(session)
      } else if extra != 0 {
        sessionTimerFired(extra)
      }
      guard sessions.isCurrent(session, answer.asker.generation) else {
        // It had expired: the client gets a new one.
        if let arrival { handle(arrival) }
        return
      }
    } else {
      _ = sessions.setExpiryInterval(session, 0)
    }
    guard let arrival, isAlive(arrival.reply.slot, arrival.reply.generation) else {
      if answer.session == nil { endSession(session) } else { setParkTimer(session) }
      return
    }
    handle(arrival)
  }

  /// What waited for the commit of a session that connects is done.
  func complete(_ session: UInt32) {
    let record = sessions.records[session].lasting
    if record != 0 { sessions.lasting[record].flags.remove(.isArriving) }
    guard let arrival = arrivals.removeValue(forKey: session) else { return }
    let isHere = isAlive(arrival.reply.slot, arrival.reply.generation)
    guard isHere, let answer = arrival.answer else {
      // Its client has gone again, or another connection of the client waits.
      leave(session)
      if isHere { handle(arrival) }
      return
    }
    attach(arrival.reply.slot, session, answer)
    release(arrival.reply.slot, .arrival)
  }

  /// A session that connected is without its client again, before the client was answered.
  private func leave(_ session: UInt32) {
    sessions.discardWill(session)
    settle(session)
  }

  /// Handles a CONNECT that has waited.
  private func handle(_ arrival: Arrival) {
    let slot = arrival.reply.slot
    guard isAlive(slot, arrival.reply.generation) else { return }
    loop.connections[slot].phase = Phase.awaitsConnect
    let packet = arrival.packet.span
    let version = ProtocolVersion(rawValue: loop.connections[slot].dialect) ?? .v5
    do throws(DecodeError) {
      let frame = try decodeFrame(
        packet, from: 0, maximumPacketSize: options.maximumPacketSize, version: version)
      guard case .packet(let header) = frame else { return refuse(slot, "CONNECT is incomplete") }
      if handleConnect(slot, packet, header, rest: packet, from: 0, hasWaited: true) { return }
    } catch {
      return fault(slot, error, version)
    }
    if isAlive(slot, arrival.reply.generation), loop.connections[slot].phase != Phase.arriving {
      release(slot, .arrival)
    }
  }

  /// Makes a session what the store has of it. False without memory.
  private func restore(_ session: UInt32, _ image: StoredSession) -> Bool {
    guard sessions.setExpiryInterval(session, image.presence.expiryInterval) else { return false }
    let record = sessions.records[session].lasting
    // One that ends with a connection which ended with the broker: it is due already.
    if record == 0 { return false }
    sessions.lasting[record].storedID = image.id
    sessions.records[session].version =
      ProtocolVersion(rawValue: image.presence.version) ?? .v3_1_1
    sessions.records[session].sendQuota = UInt16(clamping: options.session.maximumInflight)
    guard restoreWill(session, image.presence),
      sessions.restore(
        session, image.progress, keep: { keep($0, of: image, session: session) })
    else { return false }
    restoreGroups(
      of: session, image.progress.window.filter { image.messages[$0.sequence] != nil })
    for subscription in image.subscriptions { restore(session, subscription) }
    if image.unread > 0 { noteUnread(session, image.unread) }
    touch(session)
    return true
  }

  private func noteUnread(_ session: UInt32, _ count: UInt64) {
    counters.unread += count
    journal.note(
      self, session: session,
      "\(count) messages went unread while it was away: they expired, or were too many")
  }

  /// A client that is about to be answered has missed messages: one of MQTT 5 is told how many.
  func tellUnread(_ asker: Asker, _ count: UInt64) {
    let session = asker.slot
    guard sessions.isCurrent(session, asker.generation) else { return }
    noteUnread(session, count)
    guard sessions.records[session].version.hasProperties else { return }
    var property: [UInt8] = []
    appendUserProperty(
      name: Array("unread".utf8).span, value: Array("\(count)".utf8).span, to: &property)
    arrivals[session]?.answer?.userProperties += property
  }

  private func restoreWill(_ session: UInt32, _ presence: SessionPresence) -> Bool {
    guard presence.will != nil || presence.expiresAt != 0 else { return true }
    guard let extra = sessions.makeExtras(session) else { return false }
    sessions.extras[extra].expiryDue = tick(atWallSecond: presence.expiresAt)
    guard let will = presence.will else { return true }
    let message = MessageView(
      facts: MessageFacts(
        qos: QoS(rawValue: will.qos) ?? .atMostOnce, retain: will.retain,
        publisher: sessions.records[session].entry),
      topic: will.topic.span, properties: will.properties.span, payload: will.payload.span)
    guard let kept = sessions.messages.keep(message) else { return false }
    sessions.extras[extra].will = kept
    sessions.extras[extra].willDelay = will.delay
    sessions.extras[extra].willLifetime = will.lifetime
    sessions.extras[extra].willDue = tick(atWallSecond: presence.willDueAt)
    return true
  }

  /// Keeps a message that a session had in flight.
  private func keep(
    _ entry: WindowEntry, of image: StoredSession, session: UInt32
  ) -> (message: UInt32, identifiers: UInt32)? {
    guard let place = image.messages[entry.sequence] else { return nil }
    return place.segment.records.withMessage(at: place.offset) { message in
      let view = MessageView(message, expiresAt: localSecond(message.facts.expiresAt))
      guard let kept = sessions.messages.keep(view) else { return nil }
      guard entry.identifier == WindowEntry.several else { return (kept, entry.identifier) }
      var list: [UInt32] = []
      for subscription in image.subscriptions
      where subscription.identifier != 0
        && filterMatches(subscription.filter.span, topic: message.topic)
        && list.count < Limits.identifiersPerDelivery
      {
        list.append(subscription.identifier)
      }
      return (kept, sessions.keepIdentifiers(list.span) ?? 0)
    }
  }

  private func restore(_ session: UInt32, _ subscription: StoredSubscription) {
    let filter = subscription.filter.span
    let outcome = subscriptions.subscribe(
      session: session, filter: filter, options: subscription.options & 0x3F,
      identifier: subscription.identifier, list: &sessions.records[session].subscriptions)
    if outcome.isRefused {
      broker.logger.error("no room for the stored subscription \(filter.description)")
      return
    }
    guard case .shared(let group, let inner) = parseSharedSubscription(filter) else { return }
    counters.sharedSubscriptions += 1
    sessions.records[session].flags.insert(.isShareMember)
    _ = join(
      session, filter.extracting(group), filter.extracting(inner),
      subscription.options | Worker.isAway, subscription.identifier, wantsAnswer: false)
  }

  // MARK: Parking

  /// A session without a connection leaves memory after a time; the store has all of it.
  func setParkTimer(_ session: UInt32) {
    guard sessions.isStored(session), let extra = sessions.makeExtras(session) else { return }
    let wait = Worker.ticks(milliseconds: options.parkAfterMilliseconds)
    sessions.extras[extra].parkDue = loop.now &+ max(1, wait)
    setSessionTimer(session)
  }

  /// Takes a session out of memory.
  func park(_ session: UInt32) {
    let extra = sessions.records[session].extras
    if extra != 0 { sessions.extras[extra].parkDue = 0 }
    guard sessions.isStored(session), !isArriving(session), retainedReadings[session] == nil
    else { return }
    // What was asked for is answered before.
    if isSubscribing(session) { return setParkTimer(session) }
    counters.parked += 1
    forget(session)
  }

  /// Takes a session out of memory and leaves what the store has of it.
  private func forget(_ session: UInt32) {
    tellProgress(session)
    // Whoever finds no session in the directory asks the store, behind what it is told here.
    submitToStore()
    let extra = sessions.records[session].extras
    if extra != 0 { sessionTimers.cancel(extra, in: sessions.extras) }
    if !identities.isEmpty { identities.removeValue(forKey: session) }
    leaveShares(session, redistributes: false)
    subscriptions.removeAll(&sessions.records[session].subscriptions)
    let entry = sessions.records[session].entry
    sessions.remove(session)
    broker.directory.release(entry)
  }

  /// Clients whose sessions have something due: those that are not in memory are read, and then their
  /// timers do what is due.
  func attend(_ clients: [[UInt8]]) {
    for client in clients where broker.directory.find(client.span) == nil {
      guard let session = sessions.create(entry: 0, version: .v5) else { return }
      let owner = SessionOwner(
        loop: UInt8(number), slot: session, generation: sessions.records[session].generation)
      guard case .claimed(let entry) = broker.directory.claim(client.span, for: owner) else {
        sessions.remove(session)
        continue
      }
      sessions.records[session].entry = entry
      if !load(session, client) { endSession(session) }
    }
  }
}
