import Packet

/// What a run found.
public struct BenchResult: Sendable {
  /// The load.
  public var options: BenchOptions
  /// Clients that were to be connected.
  public var clients: UInt64 = 0
  /// Clients that were connected and subscribed.
  public var connected: UInt64 = 0
  /// Clients that could not be.
  public var failed: UInt64 = 0
  /// Connections that ended during the run.
  public var disconnected: UInt64 = 0
  /// Seconds until all were ready.
  public var connectSeconds = 0.0
  /// Messages sent in the measured time.
  public var messages: UInt64 = 0
  /// Deliveries in the measured time.
  public var deliveries: UInt64 = 0
  /// The measured time.
  public var seconds = 0.0
  /// CPU time of the broker in the measured time.
  public var brokerCPUSeconds: Double?
  /// CPU time of the broker for each delivery.
  public var brokerMicroseconds: Double?
  /// Bytes that the broker had the system write to disks, for each message sent.
  public var brokerDiskBytes: Double?
  /// Bytes of its calls of `write` and its kind, for each message sent: of files, and of sockets where
  /// it writes to those in the same way.
  public var brokerCallBytes: Double?
  /// CPU time of the broker for each connection with its subscription.
  public var brokerConnectMicroseconds: Double?
  /// Memory of the broker when all clients were connected.
  public var brokerResidentBytes: UInt64?
  /// What its memory grew by for each client.
  public var brokerBytesPerClient: Double?
  /// CPU time of the broker in percent of one core while idle clients were held.
  public var brokerIdlePercent: Double?
  /// How many clients were ready after how many seconds, once a second.
  public var connectProgress: [(seconds: Double, connected: UInt64)] = []
  /// What came of sending each idle client a message.
  public var reach: ReachResult?
  /// What came of sending all idle clients one message.
  public var broadcast: BroadcastResult?
  /// CPU time of this program for each delivery.
  public var generatorMicroseconds: Double?
  /// Percentiles; nil where latency was not measured.
  public var latency: LatencySummary?
  /// Deliveries that never came, of the whole run.
  public var lost: UInt64 = 0
  /// Messages that came after one that its publisher sent later.
  public var reordered: UInt64 = 0
  /// Messages that came again.
  public var duplicates: UInt64 = 0
  /// Messages of somebody else.
  public var foreign: UInt64 = 0
  /// Messages that the server refused.
  public var refused: UInt64 = 0
  /// How often the closed loop gave up on messages to go on.
  public var stalls: UInt64 = 0
  /// Whether everything that was sent came through in the end.
  public var isComplete = true
  /// The first thing that went wrong, in words.
  public var complaint: String?

  init(options: BenchOptions) { self.options = options }

  /// A message to each idle client.
  public struct ReachResult: Sendable {
    /// Clients that got theirs.
    public var reached: UInt64
    /// From the first publish to the last delivery.
    public var seconds: Double
  }

  /// One message to all idle clients.
  public struct BroadcastResult: Sendable {
    /// Clients that got it.
    public var reached: UInt64
    /// Seconds until all had made their subscription to the common topic.
    public var subscribeSeconds: Double
    /// From the publish to the first delivery, in milliseconds.
    public var firstMilliseconds: Double
    /// From the publish to the last delivery, in milliseconds.
    public var lastMilliseconds: Double
    /// CPU time of the broker meanwhile.
    public var brokerCPUSeconds: Double?
  }

  mutating func take(from: UInt64, to: UInt64, _ before: BoardSum, _ after: BoardSum) {
    seconds = Double(to - from) / 1e9
    messages = after.sent - before.sent
    deliveries = after.delivered - before.delivered
  }

  /// Notes what the broker's memory grew by for each of so many clients; nothing where it is not
  /// known.
  mutating func takeMemory(before: UInt64?, after: UInt64?, clients: UInt64) {
    guard let before, let after, clients > 0 else { return }
    brokerResidentBytes = after
    brokerBytesPerClient = (Double(after) - Double(before)) / Double(clients)
  }

  mutating func take(_ findings: LoopFindings) {
    latency = findings.latency.summary
    reordered = findings.reordered
    duplicates = findings.duplicates
    foreign = findings.foreign
    refused = findings.refused
    stalls = findings.stalls
    let received = findings.delivered - min(findings.delivered, findings.duplicates)
    lost = findings.expected > received ? findings.expected - received : 0
  }

  /// Whether the server did all that it promised: no client was refused or lost its connection,
  /// and no message of QoS 1 or 2 was lost.
  public var isGood: Bool {
    failed == 0 && disconnected == 0 && reachedAll
      && (options.qos == .atMostOnce || (lost == 0 && refused == 0))
  }

  /// Whether each idle client got what was sent to it.
  private var reachedAll: Bool {
    (reach?.reached ?? connected) >= connected && (broadcast?.reached ?? connected) >= connected
  }

  /// Deliveries in a second.
  public var deliveriesPerSecond: Double { seconds > 0 ? Double(deliveries) / seconds : 0 }
}
