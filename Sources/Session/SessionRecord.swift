import Packet
import PubSub
import Util

/// One session of a loop: 48 bytes, whether its client is there or away.
///
/// Plain data: a session moves to another loop, or another process, as what is written here and
/// what its links name.
public struct SessionRecord: BitwiseCopyable, Sendable {
  /// Entry in the directory, which holds the client id.
  public var entry: UInt32
  /// Differs for each session of a loop, so that a letter for a slot that was used again is told
  /// from one for its present owner.
  public var generation: UInt32
  /// The connection's slot in the loop; 0 while the client is away.
  public var connection: UInt32 = 0
  /// The list of its subscriptions.
  public var subscriptions = SubscriptionList()
  /// What is sent and what waits to be sent; 0 for nothing.
  var outbound: UInt32 = 0
  /// Identifiers of QoS 2 messages that came and were not released; 0 for none.
  var inbound: UInt32 = 0
  /// Will, aliases and limits that are not the usual ones; 0 for none.
  public var extras: UInt32 = 0
  /// Index of this session among those that the present message goes to; checked there.
  public var hit: UInt32 = 0
  /// What it has because it outlives its connection; 0 where it does not.
  public internal(set) var lasting: UInt32 = 0
  /// The next packet identifier to be given out.
  var nextPacketID: UInt16 = 1
  /// Seconds between two packets that the client promised; 0 for no promise.
  public var keepAlive: UInt16 = 0
  /// Unacknowledged messages that the client takes at a time.
  public var sendQuota: UInt16 = 0
  /// What is so or not so of this session.
  public var flags: Flags = []
  /// The protocol of its latest connection, in which all that it is sent is encoded.
  public var version: ProtocolVersion

  /// Facts of a session, one bit each; bit 1 is not in use.
  public struct Flags: OptionSet, BitwiseCopyable, Sendable {
    /// The bits of the facts that are so.
    public let rawValue: UInt8

    /// Facts that were read back, each from its bit.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The client wants reason strings and user properties with any packet.
    public static let wantsProblemInformation = Flags(rawValue: 1)
    /// The session outlives its connection.
    public static let isPersistent = Flags(rawValue: 4)
    /// Messages were dropped since this was last logged.
    public static let hasDropped = Flags(rawValue: 8)
    /// Has retained messages that are still to be sent.
    public static let streamsRetained = Flags(rawValue: 16)
    /// Member of at least one shared subscription.
    public static let isShareMember = Flags(rawValue: 32)
  }

  init(entry: UInt32, generation: UInt32, version: ProtocolVersion) {
    self.entry = entry
    self.generation = generation
    self.version = version
  }
}

/// What few sessions have.
public struct SessionExtras: TimerOwner, Sendable {
  /// The session, by its slot.
  public let session: UInt32
  /// The session's timer: will delay and expiry, while the client is away.
  public var timer = TimerLinks()
  /// The will, a kept message; 0 for none.
  public var will: UInt32 = 0
  /// Seconds from the end of the connection to the will.
  public var willDelay: UInt32 = 0
  /// Seconds that the will's message lives once it is published; 0 for ever.
  public var willLifetime: UInt32 = 0
  /// Tick at which the will is published, while the client is away; 0 when it is not due.
  public var willDue: UInt32 = 0
  /// Tick at which the session expires, while the client is away; 0 for never.
  public var expiryDue: UInt32 = 0
  /// Tick at which the session leaves memory for the store, while the client is away; 0 for never.
  public var parkDue: UInt32 = 0
  /// The largest packet that the client takes, in bytes; 0 for any.
  public var maximumPacketSize: UInt32 = 0
  /// Topic aliases that the client takes from us.
  public var sendAliasMaximum: UInt16 = 0
  /// Topic aliases that we gave out to it.
  public var sendAliasCount: UInt16 = 0
  /// Block with the topics that the client gave an alias; 0 for none.
  public var receivedAliases: UInt32 = 0
  /// Block with the topics that we gave an alias; 0 for none.
  public var sentAliases: UInt32 = 0

  init(session: UInt32) { self.session = session }
}
