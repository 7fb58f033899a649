import Net
import Packet
import Util

/// A connection that waits to be handed over.
struct Departure {
  var slot: UInt32
  var generation: UInt32
  var target: Int
  var bytes: [UInt8]
}

/// Connections go to the loop where their client's session is.
///
/// The session stays where it is, so that no message can be published between its two places, and
/// all that concerns one client is done by one loop.
extension Worker {
  /// Sends a connection, with its CONNECT and what follows, to another loop.
  func depart(_ slot: UInt32, to target: Int, _ bytes: Span<UInt8>) {
    let count = hops[slot, default: 0]
    guard count < Limits.handOvers else {
      refuse(slot, "its session moves from loop to loop")
      return
    }
    loop.connections[slot].phase = Phase.departing
    let departure = Departure(
      slot: slot, generation: loop.connections[slot].generation, target: target,
      bytes: bytes.array)
    if !goes(departure) {
      hold(slot, .departure)
      departures.append(departure)
    }
  }

  /// Tries once. False when the way is full.
  private func goes(_ departure: Departure) -> Bool {
    let count = hops[departure.slot, default: 0]
    switch loop.handOver(
      departure.slot, through: broker.passages[departure.target], salt: UInt8(number))
    {
    case .gone(let token):
      // It still counts as a connection: it is only elsewhere.
      hops.removeValue(forKey: departure.slot)
      let isTrusted = trusted.remove(departure.slot) != nil
      post(
        .adopt(
          Adoption(
            token: token, bytes: departure.bytes, hops: count + 1, isTrusted: isTrusted,
            identity: admitted.removeValue(forKey: departure.slot))),
        to: departure.target)
      return true
    case .later: return false
    case .failed:
      refuse(departure.slot, "it can't be handed to the loop of its session")
      return true
    }
  }

  /// Tries again with those that found the way full.
  func retryDepartures() {
    let waiting = departures
    departures.removeAll(keepingCapacity: true)
    for departure in waiting {
      // It may have ended meanwhile, or be ending: its time is over, or the server stops.
      guard loop.connections[departure.slot].generation == departure.generation,
        !loop.isFinishing(departure.slot)
      else { continue }
      if !goes(departure) { departures.append(departure) }
    }
  }

  /// Takes a connection from another loop.
  func adopt(_ adoption: Adoption) {
    guard
      let slot = loop.adopt(
        adoption.token, from: broker.passages[number], bytes: adoption.bytes)
    else {
      broker.forgetConnection(isTrusted: adoption.isTrusted)
      counters.refusals += 1
      broker.logger.warning("no room for a connection that another loop handed over")
      return
    }
    hops[slot] = adoption.hops
    if let identity = adoption.identity { admitted[slot] = identity }
    if adoption.isTrusted { trusted.insert(slot) }
    loop.setTimer(
      slot, at: loop.now + Worker.ticks(milliseconds: options.connectTimeoutMilliseconds) + 1)
    if stopDeadline != 0 { refuse(slot, "the server is shutting down") }
  }
}
