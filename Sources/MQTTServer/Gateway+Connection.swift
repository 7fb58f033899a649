import CLinux
import Glibc
import Net
import Synchronization
import Util

/// What is under way for servers of this process, over all loops.
final class OutsideCounts: Sendable {
  /// Connections of theirs.
  let trusted = Atomic<Int>(0)
  /// Connections that they have opened so far.
  let opened = Atomic<UInt64>(0)
  /// Loops that were asked for a list so far.
  let listed = Atomic<Int>(0)
  /// Broadcasts that are under way.
  let broadcasts = Atomic<Int>(0)
}

extension MQTTBroker {
  /// See `Gateway`. Nil also where there are `Limits.trustedConnections` already.
  public func openConnection() -> Int32? { broker.openConnection() }
}

extension Broker {
  func openConnection() -> Int32? {
    let count = outside.trusted.add(1, ordering: .relaxed).newValue
    if count <= Limits.trustedConnections, let descriptor = connectToLoop() { return descriptor }
    outside.trusted.subtract(1, ordering: .relaxed)
    return nil
  }

  /// Makes a pair of sockets and sends one to a loop, one loop after the other.
  private func connectToLoop() -> Int32? {
    var ours: Int32 = -1
    var theirs: Int32 = -1
    guard unsafe clinux_stream_pair(&ours, &theirs) == 0 else { return nil }
    // What is on its way stays open.
    defer { close(theirs) }
    let serial = outside.opened.wrappingAdd(1, ordering: .relaxed).newValue
    let number = Passage.firstOutsideNumber | serial & (Passage.firstOutsideNumber - 1)
    for step in 0..<passages.count {
      let target = Int((serial &+ UInt64(step)) % UInt64(passages.count))
      // One whose way is full is passed over.
      guard passages[target].send(theirs, number: number) else { continue }
      mailboxes[target].post(
        .adopt(Adoption(token: number, bytes: [], hops: 0, isTrusted: true)))
      return ours
    }
    close(ours)
    return nil
  }

  /// A connection is about to go.
  func forgetConnection(isTrusted: Bool) {
    if isTrusted {
      outside.trusted.subtract(1, ordering: .relaxed)
    } else {
      connectionCount.subtract(1, ordering: .relaxed)
    }
  }
}

extension Worker {
  private static let backendPrefix = Array("$backend/".utf8)

  /// Whether a client id is one that only servers of this process may have: `$backend/` and more.
  static func isOfBackend(_ client: Span<UInt8>) -> Bool {
    guard client.count >= backendPrefix.count else { return false }
    for place in backendPrefix.indices where client[place] != backendPrefix[place] { return false }
    return true
  }
}
