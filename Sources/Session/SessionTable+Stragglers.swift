import Packet
import Util

/// Deliveries that a client leaves unacknowledged while it acknowledges much that is newer: a list
/// beside the ring, oldest first (after a reconnect, those that await PUBCOMP before the others), no
/// longer than the client's receive maximum.
extension SessionTable {
  /// Moves the oldest delivery of a full ring, and what is done behind it, out of the ring. False
  /// without memory.
  func setOldestApart(_ slot: UInt32, _ ring: UInt32) -> Bool {
    // The oldest is not done, or it would be gone.
    let count = rings[ring].stragglerCount
    if count == rings[ring].stragglerCapacity {
      guard growStragglers(ring) else { return false }
    }
    setStraggler(ring, count, get(ring, 0))
    rings[ring].stragglerCount = count + 1
    rings[ring].stragglersTransmitted += 1
    forgetOldest(slot, ring)
    forgetDone(slot, ring)
    return true
  }

  /// The place of a straggler; nil if the identifier is none's.
  func straggler(_ ring: UInt32, _ packetID: UInt16) -> UInt16? {
    for place in 0..<rings[ring].stragglerCount
    where getStraggler(ring, place).packetID == packetID { return place }
    return nil
  }

  /// All stragglers are to be sent again: first those whose PUBREL no quota delays.
  func stragglersConnectionEnded(_ ring: UInt32) {
    rings[ring].stragglersTransmitted = 0
    var released: UInt16 = 0
    for place in 0..<rings[ring].stragglerCount {
      let delivery = getStraggler(ring, place)
      guard delivery.state == .awaitsPubComp else { continue }
      var hole = place
      while hole > released {
        setStraggler(ring, hole, getStraggler(ring, hole - 1))
        hole -= 1
      }
      setStraggler(ring, released, delivery)
      released += 1
    }
  }

  /// The next straggler to be sent again after a reconnect; nil while the client takes no more.
  func nextStragglerRetry(
    _ slot: UInt32, _ ring: UInt32, releasesOnly: Bool
  ) -> Transmission? {
    let place = rings[ring].stragglersTransmitted
    let delivery = getStraggler(ring, place)
    let isRelease = delivery.state == .awaitsPubComp
    guard isRelease || (!releasesOnly && rings[ring].inFlight < quota(slot)) else { return nil }
    rings[ring].stragglersTransmitted = place + 1
    rings[ring].inFlight += 1
    return Transmission(
      isRelease: isRelease, packetID: delivery.packetID, delivery: delivery, isRetry: true,
      isHandedOver: false)
  }

  /// Takes an acknowledgement of a straggler.
  func acknowledgeStraggler(
    _ slot: UInt32, _ ring: UInt32, _ packetID: UInt16, _ type: PacketType, isError: Bool
  ) -> AcknowledgementOutcome {
    guard let place = straggler(ring, packetID), place < rings[ring].stragglersTransmitted else {
      return .unknown
    }
    var delivery = getStraggler(ring, place)
    switch (type, delivery.state) {
    case (.pubRec, .awaitsPubRec) where !isError:
      releaseBody(slot, ring, &delivery)
      delivery.state = .awaitsPubComp
      setStraggler(ring, place, delivery)
      return .release
    case (.pubRec, .awaitsPubComp): return .release
    case (.pubAck, .awaitsPubAck), (.pubRec, .awaitsPubRec), (.pubComp, .awaitsPubComp):
      releaseBody(slot, ring, &delivery)
      for later in place + 1..<max(place + 1, rings[ring].stragglerCount) {
        setStraggler(ring, later - 1, getStraggler(ring, later))
      }
      rings[ring].stragglerCount -= 1
      rings[ring].stragglersTransmitted -= 1
      rings[ring].inFlight -= 1
      if rings[ring].stragglerCount == 0 {
        blocks.free(rings[ring].stragglers)
        rings[ring].stragglers = 0
        rings[ring].stragglerCapacity = 0
      }
      freeIfEmpty(slot, ring)
      return .completed
    default: return .unexpected
    }
  }

  private func growStragglers(_ ring: UInt32) -> Bool {
    let count = rings[ring].stragglerCount
    let capacity = max(4, count * 2)
    let stride = MemoryLayout<Delivery>.stride
    guard let block = blocks.allocate(Int(capacity) * stride) else { return false }
    if rings[ring].stragglers != 0 {
      let old = rings[ring].stragglers
      unsafe blocks.address(of: block).copyMemory(
        from: blocks.address(of: old), byteCount: Int(count) * stride)
      blocks.free(old)
    }
    rings[ring].stragglers = block
    rings[ring].stragglerCapacity = capacity
    return true
  }

  // `place` is below the capacity, and the block holds that many deliveries.
  func getStraggler(_ ring: UInt32, _ place: UInt16) -> Delivery {
    unsafe blocks.address(of: rings[ring].stragglers).load(
      fromByteOffset: Int(place) * MemoryLayout<Delivery>.stride, as: Delivery.self)
  }

  private func setStraggler(_ ring: UInt32, _ place: UInt16, _ delivery: Delivery) {
    unsafe blocks.address(of: rings[ring].stragglers).storeBytes(
      of: delivery, toByteOffset: Int(place) * MemoryLayout<Delivery>.stride, as: Delivery.self)
  }
}
