import Net
import Packet
import PubSub
import Session
import Store
import Util

/// What the home of a shared subscription knows of it in the store.
struct GroupLog {
  /// Tells it from one of a later group in the same slot.
  var serial: UInt32
  /// Its number in the store; 0 where no stored session is a member that messages are kept for.
  var id: StoredGroupID = 0
  /// Whether the store is yet to answer: until then messages of the log are not for the group, as it
  /// reads what it is owed.
  var isAsked = true
  /// The sequence number up to which messages were handed out.
  var cursor: UInt64 = 0
  /// Messages up to there that are to be handed out again, rising.
  var returned: [UInt64] = []
  /// All that is in the log was handed out: what is appended goes to a member at once.
  var isLive = false
  /// The store was asked for messages.
  var isReading = false
  /// Members whose SUBACK waits for the store's answer.
  var joining: [(loop: UInt8, session: UInt32, generation: UInt32)] = []
}

/// A QoS 2 message for a session that is not stored, while the store notes that the group has given it
/// up.
struct LentMessage {
  /// The message, kept.
  var message: UInt32
  var sequence: UInt64
  var session: UInt32
  var generation: UInt32
  var identifier: UInt32
  var options: UInt8
  var handed: Handed
}

/// Shared subscriptions with stored members: what they are owed is in the log, and they hand it to those
/// members whose clients are there and take it. While none is, they lag.
extension Worker {
  // MARK: Beginning and end

  /// A group has its first member here: the store says whether it is stored.
  func watch(_ group: UInt32) {
    guard let stored else { return }
    groupLogs[group] = GroupLog(serial: shares.serial(of: group))
    let text = shares.text(of: group)
    stored.add(.watch(filter: text, asker(group)), bytes: text.count)
  }

  /// A group's last member leaves it. What waits for members is in the store.
  func unwatch(_ group: UInt32) {
    guard let stored, groupLogs.removeValue(forKey: group) != nil else { return }
    stored.add(.unwatch(filter: shares.text(of: group), asker(group)))
  }

  private func asker(_ group: UInt32) -> Asker {
    Asker(slot: group, generation: shares.serial(of: group))
  }

  /// Whether the answer is for a group that is still there.
  func isCurrent(_ asker: Asker) -> Bool {
    groupLogs[asker.slot]?.serial == asker.generation
  }

  /// What the store has of a group.
  func take(_ asker: Asker, _ image: StoredGroup?) {
    let group = asker.slot
    guard isCurrent(asker), var log = groupLogs[group] else { return }
    let joining = log.joining
    log = GroupLog(serial: log.serial)
    log.isAsked = false
    if let image {
      log.id = image.id
      log.cursor = image.cursor
      log.returned = image.pending
    }
    groupLogs[group] = log
    for member in joining { answerJoin(member.loop, member.session, member.generation) }
    serve(group)
  }

  /// A member's SUBACK waits for the store to say what it has of the group. False where it has.
  func waits(_ group: UInt32, for member: ShareMember) -> Bool {
    guard groupLogs[group]?.isAsked == true else { return false }
    groupLogs[group]?.joining.append((member.loop, member.session, member.generation))
    return true
  }

  // MARK: Handing out

  /// Whether a member takes a message of the log now.
  private func takesLogged(_ member: ShareMember) -> Bool {
    guard member.options & Worker.isAway == 0, member.room > 0 else { return false }
    guard Int(member.loop) == number else { return true }
    return sessions.isCurrent(member.session, member.generation)
      && sessions.records[member.session].connection != 0
  }

  /// A message was appended, that matches the filter of a group here.
  func deliverLogged(_ group: UInt32, _ sequence: UInt64, _ message: borrowing MessageView) {
    guard let log = groupLogs[group], !log.isAsked else { return }
    guard log.id != 0 else { return deliverToGroup(group, message) }
    guard log.isLive, sequence > log.cursor else { return serve(group) }
    if handOut(group, sequence, message) {
      groupLogs[group]?.cursor = sequence
    } else {
      groupLogs[group]?.isLive = false
    }
  }

  /// Asks for messages of a group, where there are some, nothing is on the way, and members take them.
  func serve(_ group: UInt32) {
    guard let stored, let log = groupLogs[group], log.id != 0, !log.isReading, !log.isLive,
      shares.held(of: group) < Limits.sharedMessagesHeld
    else { return }
    let room = shares.room(of: group, upTo: Limits.takenAhead) { takesLogged($0) }
    guard room > 0 else { return }
    groupLogs[group]?.isReading = true
    stored.add(
      .readGroup(
        GroupQuery(
          asker: asker(group), group: log.id, sequences: Array(log.returned.prefix(room)),
          after: log.cursor, maximumMessages: room, maximumBytes: Limits.takenAheadBytes)))
  }

  /// Messages of a group came.
  func take(_ query: GroupQuery, _ page: LogPage) {
    let group = query.asker.slot
    guard isCurrent(query.asker), groupLogs[group]?.id == query.group else { return }
    groupLogs[group]?.isReading = false
    let wasTaken =
      query.sequences.isEmpty ? takeNew(group, page) : takeReturned(group, query, page)
    if wasTaken { serve(group) }
  }

  /// Hands out messages behind the cursor. False where no member takes more.
  private func takeNew(_ group: UInt32, _ page: LogPage) -> Bool {
    for item in page.items {
      guard handOut(group, item) else { return false }
      groupLogs[group]?.cursor = item.sequence
    }
    guard var log = groupLogs[group] else { return false }
    log.cursor = max(log.cursor, page.through)
    // What was returned meanwhile is read first.
    if page.isAtEnd && log.returned.isEmpty { log.isLive = true }
    groupLogs[group] = log
    return true
  }

  /// Hands out messages that were handed out before. False where no member takes more.
  private func takeReturned(_ group: UInt32, _ query: GroupQuery, _ page: LogPage) -> Bool {
    var next = 0
    for sequence in query.sequences {
      if next < page.items.count, page.items[next].sequence == sequence {
        guard handOut(group, page.items[next]) else { return false }
        next += 1
      } else {
        // The log has it no more.
        stored?.add(.settle(query.group, sequence: sequence))
      }
      _ = groupLogs[group]?.returned.removeRising(sequence)
    }
    return true
  }

  private func handOut(_ group: UInt32, _ item: LogItem) -> Bool {
    templates.begin()
    return item.place.segment.records.withMessage(at: item.place.offset) { message in
      handOut(
        group, item.sequence,
        MessageView(message, expiresAt: localSecond(message.facts.expiresAt)))
    }
  }

  /// Gives a message of the log to one member. False where none takes it.
  private func handOut(
    _ group: UInt32, _ sequence: UInt64, _ message: borrowing MessageView
  ) -> Bool {
    guard let stored, let id = groupLogs[group]?.id else { return false }
    guard !message.facts.isExpired(at: second) else {
      counters.expired += 1
      finish(id, sequence, in: stored)
      return true
    }
    guard shares.held(of: group) < Limits.sharedMessagesHeld,
      let member = shares.next(of: group, where: { takesLogged($0) })
    else { return false }
    let options = SubscriptionOptions(rawValue: member.options)
    guard options.qos != .atMostOnce else {
      finish(id, sequence, in: stored)
      deliver(message, of: group, to: member)
      return true
    }
    guard Int(member.loop) == number else {
      stored.add(.assign(id, sequence: sequence, isTaken: false))
      shares.hold(member, of: group)
      deliver(message, of: group, to: member, sequence: sequence, id: id)
      return true
    }
    let isGuest = !sessions.isStored(member.session)
    let handed = Handed(
      group: group, serial: shares.serial(of: group), home: UInt8(number), isGuest: isGuest, id: id)
    let isLent = isGuest && min(message.facts.qos, options.qos) == .exactlyOnce
    guard
      isLent
        ? lend(message, member.session, sequence, handed, options, identifier: member.identifier)
        : takeShared(
          message, member.session, sequence, handed, options: options,
          identifier: member.identifier)
    else { return false }
    stored.add(.assign(id, sequence: sequence, isTaken: !isGuest))
    if isLent { stored.add(.settle(id, sequence: sequence)) }
    shares.hold(member, of: group)
    return true
  }

  /// A message of a group is done as it is handed out. Not by a `release`: where the group has ended
  /// meanwhile, what it was owed is released already.
  private func finish(_ id: StoredGroupID, _ sequence: UInt64, in stored: StoreClient) {
    stored.add(.assign(id, sequence: sequence, isTaken: false))
    stored.add(.settle(id, sequence: sequence))
  }

  /// A message of the log that another loop chose a session here for.
  func takeShared(_ part: MemberPart, _ message: borrowing MessageView) {
    templates.begin()
    let isHere =
      sessions.isCurrent(part.session, part.generation)
      && sessions.records[part.session].connection != 0
      && shareEpochs[part.session] ?? 0 == part.epoch
    let isGuest = isHere && !sessions.isStored(part.session)
    let handed = Handed(
      group: part.group, serial: part.serial, home: part.home, isGuest: isGuest, id: part.id)
    let options = SubscriptionOptions(rawValue: part.options)
    let isLent = isGuest && min(message.facts.qos, options.qos) == .exactlyOnce
    guard isHere,
      isLent
        ? lend(message, part.session, part.sequence, handed, options, identifier: part.identifier)
        : takeShared(
          message, part.session, part.sequence, handed, options: options,
          identifier: part.identifier)
    else {
      return post(
        .shareReturned(
          ShareReturn(
            group: part.group, serial: part.serial, id: part.id, sequence: part.sequence,
            loop: UInt8(number), session: part.session, generation: part.generation)),
        to: Int(part.home))
    }
    if isLent {
      stored?.add(.settle(part.id, sequence: part.sequence))
    } else if !isGuest {
      stored?.add(.taken(part.id, sequence: part.sequence))
    }
  }

  /// Keeps a message for a session until the store has noted that the group gives it up. False without
  /// memory.
  private func lend(
    _ message: borrowing MessageView, _ session: UInt32, _ sequence: UInt64, _ handed: Handed,
    _ options: SubscriptionOptions, identifier: UInt32
  ) -> Bool {
    guard let stored, let kept = sessions.messages.keep(message) else { return false }
    stored.wait(
      .lent(
        LentMessage(
          message: kept, sequence: sequence, session: session,
          generation: sessions.records[session].generation, identifier: identifier,
          options: options.rawValue, handed: handed)))
    return true
  }

  /// The group has given a message up: it goes to the session that it was handed to, or to another
  /// member if that one has gone.
  func takeLent(_ lent: LentMessage) {
    templates.begin()
    sessions.messages.withView(lent.message) { message in
      let isTaken =
        sessions.isCurrent(lent.session, lent.generation)
        && sessions.records[lent.session].connection != 0
        && takeShared(
          message, lent.session, lent.sequence, lent.handed,
          options: SubscriptionOptions(rawValue: lent.options), identifier: lent.identifier)
      if !isTaken { passOn(message, lent.handed) }
    }
    sessions.messages.release(lent.message)
  }

  /// A message that is not the log's any more goes to another member.
  func passOn(_ message: borrowing MessageView, _ handed: Handed) {
    let shared = SharedMessage(.placed(handed.group, serial: handed.serial), message)
    if Int(handed.home) == number {
      redistribute(shared)
    } else {
      post(.redistribute(shared), to: Int(handed.home))
    }
  }

  /// Puts a message of a group into a session: sent now, or held until the client takes it. False
  /// without memory.
  private func takeShared(
    _ message: borrowing MessageView, _ session: UInt32, _ sequence: UInt64, _ handed: Handed,
    options: SubscriptionOptions, identifier: UInt32
  ) -> Bool {
    let slot = sessions.records[session].connection
    let qos = min(message.facts.qos, options.qos)
    let retain = options.retainAsPublished && message.facts.retain
    guard let kept = sessions.messages.keep(message) else { return false }
    identifierList.removeAll(keepingCapacity: true)
    if identifier != 0 { identifierList.append(identifier) }
    let delivery = Delivery(
      message: kept, identifiers: identifier, qos: qos, retain: retain, isShared: true,
      sequence: sequence)
    // What a stored session gets with QoS 2 waits until its identifier is stored.
    let sendsNow =
      (qos == .atLeastOnce || handed.isGuest) && sessions.maySendNow(session)
      && loop.pendingOutput(slot) <= Limits.outputHighWater
    if sendsNow {
      guard let packetID = sessions.sendNow(session, delivery, bytes: message.byteCount) else {
        sessions.messages.release(kept)
        return false
      }
      note(handed, session, sequence)
      write(message, session, slot, packetID: packetID, qos: qos, retain: retain)
    } else {
      guard sessions.takeAhead(session, delivery, bytes: message.byteCount) else {
        sessions.messages.release(kept)
        return false
      }
      note(handed, session, sequence)
      sessions.prepare(session, second: second, expired: &counters.expired)
      awaitRoom(slot)
    }
    touch(session)
    return true
  }
}
