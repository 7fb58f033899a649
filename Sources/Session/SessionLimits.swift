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
  /// others. It gets no more once they are this many times its receive maximum.
  public static var acknowledgementSpread: UInt32 { 8 }

  public init() {}
}
