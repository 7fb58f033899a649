import Net
import Packet
import PubSub
import Session
import Store
import Util

/// Subscriptions on a client's behalf: as its own, but for who is answered.
extension MQTTBroker {
  /// See `Gateway`. Reason codes are those of SUBACK in MQTT 5, whatever the client speaks.
  public func subscribe(
    _ client: [UInt8], _ subscriptions: [StoredSubscription],
    done: @escaping @Sendable (Steered<[UInt8]>) -> Void
  ) {
    steer(client, changesSubscriptions: true, done: done) {
      $0.subscribe($1, subscriptions, done: done)
    }
  }

  /// See `Gateway`. Reason codes are those of UNSUBACK in MQTT 5.
  public func unsubscribe(
    _ client: [UInt8], _ filters: [[UInt8]], done: @escaping @Sendable (Steered<[UInt8]>) -> Void
  ) {
    steer(client, changesSubscriptions: true, done: done) {
      $0.unsubscribe($1, filters, done: done)
    }
  }
}

extension Worker {
  /// What speaks against a subscription; nil if nothing does.
  private func objection(to asked: StoredSubscription) -> ReasonCode? {
    let filter = asked.filter.span
    let bits = asked.options
    guard bits & 0xC0 == 0, bits & 0x03 != 3, bits & 0x30 != 0x30,
      asked.identifier <= Worker.lastSubscriptionIdentifier
    else { return .implementationSpecificError }
    let options = SubscriptionOptions(rawValue: bits)
    let entry = SubscribeEntry(
      filter: ByteRange(offset: 0, count: filter.count), options: options,
      isValid: validateTopicFilter(filter))
    if let reason = objection(to: entry, filter) { return reason }
    // A protocol error of a client [MQTT-3.8.3-4].
    if options.noLocal, case .shared = parseSharedSubscription(filter) {
      return .implementationSpecificError
    }
    return nil
  }

  /// The largest number of four bytes that MQTT's variable byte integers have.
  private static var lastSubscriptionIdentifier: UInt32 { 268_435_455 }

  func subscribe(
    _ session: UInt32, _ list: [StoredSubscription],
    done: @escaping @Sendable (Steered<[UInt8]>) -> Void
  ) {
    guard sessions.isStored(session) else { return add(session, list, done: done) }
    guard let stored, !stored.store.isFailing else {
      return done(.unavailable(Worker.storeUnavailable))
    }
    var refusals: [ReasonCode?] = []
    var count = Int(sessions.records[session].subscriptions.count)
    for asked in list {
      let filter = asked.filter.span
      var refusal = objection(to: asked)
      if refusal == nil {
        // More than there may be, unless one is only changed.
        let isNew = !hasSubscription(session, filter)
        if isNew && count >= maximumSubscriptions(session) {
          refusal = .quotaExceeded
        } else {
          if isNew { count += 1 }
          let granted = granted(SubscriptionOptions(rawValue: asked.options))
          store(session, filter, granted, identifier: asked.identifier)
          if sessions.records[session].connection != 0 {
            readRetainedAtOnce(session, filter, granted, identifier: asked.identifier)
          }
        }
      }
      refusals.append(refusal)
    }
    let generation = sessions.records[session].generation
    // Until it is stored the client must not take away what it does not have yet.
    outside.subscribing[session] = generation
    let slot = sessions.records[session].connection
    let held = slot == 0 ? nil : reply(slot)
    if slot != 0 { hold(slot, .subAck) }
    stored.wait(
      .errand { [refusals] worker in
        worker.subscribed(session, generation, held, list, refusals, done: done)
      })
    // By itself, as `storeSubscribe` does.
    submitToStore()
  }

  /// The store has the subscriptions of a stored session.
  private func subscribed(
    _ session: UInt32, _ generation: UInt32, _ held: Reply?, _ list: [StoredSubscription],
    _ refusals: [ReasonCode?], done: @escaping @Sendable (Steered<[UInt8]>) -> Void
  ) {
    guard sessions.isCurrent(session, generation) else {
      for (asked, refusal) in zip(list, refusals) where refusal == nil {
        withdraw(asked.filter.span)
      }
      return done(.noClient)
    }
    outside.subscribing.removeValue(forKey: session)
    let wasThere = held != nil
    let answer = add(session, list, refusals) { asked in
      // What its client was there for was asked for before.
      !wasThere || asked.qos == 0 || asked.filter.span.isSystemTopic
    }
    for (asked, refusal) in zip(list, refusals) where refusal == nil {
      withdraw(asked.filter.span)
    }
    if let held, isAlive(held.slot, held.generation),
      loop.connections[held.slot].owner == session
    {
      release(held.slot, .subAck)
    }
    finish(session, answer, done: done)
  }

  /// Adds subscriptions of a session that is not stored.
  private func add(
    _ session: UInt32, _ list: [StoredSubscription],
    done: @escaping @Sendable (Steered<[UInt8]>) -> Void
  ) {
    let refusals = list.map { objection(to: $0) }
    finish(session, add(session, list, refusals) { _ in true }, done: done)
  }

  private struct Answer {
    var reasons: [UInt8] = []
    var joins = 0
    var retained: [(filter: [UInt8], options: SubscriptionOptions, identifier: UInt32)] = []
  }

  private func add(
    _ session: UInt32, _ list: [StoredSubscription], _ refusals: [ReasonCode?],
    isRetainedAsked: (StoredSubscription) -> Bool
  ) -> Answer {
    var answer = Answer()
    for (asked, refusal) in zip(list, refusals) {
      if let refusal {
        answer.reasons.append(refusal.rawValue)
        continue
      }
      let granted = granted(SubscriptionOptions(rawValue: asked.options))
      let outcome = add(session, asked.filter.span, granted, asked.identifier)
      guard outcome.isAdded else {
        answer.reasons.append(ReasonCode.quotaExceeded.rawValue)
        if sessions.isStored(session) {
          stored?.add(.unsubscribe(sessions.storedID(session), filter: asked.filter))
        }
        continue
      }
      answer.reasons.append(granted.qos.rawValue)
      if outcome.waits { answer.joins += 1 }
      if outcome.getsRetained && isRetainedAsked(asked) {
        answer.retained.append((asked.filter, granted, asked.identifier))
      }
    }
    return answer
  }

  private func finish(
    _ session: UInt32, _ answer: Answer, done: @escaping @Sendable (Steered<[UInt8]>) -> Void
  ) {
    if answer.joins > 0 {
      awaitHomes(answer.joins, of: session, .outside(done), answer.reasons)
    } else {
      done(.done(answer.reasons))
    }
    guard options.retainAvailable else { return setAside(session) }
    startReading(session)
    for (filter, options, identifier) in answer.retained
    where mayRemember(session, options) {
      if sessions.isStored(session) && options.qos != .atMostOnce && !filter.span.isSystemTopic {
        // Asked for when its client is back.
        readRetained(session, filter.span, options, identifier: identifier)
      } else {
        streamRetained(session, filter.span, options, identifier: identifier)
      }
    }
    pumpRetained(session)
    setAside(session)
  }

  /// Whether a session is to get what is retained: of those that are away only so many, because they stay in
  /// memory for it, and what is not owed to anybody is not for them.
  private func mayRemember(_ session: UInt32, _ options: SubscriptionOptions) -> Bool {
    guard sessions.records[session].connection == 0, sessions.isStored(session) else {
      return true
    }
    guard options.qos != .atMostOnce, let stored, stored.store.mayHaveRetained else { return false }
    guard outside.absentRetained.count >= Limits.absentRetained else {
      outside.absentRetained.insert(session)
      return true
    }
    outside.absentRetained = outside.absentRetained.filter {
      retainedReadings[$0] != nil && sessions.records[$0].connection == 0
    }
    guard outside.absentRetained.count < Limits.absentRetained else {
      journal.note(self, session: session, "retained messages are left out: it is away")
      return false
    }
    outside.absentRetained.insert(session)
    return true
  }

  /// One that was read from the store for this goes back there in time.
  private func setAside(_ session: UInt32) {
    if sessions.records[session].connection == 0 { setParkTimer(session) }
  }

  func unsubscribe(
    _ session: UInt32, _ filters: [[UInt8]], done: @escaping @Sendable (Steered<[UInt8]>) -> Void
  ) {
    let isStored = sessions.isStored(session)
    if isStored {
      guard let stored, !stored.store.isFailing else {
        return done(.unavailable(Worker.storeUnavailable))
      }
      beginWithdrawal(session)
    }
    var leavesGroup = false
    let reasons = filters.map { filter in
      validateTopicFilter(filter.span)
        ? remove(session, filter.span, leavesGroup: &leavesGroup).rawValue
        : ReasonCode.topicFilterInvalid.rawValue
    }
    if leavesGroup { membershipChanged(session) }
    if notesUnsubscribes {
      noteUnsubscribed(
        session, zip(filters, reasons).filter { $0.1 == ReasonCode.success.rawValue }.map(\.0))
    }
    guard isStored, let stored else { return done(.done(reasons)) }
    stored.wait(.errand { _ in done(.done(reasons)) })
  }

  // MARK: Ends

  /// Whether subscriptions of a session were asked for from outside, and are not answered.
  func isSubscribing(_ session: UInt32) -> Bool {
    outside.subscribing[session] != nil || pendingSubAcks[session] != nil
  }

  /// A session ends before all of its subscriptions were answered.
  func forgetSubscribing(_ session: UInt32) {
    outside.subscribing.removeValue(forKey: session)
    outside.absentRetained.remove(session)
    guard let pending = pendingSubAcks.removeValue(forKey: session) else { return }
    for case (.outside(let done), _) in pending.answers { done(.noClient) }
  }
}
