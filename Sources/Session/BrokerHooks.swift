import Packet
import Util

/// At which points of a client's life somebody outside is asked or told.
public struct HookPoints: OptionSet, Sendable {
  /// The bits of the points.
  public let rawValue: UInt8
  /// The points of these bits.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// A client wants to connect.
  public static let connect = HookPoints(rawValue: 1)
  /// A client wants to subscribe.
  public static let subscribe = HookPoints(rawValue: 2)
  /// A client wants to publish.
  public static let publish = HookPoints(rawValue: 4)
  /// A client has acknowledged a message that bears a key.
  public static let delivered = HookPoints(rawValue: 8)
  /// A client has unsubscribed.
  public static let unsubscribe = HookPoints(rawValue: 16)
  /// A client's connection has ended.
  public static let disconnect = HookPoints(rawValue: 32)
  /// A message is kept for clients that are away.
  public static let offline = HookPoints(rawValue: 64)
}

/// Who is asked and told what clients do.
///
/// Methods are called on loops' threads, and return at once. `answer` is called exactly once for each question,
/// on any thread; where nobody could be asked, with what is configured for that.
public protocol BrokerHooks: AnyObject, Sendable {
  /// The points that are of interest. They stay as they are.
  var points: HookPoints { get }

  /// Filters of the topics to which publishes are to be asked about. They stay as they are.
  var publishTopics: [[UInt8]] { get }

  /// Whether acknowledgements of messages of a topic are to be told.
  func tellsDelivered(_ topic: Span<UInt8>) -> Bool

  /// Whether messages of a topic that are kept for clients which are away are to be told.
  func tellsOffline(_ topic: Span<UInt8>) -> Bool

  /// A client wants to connect.
  func connect(
    _ question: ConnectQuestion, answer: @escaping @Sendable (ConnectVerdict) -> Void)

  /// A client wants to subscribe.
  func subscribe(
    _ question: SubscribeQuestion, answer: @escaping @Sendable (SubscribeVerdict) -> Void)

  /// A client wants to publish some messages, in this order. There is a verdict for each.
  func publish(
    _ question: PublishQuestion, answer: @escaping @Sendable ([PublishVerdict]) -> Void)

  /// A client has acknowledged a message.
  func delivered(_ note: DeliveredNote)

  /// A client has unsubscribed.
  func unsubscribed(_ client: HookedClient, filters: [[UInt8]])

  /// A client's connection has ended.
  func disconnected(_ client: HookedClient, _ end: ConnectionEnd)

  /// A message is kept for clients that are away.
  func offline(_ message: OutsideMessage, clients: [[UInt8]])
}

/// Who a client is, as the hook at its CONNECT said.
public final class Identity: Sendable {
  /// Its user name.
  public let userName: [UInt8]
  /// Its tenant; empty for none.
  public let tenant: [UInt8]
  /// What it may publish and subscribe to; nil where all is allowed.
  public let access: AccessList?
  /// Subscriptions of its session; 0 for the broker's own limit.
  public let maximumSubscriptions: Int
  /// Seconds that its session outlives a connection; `UInt32.max` for the broker's own limit.
  public let maximumSessionExpiry: UInt32
  /// Messages that it may publish each second; 0 for any number.
  public let publishesPerSecond: Int
  /// What later hooks are told of it.
  public let attributes: [String: String]

  /// See the properties.
  public init(
    userName: [UInt8] = [], tenant: [UInt8] = [], access: AccessList? = nil,
    maximumSubscriptions: Int = 0, maximumSessionExpiry: UInt32 = .max,
    publishesPerSecond: Int = 0, attributes: [String: String] = [:]
  ) {
    self.userName = userName
    self.tenant = tenant
    self.access = access
    self.maximumSubscriptions = maximumSubscriptions
    self.maximumSessionExpiry = maximumSessionExpiry
    self.publishesPerSecond = publishesPerSecond
    self.attributes = attributes
  }
}

/// A client, as those outside are told of it.
public struct HookedClient: Sendable {
  /// The client id.
  public var clientID: [UInt8]
  /// The user name that it gave, where no identity says another; empty for none.
  public var userName: [UInt8]
  /// Its address and port; empty while it is away.
  public var peer: String
  /// The protocol version, as in CONNECT: 3 to 5.
  public var version: UInt8
  /// Who it is, where the hook said so.
  public var identity: Identity?

  /// See the properties.
  public init(
    clientID: [UInt8], userName: [UInt8] = [], peer: String = "", version: UInt8,
    identity: Identity? = nil
  ) {
    self.clientID = clientID
    self.userName = userName
    self.peer = peer
    self.version = version
    self.identity = identity
  }
}

/// A client wants to connect.
public struct ConnectQuestion: Sendable {
  /// The client; its id is empty where the broker chooses one.
  public var client: HookedClient
  /// The password; nil for none.
  public var password: [UInt8]?
  /// Whether it wants a new session.
  public var cleanStart: Bool
  /// Seconds between two packets that it promises; 0 for no promise.
  public var keepAlive: UInt16
  /// Its will.
  public var will: OutsideMessage?
  /// User properties of its CONNECT, encoded as MQTT 5 has them.
  public var userProperties: [UInt8]

  /// See the properties.
  public init(
    client: HookedClient, password: [UInt8]?, cleanStart: Bool, keepAlive: UInt16,
    will: OutsideMessage?, userProperties: [UInt8]
  ) {
    self.client = client
    self.password = password
    self.cleanStart = cleanStart
    self.keepAlive = keepAlive
    self.will = will
    self.userProperties = userProperties
  }
}

/// Whether a client may connect.
public enum ConnectVerdict: Sendable {
  /// It may, and is this.
  case allow(Identity)
  /// It may not; the text is shown to it.
  case refuse(ReasonCode, String)
}

/// A client wants to subscribe.
public struct SubscribeQuestion: Sendable {
  /// The client.
  public var client: HookedClient
  /// The filters, and the quality of service that is asked for.
  public var filters: [(filter: [UInt8], qos: QoS)]

  /// See the properties.
  public init(client: HookedClient, filters: [(filter: [UInt8], qos: QoS)]) {
    self.client = client
    self.filters = filters
  }
}

/// What becomes of the filters of a SUBSCRIBE.
public struct SubscribeVerdict: Sendable {
  /// What becomes of a filter.
  public enum Filter: Sendable, Equatable {
    /// It is granted with this quality of service at most.
    case allow(QoS)
    /// It is refused.
    case refuse(ReasonCode)
  }

  /// For each filter, in order.
  public var filters: [Filter]

  /// See the properties.
  public init(filters: [Filter]) { self.filters = filters }
}

/// A client wants to publish.
public struct PublishQuestion: Sendable {
  /// The client.
  public var client: HookedClient
  /// The messages, in its order: at least one.
  public var messages: [OutsideMessage]

  /// See the properties.
  public init(client: HookedClient, messages: [OutsideMessage]) {
    self.client = client
    self.messages = messages
  }
}

/// What becomes of a message.
public enum PublishVerdict: Sendable {
  /// It is published.
  case allow
  /// It is not, and the client is told so where its protocol can.
  case refuse(ReasonCode)
  /// It is not, and the client is told that it was.
  case drop
  /// This one is published in its place, with the quality of service of the first.
  case rewrite(OutsideMessage)
}

/// A client has acknowledged a message.
public struct DeliveredNote: Sendable {
  /// The client.
  public var client: HookedClient
  /// The message's key.
  public var key: [UInt8]
  /// Its topic.
  public var topic: [UInt8]
  /// Milliseconds since 1970.
  public var time: Int64

  /// See the properties.
  public init(client: HookedClient, key: [UInt8], topic: [UInt8], time: Int64) {
    self.client = client
    self.key = key
    self.topic = topic
    self.time = time
  }
}

/// How a connection ended.
public struct ConnectionEnd: Sendable {
  /// Why, in words.
  public var text: String
  /// The reason code that fits best.
  public var reason: ReasonCode
  /// Milliseconds since 1970.
  public var time: Int64

  /// See the properties.
  public init(text: String, reason: ReasonCode, time: Int64) {
    self.text = text
    self.reason = reason
    self.time = time
  }
}
