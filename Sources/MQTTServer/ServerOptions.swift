import Session
import Util

/// Whether each loop has a table of open files of its own.
public enum PrivateDescriptors: Sendable {
  /// Where one table would be too small for `maximumConnections`.
  case auto
  /// Always: the limit of open files then counts for each loop.
  case on
  /// Never: tools such as `lsof` see every connection.
  case off
}

/// What the server is told. Every field has the default that the configuration documents.
public struct ServerOptions: Sendable {
  /// Addresses at which clients are accepted, each by every loop.
  public var listen = [ListenEndpoint(host: "127.0.0.1", port: 1883)]
  /// Event loops, each one thread: 1 to 64.
  public var loops = 1
  /// Whether the limit of open files is for each loop or for the process.
  public var privateDescriptors = PrivateDescriptors.auto
  /// Connections at a time; 0 for as many as there are descriptors for.
  public var maximumConnections = 0
  /// Time between two publications of the `$SYS` topics; 0 turns them off.
  public var systemIntervalMilliseconds = 10_000
  /// How long a client may take from its connection to the end of its CONNECT.
  public var connectTimeoutMilliseconds = 10_000
  /// The longest keep alive granted, in seconds; 0 grants any.
  public var maximumKeepAlive: UInt16 = 0
  /// The longest session expiry granted, in seconds; `UInt32.max` lets a session last for ever.
  public var maximumSessionExpiry = UInt32.max
  /// The largest packet taken from a client, in bytes.
  public var maximumPacketSize = 16 << 20
  /// Bytes that a client which stopped reading may leave unsent.
  public var maximumOutputBytes = 1 << 20
  /// Topic aliases that a client may use towards us, and that we use towards it; 0 for none.
  public var topicAliasMaximum: UInt16 = 16
  /// Subscriptions of one session.
  public var maximumSubscriptions = 100_000
  /// Levels of a topic or a filter.
  public var maximumTopicLevels = 128
  /// Bytes of a client id.
  public var maximumClientIDBytes = 256
  /// Topics of the whole broker that may have a retained message. A message for one more is
  /// delivered, but not retained.
  public var maximumRetainedMessages = 1_000_000
  /// Bytes of topics, properties and payloads of all retained messages; beyond it, as above.
  public var maximumRetainedBytes = 256 << 20
  /// Whether payloads said to be UTF-8 are checked.
  public var checksPayloadFormat = false
  /// The highest QoS granted: 0 to 2.
  public var maximumQoS = 2
  /// Whether messages may be retained; where not, a client that asks for it is disconnected.
  public var retainAvailable = true
  /// Whether filters may have `+` and `#`; where not, each such subscription is refused.
  public var wildcardSubscriptionAvailable = true
  /// Whether filters may start with `$share`; where not, each such subscription is refused.
  public var sharedSubscriptionAvailable = true
  /// Milliseconds that a stored session stays in memory after its client has gone.
  public var parkAfterMilliseconds = 60_000
  /// Events of clients that are kept for those who watch.
  public var watchedEvents = 100_000
  /// Milliseconds that they are kept on once nobody watches.
  public var watchMilliseconds = 300_000
  /// What each session may hold.
  public var session = SessionLimits()

  /// Every option at its default.
  public init() {}

  /// Whether a topic or filter has no more levels than allowed.
  func allowsLevels(of topic: Span<UInt8>) -> Bool {
    // A topic of n bytes has at most n + 1 levels, which settles it for nearly all.
    if topic.count < maximumTopicLevels { return true }
    var levels = 1
    for index in topic.indices where topic[index] == 0x2F { levels += 1 }
    return levels <= maximumTopicLevels
  }
}

/// Why the server could not start.
public struct ServerError: Error, Sendable {
  /// What a program that starts the server may tell apart, for its exit status.
  public enum Kind: Sendable {
    /// Somebody else has the port.
    case addressInUse
    /// This machine does not have the address.
    case addressNotAvailable
    /// The user may not bind the port.
    case permission
    /// The limit of open files is too low for what is configured.
    case openFiles
    /// Another call of the system's failed.
    case system
  }

  /// Decides on the exit status; the message is for people.
  public var kind: Kind
  /// One line that says what failed and what to do.
  public var message: String

  /// `message` is shown to the operator as it is.
  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }
}
