import Packet
import Util

/// The next packet that a session wants sent.
public struct Transmission: BitwiseCopyable {
  /// Whether it is a PUBREL; otherwise it is a PUBLISH of `delivery`.
  public var isRelease: Bool
  public var packetID: UInt16
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
  /// How many identifiers may be out, done ones behind an older one included.
  private func spread(_ slot: UInt32) -> UInt32 {
    min(32_768, UInt32(records[slot].sendQuota) * SessionLimits.acknowledgementSpread)
  }

  /// Whether a new message may be sent at once: nothing waits, and the client takes one more.
  public func maySendNow(_ slot: UInt32) -> Bool {
    let ring = records[slot].outbound
    if ring == 0 { return records[slot].sendQuota > 0 }
    let outbound = rings[ring]
    return outbound.transmitted == outbound.count
      && outbound.inFlight < UInt32(records[slot].sendQuota) && outbound.numbered < spread(slot)
  }

  /// Notes a message that is being sent now, after `maySendNow`, and gives its identifier; nil when
  /// there is no memory. `delivery` holds a reference of its own to the message, if it names one.
  public func sendNow(_ slot: UInt32, _ delivery: Delivery, bytes: Int) -> UInt16? {
    guard let ring = append(slot, delivery, bytes: bytes) else { return nil }
    return number(slot, ring)
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

  private func append(_ slot: UInt32, _ delivery: Delivery, bytes: Int) -> UInt32? {
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
  private func number(_ slot: UInt32, _ ring: UInt32) -> UInt16 {
    let place = rings[ring].numbered
    let packetID = records[slot].nextPacketID
    records[slot].nextPacketID = packetID == 65_535 ? 1 : packetID + 1
    if place == 0 { rings[ring].firstPacketID = packetID }
    var delivery = get(ring, place)
    delivery.state = delivery.qos == .exactlyOnce ? .awaitsPubRec : .awaitsPubAck
    delivery.wasSent = true
    set(ring, place, delivery)
    rings[ring].numbered += 1
    rings[ring].transmitted += 1
    rings[ring].inFlight += 1
    return packetID
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
      if outbound.transmitted < outbound.numbered {
        if let retry = nextRetry(slot, ring) { return retry }
        if rings[ring].transmitted < rings[ring].numbered { return nil }
        continue
      }
      guard outbound.waiting > 0, outbound.inFlight < UInt32(records[slot].sendQuota),
        outbound.numbered < spread(slot)
      else { return nil }
      var delivery = get(ring, outbound.numbered)
      let packetID = number(slot, ring)
      if messages.facts(delivery.message).secondsLeft(at: second) == 0 {
        expired += 1
        complete(slot, ring, outbound.numbered)
        continue
      }
      let isHandedOver = !records[slot].flags.contains(.isPersistent)
      if isHandedOver {
        rings[ring].bytes -= messages.byteCount(delivery.message)
        var kept = get(ring, outbound.numbered)
        kept.message = 0
        kept.identifiers = 0
        set(ring, outbound.numbered, kept)
      }
      delivery.wasSent = true
      return Transmission(
        isRelease: false, packetID: packetID, delivery: delivery, isRetry: false,
        isHandedOver: isHandedOver)
    }
  }

  /// What was sent over an earlier connection, again and in order [MQTT-4.4.0-1].
  private func nextRetry(_ slot: UInt32, _ ring: UInt32) -> Transmission? {
    while rings[ring].transmitted < rings[ring].numbered {
      let place = rings[ring].transmitted
      let delivery = get(ring, place)
      switch delivery.state {
      case .done, .waiting:
        rings[ring].transmitted += 1
        continue
      case .awaitsPubComp:
        // The client counts it as taken already; a PUBREL is no new message.
        break
      case .awaitsPubAck, .awaitsPubRec:
        guard rings[ring].inFlight < UInt32(records[slot].sendQuota) else { return nil }
      }
      rings[ring].transmitted += 1
      rings[ring].inFlight += 1
      return Transmission(
        isRelease: delivery.state == .awaitsPubComp, packetID: rings[ring].packetID(at: place),
        delivery: delivery, isRetry: true, isHandedOver: false)
    }
    return nil
  }

  /// Gives up a message that was taken from `nextTransmission` and can't be sent to this client,
  /// because it is larger than what the client takes.
  public func dropTransmission(_ slot: UInt32, _ packetID: UInt16) {
    let ring = records[slot].outbound
    complete(slot, ring, rings[ring].place(of: packetID))
  }

  /// Takes PUBACK, PUBREC or PUBCOMP. `isError` is whether its reason code is a failure.
  public func acknowledge(
    _ slot: UInt32, _ packetID: UInt16, _ type: PacketType, isError: Bool
  ) -> AcknowledgementOutcome {
    let ring = records[slot].outbound
    guard ring != 0, packetID != 0 else { return .unknown }
    let place = rings[ring].place(of: packetID)
    guard place < rings[ring].transmitted else { return .unknown }
    var delivery = get(ring, place)
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
      releaseBody(ring, &delivery)
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
    releaseBody(ring, &delivery)
    delivery.state = .done
    set(ring, place, delivery)
    rings[ring].inFlight -= 1
    while rings[ring].numbered > 0, get(ring, 0).state == .done {
      rings[ring].firstPacketID = rings[ring].packetID(at: 1)
      rings[ring].head = (rings[ring].head + 1) & (rings[ring].capacity - 1)
      rings[ring].count -= 1
      rings[ring].numbered -= 1
      rings[ring].transmitted -= 1
    }
    if rings[ring].count == 0 { freeRing(slot, ring) }
  }

  private func releaseBody(_ ring: UInt32, _ delivery: inout Delivery) {
    if delivery.message != 0 {
      rings[ring].bytes -= messages.byteCount(delivery.message)
      messages.release(delivery.message)
    }
    freeIdentifiers(delivery.identifiers)
    delivery.message = 0
    delivery.identifiers = 0
  }

  /// The connection has ended: what it was sent counts as not acknowledged, and is sent again.
  public func connectionEnded(_ slot: UInt32) {
    let ring = records[slot].outbound
    guard ring != 0 else { return }
    rings[ring].transmitted = 0
    rings[ring].inFlight = 0
  }

  /// Takes away each message of a shared subscription that this session was given and that may
  /// still go to another member: those that wait, and unacknowledged ones of QoS 1
  /// [MQTT-4.8.2-4] [MQTT-4.8.2-5]. For a session that ends.
  public func forEachShared(_ slot: UInt32, _ body: (Delivery) -> Void) {
    let ring = records[slot].outbound
    guard ring != 0 else { return }
    for place in 0..<rings[ring].count {
      let delivery = get(ring, place)
      guard delivery.isShared, delivery.message != 0 else { continue }
      if delivery.state == .waiting || delivery.state == .awaitsPubAck { body(delivery) }
    }
  }

  func discardOutbound(_ slot: UInt32) {
    let ring = records[slot].outbound
    guard ring != 0 else { return }
    for place in 0..<rings[ring].count {
      var delivery = get(ring, place)
      releaseBody(ring, &delivery)
    }
    freeRing(slot, ring)
  }

  private func freeRing(_ slot: UInt32, _ ring: UInt32) {
    blocks.free(rings[ring].block)
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
  func get(_ ring: UInt32, _ place: UInt32) -> Delivery {
    let outbound = rings[ring]
    return unsafe blocks.address(of: outbound.block).load(
      fromByteOffset: outbound.index(place) * MemoryLayout<Delivery>.stride, as: Delivery.self)
  }

  func set(_ ring: UInt32, _ place: UInt32, _ delivery: Delivery) {
    let outbound = rings[ring]
    unsafe blocks.address(of: outbound.block).storeBytes(
      of: delivery, toByteOffset: outbound.index(place) * MemoryLayout<Delivery>.stride,
      as: Delivery.self)
  }
}
