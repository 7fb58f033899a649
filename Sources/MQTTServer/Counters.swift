import Synchronization

/// What one loop has counted since it started; each loop writes its own.
struct Counters: BitwiseCopyable, Sendable {
  var messagesReceived: UInt64 = 0
  var messagesSent: UInt64 = 0
  var publishesReceived: UInt64 = 0
  var publishesSent: UInt64 = 0
  var publishesDropped: UInt64 = 0
  /// Publishes that went to another loop, once for each.
  var publishesForwarded: UInt64 = 0
  var publishBytesReceived: UInt64 = 0
  var publishBytesSent: UInt64 = 0
  var expired: UInt64 = 0
  /// Messages that stored sessions did not get before they expired or the log was full.
  var unread: UInt64 = 0
  /// Sessions that left memory for the store.
  var parked: UInt64 = 0
  var connects: UInt64 = 0
  var refusals: UInt64 = 0
  var protocolErrors: UInt64 = 0
  var expiredClients: UInt64 = 0
  var bytesReceived: UInt64 = 0
  var bytesSent: UInt64 = 0
  var sockets: UInt64 = 0
  /// Clients for whom no descriptor was left.
  var unaccepted: UInt64 = 0
  // Levels, not sums.
  var connected: UInt64 = 0
  var sessions: UInt64 = 0
  var subscriptions: UInt64 = 0
  var sharedSubscriptions: UInt64 = 0
  var queuedMessages: UInt64 = 0
  var queuedBytes: UInt64 = 0

  mutating func add(_ other: Counters) {
    messagesReceived += other.messagesReceived
    messagesSent += other.messagesSent
    publishesReceived += other.publishesReceived
    publishesSent += other.publishesSent
    publishesDropped += other.publishesDropped
    publishesForwarded += other.publishesForwarded
    publishBytesReceived += other.publishBytesReceived
    publishBytesSent += other.publishBytesSent
    expired += other.expired
    unread += other.unread
    parked += other.parked
    connects += other.connects
    refusals += other.refusals
    protocolErrors += other.protocolErrors
    expiredClients += other.expiredClients
    bytesReceived += other.bytesReceived
    bytesSent += other.bytesSent
    sockets += other.sockets
    unaccepted += other.unaccepted
    connected += other.connected
    sessions += other.sessions
    subscriptions += other.subscriptions
    sharedSubscriptions += other.sharedSubscriptions
    queuedMessages += other.queuedMessages
    queuedBytes += other.queuedBytes
  }
}

/// Where a loop shows its counters to others, at the end of each turn.
final class CounterBoard: Sendable {
  private let shown = Mutex(Counters())

  func show(_ counters: Counters) { shown.withLock { $0 = counters } }

  var counters: Counters { shown.withLock { $0 } }
}
