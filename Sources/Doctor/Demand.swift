import Util

/// What is asked of the machine.
public struct Demand: Sendable, Equatable {
  /// Clients that are to be connected at a time; 1 to 100,000,000.
  public let connections: UInt64
  /// Event loops of the broker; 1 to `Limits.loops`.
  public let loops: UInt64
  /// Addresses that the broker listens on, each a socket for each loop; 1 to 64.
  public let listeners: UInt64
  /// Whether the clients run on this machine too, as a load generator's do.
  public let clientsAreHere: Bool

  /// A demand. Numbers out of their ranges are brought to the nearest end.
  public init(connections: Int, loops: Int, listeners: Int = 1, clientsAreHere: Bool = false) {
    self.connections = UInt64(min(max(connections, 1), Demand.mostConnections))
    self.loops = UInt64(min(max(loops, 1), Limits.loops))
    self.listeners = UInt64(min(max(listeners, 1), Demand.mostListeners))
    self.clientsAreHere = clientsAreHere
  }

  /// The most connections that can be asked for: more than one machine has ever held.
  public static var mostConnections: Int { 100_000_000 }

  /// The most listeners that can be asked for: what `mqtt.tcp.listen` takes.
  public static var mostListeners: Int { 64 }

  /// Ends of connections on this machine: one for each client, two where the clients are here.
  var ends: UInt64 { connections * (clientsAreHere ? 2 : 1) }

  // MARK: Descriptors

  /// Descriptors before the first client, as the broker reserves them.
  func reservedFiles(loops: UInt64) -> UInt64 {
    Figures.filesFixed + loops * (Figures.filesPerLoop + listeners)
  }

  /// Descriptors of a table that all loops share.
  var filesOfOneTable: UInt64 { connections + reservedFiles(loops: loops) }

  /// Clients of the fullest loop. The kernel spreads them by a hash, so their number varies as
  /// that of a binomial distribution does: six of its standard deviations are never seen.
  func share(loops: UInt64) -> UInt64 {
    let mean = Double(connections) / Double(loops)
    return min(connections, UInt64((mean + 6 * mean.squareRoot()).rounded(.up)))
  }

  /// Descriptors of the fullest table where each loop has its own. What was open before is in
  /// each of them.
  func filesOfOwnTable(loops: UInt64) -> UInt64 {
    share(loops: loops) + reservedFiles(loops: loops)
  }

  /// The fewest loops, more than are asked for, whose own tables fit a limit; nil where even the
  /// most do not.
  func loops(forLimit limit: UInt64) -> UInt64? {
    guard loops < Limits.loops else { return nil }
    return (loops + 1...UInt64(Limits.loops)).first { filesOfOwnTable(loops: $0) <= limit }
  }

  // MARK: Queues

  /// Clients that one listening socket has to let wait in a storm of reconnects; each loop has
  /// its own socket. More than `Limits.backlog` the broker does not ask for.
  var queue: UInt64 {
    let seconds = Double(Figures.queueSeconds) / Double(Figures.stormSeconds)
    let arrivals = UInt64((Double(connections) * seconds / Double(loops)).rounded(.up))
    let least = min(connections, Figures.queueLeast)
    return min(UInt64(Limits.backlog), max(arrivals, least))
  }

  /// `queue`, where the kernel leaves the last quarter to peers that it knows.
  var synQueue: UInt64 { (queue * 4 + 2) / 3 }
}
