/// Clients that are away and for whose sessions a message is kept, as far as they are named.
public struct AbsentClients: Sendable {
  /// The most that are named for a message: whoever is told of each one, such as a provider of push
  /// messages, takes them one by one, and half a megabyte of names is what a loop is handed at once.
  public static var maximumClients: Int { 10_000 }

  /// The message.
  public var place: LogPlace
  /// Their client ids, each once, in no certain order.
  public var clients: [[UInt8]]
  /// Subscriptions that the message is owed to beyond those that were looked at, of clients that are away
  /// or not; 0 where all of them were.
  public var more: Int

  /// See the properties.
  public init(place: LogPlace, clients: [[UInt8]], more: Int) {
    self.place = place
    self.clients = clients
    self.more = more
  }

  /// The message's sequence number.
  public var sequence: UInt64 {
    place.segment.first + UInt64(place.segment.records.index(at: place.offset))
  }
}
