import Packet
import Store
import Util

/// What servers beside MQTT's ask of the broker: to publish, and to look at clients and steer them.
///
/// Methods may be called from any thread and do not block. Closures are called once unless said otherwise,
/// on a thread of the broker's which they must not keep waiting; with a broker that stops they may never be
/// called.
public protocol Gateway: AnyObject, Sendable {
  /// Event loops there are.
  var loopCount: Int { get }

  /// Whether sessions and messages outlive the process.
  var isDurable: Bool { get }

  /// Publishes messages, in order, and says what became of each once all are as safe as they will be: in the
  /// store, where they are owed to anybody stored, and on their way to those who are online.
  /// - Parameter loop: where they are taken: messages that are to stay in order take the same one.
  /// - Parameter key: names the request in the store, in the transaction that has its messages; empty for none.
  func publish(
    _ messages: [OutsideMessage], loop: Int, key: [UInt8],
    done: @escaping @Sendable ([PublishOutcome]) -> Void)

  /// Publishes the messages of a batch, whose topics are topic names, as the other `publish` does. Where the batch
  /// does not want outcomes, none may be given if none is a refusal; of those that are given only refusals count.
  func publish(
    _ batch: OutsideBatch, loop: Int, done: @escaping @Sendable ([PublishOutcome]) -> Void)

  /// Whether loops or the store are so far behind that nothing more should be published at present.
  var isPressed: Bool { get }

  /// Keys of requests that were published by an earlier run of the broker, with the second since 1970 until
  /// which they are remembered.
  func rememberedKeys(_ done: @escaping @Sendable ([(key: [UInt8], until: UInt32)]) -> Void)

  /// Sends a message to clients that are online, and says how far it is, at least once a second, until
  /// `BroadcastProgress.isDone`. Gives what ends it early; nil where as many are under way as may be, or the topic
  /// can't be published to: then nothing is sent, and nothing said.
  func broadcast(
    _ order: BroadcastOrder, progress: @escaping @Sendable (BroadcastProgress) -> Void
  ) -> (any BroadcastHandle)?

  /// Describes a client; nil where there is neither a connection nor a session.
  func describe(
    _ client: [UInt8], done: @escaping @Sendable (Steered<ClientDescription>) -> Void)

  /// Lists some clients, and where to go on.
  func list(_ query: ClientQuery, done: @escaping @Sendable (Steered<ClientPage>) -> Void)

  /// Closes a client's connection.
  func disconnect(
    _ client: [UInt8], reason: ReasonCode, text: [UInt8], discardsWill: Bool,
    done: @escaping @Sendable (Steered<Void>) -> Void)

  /// Subscribes a client, and gives the reason code of each subscription. What is stored is durable then.
  func subscribe(
    _ client: [UInt8], _ subscriptions: [StoredSubscription],
    done: @escaping @Sendable (Steered<[UInt8]>) -> Void)

  /// Unsubscribes a client, and gives the reason code of each filter.
  func unsubscribe(
    _ client: [UInt8], _ filters: [[UInt8]], done: @escaping @Sendable (Steered<[UInt8]>) -> Void)

  /// Ends a client's session, and its connection.
  func endSession(_ client: [UInt8], done: @escaping @Sendable (Steered<Void>) -> Void)

  /// Reads what waits for a client, from the place where an earlier page ended.
  func backlog(
    _ client: [UInt8], after place: BacklogPlace, maximumMessages: Int, maximumBytes: Int,
    done: @escaping @Sendable (Steered<BacklogPage>) -> Void)

  /// Opens a connection to the broker that bypasses its listeners, and is trusted: it may use client ids
  /// and filters that begin with `$backend`, and hooks are not asked about it. Gives our end's descriptor, which the
  /// caller closes; nil where there are no descriptors left.
  func openConnection() -> Int32?

  /// What happened to clients of late.
  var events: ClientEvents { get }
}

/// What became of something that was asked for a client.
public enum Steered<Value: Sendable>: Sendable {
  /// It is done.
  case done(Value)
  /// There is no such client, or, where one is needed, no connection of it.
  case noClient
  /// It can't be done at present; the text says why, in one line.
  case unavailable(String)
}

/// A message from outside of MQTT.
public struct OutsideMessage: Sendable {
  /// The name of the user property that bears a message's key.
  public static let keyProperty = Array("message-key".utf8)

  /// The client that it is for; nil for whoever subscribes to its topic.
  public var client: [UInt8]?
  /// The topic name.
  public var topic: [UInt8]
  /// Properties that are forwarded, encoded as MQTT 5 has them.
  public var properties: [UInt8]
  /// The bytes of the application.
  public var payload: [UInt8]
  /// The quality of service.
  public var qos: QoS
  /// Whether it is to be retained; not for a message to one client.
  public var retain: Bool
  /// Seconds that it lives; 0 for ever.
  public var lifetime: UInt32

  /// See the properties.
  public init(
    client: [UInt8]? = nil, topic: [UInt8], properties: [UInt8] = [], payload: [UInt8],
    qos: QoS = .atLeastOnce, retain: Bool = false, lifetime: UInt32 = 0
  ) {
    self.client = client
    self.topic = topic
    self.properties = properties
    self.payload = payload
    self.qos = qos
    self.retain = retain
    self.lifetime = lifetime
  }
}

/// What became of a message from outside.
public struct PublishOutcome: Sendable, Equatable {
  /// Why a message was not taken.
  public enum Refusal: Sendable, Equatable {
    /// Its topic can't be published to.
    case topicInvalid
    /// Its topic is the broker's own, or retaining is turned off.
    case notAllowed
    /// The store can't be written at present.
    case storeUnavailable
    /// There is no room for it.
    case quotaExceeded
  }

  /// Clients that are connected and get it.
  public var online = 0
  /// Subscriptions of clients that are away, for which it is kept.
  public var stored = 0
  /// Why it was not taken; nil where it was.
  public var refusal: Refusal?

  /// Nobody gets it.
  public init() {}

  /// It was not taken.
  public init(refusal: Refusal) { self.refusal = refusal }
}

/// A message for many clients that are online.
public struct BroadcastOrder: Sendable {
  /// Whom it is for.
  public enum Audience: Sendable, Equatable {
    /// Everybody.
    case everyone
    /// Those of a tenant.
    case tenant([UInt8])
    /// Those who have a subscription to exactly this filter.
    case filter([UInt8])
  }

  /// Its `client` is not looked at.
  public var message: OutsideMessage
  /// Whom it is for.
  public var audience: Audience
  /// Clients per second, of all loops together: 1 or more.
  public var rate: Int

  /// See the properties.
  public init(message: OutsideMessage, audience: Audience, rate: Int) {
    self.message = message
    self.audience = audience
    self.rate = rate
  }
}

/// How far a broadcast is, over all loops.
public struct BroadcastProgress: Sendable, Equatable {
  /// Clients that were sent it.
  public var sent = 0
  /// Those of them that have it: they acknowledged it, or their connection took it.
  public var acknowledged = 0
  /// Those of them that went away before.
  public var lost = 0
  /// Clients that were passed over, because too much waits for them.
  public var skipped = 0
  /// Whether it has ended.
  public var isDone = false

  /// It begins.
  public init() {}
}

/// A broadcast that is under way.
public protocol BroadcastHandle: AnyObject, Sendable {
  /// Sends no more of it; what was sent stays sent.
  func cancel()
}

/// A client and its session, as it is at one moment.
public struct ClientDescription: Sendable {
  /// What is known of the client.
  public var client: HookedClient
  /// Whether it is connected.
  public var isConnected: Bool
  /// Whether its session outlives the process.
  public var isStored: Bool
  /// Seconds that its session outlives a connection; `UInt32.max` for ever.
  public var expiryInterval: UInt32
  /// Seconds between two packets that it promised; 0 for no promise.
  public var keepAlive: UInt16
  /// What it has subscribed to.
  public var subscriptions: [StoredSubscription]
  /// Messages sent and not acknowledged.
  public var inFlight: Int
  /// Messages that wait in memory to be sent.
  public var queued: Int

  /// See the properties.
  public init(
    client: HookedClient, isConnected: Bool, isStored: Bool, expiryInterval: UInt32,
    keepAlive: UInt16, subscriptions: [StoredSubscription], inFlight: Int, queued: Int
  ) {
    self.client = client
    self.isConnected = isConnected
    self.isStored = isStored
    self.expiryInterval = expiryInterval
    self.keepAlive = keepAlive
    self.subscriptions = subscriptions
    self.inFlight = inFlight
    self.queued = queued
  }
}

/// Which clients are to be listed.
public struct ClientQuery: Sendable {
  /// Only those whose id begins so.
  public var prefix: [UInt8] = []
  /// Only those of a tenant; empty for all.
  public var tenant: [UInt8] = []
  /// Only those that are connected.
  public var isConnected = false
  /// Where to go on: the `next` of the page before; empty to begin.
  public var cursor: [UInt8] = []
  /// The most clients to give: 1 to 1,000. A page may have fewer, even none, and not be the last.
  public var maximum = 1000

  /// All clients.
  public init() {}
}

/// Some clients.
public struct ClientPage: Sendable {
  /// A client on a list.
  public struct Entry: Sendable {
    /// What is known of it.
    public var client: HookedClient
    /// Whether it is connected.
    public var isConnected: Bool
    /// Whether its session outlives the process.
    public var isStored: Bool

    /// See the properties.
    public init(client: HookedClient, isConnected: Bool, isStored: Bool) {
      self.client = client
      self.isConnected = isConnected
      self.isStored = isStored
    }
  }

  /// The clients.
  public var entries: [Entry]
  /// Where to go on; nil with the last page.
  public var next: [UInt8]?

  /// See the properties.
  public init(entries: [Entry], next: [UInt8]?) {
    self.entries = entries
    self.next = next
  }
}

/// How far a backlog was read.
public struct BacklogPlace: Sendable, Equatable {
  /// Messages in memory, sent or not, that were read.
  public var inMemory: Int = 0
  /// The sequence number in the log up to which it was read.
  public var sequence: UInt64 = 0

  /// The beginning.
  public init() {}
}

/// Some messages that wait for a client.
public struct BacklogPage: Sendable {
  /// A message that waits.
  public struct Entry: Sendable {
    /// The message, with the quality of service that the client gets it with, and the seconds that it still lives.
    public var message: OutsideMessage
    /// Whether it was sent and is not acknowledged.
    public var isInFlight: Bool

    /// See the properties.
    public init(message: OutsideMessage, isInFlight: Bool) {
      self.message = message
      self.isInFlight = isInFlight
    }
  }

  /// The messages, oldest first.
  public var entries: [Entry]
  /// Where to go on; nil with the last page.
  public var next: BacklogPlace?

  /// See the properties.
  public init(entries: [Entry], next: BacklogPlace?) {
    self.entries = entries
    self.next = next
  }
}
