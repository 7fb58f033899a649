import Util

/// What a session has that outlives its connection. 32 bytes.
public struct LastingRecord: BitwiseCopyable, Sendable {
  /// Its number in the store; 0 where it is not stored.
  public var storedID: UInt64 = 0
  /// The sequence number of the log up to which it has taken what it is owed.
  public var cursor: UInt64 = 0
  /// Seconds that it outlives its connection, at least 1; `UInt32.max` for ever.
  public var expiryInterval: UInt32
  /// Deliveries that it forgot from the head of its ring since it is in memory: what a place in the
  /// ring counts from, where it is named across turns.
  var forgotten: UInt32 = 0
  /// Raised by each UNSUBSCRIBE, so that an answer of the store that does not know of it is told.
  public var epoch: UInt32 = 0
  /// What is so or not so of it.
  public var flags: Flags = []

  /// Facts of a stored session, one bit each.
  public struct Flags: OptionSet, BitwiseCopyable, Sendable {
    /// The bits of the facts that are so.
    public let rawValue: UInt32

    /// Facts, each from its bit.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// It has all that it is owed: what is appended goes to it at once.
    public static let isLive = Flags(rawValue: 1)
    /// The store was asked for what it is owed.
    public static let isReading = Flags(rawValue: 2)
    /// What it has in flight differs from what was handed to the store.
    public static let isDirty = Flags(rawValue: 4)
    /// The store was asked for it, or was given it and has not answered.
    public static let isArriving = Flags(rawValue: 8)
  }

  init(expiryInterval: UInt32) { self.expiryInterval = expiryInterval }
}

/// Sessions that outlive their connections.
extension SessionTable {
  /// Seconds that a session outlives its connection; 0 for not at all.
  public func expiryInterval(_ slot: UInt32) -> UInt32 {
    let record = records[slot].lasting
    return record == 0 ? 0 : lasting[record].expiryInterval
  }

  /// Sets how long a session outlives its connection. False without memory.
  public func setExpiryInterval(_ slot: UInt32, _ seconds: UInt32) -> Bool {
    let record = records[slot].lasting
    if record != 0 {
      // A stored session that now ends with its connection keeps its record until then.
      lasting[record].expiryInterval = seconds
    } else if seconds != 0 {
      guard let made = lasting.insert(LastingRecord(expiryInterval: seconds)) else { return false }
      records[slot].lasting = made
    }
    if seconds == 0 {
      records[slot].flags.remove(.isPersistent)
    } else {
      records[slot].flags.insert(.isPersistent)
    }
    return true
  }

  /// The number of a session in the store; 0 where it is not stored.
  @inline(__always)
  public func storedID(_ slot: UInt32) -> UInt64 {
    let record = records[slot].lasting
    return record == 0 ? 0 : lasting[record].storedID
  }

  /// Whether a session is in the store.
  @inline(__always)
  public func isStored(_ slot: UInt32) -> Bool { storedID(slot) != 0 }

  func discardLasting(_ slot: UInt32) {
    let record = records[slot].lasting
    guard record != 0 else { return }
    lasting.remove(record)
    records[slot].lasting = 0
  }
}
