import Packet
import Util

/// The next packet that a session wants sent.
public struct Transmission: BitwiseCopyable {
  /// Whether it is a PUBREL; otherwise it is a PUBLISH of `delivery`.
  public var isRelease: Bool
  /// The identifier it is sent with, never 0.
  public var packetID: UInt16
  /// What is sent; of a PUBREL, the message that was given up already.
  public var delivery: Delivery
  /// Whether it was sent over an earlier connection.
  public var isRetry: Bool
  /// Whether the caller has to give up the message and the identifiers once it has written them.
  public var isHandedOver: Bool
}

/// What an acknowledgement did.
public enum AcknowledgementOutcome: Sendable {
  /// The delivery is done.
  case completed
  /// A PUBREC was taken: PUBREL is to be sent.
  case release
  /// No message with this identifier is in flight.
  case unknown
  /// It is of the wrong kind for the message with this identifier.
  case unexpected
}

extension SessionTable {
  /// How many deliveries with an identifier the ring may hold, done ones behind an older one
  /// included.
  private func spread(_ slot: UInt32) -> UInt32 {
    min(32_768, UInt32(records[slot].sendQuota) * Limits.acknowledgementSpread)
  }

  /// Whether a new message may be sent at once: nothing waits, and the client takes one more.
  public func maySendNow(_ slot: UInt32) -> Bool {
    let ring = records[slot].outbound
    if ring == 0 { return records[slot].sendQuota > 0 }
    let outbound = rings[ring]
    return outbound.transmitted == outbound.count
      && outbound.stragglersTransmitted == outbound.stragglerCount
      && outbound.inFlight < quota(slot)
  }

  /// Messages that the client takes at a time.
  func quota(_ slot: UInt32) -> UInt32 {
    UInt32(min(records[slot].sendQuota, Limits.packetIdentifiersOut))
  }

  /// Notes a message that is being sent now, after `maySendNow`, and gives its identifier; nil when
  /// there is no memory. `delivery` holds a reference of its own to the message, if it names one.
  public func sendNow(_ slot: UInt32, _ delivery: Delivery, bytes: Int) -> UInt16? {
    guard let ring = append(slot, delivery, bytes: bytes) else { return nil }
    return number(slot, ring, sends: true)
  }

  /// Lets a message wait. False when the session may not hold more, or there is no memory; then
  /// the caller gives up the reference that `delivery` holds.
  public func enqueue(_ slot: UInt32, _ delivery: Delivery, bytes: Int) -> Bool {
    let ring = records[slot].outbound
    if ring != 0 {
      let outbound = rings[ring]
      guard Int(outbound.waiting) < limits.maximumQueuedMessages,
        outbound.bytes + bytes <= limits.maximumQueuedBytes
      else { return false }
    } else {
      guard limits.maximumQueuedMessages > 0, bytes <= limits.maximumQueuedBytes else {
        return false
      }
    }
    return append(slot, delivery, bytes: bytes) != nil
  }

  /// Messages that wait to be sent for the first time.
  public func waitingCount(_ slot: UInt32) -> Int {
    let ring = records[slot].outbound
    return ring == 0 ? 0 : Int(rings[ring].waiting)
  }

  /// Messages in flight over the present connection.
  public func inFlightCount(_ slot: UInt32) -> Int {
    let ring = records[slot].outbound
    return ring == 0 ? 0 : Int(rings[ring].inFlight)
  }

  func append(_ slot: UInt32, _ delivery: Delivery, bytes: Int) -> UInt32? {
    var ring = records[slot].outbound
    if ring == 0 {
      guard let made = makeRing(slot) else { return nil }
      ring = made
    } else if rings[ring].count == rings[ring].capacity {
      guard growRing(ring) else { return nil }
    }
    set(ring, rings[ring].count, delivery)
    rings[ring].count += 1
    rings[ring].bytes += delivery.message == 0 ? 0 : bytes
    return ring
  }

  /// Gives the first waiting delivery its identifier.
  /// - Parameter sends: whether it is sent now; else it waits for the store.
  func number(_ slot: UInt32, _ ring: UInt32, sends: Bool) -> UInt16? {
    if rings[ring].numbered >= spread(slot) {
      guard setOldestApart(slot, ring) else { return nil }
    }
    var packetID = records[slot].nextPacketID
    // An identifier in use is never given out again [MQTT-2.2.1-3]. The ring's own are behind this
    // one, and fewer than half of all are out, so this ends.
    while straggler(ring, packetID) != nil { packetID = SessionTable.following(packetID) }
    records[slot].nextPacketID = SessionTable.following(packetID)
    let place = rings[ring].numbered
    if place == 0 { rings[ring].firstPacketID = packetID }
    var delivery = get(ring, place)
    delivery.state = delivery.qos == .exactlyOnce ? .awaitsPubRec : .awaitsPubAck
    delivery.wasSent = sends
    delivery.packetID = packetID
    set(ring, place, delivery)
    rings[ring].numbered += 1
    if sends {
      rings[ring].transmitted += 1
      rings[ring].released += 1
      rings[ring].inFlight += 1
    }
    return packetID
  }

  private static func following(_ packetID: UInt16) -> UInt16 {
    packetID == 65_535 ? 1 : packetID + 1
  }

  /// Takes what the session wants sent next; nil when nothing waits or the client takes no more.
  /// Expired messages are dropped on the way and counted in `expired`.
  public func nextTransmission(
    _ slot: UInt32, second: UInt32, expired: inout UInt64
  ) -> Transmission? {
    while true {
      let ring = records[slot].outbound
      guard ring != 0 else { return nil }
      let outbound = rings[ring]
      let hasStragglers = outbound.stragglersTransmitted < outbound.stragglerCount
      if hasStragglers, let release = nextStragglerRetry(slot, ring, releasesOnly: true) {
        return release
      }
      if outbound.released < outbound.numbered, let release = nextRelease(ring) { return release }
      if hasStragglers { return nextStragglerRetry(slot, ring, releasesOnly: false) }
      if outbound.transmitted < outbound.numbered {
        if let retry = nextRetry(slot, ring) { return retry }
        if rings[ring].transmitted < rings[ring].numbered { return nil }
        continue
      }
      guard outbound.waiting > 0, outbound.inFlight < quota(slot) else { return nil }
      if get(ring, outbound.numbered).qos == .exactlyOnce && isStored(slot) {
        // Its identifier must be stored before the client can see it, or another message could get
        // it after a crash.
        if numberAhead(slot, ring, second: second, expired: &expired) { continue }
        return nil
      }
      guard let packetID = number(slot, ring, sends: true) else { return nil }
      let place = rings[ring].numbered - 1
      let delivery = get(ring, place)
      if messages.facts(delivery.message).isExpired(at: second) {
        expired += 1
        complete(slot, ring, place)
        continue
      }
      // What was given for a group is kept until it is acknowledged: another member gets it if
      // this session ends first.
      let isHandedOver = !records[slot].flags.contains(.isPersistent) && !delivery.isShared
      if isHandedOver {
        rings[ring].bytes -= messages.byteCount(delivery.message)
        var kept = delivery
        kept.message = 0
        kept.identifiers = 0
        set(ring, place, kept)
      }
      return Transmission(
        isRelease: false, packetID: packetID, delivery: delivery, isRetry: false,
        isHandedOver: isHandedOver)
    }
  }

  /// PUBRELs of an earlier connection, again and in order. They go first, because the client's
  /// receive maximum delays PUBLISH and nothing else [MQTT-3.3.4-10].
  private func nextRelease(_ ring: UInt32) -> Transmission? {
    while rings[ring].released < rings[ring].numbered {
      let place = rings[ring].released
      rings[ring].released += 1
      let delivery = get(ring, place)
      guard delivery.state == .awaitsPubComp else { continue }
      rings[ring].inFlight += 1
      return Transmission(
        isRelease: true, packetID: delivery.packetID, delivery: delivery, isRetry: true,
        isHandedOver: false)
    }
    return nil
  }

  /// PUBLISH packets of an earlier connection, again and in order [MQTT-4.4.0-1].
  private func nextRetry(_ slot: UInt32, _ ring: UInt32) -> Transmission? {
    while rings[ring].transmitted < rings[ring].numbered {
      let place = rings[ring].transmitted
      let delivery = get(ring, place)
      switch delivery.state {
      case .done, .waiting, .awaitsPubComp:
        rings[ring].transmitted += 1
        continue
      case .awaitsPubAck, .awaitsPubRec:
        guard rings[ring].inFlight < quota(slot) else { return nil }
        if delivery.qos == .exactlyOnce && isStored(slot) && place >= rings[ring].stored {
          return nil
        }
      }
      rings[ring].transmitted += 1
      rings[ring].released = max(rings[ring].released, rings[ring].transmitted)
      rings[ring].inFlight += 1
      var sent = delivery
      sent.wasSent = true
      set(ring, place, sent)
      return Transmission(
        isRelease: false, packetID: delivery.packetID, delivery: delivery,
        isRetry: delivery.wasSent, isHandedOver: false)
    }
    return nil
  }

  /// Gives up a message that was taken from `nextTransmission` and can't be sent to this client,
  /// because it is larger than what the client takes.
  public func dropTransmission(_ slot: UInt32, _ packetID: UInt16) {
    let ring = records[slot].outbound
    guard ring != 0 else { return }
    if let place = find(ring, packetID) {
      complete(slot, ring, place)
    } else if let place = straggler(ring, packetID) {
      let type = getStraggler(ring, place).state == .awaitsPubAck ? PacketType.pubAck : .pubRec
      _ = acknowledgeStraggler(slot, ring, packetID, type, isError: true)
    }
  }

  /// The place in the ring of an identifier that was sent over the present connection.
  private func find(_ ring: UInt32, _ packetID: UInt16) -> UInt32? {
    let outbound = rings[ring]
    guard outbound.released > 0 else { return nil }
    // Exact, unless identifiers were left out because stragglers had them: then a few places less.
    let distance = outbound.distance(to: packetID)
    var place = min(distance, outbound.released - 1)
    while place > 0, outbound.distance(to: get(ring, place).packetID) > distance { place -= 1 }
    return get(ring, place).packetID == packetID ? place : nil
  }

  /// The kept body of a message that was sent and that its client is yet to acknowledge, with PUBACK or PUBREC; 0 where
  /// there is none.
  public func bodyInFlight(_ slot: UInt32, _ packetID: UInt16) -> UInt32 {
    let ring = records[slot].outbound
    guard ring != 0, packetID != 0, let place = find(ring, packetID) else { return 0 }
    let delivery = get(ring, place)
    guard delivery.state == .awaitsPubAck || delivery.state == .awaitsPubRec else { return 0 }
    return delivery.message
  }

  /// Takes PUBACK, PUBREC or PUBCOMP. `isError` is whether its reason code is a failure.
  public func acknowledge(
    _ slot: UInt32, _ packetID: UInt16, _ type: PacketType, isError: Bool
  ) -> AcknowledgementOutcome {
    let ring = records[slot].outbound
    guard ring != 0, packetID != 0 else { return .unknown }
    guard let place = find(ring, packetID) else {
      return acknowledgeStraggler(slot, ring, packetID, type, isError: isError)
    }
    var delivery = get(ring, place)
    // What is yet to be sent again over this connection can't be acknowledged on it.
    guard place < rings[ring].transmitted || delivery.state == .awaitsPubComp else {
      return .unknown
    }
    switch (type, delivery.state) {
    case (_, .done): return .unknown
    case (.pubAck, .awaitsPubAck), (.pubComp, .awaitsPubComp):
      complete(slot, ring, place)
      return .completed
    case (.pubRec, .awaitsPubRec):
      if isError {
        complete(slot, ring, place)
        return .completed
      }
      // The client has the message: only the identifier is kept until PUBCOMP [MQTT-4.3.3-4].
      releaseBody(slot, ring, &delivery)
      delivery.state = .awaitsPubComp
      set(ring, place, delivery)
      return .release
    case (.pubRec, .awaitsPubComp): return .release
    default: return .unexpected
    }
  }

  /// Marks a delivery done, and forgets the oldest ones that are.
  private func complete(_ slot: UInt32, _ ring: UInt32, _ place: UInt32) {
    var delivery = get(ring, place)
    releaseBody(slot, ring, &delivery)
    delivery.state = .done
    set(ring, place, delivery)
    rings[ring].inFlight -= 1
    forgetDone(slot, ring)
    freeIfEmpty(slot, ring)
  }

  /// Forgets the oldest deliveries of the ring that are done.
  func forgetDone(_ slot: UInt32, _ ring: UInt32) {
    while rings[ring].numbered > 0, get(ring, 0).state == .done { forgetOldest(slot, ring) }
  }

  /// Takes the oldest delivery, which has an identifier, out of the ring.
  func forgetOldest(_ slot: UInt32, _ ring: UInt32) {
    let record = records[slot].lasting
    if record != 0 { lasting[record].forgotten &+= 1 }
    if rings[ring].stored > 0 { rings[ring].stored -= 1 }
    rings[ring].head = (rings[ring].head + 1) & (rings[ring].capacity - 1)
    rings[ring].count -= 1
    rings[ring].numbered -= 1
    // One that was done over an earlier connection may lie behind all that was sent over this.
    if rings[ring].transmitted > 0 { rings[ring].transmitted -= 1 }
    if rings[ring].released > 0 { rings[ring].released -= 1 }
    if rings[ring].numbered > 0 { rings[ring].firstPacketID = get(ring, 0).packetID }
  }

  /// Gives the record up when nothing is in it.
  func freeIfEmpty(_ slot: UInt32, _ ring: UInt32) {
    if rings[ring].count == 0 && rings[ring].stragglerCount == 0 { freeRing(slot, ring) }
  }

  func releaseBody(_ slot: UInt32, _ ring: UInt32, _ delivery: inout Delivery) {
    if delivery.message != 0 {
      rings[ring].bytes -= messages.byteCount(delivery.message)
      messages.release(delivery.message)
    }
    freeIdentifiers(delivery.identifiers)
    delivery.message = 0
    delivery.identifiers = 0
    if delivery.sequence != 0 {
      finished.append(
        FinishedDelivery(
          sequence: delivery.sequence, session: slot, isShared: delivery.isShared))
      delivery.sequence = 0
    }
  }

  /// The connection has ended: what it was sent counts as not acknowledged, and is sent again.
  public func connectionEnded(_ slot: UInt32) {
    let ring = records[slot].outbound
    guard ring != 0 else { return }
    rings[ring].transmitted = 0
    rings[ring].released = 0
    rings[ring].inFlight = 0
    stragglersConnectionEnded(ring)
  }

  /// Calls `body` with each message of a shared subscription that this session was given and that is
  /// not done: for a session that ends.
  public func forEachShared(_ slot: UInt32, _ body: (Delivery) -> Void) {
    let ring = records[slot].outbound
    guard ring != 0 else { return }
    func give(_ delivery: Delivery) {
      if delivery.isShared && delivery.message != 0 { body(delivery) }
    }
    for place in 0..<rings[ring].stragglerCount { give(getStraggler(ring, place)) }
    for place in 0..<rings[ring].count { give(get(ring, place)) }
  }

  func discardOutbound(_ slot: UInt32) {
    let ring = records[slot].outbound
    guard ring != 0 else { return }
    // What the session was owed, the store knows of its own accord.
    for place in 0..<rings[ring].stragglerCount {
      var delivery = getStraggler(ring, place)
      delivery.sequence = 0
      releaseBody(slot, ring, &delivery)
    }
    for place in 0..<rings[ring].count {
      var delivery = get(ring, place)
      delivery.sequence = 0
      releaseBody(slot, ring, &delivery)
    }
    freeRing(slot, ring)
  }

  private func freeRing(_ slot: UInt32, _ ring: UInt32) {
    blocks.free(rings[ring].block)
    if rings[ring].stragglers != 0 { blocks.free(rings[ring].stragglers) }
    rings.remove(ring)
    records[slot].outbound = 0
  }

  private func growRing(_ ring: UInt32) -> Bool {
    let old = rings[ring]
    let stride = MemoryLayout<Delivery>.stride
    guard let block = blocks.allocate(Int(old.capacity) * 2 * stride) else { return false }
    let from = unsafe blocks.address(of: old.block)
    let to = unsafe blocks.address(of: block)
    // In two pieces, so that the oldest lies first.
    let first = Int(min(old.count, old.capacity - old.head))
    unsafe to.copyMemory(from: from + Int(old.head) * stride, byteCount: first * stride)
    unsafe (to + first * stride).copyMemory(
      from: from, byteCount: (Int(old.count) - first) * stride)
    blocks.free(old.block)
    rings[ring].block = block
    rings[ring].capacity = old.capacity * 2
    rings[ring].head = 0
    return true
  }

  // `place` is below the capacity of the ring, and the block holds that many deliveries.
  @inline(__always)
  func get(_ ring: UInt32, _ place: UInt32) -> Delivery {
    let outbound = rings[ring]
    return unsafe blocks.address(of: outbound.block).load(
      fromByteOffset: outbound.index(place) * MemoryLayout<Delivery>.stride, as: Delivery.self)
  }

  @inline(__always)
  func set(_ ring: UInt32, _ place: UInt32, _ delivery: Delivery) {
    let outbound = rings[ring]
    unsafe blocks.address(of: outbound.block).storeBytes(
      of: delivery, toByteOffset: outbound.index(place) * MemoryLayout<Delivery>.stride,
      as: Delivery.self)
  }
}
