import Net
import Packet
import PubSub
import Session
import Synchronization
import Util

/// Messages to all clients of a kind that are online, at a rate.
extension MQTTBroker {
  /// See `Gateway`. Nil where `Limits.broadcasts` are under way, or the topic can't be published to.
  public func broadcast(
    _ order: BroadcastOrder, progress: @escaping @Sendable (BroadcastProgress) -> Void
  ) -> (any BroadcastHandle)? {
    let topic = order.message.topic.span
    guard validateTopicName(topic), options.allowsLevels(of: topic) else { return nil }
    let broker = broker
    guard
      broker.outside.broadcasts.add(1, ordering: .relaxed).newValue <= Limits.broadcasts
    else {
      broker.outside.broadcasts.subtract(1, ordering: .relaxed)
      return nil
    }
    let job = Broadcast(
      order, maximumQoS: QoS(rawValue: UInt8(options.maximumQoS)) ?? .exactlyOnce,
      loops: loopCount, progress: progress,
      ended: { broker.outside.broadcasts.subtract(1, ordering: .relaxed) })
    for mailbox in broker.mailboxes {
      mailbox.post(.perform { $0.outside.broadcasts.append(BroadcastRun(job)) })
    }
    return job
  }
}

extension Worker {
  /// Goes on with all broadcasts. Gives the tick at which to be called again.
  func workOnBroadcasts() -> UInt32 {
    var goesOn = false
    for run in outside.broadcasts where work(on: run) { goesOn = true }
    outside.broadcasts.removeAll { $0.isDone }
    return goesOn ? loop.now : loop.now + 1
  }

  /// True where more may be done at once.
  private func work(on run: BroadcastRun) -> Bool {
    if run.job.isCancelled {
      run.isWalking = false
      run.pending = [:]
    }
    let isNewTick = run.checkedAt != loop.now
    if isNewTick {
      run.checkedAt = loop.now
      check(run)
    }
    if run.isWalking && run.pausedAt != loop.now { walk(run) }
    if isNewTick || run.isDone {
      run.job.add(run.news, isLast: run.isDone)
      run.news = BroadcastProgress()
    }
    return run.isWalking && run.pausedAt != loop.now
  }

  // MARK: Sending

  /// Sends it to some more clients.
  private func walk(_ run: BroadcastRun) {
    let job = run.job
    var allowed = job.take(Limits.broadcastSends)
    guard allowed > 0 else {
      run.pausedAt = loop.now
      return
    }
    let facts = MessageFacts(qos: job.qos, retain: false, expiresAt: job.expiresAt)
    guard !facts.isExpired(at: second) else {
      run.isWalking = false
      return job.giveBack(allowed)
    }
    var filter: UInt32 = 0
    if case .filter(let text) = job.audience {
      filter = subscriptions.filters.find(text.span)
      // Nobody here has it at present, and what comes later need not get it.
      guard filter != 0 else {
        run.isWalking = false
        return job.giveBack(allowed)
      }
    }
    let content = job.message
    let message = MessageView(
      facts: facts, topic: content.topic.span, properties: content.properties.span,
      payload: content.payload.span)
    templates.begin()
    var kept: UInt32 = 0
    let limit = sessions.records.limit
    let end = min(limit, run.next + UInt32(Limits.slotsPerTurn))
    while run.next < end && allowed > 0 {
      let session = run.next
      run.next += 1
      guard isAddressed(session, job.audience, filter: filter) else { continue }
      allowed -= 1
      send(message, to: session, run, &kept)
    }
    if kept != 0 { sessions.messages.release(kept) }
    if run.next >= limit { run.isWalking = false }
    if allowed > 0 { job.giveBack(allowed) }
  }

  /// Whether a broadcast is for the client of a session, which is connected.
  private func isAddressed(
    _ session: UInt32, _ audience: BroadcastOrder.Audience, filter: UInt32
  ) -> Bool {
    let record = sessions.records[session]
    guard record.generation != 0, record.connection != 0, !trusted.contains(record.connection)
    else { return false }
    switch audience {
    case .everyone: return true
    case .tenant(let tenant): return identities[session]?.tenant == tenant
    case .filter:
      return subscriptions.find(session: session, filter: filter, list: record.subscriptions) != 0
    }
  }

  /// Bytes of a PUBLISH besides topic, forwarded properties and payload: at most.
  private static var publishOverhead: Int { 18 }

  private func send(
    _ message: borrowing MessageView, to session: UInt32, _ run: BroadcastRun,
    _ kept: inout UInt32
  ) {
    let slot = sessions.records[session].connection
    let takesMore =
      !loop.isBacklogged(slot) && loop.pendingOutput(slot) <= Limits.outputHighWater
      && message.byteCount + Worker.publishOverhead <= sessions.maximumPacketSize(session)
    let qos = message.facts.qos
    var packetID: UInt16? = 0
    if qos != .atMostOnce {
      packetID = sessions.nextPacketID(session)
      if sessions.waitingCount(session) >= options.session.maximumQueuedMessages
        && !sessions.maySendNow(session)
      {
        packetID = nil
      }
    }
    guard takesMore, let packetID else {
      run.news.skipped += 1
      return
    }
    let dropped = counters.publishesDropped
    give(message, to: session, qos: qos, retain: false, identifier: 0, kept: &kept)
    guard counters.publishesDropped == dropped else {
      run.news.skipped += 1
      return
    }
    if qos != .atMostOnce { touch(session) }
    run.news.sent += 1
    let isWaiting = packetID != 0 && sessions.outboundState(session, packetID) == .waiting
    run.add(session, BroadcastRun.Pending(packetID: packetID, isWaiting: isWaiting))
  }

  // MARK: Who has it

  /// Asks some of the clients that were sent it whether they have it.
  private func check(_ run: BroadcastRun) {
    for _ in 0..<min(run.order.count - run.head, Limits.broadcastChecks) {
      guard let session = run.nextToAsk(), let entry = run.pending[session] else { continue }
      switch state(of: entry, session) {
      case .received:
        run.pending.removeValue(forKey: session)
        count(entry, as: .received, in: run)
      case .sent:
        if entry.isWaiting { run.pending[session]?.isWaiting = false }
        run.order.append(session)
      case .waiting: run.order.append(session)
      }
    }
  }

  private func state(of entry: BroadcastRun.Pending, _ session: UInt32) -> OutboundState {
    if entry.packetID != 0 { return sessions.outboundState(session, entry.packetID) }
    // What was written before this turn is with the socket, unless that was full.
    return loop.isBacklogged(sessions.records[session].connection) ? .sent : .received
  }

  /// Notes how it ended for a client.
  private func count(
    _ entry: BroadcastRun.Pending, as state: OutboundState, in run: BroadcastRun
  ) {
    // One that waited until it had expired was given up and not sent.
    let hasExpired = run.job.expiresAt != 0 && run.job.expiresAt <= second
    if state == .received && !(entry.isWaiting && hasExpired) {
      run.news.acknowledged += 1
    } else {
      run.news.lost += 1
    }
  }

  /// A session is about to lose its connection: it has what it was sent, or will not.
  func leaveBroadcasts(_ session: UInt32) {
    for run in outside.broadcasts {
      guard let entry = run.pending.removeValue(forKey: session) else { continue }
      count(entry, as: state(of: entry, session), in: run)
    }
  }
}
