import Util

/// One connection of a loop: 40 bytes, whatever it does. It owns no buffer while it is idle.
///
/// Plain data: another process can be handed the descriptor and the record.
public struct Connection: TimerOwner, Sendable {
  /// The socket, in its loop's own table of open files where tables are parted.
  package internal(set) var descriptor: Int32
  /// Differs for each connection of a loop, so that an event or a letter for a slot that was used
  /// again is told from one for its present owner.
  public internal(set) var generation: UInt32
  /// The handler's: which of its records this connection belongs to.
  public var owner: UInt32 = 0
  /// The handler's: where the connection is in its protocol.
  public var phase: UInt8 = 0
  /// The handler's: facts about the peer.
  public var traits: UInt8 = 0
  var flags: Flags = []
  /// The handler's: a third fact.
  public var dialect: UInt8 = 0
  /// Block with bytes that wait for the rest of their packet, or for `resume`; 0 for none.
  var remainder: UInt32 = 0
  /// Record of the output that waits; 0 for none.
  var output: UInt32 = 0
  /// The connection's timer, which `Loop.setTimer` and `Loop.cancelTimer` set and stop.
  public var timer = TimerLinks()
  /// The tick at which bytes last arrived.
  public internal(set) var lastReceived: UInt32

  struct Flags: OptionSet, BitwiseCopyable, Sendable {
    let rawValue: UInt8
    /// In the loop's list of connections with output of this turn.
    static let isDirty = Flags(rawValue: 1)
    /// The socket was full: epoll tells when it takes more.
    static let awaitsWritable = Flags(rawValue: 2)
    /// The handler asked not to be given more bytes.
    static let isPaused = Flags(rawValue: 4)
    /// The handler is done: output is written, then the connection ends.
    static let isFinishing = Flags(rawValue: 8)
    /// All is written and our side is shut: bytes are thrown away until the peer closes.
    static let isLingering = Flags(rawValue: 16)
    /// In the list of connections whose remainder is to be handled again.
    static let isResuming = Flags(rawValue: 32)
    /// The handler wants to know when the present output is written.
    static let tellsDrained = Flags(rawValue: 64)
    /// Made by `connect`, and not there yet: `awaitsWritable` is set as well.
    static let isConnecting = Flags(rawValue: 128)
  }
}

/// Output that waits for the end of the turn, or for the socket.
struct Output: BitwiseCopyable {
  /// First and last block of the chain.
  var first: UInt32
  var last: UInt32
  /// Bytes in the chain.
  var count: Int
}

/// The head of a block of output or of a remainder; its bytes follow.
struct BlockHeader: BitwiseCopyable {
  /// Next block of the chain; 0 ends it.
  var next: UInt32
  /// Bytes filled, from the end of this header.
  var end: UInt32
  /// Output: bytes already written. Remainder: bytes the packet is known to need.
  var start: UInt32
  /// Output: bytes at `lent` that come behind the block's own; 0 for none. Nothing is added to a
  /// block that has them.
  var lentCount: UInt32 = 0
  /// Address of bytes that lie elsewhere, until `settleLent`.
  var lent: UInt = 0

  static var size: Int { 24 }
}

/// Why a connection ended.
public enum CloseReason: Sendable {
  /// The peer closed its side.
  case peerClosed
  /// The network gave an error, such as a reset.
  case networkError(Int32)
  /// No memory or no slot was left for what it needed.
  case exhausted
}
