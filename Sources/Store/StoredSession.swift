/// What is kept of a session besides what it has in flight.
public struct SessionPresence: Sendable, Equatable {
  /// The protocol version of its latest connection, as in CONNECT: 3 to 5.
  public var version: UInt8
  /// Whether its client is connected.
  public var isConnected: Bool
  /// Seconds that the session outlives its connection; `UInt32.max` for ever.
  public var expiryInterval: UInt32
  /// Second since 1970 at which it ends, while its client is away; 0 for never.
  public var expiresAt: UInt32
  /// Second since 1970 at which its will is published, while its client is away; 0 for not.
  public var willDueAt: UInt32
  /// The will.
  public var will: StoredWill?

  /// See the properties.
  public init(
    version: UInt8, isConnected: Bool, expiryInterval: UInt32, expiresAt: UInt32 = 0,
    willDueAt: UInt32 = 0, will: StoredWill? = nil
  ) {
    self.version = version
    self.isConnected = isConnected
    self.expiryInterval = expiryInterval
    self.expiresAt = expiresAt
    self.willDueAt = willDueAt
    self.will = will
  }
}

/// A will that is kept.
public struct StoredWill: Sendable, Equatable {
  /// QoS of the will message: 0 to 2.
  public var qos: UInt8
  /// Whether it is to be retained.
  public var retain: Bool
  /// Seconds from the end of the connection to its publication.
  public var delay: UInt32
  /// Seconds that the message lives once it is published; 0 for ever.
  public var lifetime: UInt32
  /// The topic name.
  public var topic: [UInt8]
  /// Properties that are forwarded, encoded as MQTT 5 has them.
  public var properties: [UInt8]
  /// The bytes of the application.
  public var payload: [UInt8]

  /// See the properties.
  public init(
    qos: UInt8, retain: Bool, delay: UInt32, lifetime: UInt32, topic: [UInt8],
    properties: [UInt8], payload: [UInt8]
  ) {
    self.qos = qos
    self.retain = retain
    self.delay = delay
    self.lifetime = lifetime
    self.topic = topic
    self.properties = properties
    self.payload = payload
  }
}

/// What a session has in flight, in both directions, and how far it has read the log.
public struct SessionProgress: Sendable, Equatable {
  /// The sequence number up to which it has taken what it is owed into `window`.
  public var cursor: UInt64
  /// The packet identifier to be given out next.
  public var nextPacketID: UInt16
  /// What was taken and is not done, in the order in which it was.
  public var window: [WindowEntry]
  /// Identifiers of QoS 2 messages that came and were not released.
  public var inbound: [UInt16]

  /// Nothing in flight.
  public init(
    cursor: UInt64 = 0, nextPacketID: UInt16 = 1, window: [WindowEntry] = [],
    inbound: [UInt16] = []
  ) {
    self.cursor = cursor
    self.nextPacketID = nextPacketID
    self.window = window
    self.inbound = inbound
  }
}

/// A message that a session has taken from the log and that is not done. 24 bytes.
public struct WindowEntry: BitwiseCopyable, Sendable, Equatable {
  /// The message; 0 where only its identifier is still in use.
  public var sequence: UInt64
  /// The subscription identifier it is sent with; 0 for none, `several` where the present
  /// subscriptions say which.
  public var identifier: UInt32
  /// The packet identifier; 0 where it has none yet.
  public var packetID: UInt16
  /// The shared subscription that gave it to the session; 0 for none.
  public var group: StoredGroupID
  /// How far its handshake is: what the session makes of it.
  public var state: UInt8
  /// QoS, retain and such: what the session makes of it, but for `sharedTrait`.
  public var traits: UInt8

  /// Stands for more than one subscription identifier.
  public static var several: UInt32 { .max }

  /// Set in the traits of a message that came through a shared subscription.
  public static var sharedTrait: UInt8 { 16 }

  /// Whether it came through a shared subscription.
  public var isShared: Bool { traits & WindowEntry.sharedTrait != 0 }

  /// See the properties.
  public init(
    sequence: UInt64, identifier: UInt32, packetID: UInt16, state: UInt8, traits: UInt8,
    group: StoredGroupID = 0
  ) {
    self.sequence = sequence
    self.group = group
    self.identifier = identifier
    self.packetID = packetID
    self.state = state
    self.traits = traits
  }
}

/// A subscription that is kept.
public struct StoredSubscription: Sendable, Equatable {
  /// The whole filter, `$share/…` included.
  public var filter: [UInt8]
  /// Subscription options as on the wire.
  public var options: UInt8
  /// Subscription identifier; 0 for none.
  public var identifier: UInt32

  /// See the properties.
  public init(filter: [UInt8], options: UInt8, identifier: UInt32) {
    self.filter = filter
    self.options = options
    self.identifier = identifier
  }

  /// The QoS that was granted.
  public var qos: UInt8 { options & 3 }
}

/// A stored session, read back.
public struct StoredSession: Sendable {
  /// Its number.
  public var id: StoredSessionID
  /// Whether its client is there, its expiry and its will.
  public var presence: SessionPresence
  /// What it has in flight.
  public var progress: SessionProgress
  /// What it subscribed to.
  public var subscriptions: [StoredSubscription]
  /// The messages that its window names, by sequence number; those that the log has no more are
  /// missing.
  public var messages: [UInt64: LogPlace]
  /// Messages of its window that the log has no more.
  public var unread: UInt64

  /// See the properties.
  public init(
    id: StoredSessionID, presence: SessionPresence, progress: SessionProgress,
    subscriptions: [StoredSubscription], messages: [UInt64: LogPlace], unread: UInt64
  ) {
    self.id = id
    self.presence = presence
    self.progress = progress
    self.subscriptions = subscriptions
    self.messages = messages
    self.unread = unread
  }
}

/// A message in a segment.
public struct LogPlace: Sendable {
  /// The segment.
  public var segment: LogSegment
  /// The offset of the message in its records.
  public var offset: Int

  /// See the properties.
  public init(segment: LogSegment, offset: Int) {
    self.segment = segment
    self.offset = offset
  }
}

/// Who on a loop asked, so that an answer which comes too late is told.
public struct Asker: BitwiseCopyable, Sendable, Equatable {
  /// The slot of the session.
  public var slot: UInt32
  /// Its generation.
  public var generation: UInt32

  /// See the properties.
  public init(slot: UInt32, generation: UInt32) {
    self.slot = slot
    self.generation = generation
  }
}

/// A question for the session of a client.
public struct SessionQuery: Sendable {
  /// The client id.
  public var client: [UInt8]
  /// Who asks.
  public var asker: Asker

  /// See the properties.
  public init(client: [UInt8], asker: Asker) {
    self.client = client
    self.asker = asker
  }
}

/// The answer to a `SessionQuery`.
public struct SessionAnswer: Sendable {
  /// Who asked.
  public var asker: Asker
  /// The session; nil where the client has none.
  public var session: StoredSession?

  /// See the properties.
  public init(asker: Asker, session: StoredSession?) {
    self.asker = asker
    self.session = session
  }
}

/// A question for what a session is owed behind a place of the log.
public struct LogQuery: Sendable {
  /// Who asks.
  public var asker: Asker
  /// The session.
  public var session: StoredSessionID
  /// The sequence number behind which to read.
  public var after: UInt64
  /// Comes back with the answer: differs after an UNSUBSCRIBE, which the answer may not know of.
  public var epoch: UInt32
  /// The most messages wanted.
  public var maximumMessages: Int
  /// Bytes of messages from which on no further one is wanted.
  public var maximumBytes: Int

  /// See the properties.
  public init(
    asker: Asker, session: StoredSessionID, after: UInt64, epoch: UInt32, maximumMessages: Int,
    maximumBytes: Int
  ) {
    self.asker = asker
    self.session = session
    self.after = after
    self.epoch = epoch
    self.maximumMessages = maximumMessages
    self.maximumBytes = maximumBytes
  }
}

/// What a session is owed, or a part of it.
public struct LogPage: Sendable {
  /// Who asked.
  public var asker: Asker
  /// From the question.
  public var epoch: UInt32
  /// The messages, in order.
  public var items: [LogItem]
  /// The sequence number up to which these are all that the session is owed.
  public var through: UInt64
  /// Whether `through` is the end of the log: what is appended later comes as segments, behind this
  /// answer.
  public var isAtEnd: Bool

  /// See the properties.
  public init(asker: Asker, epoch: UInt32, items: [LogItem], through: UInt64, isAtEnd: Bool) {
    self.asker = asker
    self.epoch = epoch
    self.items = items
    self.through = through
    self.isAtEnd = isAtEnd
  }
}

/// A message that a session is owed through one or more of its subscriptions.
public struct LogItem: Sendable {
  /// Where the message is.
  public var place: LogPlace
  /// Its sequence number.
  public var sequence: UInt64
  /// How many subscriptions it is owed through, those with "no local" included.
  public var count: UInt32
  /// The QoS to deliver it with; 0 where it is not to be delivered, because all subscriptions say "no
  /// local" and it is the session's own.
  public var qos: UInt8
  /// Whether the subscriber is shown that it was published to be retained.
  public var retain: Bool
  /// Identifiers of the subscriptions that have one.
  public var identifiers: [UInt32]

  /// See the properties.
  public init(
    place: LogPlace, sequence: UInt64, count: UInt32, qos: UInt8, retain: Bool,
    identifiers: [UInt32]
  ) {
    self.place = place
    self.sequence = sequence
    self.count = count
    self.qos = qos
    self.retain = retain
    self.identifiers = identifiers
  }
}

/// A question for retained messages.
public struct RetainedQuery: Sendable {
  /// Who asks.
  public var asker: Asker
  /// Comes back with the answer.
  public var tag: UInt32
  /// The filter that their topics match.
  public var filter: [UInt8]
  /// The topic behind which to go on; nil to begin.
  public var after: [UInt8]?
  /// Bytes of messages from which on no further one is wanted.
  public var maximumBytes: Int

  /// See the properties.
  public init(asker: Asker, tag: UInt32, filter: [UInt8], after: [UInt8]?, maximumBytes: Int) {
    self.asker = asker
    self.tag = tag
    self.filter = filter
    self.after = after
    self.maximumBytes = maximumBytes
  }
}

/// Retained messages, or a part of them.
public struct RetainedPage: Sendable {
  /// Who asked.
  public var asker: Asker
  /// From the question.
  public var tag: UInt32
  /// The messages: the records of a segment that is not in the log.
  public var messages: LogSegment
  /// The topic behind which to go on; nil where these are the last.
  public var next: [UInt8]?

  /// See the properties.
  public init(asker: Asker, tag: UInt32, messages: LogSegment, next: [UInt8]?) {
    self.asker = asker
    self.tag = tag
    self.messages = messages
    self.next = next
  }
}
