import Net
import Packet
import Session
import Store
import Util

/// What is sent later than it came: what waited, what is retried, and retained messages.
extension Worker {
  /// Sends what a session has waiting, as far as its client takes it.
  func pump(_ session: UInt32) {
    let slot = sessions.records[session].connection
    guard slot != 0 else { return }
    while loop.pendingOutput(slot) <= Limits.outputHighWater {
      let now = second
      guard
        let next = sessions.nextTransmission(session, second: now, expired: &counters.expired)
      else { break }
      if next.isRelease {
        acknowledge(slot, .pubRel, next.packetID, .success, sessions.records[session].version)
        continue
      }
      let delivery = next.delivery
      identifierList.removeAll(keepingCapacity: true)
      sessions.readIdentifiers(delivery.identifiers, into: &identifierList)
      let wasSent = sessions.messages.withView(delivery.message) {
        transmit(
          $0, session, slot, qos: delivery.qos, retain: delivery.retain, isRetry: next.isRetry,
          packetID: next.packetID)
      }
      if next.isHandedOver {
        sessions.messages.release(delivery.message)
        sessions.freeIdentifiers(delivery.identifiers)
      }
      if !wasSent {
        countDrop(session)
        sessions.dropTransmission(session, next.packetID)
      }
    }
    if sessions.records[session].flags.contains(.streamsRetained) { pumpRetained(session) }
    awaitRoom(slot)
    if sessions.records[session].flags.contains(.hasDropped) && sessions.waitingCount(session) == 0
      && !loop.isBacklogged(slot)
    {
      sessions.records[session].flags.remove(.hasDropped)
    }
  }

  /// Goes on with what waits once the present output is written, if there is too much of it now.
  func awaitRoom(_ slot: UInt32) {
    if loop.pendingOutput(slot) > Limits.outputHighWater { loop.tellWhenDrained(slot) }
  }

  /// Writes one PUBLISH for one client, with the identifiers in `identifierList`. False when it is
  /// larger than the client takes.
  @discardableResult
  func transmit(
    _ message: borrowing MessageView, _ session: UInt32, _ slot: UInt32, qos: QoS, retain: Bool,
    isRetry: Bool, packetID: UInt16
  ) -> Bool {
    var header = PublishHeader(
      version: sessions.records[session].version, qos: qos, retain: retain, dup: isRetry,
      packetID: packetID,
      messageExpiryInterval: message.facts.intervalLeft(at: second))
    var sendsTopic = true
    if let alias = sentAlias(session, message.topic) {
      header.topicAlias = alias.alias
      sendsTopic = !alias.isKnown
    }
    let topic = sendsTopic ? message.topic : Span()
    let identifiers = identifierList
    let layout = header.layout(
      topicCount: topic.count, forwardedCount: message.properties.count,
      identifiers: identifiers.span, payloadCount: message.payload.count)
    guard layout.totalCount <= sessions.maximumPacketSize(session),
      layout.remainingLength <= maximumRemainingLength
    else {
      // An alias that was not told is forgotten again, so that the next message tells it.
      if header.topicAlias != 0 && sendsTopic { untellAlias(session) }
      return false
    }
    counters.publishesSent += 1
    counters.publishBytesSent += UInt64(message.payload.count)
    let properties = message.properties
    let payload = message.payload
    send(slot, count: layout.totalCount) { out in
      encodePublish(
        header, topic: topic, forwarded: properties, identifiers: identifiers.span,
        payload: payload, into: &out)
    }
    return true
  }
}

/// Retained messages that a session is still to get, one entry for each filter it subscribed to.
struct RetainedStreams {
  struct Stream {
    var messages: [StoredMessageID]
    var next = 0
    var options: SubscriptionOptions
    var identifier: UInt32
  }

  var streams: [Stream] = []
  var current = 0
}

extension Worker {
  /// Starts sending the retained messages that match a filter.
  func streamRetained(
    _ session: UInt32, _ filter: Span<UInt8>, _ options: SubscriptionOptions, identifier: UInt32
  ) {
    let found = broker.retained.match(filter)
    guard !found.isEmpty else { return }
    retainedStreams[session, default: RetainedStreams()].streams.append(
      RetainedStreams.Stream(messages: found, options: options, identifier: identifier))
    sessions.records[session].flags.insert(.streamsRetained)
  }

  /// Sends retained messages, as far as the client takes them.
  func pumpRetained(_ session: UInt32) {
    guard var all = retainedStreams.removeValue(forKey: session) else { return }
    let slot = sessions.records[session].connection
    while all.current < all.streams.count {
      if all.streams[all.current].next == all.streams[all.current].messages.count {
        all.current += 1
        continue
      }
      let options = all.streams[all.current].options
      guard slot != 0, loop.pendingOutput(slot) <= Limits.outputHighWater,
        options.qos == .atMostOnce || sessions.maySendNow(session)
      else {
        retainedStreams[session] = all
        if slot != 0 { awaitRoom(slot) }
        return
      }
      let stream = all.streams[all.current]
      all.streams[all.current].next += 1
      sendRetained(session, slot, stream.messages[stream.next], stream)
    }
    sessions.records[session].flags.remove(.streamsRetained)
  }

  private func sendRetained(
    _ session: UInt32, _ slot: UInt32, _ id: StoredMessageID, _ stream: RetainedStreams.Stream
  ) {
    readRetained(id) { message in
      let qos = min(message.facts.qos, stream.options.qos)
      identifierList.removeAll(keepingCapacity: true)
      if stream.identifier != 0 { identifierList.append(stream.identifier) }
      var packetID: UInt16 = 0
      if qos != .atMostOnce {
        var delivery = Delivery(
          message: 0, identifiers: 0, qos: qos, retain: true, isShared: false)
        if sessions.records[session].flags.contains(.isPersistent) {
          guard let kept = sessions.messages.keep(message) else { return countDrop(session) }
          delivery.message = kept
          delivery.identifiers = stream.identifier
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
    }
  }

  private func readRetained(_ id: StoredMessageID, _ body: (borrowing MessageView) -> Void) {
    do throws(StoreError) {
      try broker.retained.read(id, second: second, body)
    } catch {
      broker.logger.error("cannot read a retained message: \(error)")
    }
  }

  /// The client has gone before it had all its retained messages: a session that goes on keeps
  /// those of QoS 1 and 2, as far as it may hold them.
  func keepRetainedStreams(_ session: UInt32) {
    sessions.records[session].flags.remove(.streamsRetained)
    guard let all = retainedStreams.removeValue(forKey: session),
      sessions.records[session].flags.contains(.isPersistent)
    else { return }
    for stream in all.streams[all.current...] {
      for id in stream.messages[stream.next...] {
        readRetained(id) { message in
          let qos = min(message.facts.qos, stream.options.qos)
          guard qos != .atMostOnce else { return }
          guard let kept = sessions.messages.keep(message) else { return countDrop(session) }
          let delivery = Delivery(
            message: kept, identifiers: stream.identifier, qos: qos, retain: true,
            isShared: false)
          if !sessions.enqueue(session, delivery, bytes: message.byteCount) {
            sessions.messages.release(kept)
            countDrop(session)
          }
        }
      }
    }
  }
}
