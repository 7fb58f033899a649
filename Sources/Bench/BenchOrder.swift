import Synchronization

/// What the coordinating thread and other loops tell a loop.
enum BenchOrder: Sendable {
  /// Connect the clients.
  case connect
  /// Send: at most `quota` messages of each channel, the first one at `start`.
  case begin(start: UInt64, quota: [UInt64]?)
  /// Latencies count for messages that were due from this time on.
  case measure(from: UInt64)
  /// Send nothing more.
  case stopSending
  /// What subscribers of another loop received of a channel of this loop.
  case delivered(channel: Int, count: UInt64)
  /// Each idle client is to get one more message: count who has it.
  case expect
  /// Have each idle client subscribe to the common topic.
  case subscribeAll
  /// Publish a message to each idle client, or one to all. Every loop expects it already.
  case callEach, callAll
  /// Say goodbye, hand over what was found, and end.
  case finish
}

/// What a loop found, once it has ended.
struct LoopFindings: Sendable {
  var latency = LatencyRecorder()
  /// Messages that came after one that was sent later.
  var reordered: UInt64 = 0
  /// Messages that came again, marked as repetitions.
  var duplicates: UInt64 = 0
  /// Messages that are not of this run.
  var foreign: UInt64 = 0
  /// Acknowledgements that say that the server did not want a message.
  var refused: UInt64 = 0
  /// How often messages under way were given up.
  var stalls: UInt64 = 0
  /// Messages sent and deliveries they should have made.
  var expected: UInt64 = 0
  var sent: UInt64 = 0
  var delivered: UInt64 = 0
}

/// Where a loop leaves what it found.
final class FindingsBox: Sendable {
  private let findings = Mutex<LoopFindings?>(nil)

  func give(_ value: LoopFindings) { findings.withLock { $0 = value } }
  var value: LoopFindings? { findings.withLock { $0 } }
}
