import Net
import Packet
import PubSub
import Session
import Store
import Util

/// Stored sessions: what the store is told of them, and what it tells.
extension Worker {
  /// What the store has done, in order.
  func take(_ events: [StoreEvent]) {
    for event in events {
      switch event {
      case .committed(let ticket):
        while let what = stored?.next(through: ticket) { goOn(what) }
      case .refused(let number): stored?.refuse(number)
      case .segment(let segment): deliver(segment)
      case .session(let answer):
        noteMissing(answer)
        arrive(answer)
      case .page(let page): if page.asker.slot == 0 { takeBacklog(page) } else { take(page) }
      case .sessions(let list): take(list)
      case .retained(let page): take(page)
      case .due(let clients): attend(clients)
      case .unread(let asker, let count): tellUnread(asker, count)
      case .group(let asker, let image): take(asker, image)
      case .returned(let asker, let group, let sequence): takeReturn(asker, group, sequence)
      case .groupPage(let query, let page): take(query, page)
      case .kept(let number, let count):
        if let direct = stored?.keep(number, subscriptions: count) { noteKept(direct) }
      case .noSession(let number):
        if let direct = stored?.findNoSession(number) { noteNotKept(direct) }
      case .absent(let absent): tellOffline(absent)
      case .keys(let tag, let keys): stored?.take(keys, tag: tag)
      }
    }
  }

  /// What waited for the store goes on.
  private func goOn(_ what: Awaited) {
    switch what {
    case .acknowledgement(let reply, let type, let packetID, let reason):
      guard isAlive(reply.slot, reply.generation) else { return }
      let session = loop.connections[reply.slot].owner
      guard session != 0 else { return }
      if reason.isError && type == .pubRec { _ = sessions.released(session, packetID) }
      acknowledge(reply.slot, type, packetID, reason, sessions.records[session].version)
    case .unsubscribed(let reply, let packetID, let reasons):
      guard isAlive(reply.slot, reply.generation) else { return }
      let session = loop.connections[reply.slot].owner
      guard session != 0 else { return }
      sendSubAck(
        reply.slot, .unsubAck, packetID, reasons, sessions.records[session].version)
    case .subscribed(let reply, let request): subscribed(reply, request)
    case .left(let reply):
      if isAlive(reply.slot, reply.generation) { close(reply.slot) }
    case .connected(let session, let generation):
      if sessions.isCurrent(session, generation) { complete(session) }
    case .lent(let lent): takeLent(lent)
    case .errand(let goOn): goOn(self)
    case .window(let session, let generation, let end):
      guard sessions.isCurrent(session, generation) else { return }
      if sessions.windowStored(session, through: end) { pump(session) }
    }
  }

  /// Sends an acknowledgement: once the store has done what was handed in, where `waits` says so or
  /// an earlier answer to the client waits already; else at once.
  func answer(
    _ slot: UInt32, _ type: PacketType, _ packetID: UInt16, _ reason: ReasonCode,
    _ version: ProtocolVersion, waits: Bool
  ) {
    guard let stored, waits || stored.isWaiting(slot) else {
      return acknowledge(slot, type, packetID, reason, version)
    }
    stored.wait(.acknowledgement(reply(slot), type, packetID: packetID, reason))
    if type == .pubAck || type == .pubRec { holdForAnswers(slot) }
  }

  /// Stops reading a client that goes on asking while much of what it asked for waits for a store which is
  /// behind, or can't be written. One that waits for its answers is read, and its pings are answered.
  func holdForAnswers(_ slot: UInt32) {
    guard let stored, stored.waits(slot) >= Limits.waitingAnswers, broker.isStorePressed else {
      return
    }
    holdForPressure(slot)
  }

  /// A connection as it is named across turns.
  func reply(_ slot: UInt32) -> Reply {
    Reply(slot: slot, generation: loop.connections[slot].generation)
  }

  // MARK: What the store is told

  /// A session has something else in flight than the store knows.
  func touch(_ session: UInt32) {
    let record = sessions.records[session].lasting
    guard sessions.isStored(session), !sessions.lasting[record].flags.contains(.isDirty) else {
      return
    }
    sessions.lasting[record].flags.insert(.isDirty)
    dirtySessions.append((session, sessions.records[session].generation))
  }

  /// Tells the store what sessions have in flight, and which messages are done.
  func submitToStore() {
    guard let stored else { return }
    releaseFinished()
    for (session, generation) in dirtySessions where sessions.isCurrent(session, generation) {
      tellProgress(session)
    }
    dirtySessions.removeAll(keepingCapacity: true)
    stored.submit()
  }

  func releaseFinished() {
    guard let stored, !sessions.finished.isEmpty else { return }
    var finished: [UInt64] = []
    // About as many come with the next turn.
    finished.reserveCapacity(sessions.finished.count)
    for done in sessions.finished {
      if done.isShared {
        sharedFinished(done.session, done.sequence)
      } else {
        finished.append(done.sequence)
      }
    }
    sessions.finished.removeAll(keepingCapacity: true)
    if !finished.isEmpty { stored.add(.releaseEach(finished), bytes: 8 * finished.count) }
  }

  /// Tells the store what a session has in flight, where that has changed.
  func tellProgress(_ session: UInt32) {
    let record = sessions.records[session].lasting
    guard let stored, record != 0, sessions.lasting[record].flags.contains(.isDirty) else { return }
    releaseFinished()
    sessions.lasting[record].flags.remove(.isDirty)
    var progress = sessions.progress(session)
    nameGroups(of: session, in: &progress.window)
    stored.add(
      .progress(sessions.lasting[record].storedID, progress),
      bytes: 24 * progress.window.count + 2 * progress.inbound.count)
    guard sessions.awaitsStore(session) else { return }
    stored.wait(
      .window(
        session: session, generation: sessions.records[session].generation,
        end: sessions.windowEnd(session)))
  }

  /// Tells the store whether a session's client is there, and what its session's end and will are.
  func tellPresence(_ session: UInt32, isConnected: Bool) {
    guard let stored, sessions.isStored(session) else { return }
    let presence = presence(session, isConnected: isConnected)
    stored.add(
      .presence(sessions.storedID(session), presence),
      bytes: presence.will?.payload.count ?? 0)
  }

  /// What the store keeps of a session besides what it has in flight.
  func presence(_ session: UInt32, isConnected: Bool) -> SessionPresence {
    var presence = SessionPresence(
      version: sessions.records[session].version.rawValue, isConnected: isConnected,
      expiryInterval: sessions.expiryInterval(session))
    let extra = sessions.records[session].extras
    if extra != 0 {
      let extras = sessions.extras[extra]
      if !isConnected {
        presence.expiresAt = wallSecond(atTick: extras.expiryDue)
        presence.willDueAt = wallSecond(atTick: extras.willDue)
      }
      if extras.will != 0 {
        presence.will = sessions.messages.withView(extras.will) { message in
          StoredWill(
            qos: message.facts.qos.rawValue, retain: message.facts.retain,
            delay: extras.willDelay, lifetime: extras.willLifetime, topic: message.topic.array,
            properties: message.properties.array, payload: message.payload.array)
        }
      }
    }
    return presence
  }

  /// Tells the store that a session has ended; whoever finds it gone asks the store behind that.
  func endStored(_ session: UInt32) {
    guard let stored, sessions.isStored(session) else { return }
    tellProgress(session)
    giveBackShared(session)
    stored.add(.end(sessions.storedID(session)))
    sessions.lasting[sessions.records[session].lasting].storedID = 0
    submitToStore()
  }

  // MARK: Clocks

  /// The second since 1970 of a tick to come; 0 for 0, which stands for never.
  private func wallSecond(atTick tick: UInt32) -> UInt32 {
    if tick == 0 || tick == .max { return 0 }
    let left = tick > loop.now ? (tick - loop.now + 7) / 8 : 0
    return WallClock.second &+ left
  }

  /// The tick of a second since 1970: the present one where that is over; 0 for 0.
  func tick(atWallSecond second: UInt32) -> UInt32 {
    if second == 0 { return 0 }
    let now = WallClock.second
    return second > now ? Worker.due(loop.now, seconds: second - now) : max(1, loop.now)
  }

  /// A second of the loop's clock as one since 1970; 0 for 0.
  func wallSecond(_ second: UInt32) -> UInt32 {
    if second == 0 || second == .max { return second == 0 ? 0 : .max }
    return UInt32(clamping: Int64(second) + wallOffset)
  }

  /// A second since 1970 as one of the loop's clock; 0 for 0.
  func localSecond(_ wall: UInt32) -> UInt32 {
    wall == 0 ? 0 : UInt32(clamping: max(1, Int64(wall) - wallOffset))
  }

  private var wallOffset: Int64 { Int64(WallClock.second) - Int64(second) }
}
