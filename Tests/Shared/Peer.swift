import Glibc
import Testing

struct TestFailure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// A blocking client on the loopback, with time-outs, so that a failure is an error and no hang.
final class Peer: Sendable {
  let descriptor: Int32

  /// Takes over a socket that is connected, which may be non-blocking.
  init(descriptor: Int32, seconds: Int = 5) {
    self.descriptor = descriptor
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK)
    var limit = timeval(tv_sec: seconds, tv_usec: 0)
    let length = socklen_t(MemoryLayout<timeval>.size)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, length)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, length)
  }

  /// - Parameter receiveBuffer: bytes of the socket's receive buffer; 0 for the system's choice.
  init(port: UInt16, receiveBuffer: Int32 = 0, seconds: Int = 5) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | 0o2000000, 0)
    guard descriptor >= 0 else { throw TestFailure("socket: \(errno)") }
    var on: Int32 = 1
    let size = socklen_t(MemoryLayout<Int32>.size)
    unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, size)
    if receiveBuffer > 0 {
      var bytes = receiveBuffer
      unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, size)
    }
    var limit = timeval(tv_sec: seconds, tv_usec: 0)
    let length = socklen_t(MemoryLayout<timeval>.size)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, length)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, length)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let descriptor = descriptor
    let code = unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if code != 0 {
      let reason = errno
      close(descriptor)
      throw TestFailure("connect: \(reason)")
    }
  }

  deinit {
    shutdown(descriptor, Int32(SHUT_RDWR))
    close(descriptor)
  }

  func send(_ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.send(
          descriptor, $0.baseAddress.map { unsafe $0 + sent }, bytes.count - sent,
          Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { throw TestFailure("send: \(errno)") }
      sent += count
    }
  }

  /// Sends what the socket takes at once, and gives how much that was.
  func sendSome(_ bytes: [UInt8], from offset: Int) -> Int {
    let count = unsafe bytes.withUnsafeBytes {
      unsafe Glibc.send(
        descriptor, $0.baseAddress.map { unsafe $0 + offset }, bytes.count - offset,
        Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
    }
    return max(0, count)
  }

  /// Up to `count` bytes; none at the end of the stream.
  func receive(upTo count: Int) throws -> [UInt8] {
    var code: Int32 = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      let got = unsafe recv(descriptor, buffer.baseAddress, count, 0)
      if got < 0 { code = errno }
      filled = max(0, got)
    }
    guard code == 0 else { throw TestFailure("recv: \(code)") }
    return bytes
  }

  func receive(exactly count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let more = try receive(upTo: count - bytes.count)
      guard !more.isEmpty else {
        throw TestFailure("the stream ended after \(bytes.count) of \(count) bytes")
      }
      bytes += more
    }
    return bytes
  }

  /// Whether nothing but the end of the stream is left.
  func isAtEnd() throws -> Bool { try receive(upTo: 1).isEmpty }

  /// Says that nothing more is sent.
  func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// Ends the connection with a reset instead of a goodbye.
  func reset() {
    var option = linger(l_onoff: 1, l_linger: 0)
    unsafe setsockopt(
      descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    // Dissolving the association resets it at once.
    var address = sockaddr()
    address.sa_family = sa_family_t(AF_UNSPEC)
    _ = unsafe connect(descriptor, &address, socklen_t(MemoryLayout<sockaddr>.size))
  }
}
