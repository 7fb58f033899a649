import Util

/// One subscription: a session, or a shared group, and a filter. 28 bytes.
public struct SubscriptionRecord: BitwiseCopyable {
  /// Bits 0-5 options, 7 whether it is a group's, 8-31 the slot of session or group.
  private var packed: UInt32
  /// Slot of the filter in the `FilterIndex`.
  public internal(set) var filter: UInt32
  /// The other subscriptions to this filter, oldest first; 0 at the ends.
  public internal(set) var nextInFilter: UInt32 = 0
  var previousInFilter: UInt32
  /// The other subscriptions of this session, newest first; 0 at the ends.
  public internal(set) var nextInSession: UInt32 = 0
  var previousInSession: UInt32 = 0
  /// Subscription identifier, 1 to 268,435,455; 0 when there is none.
  public var identifier: UInt32

  private static var sharedBit: UInt32 { 0x80 }

  /// - Parameter owner: slot of the session or group, at most 16,777,215.
  init(
    owner: UInt32, isShared: Bool, filter: UInt32, previousInFilter: UInt32, options: UInt8,
    identifier: UInt32
  ) {
    precondition(owner < 1 << 24 && options & 0xC0 == 0, "not a slot or not options")
    packed =
      owner << 8 | UInt32(options) | (isShared ? SubscriptionRecord.sharedBit : 0)
    self.filter = filter
    self.previousInFilter = previousInFilter
    self.identifier = identifier
  }

  /// Slot of the session, or of the group.
  public var session: UInt32 { packed >> 8 }

  /// Whether `session` is the slot of a group in `ShareGroups`, one of whose members is served.
  public var isShared: Bool { packed & SubscriptionRecord.sharedBit != 0 }

  /// Subscription options as on the wire (MQTT 5, 3.8.3.1): bits 0-1 QoS, 2 no local, 3 retain as
  /// published, 4-5 retain handling.
  public internal(set) var options: UInt8 {
    get { UInt8(truncatingIfNeeded: packed & 0x3F) }
    set { packed = packed & ~0x3F | UInt32(newValue & 0x3F) }
  }
}

/// A session's subscriptions, as its record holds them. 8 bytes; only the table changes them.
public struct SubscriptionList: Equatable, BitwiseCopyable, Sendable {
  /// The newest subscription; 0 when there is none.
  public internal(set) var head: UInt32 = 0
  /// Number of subscriptions.
  public internal(set) var count: UInt32 = 0

  /// No subscriptions.
  public init() {}
}

/// What a SUBSCRIBE did.
public struct SubscribeOutcome: BitwiseCopyable, Sendable {
  /// The subscription; 0 when there was no room for it.
  public var slot: UInt32
  /// False when the session had the filter, and the subscription was replaced [MQTT-3.8.4-3].
  public var isNew: Bool
  /// True when nobody else subscribes to the filter here.
  public var isFirstOfFilter: Bool

  /// Nothing was changed, for lack of room.
  public var isRefused: Bool { slot == 0 }

  static var refused: SubscribeOutcome {
    SubscribeOutcome(slot: 0, isNew: false, isFirstOfFilter: false)
  }
}

/// What an UNSUBSCRIBE did.
public enum UnsubscribeOutcome: BitwiseCopyable, Sendable {
  /// The session did not have the filter.
  case notFound
  /// It had, and others here still do.
  case removed
  /// It had, and was the last one here.
  case removedLastOfFilter
}
