import Store

/// One of the things that a store consists of, as `StoreReader.export` gives them and `StoreImporter`
/// takes them: in the order of the cases.
public enum StoreItem: Sendable, Equatable {
  case head(Head)
  case filter(Filter)
  case share(Share)
  case session(Session)
  case message(Message)
  case retained(Retained)
  case request(Request)
  /// How many items came before.
  case end(UInt64)

  /// Numbers that go on.
  public struct Head: Sendable, Equatable {
    /// How many brokers have run.
    public var epoch: UInt64
    /// The sequence number that the next message gets.
    public var nextSequence: UInt64
    /// The latest second since 1970 that a broker knew of.
    public var clock: UInt32
    /// Messages that went unread in all.
    public var unread: UInt64
    /// The highest number that a shared subscription had.
    public var lastShare: UInt64

    /// See the properties.
    public init(
      epoch: UInt64, nextSequence: UInt64, clock: UInt32, unread: UInt64, lastShare: UInt64
    ) {
      self.epoch = epoch
      self.nextSequence = nextSequence
      self.clock = clock
      self.unread = unread
      self.lastShare = lastShare
    }
  }

  /// A filter that sessions subscribe to.
  public struct Filter: Sendable, Equatable {
    /// Its number, by which messages name it.
    public var id: UInt32
    /// The whole text; of a session's inbox as `DirectTopic` has it.
    public var text: [UInt8]
    /// How many messages of it went unread in all, up to sequence numbers.
    public var unread: [Unread]

    /// See the properties.
    public init(id: UInt32, text: [UInt8], unread: [Unread]) {
      self.id = id
      self.text = text
      self.unread = unread
    }
  }

  /// Messages of a filter that went unread.
  public struct Unread: Sendable, Equatable {
    /// The sequence number up to which they are counted.
    public var through: UInt64
    /// How many went unread.
    public var total: UInt64

    /// See the properties.
    public init(through: UInt64, total: UInt64) {
      self.through = through
      self.total = total
    }
  }

  /// A shared subscription that messages are kept for.
  public struct Share: Sendable, Equatable {
    /// Its number.
    public var id: UInt64
    /// The whole text.
    public var filter: [UInt8]
    /// What messages are matched with.
    public var inner: [UInt8]
    /// The sequence number up to which messages were handed to members.
    public var cursor: UInt64
    /// Messages up to that which no member has.
    public var pending: [UInt64]

    /// See the properties.
    public init(
      id: UInt64, filter: [UInt8], inner: [UInt8], cursor: UInt64, pending: [UInt64]
    ) {
      self.id = id
      self.filter = filter
      self.inner = inner
      self.cursor = cursor
      self.pending = pending
    }
  }

  /// A session.
  public struct Session: Sendable, Equatable {
    /// Its number.
    public var id: StoredSessionID
    /// The client id.
    public var client: [UInt8]
    /// Its client's coming and going, its expiry and its will. One that was connected is taken for one
    /// whose broker has ended.
    public var presence: SessionPresence
    /// What it has in flight, and how far it has read the log.
    public var progress: SessionProgress
    /// Messages that were dropped because too many waited for it, until its client is told.
    public var missed: UInt64
    /// The sequence number behind which messages to its client alone are owed; nil where it has no inbox.
    public var inbox: UInt64?
    /// What it subscribed to.
    public var subscriptions: [SessionDetail.Subscription]

    /// See the properties.
    public init(
      id: StoredSessionID, client: [UInt8], presence: SessionPresence, progress: SessionProgress,
      missed: UInt64 = 0, inbox: UInt64? = nil, subscriptions: [SessionDetail.Subscription]
    ) {
      self.id = id
      self.client = client
      self.presence = presence
      self.progress = progress
      self.missed = missed
      self.inbox = inbox
      self.subscriptions = subscriptions
    }
  }

  /// A message of the log that somebody is owed. To whom follows from cursors and windows.
  public struct Message: Sendable, Equatable {
    /// Its sequence number.
    public var sequence: UInt64
    /// Second since 1970 at which it was appended.
    public var appendedAt: UInt32
    /// Publisher, expiry, QoS and whether it was retained.
    public var facts: LoggedFacts
    /// The filters that matched it, by their numbers.
    public var filters: [UInt32]
    /// The topic name; of a message to one client as `DirectTopic` has it.
    public var topic: [UInt8]
    /// Properties that are forwarded, encoded as MQTT 5 has them.
    public var properties: [UInt8]
    /// The bytes of the application.
    public var payload: [UInt8]

    /// See the properties.
    public init(
      sequence: UInt64, appendedAt: UInt32, facts: LoggedFacts, filters: [UInt32],
      topic: [UInt8], properties: [UInt8], payload: [UInt8]
    ) {
      self.sequence = sequence
      self.appendedAt = appendedAt
      self.facts = facts
      self.filters = filters
      self.topic = topic
      self.properties = properties
      self.payload = payload
    }
  }

  /// A retained message.
  public struct Retained: Sendable, Equatable {
    /// The topic name.
    public var topic: [UInt8]
    /// The QoS it was published with.
    public var qos: UInt8
    /// Second since 1970 at which it expires; 0 for never.
    public var expiresAt: UInt32
    /// Properties that are forwarded, encoded as MQTT 5 has them.
    public var properties: [UInt8]
    /// The bytes of the application.
    public var payload: [UInt8]

    /// See the properties.
    public init(
      topic: [UInt8], qos: UInt8, expiresAt: UInt32, properties: [UInt8], payload: [UInt8]
    ) {
      self.topic = topic
      self.qos = qos
      self.expiresAt = expiresAt
      self.properties = properties
      self.payload = payload
    }
  }

  /// The key of a request that is not to be done twice.
  public struct Request: Sendable, Equatable {
    /// The key.
    public var key: [UInt8]
    /// Second since 1970 at which it is forgotten.
    public var until: UInt32

    /// See the properties.
    public init(key: [UInt8], until: UInt32) {
      self.key = key
      self.until = until
    }
  }
}
