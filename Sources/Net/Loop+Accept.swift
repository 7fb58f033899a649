import CLinux
import Glibc
import Util

/// A socket that accepts clients.
struct Listener {
  let descriptor: Int32
}

extension Loop {

  /// How a port is shared between the loops of a process.
  public enum PortSharing: Sendable {
    /// This loop alone listens on the port.
    case none
    /// Other loops will `join`.
    case first
    /// Another loop of this process has claimed the port.
    case join
  }

  /// Listens on a numeric address, and gives the port: the system chooses where `port` is 0.
  ///
  /// - Throws: `NetError` with the system's reason.
  @discardableResult
  public func listen(
    on host: String, port: UInt16, sharing: PortSharing
  ) throws(NetError) -> UInt16 {
    if sharing == .first && port != 0 { try probe(host, port) }
    var bound: UInt16 = 0
    let descriptor = unsafe clinux_listen(
      host, port, Limits.backlog, sharing == .none ? 0 : 1, &bound)
    if descriptor < 0 { throw Loop.failure(host, port, -descriptor) }
    let code = clinux_epoll_ctl(
      epoll, EPOLL_CTL_ADD, descriptor, UInt32(CLINUX_EPOLLIN), UInt64(listeners.count) + 1)
    listeners.append(Listener(descriptor: descriptor))
    if code != 0 { throw NetError("watch a listener", code: code) }
    return bound
  }

  /// Fails where somebody else has the port. A shared port would not: another broker of the same
  /// user that shares its port as well would silently get half of the clients. The probe is bound and
  /// does not listen, so that no client can reach it.
  private func probe(_ host: String, _ port: UInt16) throws(NetError) {
    var bound: UInt16 = 0
    let descriptor = unsafe clinux_listen(host, port, 0, 0, &bound)
    if descriptor < 0 { throw Loop.failure(host, port, -descriptor) }
    close(descriptor)
  }

  private static func failure(_ host: String, _ port: UInt16, _ code: Int32) -> NetError {
    NetError("listen on \(host.contains(":") ? "[\(host)]" : host):\(port)", code: code)
  }

  /// Stops listening; connections go on.
  public func stopAccepting() {
    for listener in listeners { close(listener.descriptor) }
    listeners.removeAll()
    acceptHeldUntil = 0
  }

  func accept(_ index: Int, _ handler: Handler) {
    guard index < listeners.count else { return }
    for _ in 0..<Limits.acceptsPerTurn {
      let descriptor = clinux_accept(listeners[index].descriptor)
      if descriptor < 0 {
        if descriptor == -EMFILE || descriptor == -ENFILE || descriptor == -ENOBUFS
          || descriptor == -ENOMEM
        {
          holdAccepting()
        }
        // Anything else is about one client that has already gone (`man 2 accept`).
        return
      }
      if let slot = add(descriptor) {
        statistics.accepted += 1
        handler.opened(slot)
      }
      guard index < listeners.count else { return }
    }
  }

  /// A connection for an open socket; nil when there is no room, and then it is closed.
  func add(_ descriptor: Int32) -> UInt32? {
    let generation = nextGeneration
    guard
      let slot = connections.insert(
        Connection(descriptor: descriptor, generation: generation, lastReceived: now))
    else {
      statistics.refused += 1
      close(descriptor)
      return nil
    }
    nextGeneration = generation == .max ? 1 : generation + 1
    let code = clinux_epoll_ctl(
      epoll, EPOLL_CTL_ADD, descriptor, Loop.readEvents, UInt64(slot) << 32 | UInt64(generation))
    guard code == 0 else {
      statistics.refused += 1
      connections[slot].generation = 0
      connections.remove(slot)
      close(descriptor)
      return nil
    }
    return slot
  }

  /// No descriptor is left: clients wait in the backlog for a second, instead of a busy loop.
  private func holdAccepting() {
    statistics.refused += 1
    acceptHeldUntil = now + 8
    for listener in listeners {
      _ = clinux_epoll_ctl(epoll, EPOLL_CTL_DEL, listener.descriptor, 0, 0)
    }
  }

  func resumeAccepting() {
    acceptHeldUntil = 0
    for (index, listener) in listeners.enumerated() {
      _ = clinux_epoll_ctl(
        epoll, EPOLL_CTL_ADD, listener.descriptor, UInt32(CLINUX_EPOLLIN),
        UInt64(index) + 1)
    }
  }

  static var readEvents: UInt32 {
    UInt32(CLINUX_EPOLLIN) | UInt32(CLINUX_EPOLLRDHUP)
  }
}
