import Net
import Packet
import PubSub
import Session
import Util

/// A SUBACK that waits until the homes of shared subscriptions have answered, so that no message
/// published after it can miss its subscriber.
struct PendingSubAck {
  var packetID: UInt16
  var reasons: [UInt8]
  var missing: Int
}

extension Worker {
  /// Takes SUBSCRIBE.
  func handleSubscribe(
    _ slot: UInt32, _ session: UInt32, _ packet: Span<UInt8>, _ header: FixedHeader,
    _ version: ProtocolVersion
  ) throws(DecodeError) {
    let subscribe = try Subscribe.decode(packet, header: header, version: version)
    var reasons: [UInt8] = []
    reasons.reserveCapacity(subscribe.filterCount)
    var retained: [(filter: ByteRange, options: SubscriptionOptions)] = []
    var joins = 0
    var cursor = subscribe.makeCursor()
    while let entry = cursor.next(packet) {
      let filter = packet.extracting(entry.filter)
      if let reason = objection(to: entry, filter) {
        reasons.append(version.hasProperties ? reason.rawValue : 0x80)
        continue
      }
      let qos = min(entry.options.qos, QoS(rawValue: UInt8(options.maximumQoS)) ?? .exactlyOnce)
      let granted = SubscriptionOptions(
        qos: qos, noLocal: entry.options.noLocal,
        retainAsPublished: entry.options.retainAsPublished,
        retainHandling: entry.options.retainHandling)
      let outcome = subscriptions.subscribe(
        session: session, filter: filter, options: granted.rawValue,
        identifier: subscribe.subscriptionIdentifier,
        list: &sessions.records[session].subscriptions)
      let count = Int(sessions.records[session].subscriptions.count)
      let isTooMany = outcome.isNew && count > options.maximumSubscriptions
      if isTooMany {
        _ = subscriptions.unsubscribe(
          session: session, filter: filter, list: &sessions.records[session].subscriptions)
      }
      if outcome.isRefused || isTooMany {
        reasons.append(version.hasProperties ? ReasonCode.quotaExceeded.rawValue : 0x80)
        continue
      }
      reasons.append(qos.rawValue)
      if case .shared(let group, let inner) = parseSharedSubscription(filter) {
        if outcome.isNew { counters.sharedSubscriptions += 1 }
        sessions.records[session].flags.insert(.isShareMember)
        // Retained messages are not for shared subscriptions (4.8.2).
        let waits = join(
          session, filter.extracting(group), filter.extracting(inner), granted.rawValue,
          subscribe.subscriptionIdentifier, wantsAnswer: true)
        if waits { joins += 1 }
      } else if granted.retainHandling == .send
        || (granted.retainHandling == .sendIfNew && outcome.isNew)
      {
        retained.append((entry.filter, granted))
      }
    }
    if joins > 0 {
      pendingSubAcks[session] = PendingSubAck(
        packetID: subscribe.packetID, reasons: reasons, missing: joins)
      hold(slot, .subAck)
    } else {
      sendSubAck(slot, .subAck, subscribe.packetID, reasons, version)
    }
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

  /// What speaks against one filter; nil if nothing does.
  private func objection(
    to entry: SubscribeEntry, _ filter: Span<UInt8>
  ) -> ReasonCode? {
    guard entry.isValid, hasFewLevels(filter) else { return .topicFilterInvalid }
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
    var cursor = unsubscribe.makeCursor()
    while let entry = cursor.next(packet) {
      guard entry.isValid else {
        reasons.append(ReasonCode.topicFilterInvalid.rawValue)
        continue
      }
      let filter = packet.extracting(entry.filter)
      let outcome = subscriptions.unsubscribe(
        session: session, filter: filter, list: &sessions.records[session].subscriptions)
      if outcome == .notFound {
        reasons.append(ReasonCode.noSubscriptionExisted.rawValue)
        continue
      }
      reasons.append(ReasonCode.success.rawValue)
      forgetRetained(session, filter)
      if case .shared(let group, let inner) = parseSharedSubscription(filter) {
        counters.sharedSubscriptions -= 1
        leave(session, filter.extracting(group), filter.extracting(inner))
      }
    }
    sendSubAck(slot, .unsubAck, unsubscribe.packetID, reasons, version)
  }
}
