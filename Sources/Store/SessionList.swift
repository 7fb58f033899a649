/// A question for some of the stored sessions.
public struct SessionListQuery: Sendable, Equatable {
  /// The most sessions of one answer: what a loop's other work waits for meanwhile is some milliseconds.
  public static var maximumSessions: Int { 1000 }

  /// Comes back with the answer.
  public var tag: UInt64
  /// The client id behind which to go on; empty to begin.
  public var after: [UInt8]
  /// Only sessions whose client id begins with it; empty for all.
  public var prefix: [UInt8]
  /// The most sessions wanted: 1 to `maximumSessions`; others are taken for the nearest of these.
  public var maximum: Int

  /// See the properties.
  public init(tag: UInt64, after: [UInt8] = [], prefix: [UInt8] = [], maximum: Int) {
    self.tag = tag
    self.after = after
    self.prefix = prefix
    self.maximum = maximum
  }
}

/// Some of the stored sessions, by the bytes of their client ids.
public struct SessionList: Sendable, Equatable {
  /// A session on a list.
  public struct Entry: Sendable, Equatable {
    /// The client id.
    public var client: [UInt8]
    /// Whether its client is connected.
    public var isConnected: Bool
    /// The protocol version of its latest connection, as in CONNECT: 3 to 5.
    public var version: UInt8

    /// See the properties.
    public init(client: [UInt8], isConnected: Bool, version: UInt8) {
      self.client = client
      self.isConnected = isConnected
      self.version = version
    }
  }

  /// From the question.
  public var tag: UInt64
  /// The sessions.
  public var entries: [Entry]
  /// Whether there are no more behind the last of them.
  public var isEnd: Bool

  /// See the properties.
  public init(tag: UInt64, entries: [Entry], isEnd: Bool) {
    self.tag = tag
    self.entries = entries
    self.isEnd = isEnd
  }
}
