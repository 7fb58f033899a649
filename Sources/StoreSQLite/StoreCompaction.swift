import CSQLite
import Glibc
import Util

/// What giving free pages back has done.
public struct StoreCompaction: Sendable, Equatable {
  /// Bytes of the file before and after.
  public var fileBytesBefore: UInt64
  /// See `fileBytesBefore`.
  public var fileBytesAfter: UInt64
  /// Bytes of the write-ahead log before and after.
  public var logFileBytesBefore: UInt64
  /// See `logFileBytesBefore`.
  public var logFileBytesAfter: UInt64
  /// Pages that were free, bytes of each, and those that are free still.
  public var freePagesBefore: UInt64
  /// See `freePagesBefore`.
  public var freePagesAfter: UInt64
  /// See `freePagesBefore`.
  public var pageBytes: UInt64
  /// Whether all was copied from the write-ahead log into the file, which gets shorter only then: a
  /// reader keeps it from that.
  public var isComplete: Bool

  /// Pages that one transaction gives back: some milliseconds in which a broker can't write.
  public static var stepPages: UInt64 { 256 }
  /// Milliseconds between two of them, at least, in which it can.
  static var pauseMilliseconds: UInt64 { 2 }
  /// Milliseconds that the end of the write-ahead log is waited for while nobody can write.
  static var logMilliseconds: Int32 { 50 }
  /// How often it is tried: for some seconds in all.
  static var logTries: Int { 50 }
}

/// Gives the free pages of a data directory's store back to the file system, in small steps with pauses
/// as long, so that a broker that runs is not held up.
/// - Throws: `StoreToolError`; what was given back until then is.
public func compactStore(directory: String) throws(StoreToolError) -> StoreCompaction {
  let path = StoreFile.path(directory)
  var result: StoreCompaction
  do throws(DatabaseError) {
    let database = try StoreReader.open(path, mode: .write)
    if database.isReadOnly {
      throw DatabaseError(code: SQLITE_READONLY, message: "the file can't be opened for writing")
    }
    // What the steps lose in a crash is only that they were done.
    try database.run("PRAGMA synchronous = NORMAL")
    try database.run("PRAGMA wal_autocheckpoint = \(StoreConstants.checkpointPages)")
    let free = try pages(database, "freelist_count")
    result = StoreCompaction(
      fileBytesBefore: ToolFile.size(path) ?? 0, fileBytesAfter: 0,
      logFileBytesBefore: ToolFile.size(path + "-wal") ?? 0, logFileBytesAfter: 0,
      freePagesBefore: free, freePagesAfter: free, pageBytes: try pages(database, "page_size"),
      isComplete: false)
    // No more steps than there was to do: a broker may free pages all the time.
    for _ in 0..<(free + StoreCompaction.stepPages - 1) / StoreCompaction.stepPages {
      let before = MonotonicClock.milliseconds
      try database.run("PRAGMA incremental_vacuum(\(StoreCompaction.stepPages))")
      let left = try pages(database, "freelist_count")
      if left == 0 { break }
      let took = MonotonicClock.milliseconds - before
      usleep(UInt32(max(StoreCompaction.pauseMilliseconds, took)) * 1000)
    }
    result.freePagesAfter = try pages(database, "freelist_count")
    result.isComplete = try emptyLog(database)
  } catch {
    throw StoreReader.explain(error, path, directory)
  }
  // Closed by now, which is when the log's file goes, where nobody else has it.
  result.fileBytesAfter = ToolFile.size(path) ?? 0
  result.logFileBytesAfter = ToolFile.size(path + "-wal") ?? 0
  return result
}

private func pages(_ database: Database, _ pragma: String) throws(DatabaseError) -> UInt64 {
  UInt64(max(0, try database.number("PRAGMA \(pragma)") ?? 0))
}

/// Copies the write-ahead log into the file: first all that is possible beside a broker that writes, then
/// the rest, for which it waits a little each time that it tries. A broker that never rests may keep it from
/// all tries.
private func emptyLog(_ database: Database) throws(DatabaseError) -> Bool {
  database.setBusyTimeout(milliseconds: StoreCompaction.logMilliseconds)
  for _ in 0..<StoreCompaction.logTries {
    try database.checkpoint(SQLITE_CHECKPOINT_PASSIVE)
    if try database.checkpoint(SQLITE_CHECKPOINT_TRUNCATE) { return true }
    usleep(UInt32(StoreCompaction.pauseMilliseconds) * 1000)
  }
  return false
}
