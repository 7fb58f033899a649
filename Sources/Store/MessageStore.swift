import Util

/// A message in a store, named for as long as it is there.
public struct StoredMessageID: Hashable, Sendable, BitwiseCopyable {
  /// Means something to the store that gave it out only. Never 0, so that a caller may let 0 stand
  /// for "no message".
  public var rawValue: UInt64

  /// An identifier that was written down as a number, such as the one in an index.
  public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// Why a store did not take or give a message.
public enum StoreError: Error, Sendable {
  /// The store holds as many messages or bytes as it may.
  case full
  /// The store can't be read or written at present; the text says why.
  case unavailable(String)
}

/// What is kept of a message besides its topic, properties and payload: eight bytes that the
/// store does not look into.
public struct StoredFacts: BitwiseCopyable, Sendable {
  /// The QoS it was published with: 0 to 2.
  public var qos: UInt8
  /// Second at which it expires; 0 for never.
  public var expiresAt: UInt32

  /// Neither value is checked: the store gives them back as they are.
  public init(qos: UInt8, expiresAt: UInt32) {
    self.qos = qos
    self.expiresAt = expiresAt
  }
}

/// Where messages are kept that outlive the moment.
///
/// A store keeps each message once, under an identifier that it gives out, and knows nothing of
/// who is owed it: topics are found through the index that `PubSub` keeps, subscribers through
/// sessions. Methods may be called from any thread, and block no longer than a copy in memory
/// takes; a store with a disk behind it writes on a thread of its own.
public protocol MessageStore: AnyObject, Sendable {
  /// The name of the kind, as in the configuration: `memory`.
  var kind: String { get }

  /// Keeps a copy of a message.
  /// - Parameter old: the message whose place it takes: it does not count against the limits, so
  ///   that a full store can still change what it holds. It stays until the caller removes it.
  /// - Throws: `StoreError`.
  func insert(
    _ facts: StoredFacts, topic: Span<UInt8>, properties: Span<UInt8>, payload: Span<UInt8>,
    replacing old: StoredMessageID?
  ) throws(StoreError) -> StoredMessageID

  /// Calls `body` with a message, valid during the call; false when it is not there any more.
  /// - Throws: `StoreError`.
  func read(
    _ id: StoredMessageID,
    _ body: (
      _ facts: StoredFacts, _ topic: Span<UInt8>, _ properties: Span<UInt8>,
      _ payload: Span<UInt8>
    ) -> Void
  ) throws(StoreError) -> Bool

  /// Forgets a message, if it is there.
  /// - Throws: `StoreError`.
  func remove(_ id: StoredMessageID) throws(StoreError)

  /// What the store has in this process's memory.
  var memory: PoolMemory { get }

  /// Whether `trim` would give memory back.
  var hasSpare: Bool { get }

  /// Gives memory that was needed for a busy time back to the system.
  func trim()

  /// Messages and bytes of topic, properties and payload that are kept.
  var size: (messages: Int, bytes: Int) { get }
}
