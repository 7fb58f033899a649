import Net
import Packet
import PubSub
import Session
import Store
import Util

/// Shared subscriptions: each has a home loop, which chooses a member for each message.
extension Worker {
  /// Set in a member's options while its client is away: others come first.
  static let isAway: UInt8 = 0x80

  private func home(_ name: Span<UInt8>, _ filter: Span<UInt8>) -> Int {
    ShareGroups.home(
      group: name, filter: filter, loops: broker.mailboxes.count, seed: broker.seed)
  }

  /// Makes a session a member, or tells its home what has changed. True when an answer is to come.
  func join(
    _ session: UInt32, _ name: Span<UInt8>, _ filter: Span<UInt8>, _ options: UInt8,
    _ identifier: UInt32, wantsAnswer: Bool
  ) -> Bool {
    let isKept = options & 3 != 0
    let member = ShareMember(
      loop: UInt8(number), session: session, generation: sessions.records[session].generation,
      options: options, identifier: identifier,
      quota: isKept ? sessions.records[session].sendQuota : .max,
      epoch: shareEpochs[session] ?? 0)
    let target = home(name, filter)
    if target == number {
      let group = addMember(name, filter, member)
      return wantsAnswer && waits(group, for: member)
    }
    post(
      .shareJoin(
        ShareJoin(
          name: name.array, filter: filter.array, member: member, wantsAnswer: wantsAnswer)),
      to: target)
    return wantsAnswer
  }

  /// Gives the group.
  private func addMember(
    _ name: Span<UInt8>, _ filter: Span<UInt8>, _ member: ShareMember
  ) -> UInt32 {
    let outcome = shares.join(group: name, filter: filter, member: member)
    guard outcome.isNewGroup else {
      serve(outcome.group)
      return outcome.group
    }
    let subscription = subscriptions.subscribe(group: outcome.group, filter: filter)
    // Without room for it the group stays without messages; members were told that they share.
    if subscription.isRefused {
      broker.logger.error("no room for the shared subscription \(filter.description)")
    } else {
      shares.setSubscription(subscription.slot, of: outcome.group)
    }
    watch(outcome.group)
    return outcome.group
  }

  /// Another loop's session joins a group that is at home here.
  func takeShareJoin(_ join: ShareJoin) {
    let group = addMember(join.name.span, join.filter.span, join.member)
    let member = join.member
    if join.wantsAnswer && !waits(group, for: member) {
      answerJoin(member.loop, member.session, member.generation)
    }
  }

  /// Tells a member that its group has it.
  func answerJoin(_ loop: UInt8, _ session: UInt32, _ generation: UInt32) {
    if Int(loop) == number {
      shareJoined(session, generation)
    } else {
      post(.shareJoined(session: session, generation: generation), to: Int(loop))
    }
  }

  /// A home has taken a member of ours.
  func shareJoined(_ session: UInt32, _ generation: UInt32) {
    guard sessions.isCurrent(session, generation), var pending = pendingSubAcks[session] else {
      return
    }
    pending.missing -= 1
    pendingSubAcks[session] = pending
    guard pending.missing == 0 else { return }
    pendingSubAcks.removeValue(forKey: session)
    for (asker, reasons) in pending.answers {
      switch asker {
      case .client(let packetID):
        let slot = sessions.records[session].connection
        guard slot != 0 else { continue }
        sendSubAck(slot, .subAck, packetID, reasons, sessions.records[session].version)
        release(slot, .subAck)
      case .outside(let done): done(.done(reasons))
      }
    }
  }

  /// Ends a session's membership in one group.
  func leave(_ session: UInt32, _ name: Span<UInt8>, _ filter: Span<UInt8>) {
    let target = home(name, filter)
    if target == number {
      removeMember(name, filter, loop: UInt8(number), session: session)
    } else {
      // What its messages have come to is with the store before the home can ask for them.
      submitToStore()
      post(
        .shareLeave(
          name: name.array, filter: filter.array, loop: UInt8(number), session: session),
        to: target)
    }
  }

  /// Another loop's session leaves a group that is at home here.
  func takeShareLeave(_ name: [UInt8], _ filter: [UInt8], loop: UInt8, session: UInt32) {
    removeMember(name.span, filter.span, loop: loop, session: session)
  }

  private func removeMember(
    _ name: Span<UInt8>, _ filter: Span<UInt8>, loop: UInt8, session: UInt32
  ) {
    let group = shares.find(group: name, filter: filter)
    if shares.isOnlyMember(of: group, loop: loop, session: session) { unwatch(group) }
    let outcome = shares.leave(group: name, filter: filter, loop: loop, session: session)
    if case .groupEnded(let subscription) = outcome, subscription != 0 {
      subscriptions.unsubscribe(group: subscription)
    }
  }

  /// Tells the homes of a session's groups whether its client is here.
  func setShareMembership(_ session: UInt32, isAway: Bool) {
    guard sessions.records[session].flags.contains(.isShareMember) else { return }
    subscriptions.forEach(in: sessions.records[session].subscriptions) { record, text in
      guard case .shared(let name, let filter) = parseSharedSubscription(text) else { return }
      let options = isAway ? record.options | Worker.isAway : record.options
      memberships.append(
        (text.extracting(name).array, text.extracting(filter).array, options, record.identifier))
    }
    // Joining changes the table, so it waits until the walk is over.
    for (name, filter, options, identifier) in memberships {
      _ = join(session, name.span, filter.span, options, identifier, wantsAnswer: false)
    }
    memberships.removeAll()
  }

  /// A session has left a group, or gets less of it: what is on its way to it because of what it was is
  /// not for it.
  func membershipChanged(_ session: UInt32) {
    shareEpochs[session, default: 0] &+= 1
    setShareMembership(session, isAway: sessions.records[session].connection == 0)
  }

  /// Ends all memberships of a session that leaves memory.
  /// - Parameter redistributes: whether it ends, so that what it held goes to other members; a stored
  ///   one that is parked keeps it.
  func leaveShares(_ session: UInt32, redistributes: Bool) {
    guard sessions.records[session].flags.contains(.isShareMember) else { return }
    subscriptions.forEach(in: sessions.records[session].subscriptions) { record, text in
      guard case .shared(let name, let filter) = parseSharedSubscription(text) else { return }
      memberships.append(
        (text.extracting(name).array, text.extracting(filter).array, 0, record.identifier))
    }
    let groups = memberships
    memberships.removeAll()
    counters.sharedSubscriptions -= UInt64(groups.count)
    for (name, filter, _, _) in groups { leave(session, name.span, filter.span) }
    forgetHanded(session)
    shareEpochs.removeValue(forKey: session)
    guard redistributes else { return }
    sessions.forEachShared(session) { delivery in
      // What is in the log, the store gives back to the group.
      guard delivery.sequence == 0, delivery.mayGoToAnother else { return }
      sessions.messages.withView(delivery.message) { message in
        for (name, filter, _, _) in groups where filterMatches(filter.span, topic: message.topic) {
          return giveBack(message, name, filter)
        }
      }
    }
  }

  private func giveBack(_ message: borrowing MessageView, _ name: [UInt8], _ filter: [UInt8]) {
    let target = home(name.span, filter.span)
    let shared = SharedMessage(.named(name, filter: filter), message)
    if target == number { redistribute(shared) } else { post(.redistribute(shared), to: target) }
  }

  /// Gives a message that one member can't have any more to another one of the group.
  func redistribute(_ shared: SharedMessage) {
    let group: UInt32
    switch shared.group {
    case .named(let name, let filter):
      group = shares.find(group: name.span, filter: filter.span)
    case .placed(let slot, let serial):
      group = shares.serial(of: slot) == serial ? slot : 0
    }
    guard group != 0 else {
      counters.publishesDropped += 1
      return
    }
    templates.begin()
    deliverToGroup(
      group,
      MessageView(
        facts: shared.facts, topic: shared.topic.span, properties: shared.properties.span,
        payload: shared.payload.span))
  }

  /// Gives a message that is not in the log, or not for this group, to one member [MQTT-4.8.2-4].
  func deliverToGroup(_ group: UInt32, _ message: borrowing MessageView) {
    let member =
      shares.next(of: group) { isFree($0) }
      ?? shares.next(of: group) { $0.options & Worker.isAway == 0 }
      ?? shares.next(of: group)
    if let member { deliver(message, of: group, to: member) }
  }

  /// Gives a message to one member of a group.
  /// - Parameters:
  ///   - sequence: of one that is in the log for the group, which is then the store's `id`; else 0.
  func deliver(
    _ message: borrowing MessageView, of group: UInt32, to member: ShareMember,
    sequence: UInt64 = 0, id: StoredGroupID = 0
  ) {
    if Int(member.loop) == number {
      giveToMember(
        message, member.session, member.generation, member.options, member.identifier)
      return
    }
    let part = MemberPart(
      session: member.session, generation: member.generation, identifier: member.identifier,
      group: group, serial: shares.serial(of: group), epoch: member.epoch, sequence: sequence,
      id: id, home: UInt8(number), options: member.options)
    if sequence != 0 { outboxesAfterStore |= 1 << UInt64(member.loop) }
    append(PublishEnvelope(topicHash: 0, member: part), message, to: Int(member.loop))
  }

  /// Whether a member takes a message at once, as far as can be told from here.
  private func isFree(_ member: ShareMember) -> Bool {
    guard member.options & Worker.isAway == 0 else { return false }
    guard Int(member.loop) == number else { return true }
    return sessions.isCurrent(member.session, member.generation)
      && sessions.records[member.session].connection != 0 && sessions.maySendNow(member.session)
  }

  /// A message that another loop chose a session here for.
  func deliverToMember(_ part: MemberPart, _ message: borrowing MessageView) {
    if part.sequence != 0 { return takeShared(part, message) }
    if message.facts.qos != .atMostOnce && !sessions.isCurrent(part.session, part.generation) {
      // Its end and this message crossed. Its leave has gone home before what is posted now, so
      // that another member is chosen.
      let group = SharedMessage.Group.placed(part.group, serial: part.serial)
      post(.redistribute(SharedMessage(group, message)), to: Int(part.home))
      return
    }
    templates.begin()
    giveToMember(message, part.session, part.generation, part.options, part.identifier)
  }

  private func giveToMember(
    _ message: borrowing MessageView, _ session: UInt32, _ generation: UInt32, _ rawOptions: UInt8,
    _ identifier: UInt32
  ) {
    guard sessions.isCurrent(session, generation) else {
      // The session ended after it was chosen.
      counters.publishesDropped += 1
      return
    }
    let options = SubscriptionOptions(rawValue: rawOptions & ~Worker.isAway)
    var kept: UInt32 = 0
    give(
      message, to: session, qos: min(message.facts.qos, options.qos),
      retain: options.retainAsPublished && message.facts.retain, identifier: identifier,
      isShared: true, kept: &kept)
    if kept != 0 { sessions.messages.release(kept) }
  }
}

extension SharedMessage {
  init(_ group: Group, _ message: borrowing MessageView) {
    self.init(
      group: group, facts: message.facts, topic: message.topic.array,
      properties: message.properties.array, payload: message.payload.array)
  }
}
