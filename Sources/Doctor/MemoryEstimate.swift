/// What a number of quiet clients takes of this machine's memory.
public struct MemoryEstimate: Sendable, Equatable {
  /// Bytes of the broker's own memory.
  public let userBytes: UInt64
  /// Bytes of kernel memory for the connections, of both ends where the clients are here. What the
  /// program of the clients takes is not in it.
  public let kernelBytes: UInt64
  /// Bytes that TCP counts while a short message is on its way to each client; at most so much
  /// more of the kernel's memory is in use for as long.
  public let burstBytes: UInt64

  /// The estimate for a demand.
  init(_ demand: Demand, pageBytes: UInt64) {
    userBytes = Figures.userBytesFixed + demand.connections * Figures.userBytesPerClient
    kernelBytes = demand.ends * Figures.kernelBytesPerConnection
    burstBytes = demand.connections * Figures.bufferPagesPerMessage * pageBytes
  }

  /// Bytes that are in use for as long as the clients are connected.
  public var totalBytes: UInt64 { userBytes + kernelBytes }

  /// Clients that so many bytes are enough for, to two digits.
  static func connections(in bytes: UInt64, clientsAreHere: Bool) -> UInt64 {
    let each =
      Figures.userBytesPerClient + Figures.kernelBytesPerConnection * (clientsAreHere ? 2 : 1)
    let count = bytes > Figures.userBytesFixed ? (bytes - Figures.userBytesFixed) / each : 0
    var unit: UInt64 = 1
    while count / unit >= 100 { unit *= 10 }
    return count / unit * unit
  }
}
