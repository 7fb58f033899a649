import CSQLite
import Glibc
import Store

/// Makes the store of a data directory that has none, or an empty one, from what `StoreReader.export`
/// gave. It is made in a file beside, which becomes the store with `finish`: all of it, or nothing.
///
/// How often a message is owed is not taken over but counted, from subscriptions, cursors and windows;
/// a message that nobody is owed is left out.
public final class StoreImporter {
  private let lock: DirectoryLock
  private let directory: String
  let file: String
  private var opened: Database?
  /// Where in the order of things it is.
  private var phase = 0
  private var itemCount: UInt64 = 0
  var head = StoreItem.Head(epoch: 0, nextSequence: 1, clock: 0, unread: 0, lastShare: 0)
  /// Before the first message there is none.
  var owed: OwedCounts?
  /// The sequence number of the last message that came.
  var lastSequence: UInt64 = 0
  /// The segment that is being filled.
  var open: ImportedSegment?
  var totals = Engine.Totals()

  /// Takes the lock of a data directory, which is made where it is missing.
  /// - Throws: `StoreToolError`: of kind `occupied` for a store with something in it, `store(.locked)`
  ///   where a broker or another command is there.
  public init(directory: String) throws(StoreToolError) {
    self.directory = directory
    file = StoreFile.path(directory) + ".import"
    do throws(StoreOpenError) {
      try StoreFile.makeDirectory(directory)
      lock = try DirectoryLock(directory: directory)
    } catch {
      throw StoreToolError(error)
    }
    try StoreImporter.requireEmpty(directory)
    StoreImporter.remove(file)
    do throws(DatabaseError) {
      let database = try Database(path: file, mode: .create)
      // A file that is not finished is thrown away: nothing has to survive.
      try database.run("PRAGMA auto_vacuum = INCREMENTAL")
      try database.run("PRAGMA journal_mode = OFF")
      try database.run("PRAGMA synchronous = OFF")
      try database.run("PRAGMA cache_size = -\(StoreConstants.pageCacheBytes / 1024)")
      try StoreFile.upgrade(database)
      try database.run("BEGIN")
      opened = database
    } catch {
      StoreImporter.remove(file)
      throw StoreToolError(error, path: file)
    }
  }

  deinit { cancel() }

  /// Gives up: the directory is as it was, but for the file of its lock.
  public func cancel() {
    guard opened != nil else { return }
    owed = nil
    opened = nil
    StoreImporter.remove(file)
  }

  private static func remove(_ file: String) {
    for suffix in ["", "-journal", "-wal", "-shm"] { unsafe unlink(file + suffix) }
  }

  /// Whether nothing in the directory would be lost.
  private static func requireEmpty(_ directory: String) throws(StoreToolError) {
    let path = StoreFile.path(directory)
    if ToolFile.size(path) == nil { return }
    if ToolFile.size(path) != 0 {
      let rows: Int64
      do throws(DatabaseError) {
        let database = try StoreReader.open(path, mode: .write)
        rows =
          try database.number(
            """
            SELECT (SELECT count(*) FROM session) + (SELECT count(*) FROM log)
              + (SELECT count(*) FROM retained)
            """) ?? 0
      } catch {
        throw StoreReader.explain(error, path, directory)
      }
      guard rows == 0 else {
        throw StoreToolError(
          .occupied, "there is a store in \(directory) already, and it is not empty")
      }
    }
    // The last to close it has taken these away; what is left of them must not meet another file.
    if ToolFile.size(path + "-wal") != nil || ToolFile.size(path + "-shm") != nil {
      throw StoreToolError(.store(.locked), "the store \(path) is in use by another process")
    }
  }

  // MARK: What comes

  var database: Database {
    guard let opened else { preconditionFailure("the import has ended") }
    return opened
  }

  /// Takes the next thing.
  /// - Throws: `StoreToolError` of kind `invalid` where it can't be part of a store, or not at this
  ///   place; any error ends the import.
  public func add(_ item: StoreItem) throws(StoreToolError) {
    let place = item.phase
    guard place >= phase, place > 0 || itemCount == 0, itemCount > 0 || place == 0 else {
      throw .init(.invalid, "\(item.name) can't stand here")
    }
    guard phase < StoreItem.lastPhase else {
      throw .init(.invalid, "something follows the end")
    }
    phase = place
    do throws(DatabaseError) {
      switch item {
      case .head(let head): try begin(head)
      case .filter(let filter): try add(filter)
      case .share(let share): try add(share)
      case .session(let session): try add(session)
      case .message(let message): try add(message)
      case .retained(let retained): try add(retained)
      case .request(let request): try add(request)
      case .end(let count):
        guard count == itemCount else {
          throw DatabaseError.invalid("\(count) things should have come, not \(itemCount)")
        }
      }
    } catch {
      throw explain(error)
    }
    itemCount += 1
  }

  func explain(_ error: DatabaseError) -> StoreToolError {
    switch error.primaryCode {
    case DatabaseError.invalidCode: StoreToolError(.invalid, error.message)
    case SQLITE_CONSTRAINT: StoreToolError(.invalid, "it was there before (\(error.message))")
    default: StoreToolError(error, path: file)
    }
  }

  /// Makes what came the store of the directory, once the disk has it.
  /// - Throws: `StoreToolError`; then nothing has changed.
  public func finish() throws(StoreToolError) {
    guard phase == StoreItem.lastPhase else {
      throw .init(.invalid, "the end is missing: it is not all of the store")
    }
    do throws(DatabaseError) {
      try close()
      try database.run("COMMIT")
      // The mode is the file's from now on; the last to close it takes the log's file away.
      try database.run("PRAGMA journal_mode = WAL")
    } catch {
      throw explain(error)
    }
    owed = nil
    opened = nil
    let path = StoreFile.path(directory)
    do throws(StoreToolError) {
      try ToolFile.synchronise(file)
      guard unsafe rename(file, path) == 0 else {
        throw .system("rename \(file) to \(path)", code: errno)
      }
    } catch {
      StoreImporter.remove(file)
      throw error
    }
    try ToolFile.synchronise(directory)
  }

  /// Writes what is known at the end.
  private func close() throws(DatabaseError) {
    try closeSegment()
    try database.run(
      "DELETE FROM unread WHERE filter IN (SELECT id FROM filter WHERE subscriptions = 0)")
    try database.run("DELETE FROM filter WHERE subscriptions = 0")
    let numbers: [(String, Int64)] = [
      ("next-sequence", Int64(clamping: head.nextSequence)), ("epoch", Int64(clamping: head.epoch)),
      ("clock", Int64(head.clock)), ("unread", Int64(clamping: head.unread)),
      ("messages", totals.messages), ("bytes", totals.bytes), ("sessions", totals.sessions),
      ("retained", totals.retained), ("retained-bytes", totals.retainedBytes),
      ("requests", totals.requests),
    ]
    for (name, value) in numbers {
      try database.run("UPDATE meta SET value = \(value) WHERE name = '\(name)'")
    }
    let last = Int64(clamping: head.lastShare)
    try database.run("DELETE FROM sqlite_sequence WHERE name = 'share' AND seq < \(last)")
    try database.run(
      """
      INSERT INTO sqlite_sequence (name, seq) SELECT 'share', \(last)
      WHERE \(last) > 0 AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'share')
      """)
  }
}

extension DatabaseError {
  /// Stands for something that can't be part of a store where SQLite's codes are.
  fileprivate static let invalidCode: Int32 = 0xFE

  /// What came can't be part of a store.
  static func invalid(_ message: String) -> DatabaseError {
    DatabaseError(code: invalidCode, message: message)
  }
}

extension StoreItem {
  fileprivate static let lastPhase = 7

  fileprivate var phase: Int {
    switch self {
    case .head: 0
    case .filter: 1
    case .share: 2
    case .session: 3
    case .message: 4
    case .retained: 5
    case .request: 6
    case .end: StoreItem.lastPhase
    }
  }

  fileprivate var name: String {
    switch self {
    case .head: "the head"
    case .filter: "a filter"
    case .share: "a shared subscription"
    case .session: "a session"
    case .message: "a message"
    case .retained: "a retained message"
    case .request: "the key of a request"
    case .end: "the end"
    }
  }
}
