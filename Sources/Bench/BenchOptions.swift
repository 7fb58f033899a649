import Packet

/// What a load looks like.
public enum Flow: String, Sendable, CaseIterable {
  /// Clients that connect, subscribe and do nothing.
  case idle
  /// Pairs of one publisher and one subscriber, each with a topic of its own.
  case pair
  /// A few publishers, one topic, many subscribers.
  case fanOut = "fan-out"
  /// Many publishers, one topic, a few subscribers.
  case fanIn = "fan-in"
  /// Subscriptions with wildcards.
  case wildcard
  /// A group of subscribers that share the messages.
  case share
}

/// How long the measured part of a flow is.
public enum Extent: Sendable, Equatable {
  /// So many seconds.
  case seconds(Double)
  /// Until so many messages were published and delivered.
  case messages(UInt64)
}

/// A load, as the command line describes it.
public struct BenchOptions: Sendable {
  /// The most messages that one publisher may have under way: packet identifiers are 16 bits.
  public static let maximumWindow = 60_000
  /// Bytes of a payload that hold a time and a sequence number.
  public static let stampBytes = 16

  /// What the load looks like.
  public var flow: Flow
  /// The server's numeric address.
  public var address: String
  /// The server's port.
  public var port: UInt16
  /// Publishers; pairs for `pair`.
  public var publishers = 1
  /// Subscribers, or clients for `idle`.
  public var subscribers = 1
  /// For `wildcard`: each message matches one subscription instead of all.
  public var matchesOne = false
  /// Bytes of each message's payload. From 16 on it says when it was sent, and its number.
  public var payloadBytes = 64
  /// The quality of service of messages and of subscriptions.
  public var qos = QoS.atMostOnce
  /// The protocol version.
  public var version = ProtocolVersion.v3_1_1
  /// How long to measure.
  public var extent = Extent.seconds(5)
  /// Seconds of load before measuring.
  public var warmUpSeconds = 2.0
  /// Messages per second in all; nil for a closed loop.
  public var rate: Double?
  /// Closed loop: messages of a publisher that are under way.
  public var window = 100
  /// Closed loop: whether to measure latency as well.
  public var measuresLatency = false
  /// Event loops, each a thread of its own.
  public var loops = 1
  /// Numeric addresses to come from; empty for the system's choice.
  public var sources: [String] = []
  /// The broker's process, whose CPU time and memory are reported; nil if it is not known.
  public var brokerProcess: Int32?
  /// `idle`: whether each client subscribes to a topic of its own.
  public var subscribes = true
  /// Seconds between a client's pings; 0 for none.
  public var keepAlive: UInt16 = 0
  /// `idle`: seconds to hold the connections.
  public var holdSeconds = 5.0
  /// `idle`: whether each client is sent a message of its own once all are connected.
  public var reaches = false
  /// `idle`: whether all clients are sent one message in the end, for which each makes a second
  /// subscription.
  public var broadcasts = false
  /// Filters without wildcards that no message matches, held by further clients.
  public var otherFilters = 0
  /// The same with wildcards.
  public var otherWildcards = 0
  /// Seconds without any progress before a step is given up.
  public var patienceSeconds = 15.0
  /// Whether each client has a session that outlives its connection.
  public var isPersistent = false
  /// Whether those sessions stay with the broker when the run is over.
  public var keepsSessions = false
  /// Whether clients only connect, and so make an end to sessions that they had.
  var endsSessions = false
  /// Number of the first client, so that processes can share a run.
  public var firstClient = 0
  /// Names this run's topics and clients.
  public var runName: String

  /// A load on a server; set what differs from the defaults.
  public init(flow: Flow, address: String, port: UInt16, runName: String) {
    self.flow = flow
    self.address = address
    self.port = port
    self.runName = runName
  }

  /// Seconds that a session outlives its connection with MQTT 5: longer than a run, and short enough
  /// that what an interrupted run leaves goes by itself.
  static var sessionExpiry: UInt32 { 86_400 }

  /// Whether payloads are stamped.
  public var hasStamps: Bool { payloadBytes >= BenchOptions.stampBytes }

  /// Whether latency is measured.
  public var hasLatency: Bool { hasStamps && (rate != nil || measuresLatency) }

  /// The first thing that is wrong, in one line; nil if nothing is.
  public var problem: String? {
    if publishers < 1 || subscribers < 1 { return "at least one client of each kind is needed" }
    if publishers > 1 << 20 || subscribers > 1 << 24 { return "that many clients are not possible" }
    if otherFilters < 0 || otherFilters > 1 << 24 || otherWildcards < 0 || otherWildcards > 1 << 24
    {
      return "--other-filters and --other-wildcards are 0 to 16,777,216"
    }
    if keepsSessions && !isPersistent { return "--keep-sessions needs --persistent" }
    if reaches && !subscribes { return "--reach needs the clients' subscriptions" }
    if payloadBytes < 0 || payloadBytes > 256_000_000 {
      return "--payload is 0 to 256,000,000 bytes"
    }
    if window < 1 || window > BenchOptions.maximumWindow {
      return "--window is 1 to \(BenchOptions.maximumWindow)"
    }
    if loops < 1 || loops > 64 { return "--loops is 1 to 64" }
    if let rate, !(rate > 0 && rate <= 50_000_000) { return "--rate is above 0, to 50,000,000" }
    if measuresLatency && !hasStamps { return "--latency needs a --payload of 16 bytes or more" }
    switch extent {
    case .seconds(let seconds):
      if !(seconds > 0 && seconds <= 1_000_000) { return "--duration is above 0, to 1,000,000 s" }
    case .messages(let count):
      if count < 1 || count > 1 << 39 { return "--messages is 1 to 549,755,813,888" }
    }
    if !(warmUpSeconds >= 0 && warmUpSeconds <= 100_000) { return "--warm-up is 0 to 100,000 s" }
    if !(holdSeconds >= 0 && holdSeconds <= 1_000_000) { return "--hold is 0 to 1,000,000 s" }
    return nil
  }
}
