/// The backends that implement `bifrost.v1.Hooks`, and how they are asked.
///
/// Durations are milliseconds.
public struct HookOptions: Sendable {
  /// What is asked when a client wants to connect.
  public var connect = HookPointOptions()
  /// What is asked when a client wants to subscribe.
  public var subscribe = HookPointOptions()
  /// What is asked when a client wants to publish.
  public var publish = HookPointOptions()
  /// What is told when a client has acknowledged a message that bears a key.
  public var delivered = HookPointOptions()
  /// What is told when a client has unsubscribed.
  public var unsubscribe = HookPointOptions()
  /// What is told when a connection has ended.
  public var disconnect = HookPointOptions()
  /// What is told when a message is kept for clients that are away.
  public var offline = HookPointOptions()
  /// How connections are secured; nil for plain text.
  public var tls: HookTLS?
  /// A file with a token that is sent with each call as bearer token; empty for none. It is read once, when the
  /// runner is made; white space at its ends does not count.
  public var tokenFile = ""
  /// Calls that fail one after the other until an endpoint gets none for a while: 1 or more.
  public var breakerFailures = 5
  /// How long it gets none then, give or take a quarter; after that one call tries whether it works again.
  public var breakerPauseMilliseconds = 5000
  /// Time between two health checks of an endpoint, give or take a tenth; 0 for no checks.
  public var healthIntervalMilliseconds = 5000

  /// No hook at all.
  public init() {}
}

/// How backends are asked or told at one point.
public struct HookPointOptions: Sendable {
  /// Who is called, in turn; nobody where there is none.
  public var endpoints: [HookEndpoint] = []
  /// How long a call may take with its retries, each of which has an equal share of what is left. A question that
  /// waits for its turn waits as long at most, before.
  public var timeoutMilliseconds = 5000
  /// How often a call that failed is tried again: 0 or more.
  public var retries = 2
  /// Questions or notes that may wait: 1 or more.
  public var maximumQueued = 10_000
  /// Calls at a time: 1 or more. Notes are told by one, so that they stay in order.
  public var maximumCalls = 64
  /// Filters of the topics that publish, delivered and offline are about.
  public var topics = ["#"]
  /// What becomes of a question that nobody answers.
  public var onFailure = HookFailurePolicy.refuse

  /// Off.
  public init() {}
}

/// What becomes of a question that nobody answers.
public enum HookFailurePolicy: String, Sendable, CaseIterable {
  /// It is as if there were no hook.
  case allow
  /// The client is refused, with 0x89 (server busy) at CONNECT and 0x97 (quota exceeded) at SUBSCRIBE and PUBLISH: it
  /// may try again.
  case refuse
  /// The client waits until there is an answer; where too many wait already, it is refused.
  case wait
}

/// Where a backend is.
public struct HookEndpoint: Sendable, Hashable, CustomStringConvertible {
  /// An IP address without brackets, or a name, which is looked up each time that a connection is made.
  public var host: String
  /// The TCP port: 1 to 65,535.
  public var port: Int

  /// See the properties.
  public init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  /// The address as it is written in the configuration.
  public var description: String {
    host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}

/// How connections to backends are secured. Files are PEM.
public struct HookTLS: Sendable {
  /// Certificates of those who may have signed a backend's.
  public var certificateAuthorityFile: String
  /// The broker's own certificate with those between it and its authority; empty for none.
  public var certificateFile: String
  /// The key of the broker's certificate; empty for none.
  public var keyFile: String

  /// See the properties.
  public init(certificateAuthorityFile: String, certificateFile: String = "", keyFile: String = "")
  {
    self.certificateAuthorityFile = certificateAuthorityFile
    self.certificateFile = certificateFile
    self.keyFile = keyFile
  }
}

/// Why hooks can't be run as configured.
public struct HookError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong, in one line.
  public let description: String

  init(_ description: String) { self.description = description }
}
