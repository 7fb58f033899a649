import Net
import Packet
import PubSub
import Session
import Store
import Util

/// Retained messages that a session is still to get, one entry for each filter it subscribed to.
struct RetainedStreams {
  struct Stream {
    var messages: [StoredMessageID]
    var next = 0
    var options: SubscriptionOptions
    var identifier: UInt32
  }

  struct Request {
    var options: SubscriptionOptions
    var identifier: UInt32
  }

  var streams: [Stream] = []
  var current = 0
  /// Messages of `streams` that were not sent yet.
  var pending = 0
  /// Filters of present subscriptions that are looked up later, so that a few bytes from a client
  /// that does not read can't make us gather any number of messages. A filter stands here once,
  /// however often its client subscribes.
  var waiting: [[UInt8]: Request] = [:]
  /// Whether the session is in `Worker.lateRetained`.
  var isLate = false

  mutating func add(_ found: [StoredMessageID], _ request: Request) {
    guard !found.isEmpty else { return }
    pending += found.count
    streams.append(
      Stream(messages: found, options: request.options, identifier: request.identifier))
  }
}

/// Retained messages on their way to new subscribers.
extension Worker {
  /// Starts sending the retained messages that match a filter [MQTT-3.3.1-6]; `pumpRetained` goes
  /// on.
  ///
  /// What is looked up later may find a message that was published after the subscription was made,
  /// and that its client has got as a new one before.
  func streamRetained(
    _ session: UInt32, _ filter: Span<UInt8>, _ options: SubscriptionOptions, identifier: UInt32
  ) {
    if stored != nil {
      // The store has all but what the broker says of itself, which filters that name `$` first see.
      if options.qos == .atMostOnce || !sessions.isStored(session) {
        readRetained(session, filter, options, identifier: identifier)
      }
      guard filter.isSystemTopic else { return }
    }
    let request = RetainedStreams.Request(options: options, identifier: identifier)
    let isKnown = sessions.records[session].flags.contains(.streamsRetained)
    var all = isKnown ? retainedStreams.removeValue(forKey: session) ?? .init() : .init()
    let mayLookUp =
      all.waiting.isEmpty && all.pending < Limits.retainedAhead
      && retainedVisits < Limits.retainedVisitsPerTurn
    if mayLookUp {
      all.add(broker.retained.match(filter, visits: &retainedVisits), request)
      guard isKnown || !all.streams.isEmpty else { return }
    } else {
      all.waiting[filter.array] = request
    }
    retainedStreams[session] = all
    sessions.records[session].flags.insert(.streamsRetained)
  }

  /// A subscription has ended before its retained messages were looked up.
  func forgetRetained(_ session: UInt32, _ filter: Span<UInt8>) {
    guard sessions.records[session].flags.contains(.streamsRetained) else { return }
    forgetReading(session, filter)
    retainedStreams[session]?.waiting.removeValue(forKey: filter.array)
  }

  /// Sends retained messages, as far as the client takes them.
  func pumpRetained(_ session: UInt32) {
    guard pumpReading(session) else { return }
    guard var all = retainedStreams.removeValue(forKey: session) else {
      sessions.records[session].flags.remove(.streamsRetained)
      return
    }
    let slot = sessions.records[session].connection
    while all.current < all.streams.count || !all.waiting.isEmpty {
      guard slot != 0, loop.pendingOutput(slot) <= Limits.outputHighWater else {
        return pauseRetained(session, slot, all)
      }
      if all.current == all.streams.count {
        all.streams.removeAll()
        all.current = 0
        guard retainedVisits < Limits.retainedVisitsPerTurn else {
          if !all.isLate {
            all.isLate = true
            lateRetained.append((session, sessions.records[session].generation))
          }
          return pauseRetained(session, slot, all)
        }
        if let (filter, request) = all.waiting.popFirst() {
          all.add(broker.retained.match(filter.span, visits: &retainedVisits), request)
        }
        continue
      }
      if all.streams[all.current].next == all.streams[all.current].messages.count {
        all.streams[all.current].messages = []
        all.current += 1
        continue
      }
      let options = all.streams[all.current].options
      guard options.qos == .atMostOnce || sessions.maySendNow(session) else {
        return pauseRetained(session, slot, all)
      }
      let stream = all.streams[all.current]
      all.streams[all.current].next += 1
      all.pending -= 1
      sendRetained(session, slot, stream.messages[stream.next], stream)
    }
    sessions.records[session].flags.remove(.streamsRetained)
  }

  /// Goes on when the client has room or, if it has, with an acknowledgement or the next turn.
  private func pauseRetained(_ session: UInt32, _ slot: UInt32, _ all: RetainedStreams) {
    retainedStreams[session] = all
    if slot != 0 { awaitRoom(slot) }
  }

  /// Goes on with the sessions for which there was no time in the last turn. True when there are
  /// others for the next.
  func pumpLateRetained() -> Bool {
    retainedVisits = 0
    guard !lateRetained.isEmpty else { return false }
    let late = lateRetained
    lateRetained.removeAll(keepingCapacity: true)
    for (session, generation) in late where sessions.isCurrent(session, generation) {
      retainedStreams[session]?.isLate = false
      pumpRetained(session)
    }
    return !lateRetained.isEmpty
  }

  private func sendRetained(
    _ session: UInt32, _ slot: UInt32, _ id: StoredMessageID, _ stream: RetainedStreams.Stream
  ) {
    readRetained(id) { message in
      sendRetained(message, session, slot, stream.options, stream.identifier)
    }
  }

  /// Sends a retained message to a client that takes it.
  func sendRetained(
    _ message: borrowing MessageView, _ session: UInt32, _ slot: UInt32,
    _ options: SubscriptionOptions, _ identifier: UInt32
  ) {
    let qos = min(message.facts.qos, options.qos)
    identifierList.removeAll(keepingCapacity: true)
    if identifier != 0 { identifierList.append(identifier) }
    var packetID: UInt16 = 0
    if qos != .atMostOnce {
      var delivery = Delivery(
        message: 0, identifiers: 0, qos: qos, retain: true, isShared: false)
      if sessions.records[session].flags.contains(.isPersistent) {
        guard let kept = sessions.messages.keep(message) else { return countDrop(session) }
        delivery.message = kept
        delivery.identifiers = identifier
      }
      guard let given = sessions.sendNow(session, delivery, bytes: message.byteCount) else {
        if delivery.message != 0 { sessions.messages.release(delivery.message) }
        return countDrop(session)
      }
      packetID = given
    }
    let wasSent = transmit(
      message, session, slot, qos: qos, retain: true, isRetry: false, packetID: packetID)
    if !wasSent {
      countDrop(session)
      if packetID != 0 { sessions.dropTransmission(session, packetID) }
    }
    if qos != .atMostOnce { touch(session) }
  }

  private func readRetained(_ id: StoredMessageID, _ body: (borrowing MessageView) -> Void) {
    do throws(StoreError) {
      try broker.retained.read(id, second: second, body)
    } catch {
      broker.logger.error("cannot read a retained message: \(error)")
    }
  }

  /// The client has gone before it had all its retained messages: a session that goes on keeps
  /// those of QoS 1 and 2, as far as it may hold them and they can be found in one turn.
  func keepRetainedStreams(_ session: UInt32) {
    sessions.records[session].flags.remove(.streamsRetained)
    guard var all = retainedStreams.removeValue(forKey: session),
      sessions.records[session].flags.contains(.isPersistent)
    else { return }
    for stream in all.streams[all.current...] { keepRetained(session, stream) }
    all.streams.removeAll()
    while let (filter, request) = all.waiting.popFirst() {
      if request.options.qos == .atMostOnce { continue }
      guard retainedVisits < Limits.retainedVisitsPerTurn, mayWait(session) else {
        return countDrop(session)
      }
      all.add(broker.retained.match(filter.span, visits: &retainedVisits), request)
      if let stream = all.streams.popLast() { keepRetained(session, stream) }
    }
  }

  private func mayWait(_ session: UInt32) -> Bool {
    sessions.waitingCount(session) < options.session.maximumQueuedMessages
  }

  private func keepRetained(_ session: UInt32, _ stream: RetainedStreams.Stream) {
    guard stream.options.qos != .atMostOnce else { return }
    for id in stream.messages[stream.next...] {
      guard mayWait(session) else { return countDrop(session) }
      readRetained(id) { message in
        let qos = min(message.facts.qos, stream.options.qos)
        guard qos != .atMostOnce else { return }
        guard let kept = sessions.messages.keep(message) else { return countDrop(session) }
        let delivery = Delivery(
          message: kept, identifiers: stream.identifier, qos: qos, retain: true, isShared: false)
        if !sessions.enqueue(session, delivery, bytes: message.byteCount) {
          sessions.messages.release(kept)
          countDrop(session)
        }
      }
    }
  }
}
