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

  /// The defaults of the configuration.
  public init() {}
}
