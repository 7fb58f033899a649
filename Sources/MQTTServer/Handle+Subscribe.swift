import Net
import Packet
import PubSub
import Session
import Store
import Util

/// Answers to subscribers that wait until the homes of shared subscriptions have answered, so that no message
/// published after them can miss its subscriber.
struct PendingSubAck {
  /// Who is to be answered.
  enum Asker {
    /// The client, by a SUBACK.
    case client(packetID: UInt16)
    /// Who subscribed it.
    case outside(@Sendable (Steered<[UInt8]>) -> Void)
  }

  var answers: [(asker: Asker, reasons: [UInt8])] = []
  /// Homes that are yet to answer, to whom of these it may be: all wait for the last.
  var missing = 0

  /// The client has gone. What its answer waited for still counts.
  mutating func forgetClient() {
    answers.removeAll { if case .client = $0.asker { true } else { false } }
  }
}

/// A SUBSCRIBE of a stored session, while the store takes it down.
struct StoredSubscribe {
  struct Entry {
    var filter: [UInt8]
    var options: SubscriptionOptions
    /// The reason code of one that was refused.
    var refusal: UInt8?
  }

  var session: UInt32
  var generation: UInt32
  var packetID: UInt16
  var identifier: UInt32
  var entries: [Entry] = []
}

extension Worker {
  /// Takes SUBSCRIBE.
  func handleSubscribe(
    _ slot: UInt32, _ session: UInt32, _ packet: Span<UInt8>, _ header: FixedHeader,
    _ version: ProtocolVersion
  ) throws(DecodeError) {
    let subscribe = try Subscribe.decode(packet, header: header, version: version)
    guard var grants = grants(slot, session, subscribe, packet) else { return }
    if sessions.isStored(session) {
      return storeSubscribe(slot, session, subscribe, packet, grants)
    }
    var reasons: [UInt8] = []
    reasons.reserveCapacity(subscribe.filterCount)
    var retained: [(filter: ByteRange, options: SubscriptionOptions)] = []
    var joins = 0
    var cursor = subscribe.makeCursor()
    while let entry = cursor.next(packet) {
      let filter = packet.extracting(entry.filter)
      let grant = grants.take()
      if let reason = objection(to: entry, filter, grant) {
        reasons.append(version.hasProperties ? reason.rawValue : 0x80)
        continue
      }
      let granted = granted(entry.options, grant)
      let outcome = add(session, filter, granted, subscribe.subscriptionIdentifier)
      guard outcome.isAdded else {
        reasons.append(version.hasProperties ? ReasonCode.quotaExceeded.rawValue : 0x80)
        continue
      }
      reasons.append(granted.qos.rawValue)
      if outcome.waits { joins += 1 }
      if outcome.getsRetained { retained.append((entry.filter, granted)) }
    }
    finishSubscribe(slot, session, subscribe.packetID, reasons, joins: joins, version)
    guard options.retainAvailable, !retained.isEmpty, loop.connections[slot].owner == session else {
      return
    }
    for (filter, options) in retained {
      streamRetained(
        session, packet.extracting(filter), options,
        identifier: subscribe.subscriptionIdentifier)
    }
    pumpRetained(session)
  }

  /// What a subscription asked for and gets.
  func granted(
    _ asked: SubscriptionOptions, _ grant: SubscribeVerdict.Filter? = nil
  ) -> SubscriptionOptions {
    var qos = min(asked.qos, QoS(rawValue: UInt8(options.maximumQoS)) ?? .exactlyOnce)
    if case .allow(let most)? = grant { qos = min(qos, most) }
    return SubscriptionOptions(
      qos: qos, noLocal: asked.noLocal, retainAsPublished: asked.retainAsPublished,
      retainHandling: asked.retainHandling)
  }

  struct Addition {
    var isAdded = false
    /// The home of its group is yet to answer.
    var waits = false
    var getsRetained = false
  }

  /// Adds a subscription to a session, or changes the one that it has.
  func add(
    _ session: UInt32, _ filter: Span<UInt8>, _ granted: SubscriptionOptions, _ identifier: UInt32
  ) -> Addition {
    let outcome = subscriptions.subscribe(
      session: session, filter: filter, options: granted.rawValue, identifier: identifier,
      list: &sessions.records[session].subscriptions)
    let count = Int(sessions.records[session].subscriptions.count)
    if outcome.isRefused { return Addition() }
    if outcome.isNew && count > maximumSubscriptions(session) {
      _ = subscriptions.unsubscribe(
        session: session, filter: filter, list: &sessions.records[session].subscriptions)
      return Addition()
    }
    noteSubscribed(session, filter, granted, identifier)
    guard case .shared(let group, let inner) = parseSharedSubscription(filter) else {
      return Addition(
        isAdded: true,
        getsRetained: granted.retainHandling == .send
          || (granted.retainHandling == .sendIfNew && outcome.isNew))
    }
    if outcome.isNew { counters.sharedSubscriptions += 1 }
    sessions.records[session].flags.insert(.isShareMember)
    // Retained messages are not for shared subscriptions (4.8.2).
    let isAway = sessions.records[session].connection == 0
    let waits = join(
      session, filter.extracting(group), filter.extracting(inner),
      granted.rawValue | (isAway ? Worker.isAway : 0), identifier, wantsAnswer: true)
    return Addition(isAdded: true, waits: waits)
  }

  /// Subscriptions that a session may have.
  func maximumSubscriptions(_ session: UInt32) -> Int {
    let own = identities[session]?.maximumSubscriptions ?? 0
    return own == 0 ? options.maximumSubscriptions : min(own, options.maximumSubscriptions)
  }

  /// Answers a SUBSCRIBE, once the homes of shared subscriptions have.
  private func finishSubscribe(
    _ slot: UInt32, _ session: UInt32, _ packetID: UInt16, _ reasons: [UInt8], joins: Int,
    _ version: ProtocolVersion
  ) {
    if joins > 0 {
      awaitHomes(joins, of: session, .client(packetID: packetID), reasons)
      hold(slot, .subAck)
    } else {
      sendSubAck(slot, .subAck, packetID, reasons, version)
    }
  }

  /// Lets an answer wait for homes of shared subscriptions.
  func awaitHomes(
    _ joins: Int, of session: UInt32, _ asker: PendingSubAck.Asker, _ reasons: [UInt8]
  ) {
    pendingSubAcks[session, default: PendingSubAck()].answers.append((asker, reasons))
    pendingSubAcks[session]?.missing += joins
  }

  // MARK: Stored sessions

  /// Hands the subscriptions of a stored session to the store: they are added when it has them.
  private func storeSubscribe(
    _ slot: UInt32, _ session: UInt32, _ subscribe: Subscribe, _ packet: Span<UInt8>,
    _ grants: Grants
  ) {
    guard let stored else { return }
    var grants = grants
    let maximum = maximumSubscriptions(session)
    var work = StoredSubscribe(
      session: session, generation: sessions.records[session].generation,
      packetID: subscribe.packetID, identifier: subscribe.subscriptionIdentifier)
    let hasProperties = sessions.records[session].version.hasProperties
    var count = Int(sessions.records[session].subscriptions.count)
    var cursor = subscribe.makeCursor()
    while let entry = cursor.next(packet) {
      let filter = packet.extracting(entry.filter)
      let grant = grants.take()
      var made = StoredSubscribe.Entry(filter: [], options: granted(entry.options, grant))
      if let reason = objection(to: entry, filter, grant) {
        made.refusal = hasProperties ? reason.rawValue : 0x80
      } else if stored.store.isFailing || count >= maximum {
        // More than there may be, unless one is only changed: that is seen when it is added.
        let isKnown = count >= maximum && hasSubscription(session, filter)
        if stored.store.isFailing || !isKnown {
          made.refusal = hasProperties ? ReasonCode.quotaExceeded.rawValue : 0x80
        }
      }
      if made.refusal == nil {
        made.filter = filter.array
        count += 1
        store(session, filter, made.options, identifier: work.identifier)
        readRetainedAtOnce(session, filter, made.options, identifier: work.identifier)
      }
      work.entries.append(made)
    }
    hold(slot, .subAck)
    stored.wait(.subscribed(reply(slot), work))
    // By itself, so that what is appended behind the subscriptions comes behind the answer too.
    submitToStore()
  }

  /// Hands a subscription of a stored session to the store; `withdraw` follows when it is stored.
  func store(
    _ session: UInt32, _ filter: Span<UInt8>, _ options: SubscriptionOptions, identifier: UInt32
  ) {
    if options.qos == .atMostOnce { lowerToNothing(session, filter) }
    // Before the store has it, so that no message which it is owed is kept from this loop.
    announce(filter)
    stored?.add(
      .subscribe(
        sessions.storedID(session),
        StoredSubscription(
          filter: filter.array, options: options.rawValue, identifier: identifier)),
      bytes: filter.count)
  }

  /// A stored session is about to be owed less: what is in flight by now is its own, and what the store
  /// was asked for and has not answered may be owed to it no more.
  func beginWithdrawal(_ session: UInt32) {
    tellProgress(session)
    sessions.lasting[sessions.records[session].lasting].epoch &+= 1
  }

  /// A subscription of QoS 1 or 2 is about to be replaced by one of QoS 0, through which nothing is owed:
  /// that counts at once, as with UNSUBSCRIBE, or a message would be given up twice.
  private func lowerToNothing(_ session: UInt32, _ filter: Span<UInt8>) {
    let found = subscriptions.filters.find(filter)
    guard found != 0 else { return }
    let list = sessions.records[session].subscriptions
    let slot = subscriptions.find(session: session, filter: found, list: list)
    guard slot != 0 else { return }
    let present = subscriptions[slot]
    let options = SubscriptionOptions(rawValue: present.options)
    guard options.qos != .atMostOnce else { return }
    beginWithdrawal(session)
    let lowered = SubscriptionOptions(
      qos: .atMostOnce, noLocal: options.noLocal, retainAsPublished: options.retainAsPublished,
      retainHandling: options.retainHandling)
    _ = subscriptions.subscribe(
      session: session, filter: filter, options: lowered.rawValue,
      identifier: present.identifier, list: &sessions.records[session].subscriptions)
    if case .shared = parseSharedSubscription(filter) { membershipChanged(session) }
  }

  /// Asks for the retained messages of a subscription of QoS 1 or 2 behind the order that stores it:
  /// what is published later comes from the log, and is not to come as a retained message too.
  func readRetainedAtOnce(
    _ session: UInt32, _ filter: Span<UInt8>, _ granted: SubscriptionOptions, identifier: UInt32
  ) {
    guard options.retainAvailable, granted.qos != .atMostOnce, unshared(filter) != nil else {
      return
    }
    guard
      granted.retainHandling == .send
        || (granted.retainHandling == .sendIfNew && !hasSubscription(session, filter))
    else { return }
    readRetained(session, filter, granted, identifier: identifier, awaitsSubAck: true)
  }

  func hasSubscription(_ session: UInt32, _ filter: Span<UInt8>) -> Bool {
    let slot = subscriptions.filters.find(filter)
    guard slot != 0 else { return false }
    let list = sessions.records[session].subscriptions
    return subscriptions.find(session: session, filter: slot, list: list) != 0
  }

  /// Tells all loops that this one has a filter, until `withdraw`.
  private func announce(_ filter: Span<UInt8>) {
    guard let interest = broker.interest, let inner = unshared(filter) else { return }
    interest.add(InterestKey(filter: inner, seed: interest.seed), loop: number)
  }

  func withdraw(_ filter: Span<UInt8>) {
    guard let interest = broker.interest, let inner = unshared(filter) else { return }
    interest.remove(InterestKey(filter: inner, seed: interest.seed), loop: number)
  }

  /// The filter, unless it is of a shared subscription, which its home announces.
  @_lifetime(copy filter)
  private func unshared(_ filter: Span<UInt8>) -> Span<UInt8>? {
    if case .shared = parseSharedSubscription(filter) { return nil }
    return filter
  }

  /// The store has the subscriptions of a SUBSCRIBE.
  func subscribed(_ reply: Reply, _ work: StoredSubscribe) {
    let session = work.session
    let isCurrent = sessions.isCurrent(session, work.generation)
    var reasons: [UInt8] = []
    var retained: [StoredSubscribe.Entry] = []
    var joins = 0
    for entry in work.entries {
      if let refusal = entry.refusal {
        reasons.append(refusal)
        continue
      }
      let filter = entry.filter.span
      if isCurrent {
        let outcome = add(session, filter, entry.options, work.identifier)
        if outcome.waits { joins += 1 }
        if outcome.getsRetained { retained.append(entry) }
        reasons.append(outcome.isAdded ? entry.options.qos.rawValue : 0x97)
        if !outcome.isAdded {
          stored?.add(.unsubscribe(sessions.storedID(session), filter: entry.filter))
        }
      }
      withdraw(filter)
    }
    guard isCurrent, isAlive(reply.slot, reply.generation),
      loop.connections[reply.slot].owner == session
    else { return }
    let version = sessions.records[session].version
    finishSubscribe(reply.slot, session, work.packetID, reasons, joins: joins, version)
    if joins == 0 { release(reply.slot, .subAck) }
    guard options.retainAvailable, loop.connections[reply.slot].owner == session else { return }
    startReading(session)
    for entry in retained where entry.options.qos == .atMostOnce || entry.filter.span.isSystemTopic
    {
      streamRetained(session, entry.filter.span, entry.options, identifier: work.identifier)
    }
    pumpRetained(session)
  }

  /// What speaks against one filter; nil if nothing does.
  func objection(
    to entry: SubscribeEntry, _ filter: Span<UInt8>, _ grant: SubscribeVerdict.Filter? = nil
  ) -> ReasonCode? {
    guard entry.isValid, hasFewLevels(filter) else { return .topicFilterInvalid }
    if case .refuse(let reason)? = grant { return reason.forSubAck }
    var inner = filter
    if case .shared(_, let range) = parseSharedSubscription(filter) {
      guard options.sharedSubscriptionAvailable else { return .sharedSubscriptionsNotSupported }
      inner = filter.extracting(range)
    }
    if !options.wildcardSubscriptionAvailable {
      for index in inner.indices where inner[index] == 0x2B || inner[index] == 0x23 {
        return .wildcardSubscriptionsNotSupported
      }
    }
    return nil
  }

  /// SUBACK or UNSUBACK.
  func sendSubAck(
    _ slot: UInt32, _ type: PacketType, _ packetID: UInt16, _ reasons: [UInt8],
    _ version: ProtocolVersion
  ) {
    let answer = SubAckPacket(type: type, packetID: packetID)
    let size = answer.encodedCount(version, reasonCount: reasons.count)
    guard size <= sessions.maximumPacketSize(loop.connections[slot].owner) else {
      return disconnect(slot, .packetTooLarge, "the answer is larger than the packets it takes")
    }
    send(slot, count: size) { answer.encode(version, reasons: reasons.span, into: &$0) }
  }

  /// Takes UNSUBSCRIBE.
  func handleUnsubscribe(
    _ slot: UInt32, _ session: UInt32, _ packet: Span<UInt8>, _ header: FixedHeader,
    _ version: ProtocolVersion
  ) throws(DecodeError) {
    let unsubscribe = try Unsubscribe.decode(packet, header: header, version: version)
    var reasons: [UInt8] = []
    var noted: [[UInt8]] = []
    let isStored = sessions.isStored(session)
    let notes = notesUnsubscribes
    var leavesGroup = false
    if isStored { beginWithdrawal(session) }
    var cursor = unsubscribe.makeCursor()
    while let entry = cursor.next(packet) {
      guard entry.isValid else {
        reasons.append(ReasonCode.topicFilterInvalid.rawValue)
        continue
      }
      let filter = packet.extracting(entry.filter)
      let reason = remove(session, filter, leavesGroup: &leavesGroup)
      if notes && reason == .success { noted.append(filter.array) }
      reasons.append(reason.rawValue)
    }
    if leavesGroup { membershipChanged(session) }
    noteUnsubscribed(session, noted)
    if let stored, isStored || stored.isWaiting(slot) {
      stored.wait(
        .unsubscribed(reply(slot), packetID: unsubscribe.packetID, reasons: reasons))
      holdForAnswers(slot)
    } else {
      sendSubAck(slot, .unsubAck, unsubscribe.packetID, reasons, version)
    }
  }

  /// Removes a subscription of a session, of which a stored one is withdrawn before.
  /// - Parameter leavesGroup: set where the session leaves a shared subscription, of which
  ///   `membershipChanged` is to be told.
  func remove(
    _ session: UInt32, _ filter: Span<UInt8>, leavesGroup: inout Bool
  ) -> ReasonCode {
    let outcome = subscriptions.unsubscribe(
      session: session, filter: filter, list: &sessions.records[session].subscriptions)
    if outcome == .notFound { return .noSubscriptionExisted }
    forgetRetained(session, filter)
    if sessions.isStored(session) {
      stored?.add(
        .unsubscribe(sessions.storedID(session), filter: filter.array), bytes: filter.count)
    }
    if case .shared(let group, let inner) = parseSharedSubscription(filter) {
      counters.sharedSubscriptions -= 1
      leave(session, filter.extracting(group), filter.extracting(inner))
      leavesGroup = true
    }
    return .success
  }
}
