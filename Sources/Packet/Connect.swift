import Util

/// A CONNECT packet. Ranges count from the packet's first byte.
public struct Connect: Equatable, Sendable, BitwiseCopyable {
  /// The version that the client speaks.
  public var version: ProtocolVersion
  /// Clean Start of MQTT 5, Clean Session before it.
  public var cleanStart: Bool
  /// Seconds; 0 turns the mechanism off.
  public var keepAlive: UInt16
  /// May be empty: then the server assigns one, where the version allows it.
  public var clientID: ByteRange
  /// What to publish if the connection breaks, or nil.
  public var will: Will?
  /// UTF-8, or nil.
  public var userName: ByteRange?
  /// Any bytes, or nil.
  public var password: ByteRange?

  // What follows is of MQTT 5; a client of MQTT 3 has the defaults.

  /// Seconds for which the session outlives the connection; nil if the property is absent.
  /// 4,294,967,295 means that it doesn't expire.
  public var sessionExpiryInterval: UInt32?
  /// How many QoS 1 and 2 messages the client takes unacknowledged: 1 to 65,535.
  public var receiveMaximum: UInt16 = 65_535
  /// Bytes of the largest packet that the client takes; 0 if it named no limit.
  public var maximumPacketSize: UInt32 = 0
  /// The highest topic alias that the client takes; 0 for none.
  public var topicAliasMaximum: UInt16 = 0
  /// Whether the client wants response information.
  public var requestResponseInformation = false
  /// Whether the client wants reason strings and user properties on failures.
  public var requestProblemInformation = true
  /// The name of the method, or nil; UTF-8.
  public var authenticationMethod: ByteRange?
  /// Only together with a method.
  public var authenticationData: ByteRange?
  /// The whole block of properties, without its length; for `userProperties()`.
  public var properties = ByteRange(offset: 0, count: 0)

  /// A will: the message that the server publishes when the connection ends without a goodbye.
  public struct Will: Equatable, Sendable, BitwiseCopyable {
    /// The QoS of the message.
    public var qos: QoS
    /// The RETAIN flag of the message.
    public var retain: Bool
    /// A topic name, checked.
    public var topic: ByteRange
    /// The body of the message; any bytes, may be empty.
    public var payload: ByteRange
    /// Seconds between the end of the connection and the publication.
    public var delayInterval: UInt32 = 0
    /// The block of properties, with the forwarded ones among them.
    public var properties = PublishProperties()
  }

  /// A cursor over the user properties of CONNECT itself, not of the will.
  public func userProperties() -> UserPropertyCursor { UserPropertyCursor(block: properties) }
}
