import CLinux
import Glibc
import Util

/// A way for open sockets from any loop to one loop, whether or not they share a table of open
/// files. It is made before the loops part their tables.
public final class Passage: Sendable {
  let sender: Int32
  let receiver: Int32

  /// - Throws: `NetError` when no descriptor is left.
  public init() throws(NetError) {
    var sender: Int32 = -1
    var receiver: Int32 = -1
    let code = unsafe clinux_channel(&sender, &receiver)
    if code != 0 { throw NetError("make a channel between loops", code: code) }
    self.sender = sender
    self.receiver = receiver
  }

  /// Sends an open file from any thread, whose descriptor stays the caller's; false where the passage is
  /// full, or the system refuses.
  /// - Parameter number: names it for `Loop.adopt`: differs from all others that are on their way, and from
  ///   those of loops by being `firstOutsideNumber` or more.
  public func send(_ descriptor: Int32, number: UInt64) -> Bool {
    clinux_send_descriptor(sender, descriptor, number) == 0
  }

  /// Loops number what they send with their own number in bits 32 to 39.
  public static var firstOutsideNumber: UInt64 { 1 << 40 }

  deinit {
    close(sender)
    close(receiver)
  }
}

extension Loop {
  /// What became of a connection that was to go to another loop.
  public enum HandOver: Sendable {
    /// It has gone, under this number; the slot is given up.
    case gone(token: UInt64)
    /// The passage is full: try again in a later turn. The connection is still here.
    case later
    /// The system refused; the connection is still here.
    case failed
  }

  /// Sends a connection to another loop, without what was received or is to be written. The
  /// handler hears no more of it.
  /// - Parameter salt: differs for each loop, so that numbers do.
  public func handOver(_ slot: UInt32, through passage: Passage, salt: UInt8) -> HandOver {
    let token = UInt64(salt) << 32 | UInt64(connections[slot].generation)
    let code = clinux_send_descriptor(passage.sender, connections[slot].descriptor, token)
    if code == EAGAIN || code == ENOBUFS { return .later }
    guard code == 0 else { return .failed }
    // The socket lives on under another number, so closing ours would not take it out of epoll.
    _ = clinux_epoll_ctl(epoll, EPOLL_CTL_DEL, connections[slot].descriptor, 0, 0)
    release(slot)
    return .gone(token: token)
  }

  /// Takes a connection that another loop sent; nil when there was no room for it. `bytes` are
  /// what the other loop had received of it and not handled.
  public func adopt(_ token: UInt64, from passage: Passage, bytes: [UInt8]) -> UInt32? {
    // They come in the order in which they were sent, the letters about them in another one.
    while passageArrivals[token] == nil {
      var arrived: UInt64 = 0
      let descriptor = unsafe clinux_receive_descriptor(passage.receiver, &arrived)
      if descriptor == -EINTR { continue }
      if descriptor < 0 && descriptor != -EMFILE { return nil }
      passageArrivals[arrived] = descriptor
    }
    guard let descriptor = passageArrivals.removeValue(forKey: token), descriptor >= 0,
      let slot = add(descriptor)
    else { return nil }
    if !bytes.isEmpty && !keepForLater(slot, bytes) {
      release(slot)
      return nil
    }
    return slot
  }
}
