/// Where sessions, their subscriptions, the log and retained messages are kept that must outlive the
/// process.
///
/// Loops hand in what they want done, a batch for each turn, and go on; the store does it on a thread
/// of its own, many batches in one transaction, and says when it is durable. Batches are done in the
/// order in which they are handed in, and so are the orders of a batch; what loops are told comes in
/// that order too. A transaction holds a batch wholly or not at all.
///
/// Whatever keeps the data, an order that was answered is durable: no crash takes it back. Methods may
/// be called from any thread, and block for no longer than a copy in memory takes.
public protocol Store: AnyObject, Sendable {
  /// The name of the kind, as in the configuration: `sqlite`.
  var kind: String { get }

  /// Begins to work, and tells `listener` of it from now on.
  func start(_ listener: any StoreListener)

  /// Does what was handed in, as far as that is possible at once, and ends.
  func stop()

  /// Takes a batch over.
  func submit(_ batch: StoreBatch)

  /// Bytes of batches that are not committed.
  var pendingBytes: Int { get }

  /// Whether the last attempt to write failed, so that what is handed in now will wait.
  var isFailing: Bool { get }

  /// Whether the store may hold a session of a client: true for each that it holds, and rarely for
  /// another.
  func mayHaveSession(of clientID: Span<UInt8>) -> Bool

  /// Whether any message may be retained; once so, it stays so.
  var mayHaveRetained: Bool { get }

  /// A number for a session that is to be created, never used before.
  func makeSessionID() -> StoredSessionID

  /// Counters of what was done.
  var statistics: StoreStatistics { get }
}

/// What a store tells, on its own thread: it must not be kept waiting.
public protocol StoreListener: AnyObject, Sendable {
  /// What was committed, for one loop, in order.
  func deliver(_ events: [StoreEvent], to loop: Int)

  /// The loops whose subscribers want a message that was appended, as a set of bits.
  func loops(for topic: Span<UInt8>) -> UInt64

  /// From now on the filter has subscriptions of stored sessions that messages are kept for.
  func gainedReaders(_ filter: Span<UInt8>)

  /// The filter, which was gained before, has none any more.
  func lostReaders(_ filter: Span<UInt8>)

  /// All filters are known: until then, each topic may have readers.
  func knowsReaders()

  /// Writing fails, or works again.
  func storeChanged(_ state: StoreState)

  /// Something that was stored can't be read and was given up; `what` says what, in one line.
  func storeDamaged(_ what: String)
}

/// Whether a store can be written.
public enum StoreState: Sendable, Equatable {
  /// It works.
  case working
  /// It can't be written at present, for this reason; it is tried again and again.
  case failing(String)
  /// What is written is durable, but the store can't tidy up behind it, and grows meanwhile.
  case growing(String)
  /// It can tidy up again.
  case tidy
}

/// What a store has done since it was opened.
public struct StoreStatistics: BitwiseCopyable, Sendable {
  /// Transactions that were committed.
  public var commits: UInt64 = 0
  /// Transactions that failed and were tried again.
  public var failures: UInt64 = 0
  /// Messages that were appended to the log.
  public var appended: UInt64 = 0
  /// Messages that are in the log.
  public var messages: UInt64 = 0
  /// Bytes of the messages in the log.
  public var bytes: UInt64 = 0
  /// Messages that went unread, because they expired or the log was full.
  public var unread: UInt64 = 0
  /// Stored sessions.
  public var sessions: UInt64 = 0
  /// Retained messages.
  public var retained: UInt64 = 0
  /// Bytes of the allocator's memory: pages of the file, and messages that were appended or read lately.
  public var heapBytes: UInt64 = 0
  /// Bytes of memory besides: hashes of the clients that have a session.
  public var indexBytes: UInt64 = 0

  /// All zero.
  public init() {}
}

/// A stored session; its number is never used again.
public typealias StoredSessionID = UInt64

/// A stored shared subscription, from its first stored member to its last; its number is never used
/// again, and never 0.
public typealias StoredGroupID = UInt64

/// What one loop asks of the store in a turn. The loop fills it and hands it in; then it is the
/// store's.
public final class StoreBatch: @unchecked Sendable {
  /// The loop that is answered.
  public let loop: Int
  /// Rises with each batch of a loop; `StoreEvent.committed` names it.
  public let ticket: UInt64
  /// The messages that the orders name.
  public var messages: MessageRecords
  /// What is to be done, in order.
  public var orders: [StoreOrder] = []
  /// Whether a message is to be retained.
  public var retains = false
  /// Bytes that the orders have besides the messages, about.
  public var orderBytes = 0

  /// An empty batch, with room for some bytes of messages and some orders.
  public init(loop: Int, ticket: UInt64, bytes: Int = 1024, orders count: Int = 0) {
    self.loop = loop
    self.ticket = ticket
    messages = MessageRecords(capacity: bytes)
    orders.reserveCapacity(count)
  }

  /// Bytes that the batch takes, about.
  public var byteCount: Int {
    messages.byteCount + orderBytes + orders.count * MemoryLayout<StoreOrder>.stride
  }
}

/// One thing to be done. What is large is apart, so that the two orders of each message are small.
public enum StoreOrder: Sendable {
  /// Take the message at an offset of the batch's messages: append it where `appends` says so, and keep
  /// it as its topic's retained one where it does itself. `pending` comes back if it is refused; it is
  /// 0 where nobody is to be told.
  case publish(offset: Int, appends: Bool, pending: UInt64)
  /// Keep a new session.
  indirect case create(StoredSessionID, client: [UInt8], SessionPresence, SessionProgress)
  /// Give the session of a client: answered by `StoreEvent.session`.
  case load(SessionQuery)
  /// Note that a session's client came or went.
  indirect case presence(StoredSessionID, SessionPresence)
  /// Note what a session has in flight.
  indirect case progress(StoredSessionID, SessionProgress)
  /// Forget a session, what it subscribed to and what it was owed.
  case end(StoredSessionID)
  /// Keep a subscription, or change the one to the same filter.
  indirect case subscribe(StoredSessionID, StoredSubscription)
  /// Forget a subscription, and what was owed through it and is not in flight.
  case unsubscribe(StoredSessionID, filter: [UInt8])
  /// Read what a session is owed: answered by `StoreEvent.page`.
  indirect case read(LogQuery)
  /// A message is owed to this many subscriptions fewer.
  case release(sequence: UInt64, count: UInt32)
  /// Each of these messages is owed to one subscription fewer.
  case releaseEach([UInt64])
  /// Find retained messages: answered by `StoreEvent.retained`.
  indirect case findRetained(RetainedQuery)
  /// A session's client is back, and is about to read what it is owed: drop what is more than it may have
  /// waiting. Answered by `StoreEvent.unread` where it missed messages.
  case resume(StoredSessionID, Asker)
  /// Tell of a shared subscription, by its whole filter: answered by `StoreEvent.group`, now and
  /// whenever it begins or ends to be stored, until `unwatch`.
  case watch(filter: [UInt8], Asker)
  /// Nobody asks for a shared subscription any more.
  case unwatch(filter: [UInt8], Asker)
  /// A message of a shared subscription is handed to a member: into the window of a stored session,
  /// whose progress follows in the same batch, where `isTaken` says so; else it stays the group's.
  case assign(StoredGroupID, sequence: UInt64, isTaken: Bool)
  /// A message that was handed to a stored session is in its window, whose progress follows in the same
  /// batch.
  case taken(StoredGroupID, sequence: UInt64)
  /// A message that was handed out, and is the group's still, is done.
  case settle(StoredGroupID, sequence: UInt64)
  /// A message that a group gave to a session, and that is in its window, is for the others of the group
  /// again: `StoreEvent.returned` tells who watches.
  case giveBack(StoredSessionID, StoredGroupID, sequence: UInt64)
  /// Read what a shared subscription is owed: answered by `StoreEvent.groupPage`.
  indirect case readGroup(GroupQuery)
  /// As `publish`, and answered by `StoreEvent.kept`, also where nothing is appended, unless `pending` is
  /// 0; and by `StoreEvent.absent` where `tellsAbsent` says so and there are absent clients.
  case publishCounted(offset: Int, appends: Bool, pending: UInt64, tellsAbsent: Bool)
  /// Append the message at an offset of the batch's messages for the session of one client, whatever it
  /// subscribes to, and for nobody else: under a `DirectTopic`. Answered by `StoreEvent.kept`, `refused`
  /// (the topic gets too long) or `noSession`, unless `pending` is 0; and by `StoreEvent.absent` where
  /// `tellsAbsent` says so and the client is away. A message of QoS 0 is not kept; none is retained.
  indirect case publishTo(client: [UInt8], offset: Int, pending: UInt64, tellsAbsent: Bool)
  /// List stored sessions: answered by `StoreEvent.sessions`.
  indirect case listSessions(SessionListQuery)
  /// Remember the key of a request, 1 to `RequestKey.maximumBytes` bytes, until a second since 1970; or the
  /// second of one that is remembered already.
  case remember(key: [UInt8], until: UInt32)
  /// Give all keys that are remembered and have not expired: answered by `StoreEvent.keys`.
  case readKeys(tag: UInt64)
}

/// What a loop is told.
public enum StoreEvent: Sendable {
  /// All batches of this loop up to this ticket are durable.
  case committed(ticket: UInt64)
  /// A message of a batch was refused: there is no room for it.
  case refused(pending: UInt64)
  /// Messages were appended that subscribers of the loop may be owed.
  case segment(LogSegment)
  /// The answer to a `load`.
  case session(SessionAnswer)
  /// The answer to a `read`.
  case page(LogPage)
  /// The answer to a `findRetained`.
  case retained(RetainedPage)
  /// Clients, by their ids, whose sessions have a will or their end due.
  case due([[UInt8]])
  /// How many messages went unread while a session's client was away: they expired, or were too many.
  /// More than it were, perhaps, and never fewer.
  case unread(Asker, UInt64)
  /// What is stored of a shared subscription; nil where nothing is. It comes to the loops that watch one
  /// before any other loop is told of the same transaction.
  case group(Asker, StoredGroup?)
  /// A message is to be handed out again.
  case returned(Asker, StoredGroupID, sequence: UInt64)
  /// The answer to a `readGroup`.
  case groupPage(GroupQuery, LogPage)
  /// To how many subscriptions a message is owed: each that messages are kept for, and each shared
  /// subscription once. It comes before the `committed` of its batch, and may come before the segment that
  /// has the message.
  case kept(pending: UInt64, subscriptions: Int)
  /// A message was for the session of a client that has none: it is not kept.
  case noSession(pending: UInt64)
  /// Clients that are away and owed a message. It comes behind the segment that has the message.
  case absent(AbsentClients)
  /// The answer to a `listSessions`.
  case sessions(SessionList)
  /// The answer to a `readKeys`, those first that expire first.
  case keys(tag: UInt64, [(key: [UInt8], until: UInt32)])
}
