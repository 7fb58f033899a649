import CLinux
import Glibc
import Util

extension Loop {
  /// Begins a connection to a server, and gives its slot. `opened` comes when it is there, `closed`
  /// when it could not be made; output that is added before is written then.
  ///
  /// - Parameters:
  ///   - address: numeric, of IPv4 or IPv6; see `resolve`.
  ///   - source: a numeric address of this machine to come from; nil for the system's choice. One
  ///     address has some 28,000 ports for each server, so that more connections need several.
  /// - Throws: `NetError` with the system's reason where no attempt could be made.
  @discardableResult
  public func connect(
    to address: String, port: UInt16, from source: String? = nil
  ) throws(NetError) -> UInt32 {
    let descriptor =
      if let source {
        unsafe clinux_connect(address, port, source)
      } else {
        unsafe clinux_connect(address, port, nil)
      }
    if descriptor < 0 {
      throw NetError("connect to \(endpointText(address, port))", code: -descriptor)
    }
    guard let slot = add(descriptor) else {
      throw NetError("connect to \(endpointText(address, port))", code: ENOBUFS)
    }
    connections[slot].flags.formUnion([.isConnecting, .awaitsWritable])
    watch(slot)
    return slot
  }

  /// The attempt has come to its end.
  func connected(_ slot: UInt32, _ handler: Handler) {
    connections[slot].flags.remove(.isConnecting)
    var code: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    // Safe: both are initialized, and the size is that of the value.
    if unsafe getsockopt(connections[slot].descriptor, SOL_SOCKET, SO_ERROR, &code, &size) != 0 {
      code = errno
    }
    guard code == 0 else { return end(slot, .networkError(code), handler) }
    watch(slot)
    // What was added before could not be written, and is in no list.
    if connections[slot].output != 0 { markDirty(slot) }
    // Dropped while it was on its way: there is nobody to tell.
    guard !connections[slot].flags.contains(.isFinishing) else { return }
    handler.opened(slot)
  }
}

/// The numeric addresses of a host, those of IPv4 first: servers on a loopback often have no other.
///
/// - Throws: `NetError` where the host is not known.
public func resolve(_ host: String) throws(NetError) -> [String] {
  var found: [String] = []
  // A host with more addresses than this is reached through one of them.
  while found.count < 16 {
    var text: InlineArray<64, CChar> = .init(repeating: 0)
    var span = text.mutableSpan
    let (code, address) = unsafe span.withUnsafeMutableBufferPointer { buffer in
      // The buffer is not empty, so it has an address; it ends with a zero whatever is written.
      let start = buffer.baseAddress!
      let code = unsafe clinux_resolve(host, Int32(found.count), start, 64)
      return (code, code == 1 ? unsafe String(cString: start) : "")
    }
    if code == 0 { break }
    guard code > 0 else { throw NetError("find the host \(host)", code: -code) }
    found.append(address)
  }
  return found.filter { !$0.contains(":") } + found.filter { $0.contains(":") }
}

/// An address and a port as they are written, an IPv6 address in brackets.
func endpointText(_ address: String, _ port: UInt16) -> String {
  address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
}
