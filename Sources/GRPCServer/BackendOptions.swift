import Util

/// The files of TLS, all in PEM.
public struct BackendTLS: Sendable {
  /// The server's certificate, and those that certify it.
  public var certificateFile: String
  /// The private key of the certificate.
  public var keyFile: String
  /// Who has to have signed a backend's certificate; nil where it needs none.
  public var clientAuthorityFile: String?

  /// The files are read when the server starts.
  public init(certificateFile: String, keyFile: String, clientAuthorityFile: String? = nil) {
    self.certificateFile = certificateFile
    self.keyFile = keyFile
    self.clientAuthorityFile = clientAuthorityFile
  }
}

/// What the server of backends is told.
public struct BackendOptions: Sendable {
  /// Addresses at which backends are served.
  public var listen = [ListenEndpoint(host: "127.0.0.1", port: 5051)]
  /// The files of TLS; nil where nothing is encrypted.
  public var tls: BackendTLS?
  /// Who may call; empty where nobody needs a token.
  public var tokens: [BackendToken] = []
  /// The largest message taken, in bytes.
  public var maximumMessageBytes = 4 << 20
  /// Calls at a time, streams included.
  public var maximumCalls = 20_000
  /// Milliseconds after which a stream ends that is not read.
  public var slowReaderMilliseconds = 30_000
  /// Clients that a broadcast is sent to each second, at most.
  public var broadcastRate = 50_000

  /// Every option at its default.
  public init() {}
}

/// Why the server of backends could not start.
public struct BackendServerError: Error, Sendable {
  /// What a program that starts the server may tell apart, for its exit status.
  public enum Kind: Sendable, Equatable {
    /// Somebody else has the port.
    case addressInUse
    /// This machine does not have the address.
    case addressNotAvailable
    /// The user may not bind the port.
    case permission
    /// The files of TLS can't be used.
    case tls
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

/// Limits that can't be set.
enum BackendLimits {
  /// Calls at a time on one connection: what a backend may have open over one channel. Beyond it the
  /// client's library waits.
  static let callsPerConnection = 10_000
  /// Bytes that a peer may have on the way to us, for a connection and for each of its calls: enough for
  /// 1 Gbit/s over 8 ms.
  static let windowBytes = 1 << 20
  /// Threads that serve backends, at most: backends have few connections.
  static let loops = 8
  /// Bytes of the largest frame that a peer may send: a request of some hundred publishes is one.
  static let frameBytes = 1 << 18
  /// Seconds without a byte after which a peer is asked whether it is there.
  static let keepaliveSeconds = 60
  /// Seconds that it then has to answer: a dead one holds its calls for 80 seconds at most.
  static let keepaliveTimeoutSeconds = 20
  /// Seconds between two questions of a peer's own that are not held against it.
  static let clientKeepaliveSeconds = 10
  /// Milliseconds that a slow reader has to fetch the status of its call, before its stream is reset.
  static let statusMilliseconds = 5000
  /// Milliseconds that connections which wait have to be accepted before their listener is closed.
  static let acceptMilliseconds = 50
  /// Targets of one publish.
  static let targets = 1000
  /// Publishes of one request of a stream.
  static let publishes = 10_000
  /// Targets of one request of a stream, of all its publishes together: as many messages in one turn of a loop.
  static let messagesPerRequest = 100_000
  /// Requests of a publish stream that wait for their answer: enough to fill a commit while the one before
  /// is on its way to the disk.
  static let unansweredRequests = 64
  /// Bytes of them beyond which no more are read. One larger request is taken alone.
  static let unansweredBytes = 16 << 20
  /// Bytes of a message's key, and of an idempotency key.
  static let keyBytes = 256
  /// Milliseconds between two looks at whether loops have caught up.
  static let pressedMilliseconds = 5
  /// Bytes of a client id, as MQTT has it.
  static let clientIDBytes = 65_535
}
