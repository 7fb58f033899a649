import Packet
import Util

/// One message for one session, sent or waiting: 20 bytes.
public struct Delivery: BitwiseCopyable, Sendable {
  /// The message; 0 where the body need not be kept, because the session ends with its connection
  /// and no retry can come.
  public var message: UInt32
  /// Subscription identifiers: 0 for none, a single one, or a block with several (`isList`).
  public var identifiers: UInt32
  var state: State
  /// QoS in bits 0 and 1, retain in bit 2, "sent before" in bit 3, "for a shared group" in bit 4.
  var traits: UInt8
  /// The identifier it was sent with; 0 while it waits.
  var packetID: UInt16 = 0
  // In halves, so that the record needs no padding.
  private var sequenceLow: UInt32 = 0
  private var sequenceHigh: UInt32 = 0

  /// The message's sequence number in the log; 0 for one that is not in the log, or that is done.
  public var sequence: UInt64 {
    get { UInt64(sequenceHigh) << 32 | UInt64(sequenceLow) }
    set {
      sequenceLow = UInt32(truncatingIfNeeded: newValue)
      sequenceHigh = UInt32(truncatingIfNeeded: newValue >> 32)
    }
  }

  /// How far the handshake of its QoS has come.
  enum State: UInt8, Sendable, BitwiseCopyable {
    case waiting, awaitsPubAck, awaitsPubRec, awaitsPubComp, done
  }

  /// Set in `identifiers` where it names a block with a list.
  public static var isList: UInt32 { 1 << 31 }

  /// A delivery that was not sent yet.
  public init(
    message: UInt32, identifiers: UInt32, qos: QoS, retain: Bool, isShared: Bool,
    sequence: UInt64 = 0
  ) {
    self.message = message
    self.identifiers = identifiers
    state = .waiting
    traits = qos.rawValue | (retain ? 4 : 0) | (isShared ? 16 : 0)
    self.sequence = sequence
  }

  /// The QoS it is delivered with: the lower of the message's and the subscription's.
  public var qos: QoS { QoS(rawValue: traits & 3) ?? .atMostOnce }
  /// The RETAIN flag that the subscriber is shown.
  public var retain: Bool { traits & 4 != 0 }
  /// Whether it was written to a connection, of which the client may have seen it.
  var wasSent: Bool {
    get { traits & 8 != 0 }
    set { traits = newValue ? traits | 8 : traits & ~8 }
  }
  /// Whether it came through a shared subscription, so that another member of the group may take it
  /// over.
  public var isShared: Bool { traits & 16 != 0 }
  /// Whether another member of the group may have it instead: it waits, or it is of QoS 1 and not
  /// acknowledged [MQTT-4.8.2-4] [MQTT-4.8.2-5].
  public var mayGoToAnother: Bool { state == .waiting || state == .awaitsPubAck }
}

/// A message of the log that a session is done with.
public struct FinishedDelivery: BitwiseCopyable, Sendable {
  /// Its sequence number.
  public var sequence: UInt64
  /// The session, by its slot.
  public var session: UInt32
  /// Whether it came through a shared subscription.
  public var isShared: Bool
}

/// The ring of one session's deliveries, oldest first: those sent, then those waiting.
///
/// Packet identifiers of what was sent rise along the ring, nearly always by one, so the place of an
/// acknowledged one is a subtraction away, in whatever order the client acknowledges. What a client
/// leaves unacknowledged while it takes much that is newer is moved out of the ring, to the
/// stragglers, so that one message never holds the others back.
struct Outbound: BitwiseCopyable {
  /// Block of deliveries; a power of two of them.
  var block: UInt32
  var capacity: UInt32
  /// Index of the oldest in the block.
  var head: UInt32 = 0
  /// Deliveries in the ring, done ones that older ones hold back included.
  var count: UInt32 = 0
  /// How many of them have a packet identifier.
  var numbered: UInt32 = 0
  /// How many of those were sent over the present connection.
  var transmitted: UInt32 = 0
  /// How many of those with an identifier were looked at for a PUBREL that is to be sent again
  /// over the present connection: never fewer than `transmitted`, as those wait for no quota.
  var released: UInt32 = 0
  /// Sent over the present connection and not acknowledged: what the receive maximum bounds.
  var inFlight: UInt32 = 0
  /// How many of those with an identifier the store is known to have: what a stored session sends
  /// with QoS 2 is not sent before.
  var stored: UInt32 = 0
  /// Identifier of the oldest, if it has one.
  var firstPacketID: UInt16 = 1
  /// Unacknowledged deliveries that are older than the ring, oldest first, and how many of them
  /// were sent over the present connection.
  var stragglerCount: UInt16 = 0
  var stragglersTransmitted: UInt16 = 0
  /// Deliveries that the stragglers' block has room for.
  var stragglerCapacity: UInt16 = 0
  /// Block of the stragglers; 0 for none.
  var stragglers: UInt32 = 0
  /// Bytes of the messages in the ring.
  var bytes: Int = 0

  init(block: UInt32, capacity: UInt32) {
    self.block = block
    self.capacity = capacity
  }

  /// Deliveries that wait for an identifier.
  var waiting: UInt32 { count - numbered }

  func index(_ place: UInt32) -> Int { Int((head &+ place) & (capacity - 1)) }

  /// How far `packetID` is behind the oldest; identifiers run from 1 to 65,535.
  func distance(to packetID: UInt16) -> UInt32 {
    packetID >= firstPacketID
      ? UInt32(packetID - firstPacketID)
      : UInt32(packetID) + 65_535 - UInt32(firstPacketID)
  }
}
