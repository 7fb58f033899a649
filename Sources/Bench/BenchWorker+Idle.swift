import Client
import Net
import Packet
import Util

/// What one loop does with its idle clients once they are connected.
struct IdleStep {
  /// The client that publishes to the idle ones, on the loop that has it.
  var caller: Int?
  /// Steps that were begun.
  var step = 0
  /// Messages that each idle client has got when the present step is done.
  var round: UInt32 = 0
  /// Idle clients that this step has reached, or that have subscribed.
  var reached: UInt64 = 0
  /// When the first and the last were reached; 0 before.
  var firstReached: UInt64 = 0
  var lastReached: UInt64 = 0
  /// Of the caller: the next client to publish to, and messages under way.
  var nextCall = Int.max
  var calls = 0
  /// The next client that is to subscribe, and answers that are awaited.
  var nextToSubscribe = Int.max
  var subscribing = 0
  var nextPacketID: UInt16 = 1

  /// Whether something is left to be begun.
  var isUnderWay: Bool { nextCall != .max || nextToSubscribe != .max }

  mutating func makePacketID() -> UInt16 {
    defer { nextPacketID = nextPacketID == .max ? 1 : nextPacketID + 1 }
    return nextPacketID
  }

  mutating func begin() {
    step += 1
    reached = 0
    firstReached = 0
    lastReached = 0
  }
}

extension BenchWorker {
  /// Messages of the caller under way, or subscriptions of one loop: enough to keep a broker busy.
  static var callLimit: Int { 512 }

  func expectOneMore() {
    idle.begin()
    idle.round += 1
  }

  func beginSubscribeAll() {
    idle.begin()
    idle.nextToSubscribe = 0
  }

  /// Begins as much of the present step as may be under way.
  func goOnWithIdle() {
    while idle.nextCall < options.subscribers && idle.calls < Self.callLimit {
      call(FlowPlan.ownTopic(options.runName, options.firstClient + idle.nextCall))
      idle.nextCall += 1
    }
    if idle.nextCall >= options.subscribers { idle.nextCall = .max }
    while idle.nextToSubscribe < clients.count && idle.subscribing < Self.callLimit {
      let index = idle.nextToSubscribe
      idle.nextToSubscribe += 1
      guard clients[index].role == .idle, clients[index].phase == .ready else { continue }
      idle.subscribing += 1
      let filter = SubscribePacket.Filter(
        Array(FlowPlan.broadcastTopic(options.runName).utf8),
        SubscriptionOptions(qos: .atLeastOnce))
      write(
        clients[index].slot,
        Encoded.subscribe(SubscribePacket(packetID: 2, filters: [filter]), options.version))
    }
    if idle.nextToSubscribe >= clients.count { idle.nextToSubscribe = .max }
  }

  func call(_ topic: String) {
    guard let caller = idle.caller, clients[caller].phase == .ready else { return }
    let message = OutgoingMessage(
      topic: Array(topic.utf8), payload: Array(repeating: 0x78, count: options.payloadBytes),
      qos: .atLeastOnce)
    let packetID = idle.makePacketID()
    write(
      clients[caller].slot, Encoded.publish(message, options.version, packetID: packetID).bytes)
    idle.calls += 1
    sent += 1
  }

  /// Counts what came for an idle client, or for the caller.
  func countIdle(_ index: Int, arrivals: UInt32, completions: Int, subscriptions: Int) {
    if clients[index].role == .caller {
      idle.calls -= completions
      acknowledged += UInt64(completions)
    }
    if subscriptions > 0 {
      idle.subscribing -= subscriptions
      idle.reached += UInt64(subscriptions)
    }
    guard arrivals > 0 else { return }
    delivered += UInt64(arrivals)
    clients[index].count += arrivals
    if clients[index].count > idle.round {
      findings.duplicates += UInt64(clients[index].count - idle.round)
      clients[index].count = idle.round
      return
    }
    guard clients[index].count == idle.round else { return }
    idle.reached += 1
    idle.lastReached = MonotonicClock.nanoseconds
    if idle.firstReached == 0 { idle.firstReached = idle.lastReached }
  }
}
