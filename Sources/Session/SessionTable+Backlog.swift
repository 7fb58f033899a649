import Packet
import Util

/// What a session has in flight and waiting, for those who look at it and leave it as it is.
extension SessionTable {
  /// Messages that were sent and are not acknowledged, over whichever connection, and those that wait to be
  /// sent.
  public func outboundCounts(_ slot: UInt32) -> (inFlight: Int, waiting: Int) {
    var inFlight = 0
    var waiting = 0
    _ = forEachOutbound(slot, from: 0) { delivery, isInFlight in
      if isInFlight { inFlight += 1 } else { waiting += 1 }
      return true
    }
    return (inFlight, waiting)
  }

  /// Calls `body` with each delivery that is not done and whether it was sent, oldest first, until it gives
  /// false.
  ///
  /// Places stay what they are while older deliveries are done with, if the session outlives its connection.
  /// - Parameter place: where to begin; 0 for the oldest.
  /// - Returns: the place of the delivery for which `body` gave false; nil at the end.
  public func forEachOutbound(
    _ slot: UInt32, from place: Int, _ body: (Delivery, Bool) -> Bool
  ) -> Int? {
    let ring = records[slot].outbound
    guard ring != 0 else { return nil }
    let record = records[slot].lasting
    let forgotten = record == 0 ? 0 : Int(lasting[record].forgotten)
    // Stragglers have places below 0, counted down, and are fewer than 65,536.
    if place <= 0 {
      var index = -place
      while index < Int(rings[ring].stragglerCount) {
        if !body(getStraggler(ring, UInt16(index)), true) { return -index }
        index += 1
      }
    }
    var index = place <= 0 ? 0 : max(0, place - 1 - forgotten)
    while index < Int(rings[ring].count) {
      let delivery = get(ring, UInt32(index))
      if delivery.state != .done && !body(delivery, delivery.wasSent) {
        return forgotten + index + 1
      }
      index += 1
    }
    return nil
  }

  /// The packet identifier that the next message gets which is sent or waits; nil where that can't be told,
  /// because a client leaves older ones unacknowledged.
  public func nextPacketID(_ slot: UInt32) -> UInt16? {
    let ring = records[slot].outbound
    let next = Int(records[slot].nextPacketID)
    if ring == 0 { return UInt16(next) }
    // Identifiers of stragglers are passed over.
    guard rings[ring].stragglerCount == 0 else { return nil }
    return UInt16((next - 1 + Int(rings[ring].waiting)) % 65_535 + 1)
  }

  /// How far a message is that was given with an identifier of `nextPacketID`.
  public func outboundState(_ slot: UInt32, _ packetID: UInt16) -> OutboundState {
    let ring = records[slot].outbound
    guard ring != 0 else { return .received }
    let outbound = rings[ring]
    // Those that are out or wait are fewer than half of all.
    let next = Int(records[slot].nextPacketID)
    let ahead = (Int(packetID) - next + 65_535) % 65_535
    if ahead < Int(outbound.waiting) { return .waiting }
    if let place = straggler(ring, packetID) {
      return getStraggler(ring, place).state == .awaitsPubComp ? .received : .sent
    }
    guard outbound.numbered > 0 else { return .received }
    let distance = outbound.distance(to: packetID)
    var place = min(distance, outbound.numbered - 1)
    while place > 0, outbound.distance(to: get(ring, place).packetID) > distance { place -= 1 }
    let delivery = get(ring, place)
    guard delivery.packetID == packetID else { return .received }
    switch delivery.state {
    case .awaitsPubAck, .awaitsPubRec: return .sent
    case .waiting, .awaitsPubComp, .done: return .received
    }
  }
}

/// How far a message for a client is.
public enum OutboundState: Sendable, Equatable {
  /// It waits to be sent.
  case waiting
  /// It was sent, and the client has not said that it has it.
  case sent
  /// The client has it, or it was given up because it had expired.
  case received
}
