/// An address at which clients or backends are accepted.
public struct ListenEndpoint: Equatable, Sendable {
  /// A numeric IPv4 or IPv6 address.
  public var host: String
  /// 0 lets the system choose.
  public var port: UInt16

  /// The host is not looked at before the server starts.
  public init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  /// The endpoint as the configuration writes it: an IPv6 address in brackets.
  public var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
