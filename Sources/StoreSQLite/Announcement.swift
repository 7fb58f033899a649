import CSQLite
import Glibc
import PubSub
import Store
import Synchronization
import Util

/// Says which filters have readers and which clients have sessions, as the store has them when a run
/// begins: on a thread and a connection of its own, so that nobody waits for a million of them.
///
/// It reads what the database had when it was made, whatever is written meanwhile. So what the store's
/// thread adds to the same indices while this runs is counted once by each, and is right; what it
/// takes away it has to hold back until this has ended, or it might not be there yet.
@safe
final class Announcement: @unchecked Sendable {
  /// For the thread, once it runs.
  private let database: Database
  private let clients: InterestIndex
  private let listener: any StoreListener
  private let bell: Bell
  private let hasEnded = Atomic<Bool>(false)
  private let isStopping = Atomic<Bool>(false)
  /// For who starts and stops it.
  private var thread: pthread_t?

  /// Rows between two looks at whether to stop.
  private static let rowsAtATime = 4096

  /// Keeps the present state of a database for reading. `bell` rings when all is said.
  init(
    path: String, clients: InterestIndex, listener: any StoreListener, bell: Bell
  ) throws(DatabaseError) {
    database = try Database(path: path, mode: .write)
    self.clients = clients
    self.listener = listener
    self.bell = bell
    try database.run("PRAGMA query_only = ON")
    // Each page is read once.
    try database.run("PRAGMA cache_size = -256")
    try database.run("BEGIN")
    // What is read is that of the first question, so it is asked now.
    _ = try database.number("SELECT count(*) FROM meta")
  }

  /// Whether all was said.
  var isDone: Bool { hasEnded.load(ordering: .acquiring) && !isStopping.load(ordering: .relaxed) }

  /// Starts the thread.
  func start() {
    let body = unsafe Unmanaged.passRetained(self)
    var started = pthread_t()
    let code = unsafe pthread_create(
      &started, nil,
      { argument in
        // The argument is the object retained above, handed over once.
        let announcement = unsafe Unmanaged<Announcement>.fromOpaque(argument!).takeRetainedValue()
        announcement.run()
        return nil
      }, body.toOpaque())
    guard code == 0 else { fatalError("no thread for the store: error \(code)") }
    thread = started
  }

  /// Waits for the thread, which ends early where it has not said all.
  func stop() {
    if !hasEnded.load(ordering: .acquiring) { isStopping.store(true, ordering: .relaxed) }
    if let thread { pthread_join(thread, nil) }
    thread = nil
  }

  private func run() {
    let filters = scan("SELECT id, text FROM filter WHERE id > ?1 AND readers > 0 ORDER BY id") {
      // Of a shared subscription, what messages are matched with is a filter too; with an inbox, none
      // is.
      if !$0.isShareFilter && !DirectTopic.isDirect($0) { listener.gainedReaders($0) }
    }
    let isAll =
      filters
      && scan("SELECT id, client FROM session WHERE id > ?1 ORDER BY id") {
        clients.add(InterestKey(exactly: $0, seed: clients.seed), loop: 0)
      }
    try? database.run("ROLLBACK")
    guard isAll else { return }
    hasEnded.store(true, ordering: .releasing)
    bell.ring()
  }

  /// Calls `tell` with the second column of each row; the first is what the rows are ordered by. False
  /// where it did not come to the end.
  private func scan(_ sql: StaticString, _ tell: (Span<UInt8>) -> Void) -> Bool {
    var last: Int64 = 0
    var count = 0
    while true {
      do throws(DatabaseError) {
        let rows = try database.statement(sql).bind(1, last)
        while try rows.step() {
          last = rows.number(0)
          rows.withBytes(1, tell)
          count += 1
          if count % Announcement.rowsAtATime == 0 && isStopping.load(ordering: .relaxed) {
            rows.reset()
            return false
          }
        }
        return true
      } catch {
        // It can go on where it was, unless the state that it reads is lost. All works without what
        // is said here, if slower: each topic may then have readers, and each client a session.
        for _ in 0..<10 where !isStopping.load(ordering: .relaxed) { usleep(100_000) }
        if isStopping.load(ordering: .relaxed) || database.isAutocommit { return false }
      }
    }
  }
}
