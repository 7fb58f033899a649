/// Every limit that is not configured, each with its reason. `LimitsTests` holds how they relate.
///
/// Limits that operators set are in the configuration's key table.
public enum Limits {
  // MARK: Loops

  /// Event loops of one broker: one bit each in the sets of loops that a publish wakes.
  public static var loops: Int { 64 }

  /// Sessions that one loop can hold, connected or away: what 24 bits of slots name.
  public static var sessionsPerLoop: Int { 1 << 24 - 1 }

  /// Sessions of the whole broker that the directory is laid out for. Only addresses are reserved.
  public static var sessions: Int { 1 << 25 }

  /// Bytes of a loop thread's stack. The deepest path is bounded by the number of topic levels;
  /// only pages that were touched take memory.
  public static var stackBytes: Int { 1 << 20 }

  // MARK: One turn of a loop

  /// Most events taken from epoll at once.
  public static var eventsPerTurn: Int { 512 }

  /// Most connections accepted from one listener in a turn, so that a storm leaves time for those
  /// who are here.
  public static var acceptsPerTurn: Int { 64 }

  /// Connections that may wait to be accepted; the system caps it at `net.core.somaxconn`.
  public static var backlog: Int32 { 65_535 }

  /// Bytes read from one connection in a turn: a stream of small packets takes one system call for
  /// thousands of them.
  public static var readBytes: Int { 262_144 }

  /// Bytes of the read buffer that stay in memory in quiet times: what idle clients' packets need.
  public static var quietScratchBytes: Int { 16_384 }

  /// A remainder up to this size is copied in front of the next read; a larger one is read into
  /// where it lies.
  public static var copiedRemainderBytes: Int { 32_768 }

  /// Gathered output of one connection that is written before the turn ends: enough for one system
  /// call, and a bound on what a turn can gather for a thousand subscribers.
  public static var gatheredBytes: Int { 131_072 }

  /// Parts of one gathered write. The system takes up to 1,024; a turn rarely has more blocks.
  public static var gatheredParts: Int { 32 }

  /// Bytes of a body from which it is written from where it was read instead of copied: below, the
  /// copy costs less than another part of the gathered write.
  public static var lentBytes: Int { 4096 }

  /// Empty chunks of 64 KiB that a pool keeps of each block size between two quiet seconds: 8 MiB,
  /// about what a busy turn writes, so that it costs no page faults.
  public static var spareChunks: Int { 128 }

  /// Ticks of 125 ms between two looks for memory that nobody needs any more.
  public static var trimTicks: UInt32 { 8 }

  /// Nodes of the index of retained messages that a loop looks at in a turn before new subscribers
  /// have to wait for the next: some milliseconds, in which the index is locked. A walk that was
  /// begun goes to its end.
  public static var retainedVisitsPerTurn: Int { 100_000 }

  // MARK: One client

  /// Retained messages that may wait to be sent to a client before its further filters are looked
  /// up: 32 KiB of names. One filter may match more, up to all there are.
  public static var retainedAhead: Int { 4096 }

  /// Pending output from which QoS 1 and 2 messages wait in the session instead, where they are
  /// counted and bounded: about a socket's send buffer.
  public static var outputHighWater: Int { 65_536 }

  /// Ticks of 125 ms that a peer has to take the last bytes and close its side.
  public static var lingerTicks: UInt32 { 16 }

  /// A client that leaves one message unacknowledged and takes others makes us remember the
  /// others, up to this many times its receive maximum; then the one is kept apart.
  public static var acknowledgementSpread: UInt32 { 8 }

  /// The most packet identifiers that may be out at a time, whatever a client takes: half of those
  /// there are, so that the older half can be told from the newer.
  public static var packetIdentifiersOut: UInt16 { 32_767 }

  /// Topics that we give an alias towards one client, whatever it takes: each message is compared
  /// with all of them.
  public static var sentAliases: UInt16 { 64 }

  /// Subscription identifiers of one delivery beyond which further ones are left out: 5 KiB of
  /// header at most.
  public static var identifiersPerDelivery: Int { 1024 }

  /// Log lines about clients that one loop writes in a second; the rest are counted.
  public static var logLinesPerSecond: Int { 10 }

  // MARK: Stored sessions

  /// Messages of the log that a session takes before it can send them; what it is owed beyond waits in
  /// the store. Each costs 16 bytes with every write of the session, and 8 more if a group gave it.
  public static var takenAhead: Int { 64 }

  /// Bytes of messages that a session takes before it can send them, though one always.
  public static var takenAheadBytes: Int { 1 << 20 }

  /// Messages of one shared subscription that its members hold together, beyond which the others wait in
  /// the log: those that the group still holds cost eight bytes each with every write of it.
  public static var sharedMessagesHeld: Int { 4096 }

  /// Bytes of orders for the store from which publishers are held back: what it commits in some
  /// tenths of a second.
  public static var storeHighWater: Int { 16 << 20 }

  /// Answers to one client that may wait for a store which is behind, before no more of it is read: more
  /// than most clients have in flight.
  public static var waitingAnswers: Int { 64 }

  /// Filters of one session whose retained messages the store is asked for at a time: each may take a
  /// page.
  public static var retainedAsks: Int { 16 }

  /// Bytes of retained messages that one answer of the store has.
  public static var retainedPageBytes: Int { 65_536 }

  // MARK: Between loops

  /// Bytes of publishes on their way to one loop from which publishers are held back. A loop
  /// handles that much in some milliseconds.
  public static var mailboxHighWater: Int { 32 << 20 }

  /// Bytes of a batch from which it is posted before the turn ends.
  public static var batchBytes: Int { 196_608 }

  /// Bytes of a batch's buffer that are kept for its next use: a full one, and the message that made
  /// it so, unless that was large.
  public static var keptBatchBytes: Int { 262_144 }

  /// Bytes of a batch after which the receiver's pressure is told of them before it is posted.
  public static var announcedBytes: Int { 65_536 }

  /// Empty batches of publishes that are kept, 32 MiB at most: two on the way between any two of
  /// eight busy loops.
  public static var spareBatches: Int { 128 }

  /// How often a connection may be handed from loop to loop before it is refused: each hand-over
  /// means that the session moved meanwhile, which takes another client with the same id.
  public static var handOvers: UInt8 { 8 }

  // MARK: Backends

  /// Seconds for which the key of a backend's request is remembered: far longer than a call is tried again.
  public static var rememberedSeconds: UInt32 { 600 }

  /// Messages of one client about which a hook is asked at once: what one read of small ones brings.
  public static var messagesPerQuestion: Int { 64 }

  /// Bytes of messages of one client about which a hook is asked at once, unless one is larger.
  public static var bytesPerQuestion: Int { 262_144 }

  // MARK: Servers of this process

  /// Connections that servers of this process have to the broker, of all loops together: one for each stream of
  /// a backend that reads messages, of which a server has far fewer.
  public static var trustedConnections: Int { 4096 }

  /// Things asked for of sessions of one loop that wait for those, beyond which no more are taken: some
  /// hundred bytes each, and looked at in each turn.
  public static var waitingErrands: Int { 1024 }

  /// How often something that was asked for follows a session from loop to loop before it is given up, as with
  /// `handOvers`.
  public static var errandAttempts: Int { 8 }

  /// Pages of lists, and of backlogs, that one loop asks the store for at a time.
  public static var outsideReads: Int { 64 }

  /// Slots of sessions that a list or a broadcast looks at in a turn: some tenths of a millisecond.
  public static var slotsPerTurn: Int { 4096 }

  /// Clients on one page of a list.
  public static var listedClients: Int { 1000 }

  /// Messages of one page of a backlog.
  public static var backlogMessages: Int { 1000 }

  /// Bytes of messages from which on no further one is added to a page of a backlog.
  public static var backlogBytes: Int { 1 << 20 }

  /// Absent sessions of one loop that stay in memory because they are still to get retained messages for what
  /// a backend subscribed them to: some hundred bytes each. Others do without.
  public static var absentRetained: Int { 10_000 }

  /// Broadcasts at a time: each loop looks at each of them in every tick.
  public static var broadcasts: Int { 16 }

  /// Clients that one broadcast is sent to in a turn: about a millisecond.
  public static var broadcastSends: Int { 256 }

  /// Clients of one broadcast that are asked in a tick whether they have it: about a millisecond.
  public static var broadcastChecks: Int { 16_384 }
}
