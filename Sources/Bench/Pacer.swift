/// When messages of a paced flow are to be sent. It knows no clock: the times are given to it.
///
/// Times are counted from the beginning, never from the last message, so that a delay of the
/// generator or of the server moves nothing: the messages that were due meanwhile are sent at once,
/// each with the time at which it should have been. Latency counted from those times has no
/// coordinated omission.
struct Pacer: Equatable {
  /// Nanoseconds of the first message.
  let start: UInt64
  /// Messages per second.
  let rate: Double
  /// Messages that were sent.
  private(set) var sent: UInt64 = 0

  init(start: UInt64, rate: Double) {
    precondition(rate > 0)
    self.start = start
    self.rate = rate
  }

  /// When the next message is due.
  var nextTime: UInt64 { start + UInt64(Double(sent) * 1e9 / rate) }

  /// The time at which a message was due that is to be sent now; nil when none is. Counts it.
  mutating func take(now: UInt64) -> UInt64? {
    let due = nextTime
    guard due <= now else { return nil }
    sent += 1
    return due
  }
}
