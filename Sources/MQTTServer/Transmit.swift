import Net
import Packet
import Session
import Util

/// What is sent later than it came: what waited, and what is retried.
extension Worker {
  /// Sends what a session has waiting, as far as its client takes it.
  func pump(_ session: UInt32) {
    let slot = sessions.records[session].connection
    guard slot != 0 else { return }
    var hasChanged = false
    while loop.pendingOutput(slot) <= Limits.outputHighWater {
      let now = second
      guard
        let next = sessions.nextTransmission(session, second: now, expired: &counters.expired)
      else { break }
      hasChanged = true
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
    if sessions.isStored(session) {
      if hasChanged || !sessions.finished.isEmpty || sessions.awaitsStore(session) {
        touch(session)
      }
      readOn(session)
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
