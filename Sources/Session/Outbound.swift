import Packet
import Util

/// One message for one session, sent or waiting: 12 bytes.
public struct Delivery: BitwiseCopyable, Sendable {
  /// The message; 0 where the body need not be kept, because the session ends with its connection
  /// and no retry can come.
  public var message: UInt32
  /// Subscription identifiers: 0 for none, a single one, or a block with several (`isList`).
  public var identifiers: UInt32
  public var state: State
  /// QoS in bits 0 and 1, retain in bit 2, "sent before" in bit 3, "for a shared group" in bit 4.
  public var traits: UInt8
  var spare: UInt16 = 0

  public enum State: UInt8, Sendable, BitwiseCopyable {
    case waiting, awaitsPubAck, awaitsPubRec, awaitsPubComp, done
  }

  /// Set in `identifiers` where it names a block with a list.
  public static var isList: UInt32 { 1 << 31 }

  public init(message: UInt32, identifiers: UInt32, qos: QoS, retain: Bool, isShared: Bool) {
    self.message = message
    self.identifiers = identifiers
    state = .waiting
    traits = qos.rawValue | (retain ? 4 : 0) | (isShared ? 16 : 0)
  }

  public var qos: QoS { QoS(rawValue: traits & 3) ?? .atMostOnce }
  public var retain: Bool { traits & 4 != 0 }
  public var wasSent: Bool {
    get { traits & 8 != 0 }
    set { traits = newValue ? traits | 8 : traits & ~8 }
  }
  public var isShared: Bool { traits & 16 != 0 }
}

/// The ring of one session's deliveries, oldest first: those sent, then those waiting.
///
/// Packet identifiers of what was sent follow each other, so the place of an acknowledged one is a
/// subtraction away, in whatever order the client acknowledges.
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
  /// Sent over the present connection and not acknowledged: what the receive maximum bounds.
  var inFlight: UInt32 = 0
  /// Identifier of the oldest, if it has one.
  var firstPacketID: UInt16 = 1
  var spare: UInt16 = 0
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
  func place(of packetID: UInt16) -> UInt32 {
    packetID >= firstPacketID
      ? UInt32(packetID - firstPacketID)
      : UInt32(packetID) + 65_535 - UInt32(firstPacketID)
  }

  /// The identifier at a place.
  func packetID(at place: UInt32) -> UInt16 {
    UInt16((UInt32(firstPacketID) - 1 + place) % 65_535 + 1)
  }
}
