import Glibc

/// An IP address and a TCP port to listen on.
public struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
  /// The IP address in its usual text form, without brackets.
  public let host: String
  /// The TCP port; 0 lets the kernel choose one.
  public let port: UInt16
  /// Whether only this machine can reach the address.
  public let isLoopback: Bool

  /// 127.0.0.1 and a port.
  public init(ipv4Loopback port: UInt16) {
    host = "127.0.0.1"
    self.port = port
    isLoopback = true
  }

  /// The address as it is written in the configuration: `127.0.0.1:1883` or `[::1]:1883`.
  public var description: String {
    host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
  }

  /// Parses `address:port`; an IPv6 address stands in brackets, and `localhost` is 127.0.0.1.
  ///
  /// Names are refused: which address they stand for may change between the check that the
  /// address is a loopback one and the moment of listening.
  init(parsing text: String) throws(ValueError) {
    let (hostText, portText) = try Self.split(text)
    guard let port = UInt16(portText), portText.utf8.allSatisfy({ 48...57 ~= $0 }) else {
      throw ValueError("\(quoted(portText)) is not a port; use a number from 0 to 65535")
    }
    self.port = port
    if hostText == "localhost" {
      host = "127.0.0.1"
      isLoopback = true
    } else if let address = Self.ipv4(hostText) {
      host = hostText
      isLoopback = address[0] == 127
    } else if let address = Self.ipv6(hostText) {
      host = address.text
      isLoopback = Self.isLoopback(address.bytes)
    } else {
      throw ValueError("\(quoted(hostText)) is not an IP address; names are not looked up")
    }
  }

  private static func split(_ text: String) throws(ValueError) -> (host: String, port: String) {
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]"), text[end...].hasPrefix("]:") else {
        throw ValueError("\(quoted(text)) needs the form [address]:port, such as [::1]:1883")
      }
      let host = String(text[text.index(after: text.startIndex)..<end])
      guard host.utf8.contains(UInt8(ascii: ":")) else {
        throw ValueError("\(quoted(text)) has brackets, which only an IPv6 address takes")
      }
      return (host, String(text[text.index(end, offsetBy: 2)...]))
    }
    guard let colon = text.lastIndex(of: ":") else {
      throw ValueError("\(quoted(text)) needs a port, such as 127.0.0.1:1883")
    }
    let host = String(text[..<colon])
    if host.isEmpty {
      throw ValueError(
        "\(quoted(text)) needs an address; 0.0.0.0 and [::] stand for all of this machine's")
    }
    if host.utf8.contains(UInt8(ascii: ":")) {
      throw ValueError("\(quoted(text)) needs brackets around its address, as in [::1]:1883")
    }
    return (host, String(text[text.index(after: colon)...]))
  }

  private static func ipv4(_ text: String) -> [UInt8]? {
    var address = in_addr()
    // Safe: inet_pton reads a terminated string and writes one in_addr.
    guard unsafe inet_pton(AF_INET, text, &address) == 1 else { return nil }
    return unsafe withUnsafeBytes(of: &address) { unsafe [UInt8]($0) }
  }

  private static func ipv6(_ text: String) -> (bytes: [UInt8], text: String)? {
    var address = in6_addr()
    // Safe: inet_pton reads a terminated string and writes one in6_addr.
    guard unsafe inet_pton(AF_INET6, text, &address) == 1 else { return nil }
    let bytes = unsafe withUnsafeBytes(of: &address) { unsafe [UInt8]($0) }
    // The kernel's shortest form, so that one address written in two ways is seen as one.
    var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    // Safe: the length given is that of the buffer.
    guard unsafe inet_ntop(AF_INET6, &address, &buffer, socklen_t(buffer.count)) != nil else {
      return nil
    }
    let characters = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return (bytes, String(decoding: characters, as: UTF8.self))
  }

  /// ::1, or 127.0.0.0/8 mapped into IPv6.
  private static func isLoopback(_ bytes: [UInt8]) -> Bool {
    let mapped = bytes[0..<10].allSatisfy { $0 == 0 } && bytes[10] == 255 && bytes[11] == 255
    return bytes == [UInt8](repeating: 0, count: 15) + [1] || (mapped && bytes[12] == 127)
  }
}
