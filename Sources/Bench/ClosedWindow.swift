/// How many messages of a channel may be sent in a closed loop.
///
/// A message is under way until the server has acknowledged it, at QoS 1 and 2, and all its
/// deliveries are here. Deliveries are counted as a sum, so that the window bounds them all
/// together and not each subscriber's.
struct ClosedWindow: BitwiseCopyable, Equatable {
  /// Most messages under way.
  let limit: UInt64
  /// Deliveries of one message.
  let fan: UInt64
  /// Whether the server acknowledges messages.
  let isAcknowledged: Bool
  private(set) var sent: UInt64 = 0
  private(set) var acknowledged: UInt64 = 0
  private(set) var delivered: UInt64 = 0
  /// Messages that did not come back within reason, and do not hold up others any more.
  private(set) var forgiven: UInt64 = 0

  init(limit: Int, fan: Int, isAcknowledged: Bool) {
    precondition(limit > 0 && fan > 0)
    self.limit = UInt64(limit)
    self.fan = UInt64(fan)
    self.isAcknowledged = isAcknowledged
  }

  /// Messages that came through.
  var completed: UInt64 {
    let complete = delivered / fan
    return isAcknowledged ? min(acknowledged, complete) : complete
  }

  /// Messages under way.
  var outstanding: UInt64 {
    let back = completed + forgiven
    return sent > back ? sent - back : 0
  }

  /// Messages that may be sent now: none before half of the window is free, because many in one
  /// write are what saturates a server with little work for us.
  var credit: UInt64 {
    let busy = outstanding
    let free = limit > busy ? limit - busy : 0
    return 2 * free >= limit ? free : 0
  }

  mutating func send(_ count: UInt64) { sent += count }
  mutating func acknowledge(_ count: UInt64) { acknowledged += count }
  mutating func deliver(_ count: UInt64) { delivered += count }

  /// Gives up on all that is under way.
  mutating func forgive() { forgiven += outstanding }
}
