import Util

/// How far a list of clients has come, as bytes that those who asked for it hand back.
///
/// Stored sessions come first, by their client ids; then those that are in memory alone, loop by loop and slot
/// by slot. A session stays where it is and what it is for as long as it lasts, so that each is listed once.
public enum ListCursor: Sendable, Equatable {
  /// Stored sessions behind a client id; an empty one is the beginning.
  case stored(after: [UInt8])
  /// Sessions in memory of a loop, from a slot on.
  case memory(loop: Int, slot: UInt32)

  private static var storedTag: UInt8 { 1 }
  private static var memoryTag: UInt8 { 2 }

  /// Reads a cursor; nil where the bytes are none.
  public init?(_ bytes: [UInt8]) {
    switch bytes.first {
    case ListCursor.storedTag: self = .stored(after: Array(bytes.dropFirst()))
    case ListCursor.memoryTag where bytes.count == 6 && bytes[1] < Limits.loops:
      let slot = bytes.dropFirst(2).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      self = .memory(loop: Int(bytes[1]), slot: slot)
    default: return nil
    }
  }

  /// The bytes that `init` reads.
  public var bytes: [UInt8] {
    switch self {
    case .stored(let client): [ListCursor.storedTag] + client
    case .memory(let loop, let slot):
      [ListCursor.memoryTag, UInt8(truncatingIfNeeded: loop)]
        + (0..<4).map { UInt8(truncatingIfNeeded: slot >> (24 - 8 * UInt32($0))) }
    }
  }
}
