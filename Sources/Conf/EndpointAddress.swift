/// A host and a TCP port to connect to.
public struct EndpointAddress: Sendable, Hashable, CustomStringConvertible {
  /// An IP address without brackets, or a name.
  public let host: String
  /// The TCP port: 1 to 65,535.
  public let port: UInt16

  /// The address as it is written in the configuration: `backend.example:5052` or `[::1]:5052`.
  public var description: String {
    host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
  }

  /// Parses `host:port`; an IPv6 address stands in brackets. Names are looked up when a connection is made.
  init(parsing text: String) throws(ValueError) {
    guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else {
      throw ValueError("\(quoted(text)) needs a port, such as backend.example:5052")
    }
    let portText = text[text.index(after: colon)...]
    guard let port = UInt16(portText), port > 0, portText.utf8.allSatisfy({ 48...57 ~= $0 }) else {
      throw ValueError("\(quoted(String(portText))) is not a port; use a number from 1 to 65535")
    }
    self.port = port
    let hostText = text[..<colon]
    if hostText.hasPrefix("[") && hostText.hasSuffix("]") {
      host = String(hostText.dropFirst().dropLast())
      guard host.utf8.contains(UInt8(ascii: ":")),
        host.utf8.allSatisfy({ Self.isHexadecimal($0) || ":.".utf8.contains($0) })
      else { throw ValueError("\(quoted(text)) has brackets, which only an IPv6 address takes") }
    } else {
      host = String(hostText)
      guard !host.isEmpty, host.utf8.count <= 253, host.utf8.allSatisfy(Self.isOfName) else {
        throw ValueError("\(quoted(text)) needs the form host:port, such as backend.example:5052")
      }
    }
  }

  private static func isHexadecimal(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
      UInt8(ascii: "A")...UInt8(ascii: "F"):
      true
    default: false
    }
  }

  private static func isOfName(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "."), UInt8(ascii: "-"),
      UInt8(ascii: "_"):
      true
    default: false
    }
  }
}
