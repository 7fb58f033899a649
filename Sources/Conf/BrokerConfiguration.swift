/// What the broker was told to do: every key of the configuration, parsed and in range.
///
/// Durations are milliseconds, sizes are bytes. The defaults here are those of the key table; a
/// test holds the two together.
public struct BrokerConfiguration: Sendable, Equatable {
  /// `mqtt.tcp.listen`: where MQTT over TCP is served; never empty, no address twice.
  public var listen = [ListenAddress(ipv4Loopback: 1883)]
  /// `mqtt.connect-timeout`: how long a new connection may take to send its CONNECT.
  public var connectTimeoutMilliseconds = 10_000
  /// `mqtt.max-keep-alive`: the longest keep-alive granted, in whole seconds; 0 grants any.
  public var maximumKeepAliveMilliseconds = 0
  /// `mqtt.max-session-expiry`: the longest session expiry granted, in whole seconds;
  /// 4,294,967,295 seconds means that a session may last for ever.
  public var maximumSessionExpiryMilliseconds = 4_294_967_295_000
  /// `mqtt.max-connections`: connections at a time; 0 means as many as the descriptors allow.
  public var maximumConnections = 0
  /// `mqtt.max-packet-size`: the largest packet taken from a client, fixed header included.
  public var maximumPacketBytes = 16 << 20
  /// `mqtt.receive-maximum`: unacknowledged QoS 1 and 2 messages a client may have sent.
  public var receiveMaximum = 1024
  /// `mqtt.max-inflight`: unacknowledged QoS 1 and 2 messages the broker sends to one client.
  public var maximumInflight = 256
  /// `mqtt.max-queued-messages`: messages that wait in one session.
  public var maximumQueuedMessages = 1000
  /// `mqtt.max-queued-bytes`: bytes that wait in one session.
  public var maximumQueuedBytes = 16 << 20
  /// `mqtt.max-output-bytes`: bytes a client that stopped reading may leave unsent.
  public var maximumOutputBytes = 1 << 20
  /// `mqtt.topic-alias-maximum`: topic aliases a client may use; 0 forbids them.
  public var topicAliasMaximum = 16
  /// `mqtt.max-subscriptions`: subscriptions of one session.
  public var maximumSubscriptions = 100_000
  /// `mqtt.max-topic-levels`: levels of a topic or a filter.
  public var maximumTopicLevels = 128
  /// `mqtt.max-client-id-bytes`: bytes of a client identifier.
  public var maximumClientIDBytes = 256
  /// `mqtt.max-retained-messages`: retained messages the broker keeps.
  public var maximumRetainedMessages = 1_000_000
  /// `mqtt.max-retained-bytes`: bytes of retained messages the broker keeps.
  public var maximumRetainedBytes = 256 << 20
  /// `mqtt.check-payload-format`: whether a payload declared as UTF-8 is checked.
  public var checksPayloadFormat = false
  /// `mqtt.max-qos`: the highest QoS granted, 0 to 2.
  public var maximumQoS = 2
  /// `mqtt.retain-available`: whether retained messages are accepted.
  public var retainAvailable = true
  /// `mqtt.wildcard-subscriptions`: whether filters with `+` and `#` are accepted.
  public var wildcardSubscriptions = true
  /// `mqtt.shared-subscriptions`: whether `$share` filters are accepted.
  public var sharedSubscriptions = true
  /// `grpc.listen`: where backends are served over gRPC; empty where they are not, no address twice.
  public var grpcListen = [ListenAddress(ipv4Loopback: 5051)]
  /// `grpc.tls.certificate-file`: the server's certificates in PEM; empty for no TLS.
  public var grpcCertificateFile = ""
  /// `grpc.tls.key-file`: the key of the certificate in PEM.
  public var grpcKeyFile = ""
  /// `grpc.tls.client-ca-file`: who certifies backends, in PEM; empty where they need no certificate.
  public var grpcClientAuthorityFile = ""
  /// `grpc.tokens-file`: the tokens of backends; empty where they need none.
  public var grpcTokensFile = ""
  /// `grpc.max-message-bytes`: the largest message taken from a backend.
  public var maximumMessageBytes = 4 << 20
  /// `grpc.max-calls`: calls at a time.
  public var maximumCalls = 20_000
  /// `grpc.slow-reader-timeout`: how long a stream waits for a backend that does not read it.
  public var slowReaderTimeoutMilliseconds = 30_000
  /// `grpc.broadcast-rate`: clients that a broadcast is sent to each second, at most.
  public var broadcastRate = 50_000
  /// `grpc.watch-events`: events of clients that are kept for backends which watch.
  public var watchEvents = 100_000
  /// `grpc.watch-keep`: how long they are kept on once nobody watches.
  public var watchKeepMilliseconds = 300_000
  /// `net.loops`: event loops, each one thread.
  public var loops = 1
  /// `net.private-descriptors`: whether each loop has a table of open files of its own.
  public var privateDescriptors = PrivateDescriptorsMode.auto
  /// `store.kind`: where sessions and messages are kept.
  public var store = StoreKind.sqlite
  /// `store.sync`: what power loss may cost.
  public var storeSync = StoreSyncMode.full
  /// `store.max-messages`: messages in the log, for all sessions that are owed them; 0 for any number.
  public var maximumStoredMessages = 0
  /// `store.max-bytes`: bytes of messages in the log; 0 for any number.
  public var maximumStoredBytes = 8 << 30
  /// `store.max-session-messages`: messages that wait for one session; 0 for any number.
  public var maximumSessionMessages = 100_000
  /// `store.max-session-bytes`: bytes of messages that wait for one session; 0 for any number.
  public var maximumSessionBytes = 256 << 20
  /// `store.max-age`: how long a message waits in the log, in whole seconds; 0 for ever.
  public var maximumStoredAgeMilliseconds = 0
  /// `session.park-after`: how long a session stays in memory once its client has gone.
  public var parkAfterMilliseconds = 60_000
  /// `data-dir`: the directory of durable stores; the memory store does not touch it.
  public var dataDirectory = "/var/lib/bifrost"
  /// `log.level`: the least severe level that is logged.
  public var logLevel = LogLevel.info
  /// `log.format`: how a line of the log is written.
  public var logFormat = LogFormat.text
  /// `auth.anonymous`: whether clients without credentials are let in from other machines.
  public var allowsAnonymous = false
  /// `shutdown.timeout`: how long a graceful stop may take.
  public var shutdownTimeoutMilliseconds = 10_000
  /// `sys.interval`: time between two publications of the `$SYS` topics; 0 turns them off.
  public var systemIntervalMilliseconds = 10_000
  /// `hooks.`: the backends that are asked and told what clients do.
  public var hooks = HooksConfiguration()

  /// The defaults, for a machine with one core.
  public init() {}
}

/// `net.private-descriptors`: one table of open files for the process, or one for each loop.
public enum PrivateDescriptorsMode: String, Sendable, CaseIterable {
  /// One table each where the limit on open files is too small for what is configured.
  case auto
  /// Always one table each.
  case on
  /// One table for the process.
  case off
}

/// `store.kind`: where the broker keeps what must outlive a connection.
public enum StoreKind: String, Sendable, CaseIterable {
  /// In one SQLite file in `data-dir`.
  case sqlite
  /// In the process; lost when it ends.
  case memory
}

/// `store.sync`: what power loss may cost.
public enum StoreSyncMode: String, Sendable, CaseIterable {
  /// Nothing that was acknowledged.
  case full
  /// What was acknowledged last.
  case normal
}

/// `log.level`, from the most talkative to the quietest.
public enum LogLevel: String, Sendable, CaseIterable {
  case trace, debug, info, notice, warning, error, critical
}

/// `log.format`: how a line of the log is written.
public enum LogFormat: String, Sendable, CaseIterable {
  /// Time, level, message and `key=value` pairs, for people.
  case text
  /// One JSON object for each line, for machines.
  case json
}
