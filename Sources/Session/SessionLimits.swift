/// What one session may take.
public struct SessionLimits: Sendable {
  /// QoS 1 and 2 messages that may be unacknowledged at a time, in each direction, whatever the
  /// client says it takes: 1 to 65,535.
  public var maximumInflight = 256
  /// QoS 2 messages from a client that may be unreleased: the receive maximum we announce.
  public var receiveMaximum = 1024
  /// Messages that may wait in one session.
  public var maximumQueuedMessages = 1000
  /// Bytes of messages that may wait in one session.
  public var maximumQueuedBytes = 16 << 20

  /// A client that leaves one message unacknowledged and takes others makes us remember the
  /// others, up to this many times its receive maximum; then the one is kept apart.
  public static var acknowledgementSpread: UInt32 { 8 }

  /// The most identifiers that may be out at a time, whatever a client takes: half of those there
  /// are, so that the older half can be told from the newer.
  public static var maximumQuota: UInt16 { 32_767 }

  /// The defaults of the configuration.
  public init() {}
}
