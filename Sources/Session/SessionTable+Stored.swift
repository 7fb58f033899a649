import Packet
import Store
import Util

/// What stored sessions have in flight, as the store keeps it.
extension SessionTable {
  /// Gives waiting deliveries identifiers, as many as the client takes, without sending them: what is
  /// sent with QoS 2 must be stored before. Those that have expired are done instead. True where the
  /// next to be sent is done, so that something behind it may be sent.
  func numberAhead(
    _ slot: UInt32, _ ring: UInt32, second: UInt32, expired: inout UInt64
  ) -> Bool {
    var hasGoneOn = false
    while rings[ring].waiting > 0,
      rings[ring].numbered - rings[ring].transmitted + rings[ring].inFlight < quota(slot),
      get(ring, rings[ring].numbered).qos == .exactlyOnce,
      number(slot, ring, sends: false) != nil
    {
      let place = rings[ring].numbered - 1
      var delivery = get(ring, place)
      guard messages.facts(delivery.message).isExpired(at: second) else { continue }
      expired += 1
      releaseBody(slot, ring, &delivery)
      delivery.state = .done
      set(ring, place, delivery)
      hasGoneOn = true
    }
    // What is done needs no store.
    if hasGoneOn { forgetDone(slot, ring) }
    return hasGoneOn && rings[ring].transmitted < rings[ring].numbered
      && get(ring, rings[ring].transmitted).state == .done
  }

  /// Gives identifiers to what waits and is sent with QoS 2, as far as the client takes it: it is sent
  /// once they are stored.
  public func prepare(_ slot: UInt32, second: UInt32, expired: inout UInt64) {
    let ring = records[slot].outbound
    guard ring != 0, isStored(slot) else { return }
    _ = numberAhead(slot, ring, second: second, expired: &expired)
  }

  /// A place in the ring that still means the same when older deliveries are forgotten: behind all
  /// that have an identifier now.
  public func windowEnd(_ slot: UInt32) -> UInt32 {
    let ring = records[slot].outbound
    return lasting[records[slot].lasting].forgotten &+ (ring == 0 ? 0 : rings[ring].numbered)
  }

  /// The store has what was in flight up to a place that `windowEnd` gave. True where something waits
  /// for that.
  public func windowStored(_ slot: UInt32, through end: UInt32) -> Bool {
    let ring = records[slot].outbound
    guard ring != 0 else { return false }
    // Places that were forgotten meanwhile make this negative.
    let count = Int32(bitPattern: end &- lasting[records[slot].lasting].forgotten)
    guard count > Int32(rings[ring].stored) else { return false }
    rings[ring].stored = min(UInt32(count), rings[ring].numbered)
    return rings[ring].transmitted < rings[ring].stored
  }

  /// Whether deliveries have an identifier that the store does not know yet.
  public func awaitsStore(_ slot: UInt32) -> Bool {
    let ring = records[slot].outbound
    return ring != 0 && rings[ring].stored < rings[ring].numbered
  }

  /// What a session has in flight, oldest first, in both directions.
  public func progress(_ slot: UInt32) -> SessionProgress {
    var progress = SessionProgress(
      cursor: lasting[records[slot].lasting].cursor, nextPacketID: records[slot].nextPacketID)
    forEachInbound(slot) { progress.inbound.append($0) }
    let ring = records[slot].outbound
    guard ring != 0 else { return progress }
    progress.window.reserveCapacity(Int(rings[ring].count) + Int(rings[ring].stragglerCount))
    func add(_ delivery: Delivery) {
      // Of what is not in the log, only identifiers outlive the process.
      guard delivery.sequence != 0 || delivery.state == .awaitsPubComp else { return }
      progress.window.append(delivery.windowEntry)
    }
    for place in 0..<rings[ring].stragglerCount { add(getStraggler(ring, place)) }
    for place in 0..<rings[ring].count { add(get(ring, place)) }
    return progress
  }

  /// Takes over what a stored session had in flight. Its ring must be empty.
  /// - Parameters:
  ///   - keep: gives a kept message, one reference to it, and the identifiers of an entry of the
  ///     window; nil where the message is gone.
  /// - Returns: False without memory.
  public func restore(
    _ slot: UInt32, _ progress: SessionProgress,
    keep: (WindowEntry) -> (message: UInt32, identifiers: UInt32)?
  ) -> Bool {
    lasting[records[slot].lasting].cursor = progress.cursor
    records[slot].nextPacketID = max(1, progress.nextPacketID)
    for packetID in progress.inbound {
      guard case .new = arrived(slot, packetID, limit: 65_535) else { return false }
    }
    for entry in progress.window {
      guard var delivery = Delivery(entry) else { continue }
      if entry.sequence != 0 {
        guard let kept = keep(entry) else {
          finished.append(
            FinishedDelivery(sequence: entry.sequence, session: slot, isShared: entry.isShared))
          continue
        }
        delivery.message = kept.message
        delivery.identifiers = kept.identifiers
      }
      let bytes = delivery.message == 0 ? 0 : messages.byteCount(delivery.message)
      guard restore(slot, delivery, bytes: bytes) else { return false }
    }
    let ring = records[slot].outbound
    if ring != 0 { rings[ring].stored = rings[ring].numbered }
    return true
  }

  /// Adds a delivery behind the others of the ring, with its identifier where it has one.
  private func restore(_ slot: UInt32, _ delivery: Delivery, bytes: Int) -> Bool {
    let isFirst = records[slot].outbound == 0
    guard let ring = append(slot, delivery, bytes: bytes) else { return false }
    guard delivery.packetID != 0 else { return true }
    if isFirst { rings[ring].firstPacketID = delivery.packetID }
    rings[ring].numbered += 1
    return true
  }
}

extension Delivery {
  var windowEntry: WindowEntry {
    var identifier = identifiers
    if identifiers & Delivery.isList != 0 { identifier = WindowEntry.several }
    return WindowEntry(
      sequence: sequence, identifier: identifier, packetID: packetID, state: state.rawValue,
      traits: traits)
  }

  /// Nil where the entry says nothing that a delivery can be.
  init?(_ entry: WindowEntry) {
    guard let state = State(rawValue: entry.state), state != .done,
      (entry.packetID == 0) == (state == .waiting),
      let qos = QoS(rawValue: entry.traits & 3)
    else { return nil }
    self.init(
      message: 0, identifiers: 0, qos: qos, retain: entry.traits & 4 != 0,
      isShared: entry.traits & 16 != 0, sequence: entry.sequence)
    self.state = state
    traits = entry.traits
    packetID = entry.packetID
    // It was stored before it was sent; whether it was, nobody knows.
    if packetID != 0 { wasSent = true }
  }
}

extension SessionTable {
  /// Whether a session may take a message from the log that it can't send yet.
  public func mayTakeAhead(_ slot: UInt32, bytes: Int) -> Bool {
    let ring = records[slot].outbound
    guard ring != 0 else { return true }
    let ahead = rings[ring].count - rings[ring].transmitted
    return ahead == 0
      || (Int(ahead) < Limits.takenAhead + Int(quota(slot))
        && Int(rings[ring].waiting) < Limits.takenAhead
        && rings[ring].bytes + bytes <= limits.maximumQueuedBytes)
  }

  /// Lets a message of the log wait, after `mayTakeAhead` or for a shared subscription, which gives a
  /// member no more than it takes at a time. False without memory.
  public func takeAhead(_ slot: UInt32, _ delivery: Delivery, bytes: Int) -> Bool {
    append(slot, delivery, bytes: bytes) != nil
  }

  /// How many more messages the client takes now.
  public func roomInFlight(_ slot: UInt32) -> UInt32 {
    let ring = records[slot].outbound
    let all = quota(slot)
    return ring == 0 ? all : all - min(all, rings[ring].inFlight)
  }
}
