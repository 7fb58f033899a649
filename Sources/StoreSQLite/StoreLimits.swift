import Store

/// How much a store keeps.
public struct StoreLimits: Sendable {
  /// Messages in the log; the oldest go first. 0 for any number.
  public var maximumMessages = 0
  /// Bytes of messages in the log; the oldest go first.
  public var maximumBytes = 8 << 30
  /// Seconds that a message stays in the log; 0 for as long as somebody is owed it.
  public var maximumAge: UInt32 = 0
  /// Messages that may wait for one session; the oldest go first. 0 for any number.
  public var maximumSessionMessages = 100_000
  /// Bytes of messages that may wait for one session, about; the oldest go first. 0 for any number.
  public var maximumSessionBytes = 256 << 20
  /// Topics that may have a retained message.
  public var maximumRetainedMessages = 1_000_000
  /// Bytes of topics, properties and payloads of all retained messages.
  public var maximumRetainedBytes = 256 << 20

  /// Keys of requests that are remembered; those that expire first go first.
  public var maximumRequests = RequestKey.maximumCount

  /// The defaults of the configuration.
  public init() {}
}

/// What is not configured, each with its reason.
enum StoreConstants {
  /// Messages of one segment: two bytes name one, and a reader that begins inside a segment looks at
  /// no more than these.
  static var segmentMessages: Int { 4096 }
  /// Bytes of records from which on a segment is closed: one that is written, read and kept as a
  /// whole. A little less than a buffer has, so that the last message rarely needs a larger one.
  static var segmentBytes: Int { 248 << 10 }
  /// Bytes of segments that are kept in memory: what was appended last is read most.
  static var cachedSegmentBytes: Int { 16 << 20 }
  /// Segments that are kept in memory, however small.
  static var cachedSegments: Int { 4096 }
  /// Shared subscriptions that are kept in memory.
  static var cachedGroups: Int { 4096 }
  /// Rows of one filter that a question of a session takes at a time.
  static var entriesPerRead: Int { 64 }
  /// Rows that say how many messages of a filter went unread; beyond, they get coarser.
  static var unreadRows: Int { 256 }
  /// Sessions, segments or retained messages that one transaction of housekeeping looks at.
  static var sweepRows: Int { 256 }
  /// Messages that one look at a session drops, where too many wait for it.
  static var limitedMessages: Int { 4096 }
  /// Retained topics that one question looks at before others have their turn.
  static var retainedVisits: Int { 2048 }
  /// Subscriptions that one transaction looks at to tell which clients are away: about a fifth of a second,
  /// and some 8 MiB of client ids. Those of further messages are counted only.
  static var absentVisits: Int { 100_000 }
  /// Seconds after which a segment of which less than half is owed is written anew.
  static var compactionAge: UInt32 { 10 }
  /// Pages of the write-ahead log from which on they are copied into the file: 16 MiB.
  static var checkpointPages: Int { 4096 }
  /// Milliseconds until it is tried again to copy them where that failed, or a reader was in the way.
  static var checkpointPauseMilliseconds: UInt64 { 1000 }
  /// Bytes of the write-ahead log that are kept for its next use.
  static var logFileBytes: Int { 64 << 20 }
  /// Bytes of batches that one transaction takes: more would keep those who wait longer.
  static var transactionBytes: Int { 4 << 20 }
  /// Milliseconds between two rounds of housekeeping.
  static var sweepMilliseconds: UInt64 { 1000 }
  /// Milliseconds between two tries while the disk can't be written: at first, and at most.
  static var firstRetryMilliseconds: Int { 50 }
  static var lastRetryMilliseconds: Int { 1000 }
  /// How often the lock of a data directory is tried, and milliseconds between two tries: a quarter of
  /// a second in all.
  static var lockTries: Int { 25 }
  static var lockPauseMilliseconds: Int { 10 }
  /// Bytes of the pages that SQLite keeps in memory.
  static var pageCacheBytes: Int { 32 << 20 }
}
