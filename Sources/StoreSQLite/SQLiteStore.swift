import CSQLite
import Glibc
import PubSub
import Store
import Synchronization
import Util

/// A store in one SQLite file, with a write-ahead log and a thread that commits in groups.
public final class SQLiteStore: Store {
  private struct Queue {
    var batches: [StoreBatch] = []
    var isStopping = false
  }

  private let queue = Mutex(Queue())
  private let bell = Bell()
  private let queuedBytes = Atomic<Int>(0)
  private let failing = Atomic<Bool>(false)
  /// Whether all clients with a session are known.
  private let isKnown = Atomic<Bool>(false)
  private let hasRetained = Atomic<Bool>(false)
  private let nextID: Atomic<UInt64>
  private let clients: InterestIndex
  private let shown = Mutex(StoreStatistics())
  private let thread = Mutex<pthread_t?>(nil)
  private let lock: DirectoryLock
  /// For the store's thread, once it runs.
  private let opened: Opened

  /// What only the store's thread uses.
  private final class Opened: @unchecked Sendable {
    let database: Database
    let limits: StoreLimits
    let path: String
    var engine: Engine?
    var announcement: Announcement?
    var failures: UInt64 = 0
    var commits: UInt64 = 0
    var appended: UInt64 = 0
    var sweptAt: UInt64 = 0
    /// When a checkpoint may be made; later than now after one that failed.
    var checkpointAt: UInt64 = 0
    var isGrowing = false
    /// Where `Engine.reset` failed, it is to be done before anything else.
    var needsReset = false

    init(_ database: Database, path: String, _ limits: StoreLimits) {
      self.database = database
      self.path = path
      self.limits = limits
    }
  }

  /// Opens the store in a directory, which is made where it is missing; one that an older version
  /// wrote is brought to this one.
  /// - Throws: `StoreOpenError`.
  public init(directory: String, sync: StoreSync, limits: StoreLimits) throws(StoreOpenError) {
    try StoreFile.makeDirectory(directory)
    lock = try DirectoryLock(directory: directory)
    let database = try StoreFile.open(directory, sync: sync)
    opened = Opened(database, path: StoreFile.path(directory), limits)
    clients = InterestIndex(seed: HashSeed())
    let epoch: UInt64
    do throws(DatabaseError) {
      // Numbers of sessions begin with that of the run, so that none is used again.
      epoch = UInt64(try database.number("SELECT value FROM meta WHERE name = 'epoch'") ?? 0) + 1
      try database.run("BEGIN IMMEDIATE")
      try database.run("UPDATE meta SET value = value + 1 WHERE name = 'epoch'")
      try database.run("COMMIT")
    } catch {
      throw StoreOpenError(error, path: StoreFile.path(directory))
    }
    nextID = Atomic(epoch << 32 + 1)
  }

  /// `sqlite`, as `store.kind` has it.
  public var kind: String { "sqlite" }

  /// Bytes of batches that are not committed.
  public var pendingBytes: Int { queuedBytes.load(ordering: .relaxed) }

  /// Whether the last attempt to write failed.
  public var isFailing: Bool { failing.load(ordering: .relaxed) }

  /// Asks the hashes of the clients that have a session.
  public func mayHaveSession(of clientID: Span<UInt8>) -> Bool {
    guard isKnown.load(ordering: .acquiring) else { return true }
    let hash = topicHash(clientID, seed: clients.seed)
    return clients.loops(forTopic: clientID, topicHash: hash) != 0
  }

  /// Whether a message was retained when the store was opened, or since.
  public var mayHaveRetained: Bool {
    hasRetained.load(ordering: .acquiring) || !isKnown.load(ordering: .acquiring)
  }

  /// The number of this run and a counter.
  public func makeSessionID() -> StoredSessionID {
    nextID.wrappingAdd(1, ordering: .relaxed).oldValue
  }

  /// What was done up to the last transaction.
  public var statistics: StoreStatistics { shown.withLock { $0 } }

  /// Takes a batch over.
  public func submit(_ batch: StoreBatch) {
    if batch.retains { hasRetained.store(true, ordering: .releasing) }
    queuedBytes.add(batch.byteCount, ordering: .relaxed)
    queue.withLock { $0.batches.append(batch) }
    bell.ring()
  }

  /// Starts the thread.
  public func start(_ listener: any StoreListener) {
    let body = unsafe Unmanaged.passRetained(ThreadBody(self, listener))
    var started = pthread_t()
    let code = unsafe pthread_create(
      &started, nil,
      { argument in
        // The argument is the body retained above, handed over once.
        let body = unsafe Unmanaged<ThreadBody>.fromOpaque(argument!).takeRetainedValue()
        body.store.run(body.listener)
        return nil
      }, body.toOpaque())
    guard code == 0 else { fatalError("no thread for the store: error \(code)") }
    thread.withLock { $0 = started }
  }

  private final class ThreadBody {
    let store: SQLiteStore
    let listener: any StoreListener

    init(_ store: SQLiteStore, _ listener: any StoreListener) {
      self.store = store
      self.listener = listener
    }
  }

  /// Commits what was handed in, once; a store that can't be written then loses what was not
  /// acknowledged.
  public func stop() {
    queue.withLock { $0.isStopping = true }
    bell.ring()
    let running = thread.withLock { thread in
      let running = thread
      thread = nil
      return running
    }
    if let running { pthread_join(running, nil) }
  }

  // MARK: The thread

  private func run(_ listener: any StoreListener) {
    let engine = Engine(
      opened.database, limits: opened.limits, seed: HashSeed(), clients: clients,
      listener: listener)
    opened.engine = engine
    guard retrying(listener, { () throws(DatabaseError) in try begin(engine, listener) }) else {
      return
    }
    var taken: [StoreBatch] = []
    while true {
      if let announcement = opened.announcement, announcement.isDone {
        finish(announcement, listener)
      }
      let isStopping = take(&taken)
      let time = MonotonicClock.milliseconds
      let isSweepDue = time >= opened.sweptAt
      if taken.isEmpty && !isSweepDue {
        if isStopping { break }
        bell.wait(milliseconds: Int(opened.sweptAt - time))
        continue
      }
      let isDone = retrying(listener) { () throws(DatabaseError) in
        try commit(taken, engine, sweeps: isSweepDue, listener)
      }
      if !isDone { break }
      taken.removeAll(keepingCapacity: true)
      tidyUp(listener)
    }
    opened.announcement?.stop()
    opened.announcement = nil
    opened.engine = nil
  }

  private func begin(_ engine: Engine, _ listener: any StoreListener) throws(DatabaseError) {
    try engine.begin(wallClock: WallClock.second)
    if engine.totals.retained > 0 { hasRetained.store(true, ordering: .releasing) }
    show(engine)
    let announcement = try Announcement(
      path: opened.path, clients: clients, listener: listener, bell: bell)
    engine.isAnnouncing = true
    opened.announcement = announcement
    announcement.start()
  }

  /// All clients with a session and all filters with readers are known.
  private func finish(_ announcement: Announcement, _ listener: any StoreListener) {
    announcement.stop()
    opened.announcement = nil
    opened.engine?.endAnnouncement()
    isKnown.store(true, ordering: .releasing)
    listener.knowsReaders()
  }

  /// Takes batches for one transaction. True where the store is to stop.
  private func take(_ batches: inout [StoreBatch]) -> Bool {
    queue.withLock { queue in
      var bytes = 0
      var count = 0
      while count < queue.batches.count, bytes < StoreConstants.transactionBytes {
        bytes += queue.batches[count].byteCount
        count += 1
      }
      batches.append(contentsOf: queue.batches[..<count])
      queue.batches.removeFirst(count)
      return queue.isStopping
    }
  }

  /// Does `body` until it succeeds. False where the store is told to stop meanwhile.
  private func retrying(
    _ listener: any StoreListener, _ body: () throws(DatabaseError) -> Void
  ) -> Bool {
    var pause = StoreConstants.firstRetryMilliseconds
    while true {
      do throws(DatabaseError) {
        if opened.needsReset { try reset() }
        try body()
        if failing.exchange(false, ordering: .relaxed) { listener.storeChanged(.working) }
        return true
      } catch {
        // Now, so that the database is not locked during the pause.
        if opened.needsReset { try? reset() }
        // A page that was read wrongly would be found in memory, also once the disk reads it rightly.
        if error.primaryCode == SQLITE_CORRUPT { opened.database.forgetPages() }
        opened.failures += 1
        shown.withLock { $0.failures = opened.failures }
        if !failing.exchange(true, ordering: .relaxed) {
          listener.storeChanged(.failing(error.message))
        }
      }
      if queue.withLock({ $0.isStopping }) { return false }
      // Batches that come meanwhile wait in the queue, so what rings is no reason to try.
      usleep(UInt32(pause) * 1000)
      pause = min(2 * pause, StoreConstants.lastRetryMilliseconds)
    }
  }

  private func reset() throws(DatabaseError) {
    try opened.database.rollBack()
    try opened.engine?.reset()
    opened.needsReset = false
  }

  /// Does batches in one transaction, and tells loops what came of it.
  private func commit(
    _ batches: [StoreBatch], _ engine: Engine, sweeps: Bool, _ listener: any StoreListener
  ) throws(DatabaseError) {
    // Until the end, whatever happens: what the engine knows is not what the database has.
    opened.needsReset = true
    try opened.database.statement("BEGIN IMMEDIATE").run()
    engine.setClock(WallClock.second)
    for batch in batches { try engine.apply(batch) }
    var hasMore = false
    if sweeps { hasMore = try engine.sweep() }
    try engine.flush()
    try opened.database.statement("COMMIT").run()
    opened.needsReset = false
    opened.commits += 1
    opened.appended += engine.appended
    if sweeps {
      RecordBuffers.trim()
      opened.sweptAt =
        MonotonicClock.milliseconds + (hasMore ? 0 : StoreConstants.sweepMilliseconds)
    }
    let watching = engine.watchersAreTold
    let effects = engine.committed()
    show(engine)
    tell(effects, listener, first: watching)
    for batch in batches { queuedBytes.subtract(batch.byteCount, ordering: .relaxed) }
  }

  /// Copies the write-ahead log into the file where it is long enough, once loops were told what they
  /// wait for. What is committed is durable without it, so a failure stops nobody: it is told, the log
  /// grows, and the next try is a while later.
  private func tidyUp(_ listener: any StoreListener) {
    guard opened.database.logPages >= StoreConstants.checkpointPages,
      MonotonicClock.milliseconds >= opened.checkpointAt
    else { return }
    var isWhole = false
    do throws(DatabaseError) {
      isWhole = try opened.database.checkpoint(SQLITE_CHECKPOINT_PASSIVE)
      if opened.isGrowing { listener.storeChanged(.tidy) }
      opened.isGrowing = false
    } catch {
      opened.failures += 1
      shown.withLock { $0.failures = opened.failures }
      if !opened.isGrowing { listener.storeChanged(.growing(error.message)) }
      opened.isGrowing = true
    }
    // A command that reads keeps a part of the log in use, too.
    let pause = isWhole ? 0 : StoreConstants.checkpointPauseMilliseconds
    opened.checkpointAt = MonotonicClock.milliseconds + pause
  }

  /// - Parameter watching: whether loops that watch shared subscriptions are told of them: they come
  ///   first, so that whoever learns of the same transaction finds that they know.
  private func tell(
    _ effects: [Engine.Effect], _ listener: any StoreListener, first watching: Bool
  ) {
    var watchers: UInt64 = 0
    var letters: [[StoreEvent]] = []
    func add(_ event: StoreEvent, _ loop: Int) {
      while letters.count <= loop { letters.append([]) }
      letters[loop].append(event)
    }
    for effect in effects {
      switch effect {
      case .event(let loop, let event):
        if watching, case .group = event { watchers |= 1 << UInt64(loop) }
        add(event, loop)
      case .segment(let segment, let loops):
        var left = loops
        while left != 0 {
          add(.segment(segment), left.trailingZeroBitCount)
          left &= left - 1
        }
      }
    }
    for isFirst in watchers == 0 ? [false] : [true, false] {
      for (loop, events) in letters.enumerated()
      where !events.isEmpty && (watchers >> UInt64(loop) & 1 == 1) == isFirst {
        listener.deliver(events, to: loop)
      }
    }
  }

  private func show(_ engine: Engine) {
    var statistics = StoreStatistics()
    statistics.commits = opened.commits
    statistics.failures = opened.failures
    statistics.appended = opened.appended
    statistics.messages = UInt64(max(0, engine.totals.messages))
    statistics.bytes = UInt64(max(0, engine.totals.bytes))
    statistics.unread = UInt64(max(0, engine.totals.unread))
    statistics.sessions = UInt64(max(0, engine.totals.sessions))
    statistics.retained = UInt64(max(0, engine.totals.retained))
    statistics.heapBytes = UInt64(max(0, sqlite3_memory_used())) + UInt64(engine.cachedBytes)
    statistics.indexBytes = UInt64(clients.residentBytes)
    shown.withLock { $0 = statistics }
  }
}
