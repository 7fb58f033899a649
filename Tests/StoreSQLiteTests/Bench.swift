import Glibc
import PubSub
import Store
import Util

@testable import StoreSQLite

/// An engine with its database, without the store's thread: each transaction is a call, and so are
/// a rollback and a restart.
final class Bench {
  let directory: TemporaryDirectory
  var limits: StoreLimits
  /// The wall clock.
  var now: UInt32
  private var run: Run?
  private var ticket: UInt64 = 0

  /// What ends with the process.
  private struct Run {
    let engine: Engine
    let recorder: Recorder
  }

  /// - Parameter directory: one with a store in it; nil for a new one.
  init(
    limits: StoreLimits = StoreLimits(), directory: TemporaryDirectory? = nil, now: UInt32 = 1000
  ) throws {
    self.directory = try directory ?? TemporaryDirectory()
    self.limits = limits
    self.now = now
    try start()
  }

  private func start(whileAnnounced body: (Bench) throws -> Void = { _ in }) throws {
    let database = try StoreFile.open(directory.path, sync: .normal)
    // No test cuts the power.
    try database.run("PRAGMA synchronous = OFF")
    try database.run("UPDATE meta SET value = value + 1 WHERE name = 'epoch'")
    let recorder = Recorder()
    let engine = Engine(
      database, limits: limits, seed: testSeed, clients: InterestIndex(seed: testSeed),
      listener: recorder)
    try engine.begin(wallClock: now)
    let announcement = try Announcement(
      path: directory.file, clients: engine.clients, listener: recorder, bell: Bell())
    engine.isAnnouncing = true
    run = Run(engine: engine, recorder: recorder)
    try body(self)
    announcement.start()
    for _ in 0..<10_000 where !announcement.isDone { usleep(1000) }
    announcement.stop()
    engine.endAnnouncement()
  }

  /// Closes the database and begins anew with what is in it. `body` is called before what is in it is
  /// announced, and after it was looked at for that.
  func restart(whileAnnounced body: (Bench) throws -> Void = { _ in }) throws {
    run = nil
    try start(whileAnnounced: body)
  }

  private var running: Run {
    guard let run else { preconditionFailure("the last start failed") }
    return run
  }

  var engine: Engine { running.engine }
  var recorder: Recorder { running.recorder }
  var database: Database { engine.database }

  func batch(loop: Int = 0) -> StoreBatch {
    ticket += 1
    return StoreBatch(loop: loop, ticket: ticket)
  }

  /// One transaction, and what is told of it.
  @discardableResult
  func commit(_ batches: [StoreBatch], sweeps: Bool = false) throws -> [Engine.Effect] {
    try database.run("BEGIN IMMEDIATE")
    engine.setClock(now)
    for batch in batches { try engine.apply(batch) }
    if sweeps { sweepHasMore = try engine.sweep() }
    try engine.flush()
    try database.run("COMMIT")
    return engine.committed()
  }

  /// Whether the last sweep left something to be done.
  private(set) var sweepHasMore = false

  /// One transaction of one batch.
  @discardableResult
  func commit(_ fill: (StoreBatch) -> Void) throws -> [Engine.Effect] {
    let batch = batch()
    fill(batch)
    return try commit([batch])
  }

  /// Housekeeping until there is nothing left to be done.
  @discardableResult
  func sweep() throws -> [Engine.Effect] {
    var effects = try commit([], sweeps: true)
    while sweepHasMore { effects += try commit([], sweeps: true) }
    return effects
  }

  /// A transaction that fails: at its end, or as late as at its commit.
  func rollBack(_ batches: [StoreBatch], sweeps: Bool, flushes: Bool) throws {
    try database.run("BEGIN IMMEDIATE")
    engine.setClock(now)
    for batch in batches { try engine.apply(batch) }
    if sweeps { _ = try engine.sweep() }
    if flushes { try engine.flush() }
    try database.run("ROLLBACK")
    try engine.reset()
  }

  /// The session of a client, as a transaction of its own is told it.
  func load(_ client: String) throws -> StoredSession? {
    try commit { $0.load(client) }.sessions[0]
  }

  /// What a client that is back is told that it missed, and what of its window is gone.
  func unread(_ client: String) throws -> UInt64 {
    guard let session = try load(client) else { return 0 }
    let events = try commit { $0.orders.append(.resume(session.id, .nobody)) }.events
    let told = events.compactMap { if case .unread(_, let count) = $0 { count } else { nil } }
    return told.reduce(session.unread, +)
  }

  /// All that a session is owed behind a place of the log, page by page.
  func readAll(
    _ id: StoredSessionID, after start: UInt64 = 0, maximumMessages: Int = 1000,
    maximumBytes: Int = 1 << 30
  ) throws -> [LogItem] {
    var items: [LogItem] = []
    var after = start
    while true {
      let page = try commit {
        $0.read(
          id, after: after, maximumMessages: maximumMessages, maximumBytes: maximumBytes)
      }.pages[0]
      items += page.items
      if page.isAtEnd { return items }
      precondition(page.through > after, "a page that does not go on")
      after = page.through
    }
  }

  /// The rows of a table, or of any question for one number.
  func number(_ sql: String) throws -> Int64 { try database.number(sql) ?? 0 }

  /// Rows of the tables that the log consists of.
  var logRows: Int64 {
    get throws {
      let tables = ["log", "owed", "entry"]
      return try tables.reduce(0) { try $0 + number("SELECT count(*) FROM \($1)") }
    }
  }
}
