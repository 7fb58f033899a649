/// What is kept of a shared subscription that has a stored member which messages are kept for: one
/// cursor for all its members.
///
/// Each message that matches is owed to the group once. The group hands it to one member: a stored
/// session then holds it in its window, and for any other member the group goes on holding it until that
/// member is done.
public struct StoredGroup: Sendable, Equatable {
  /// Its number.
  public var id: StoredGroupID
  /// The sequence number up to which messages were handed out.
  public var cursor: UInt64
  /// Messages up to there that are the group's still, rising: they were handed to members that are gone
  /// or are not stored.
  public var pending: [UInt64]

  /// See the properties.
  public init(id: StoredGroupID, cursor: UInt64, pending: [UInt64]) {
    self.id = id
    self.cursor = cursor
    self.pending = pending
  }
}

/// A question for messages of a shared subscription.
public struct GroupQuery: Sendable {
  /// Who asks.
  public var asker: Asker
  /// The shared subscription.
  public var group: StoredGroupID
  /// The messages to give, rising; none for those behind `after`.
  public var sequences: [UInt64]
  /// The sequence number behind which to read.
  public var after: UInt64
  /// The most messages wanted.
  public var maximumMessages: Int
  /// Bytes of messages from which on no further one is wanted.
  public var maximumBytes: Int

  /// See the properties.
  public init(
    asker: Asker, group: StoredGroupID, sequences: [UInt64], after: UInt64, maximumMessages: Int,
    maximumBytes: Int
  ) {
    self.asker = asker
    self.group = group
    self.sequences = sequences
    self.after = after
    self.maximumMessages = maximumMessages
    self.maximumBytes = maximumBytes
  }
}
