import CSQLite
import Glibc
import Util

/// Why SQLite did not do what it was asked to.
public struct DatabaseError: Error, Sendable, CustomStringConvertible {
  /// SQLite's extended result code.
  public let code: Int32
  /// What was being done, and what SQLite says about it.
  public let message: String
  /// The system's error number; 0 for none.
  public let systemCode: Int32

  init(code: Int32, message: String, systemCode: Int32 = 0) {
    self.code = code
    self.message = message
    self.systemCode = systemCode
  }

  /// The result code without its extension.
  public var primaryCode: Int32 { code & 0xFF }

  /// The database is sound, and what is in it is not what this program writes.
  static func damaged(_ message: String) -> DatabaseError {
    DatabaseError(code: SQLITE_CORRUPT, message: message)
  }

  /// The message.
  public var description: String { message }
}

/// One connection to a database, for one thread.
@safe
final class Database {
  private let handle: OpaquePointer
  private var statements: [UInt: Statement] = [:]
  /// SQLite writes to it within a commit, so on the connection's thread; null until it is asked to.
  private var logPagesCell: UnsafeMutablePointer<Int32>?

  /// Opens a file, which is made where there is none and `mode` allows it.
  init(path: String, mode: Mode) throws(DatabaseError) {
    var opened: OpaquePointer?
    let flags: Int32 =
      switch mode {
      case .create: SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
      case .write: SQLITE_OPEN_READWRITE
      case .read: SQLITE_OPEN_READONLY
      }
    // No mutex of SQLite's: one thread uses the connection.
    let code = unsafe sqlite3_open_v2(
      path, &opened, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
    guard let opened = unsafe opened else {
      throw DatabaseError(code: code, message: "cannot open \(path): no memory")
    }
    unsafe handle = opened
    guard code == SQLITE_OK else {
      let error = unsafe Database.error(opened, code, "open \(path)")
      unsafe sqlite3_close_v2(opened)
      throw error
    }
    unsafe csqlite_defend(opened)
  }

  /// What the connection is for.
  enum Mode {
    case create, write, read
  }

  deinit {
    for statement in statements.values { statement.finalize() }
    unsafe sqlite3_close_v2(handle)
    // No commit follows.
    unsafe logPagesCell?.deallocate()
  }

  private static func error(
    _ handle: OpaquePointer, _ code: Int32, _ what: String, systemCode: Int32 = 0
  ) -> DatabaseError {
    let text = unsafe String(cString: sqlite3_errmsg(handle))
    // Of another error, they are what an earlier call left there. SQLite does not note the number where
    // the end of a transaction fails.
    var systemCode = systemCode
    if ![SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN].contains(code & 0xFF) {
      systemCode = 0
    } else if systemCode == 0 {
      systemCode = unsafe sqlite3_system_errno(handle)
    }
    let reason = systemCode == 0 ? "" : ": \(unsafe String(cString: strerror(systemCode)))"
    return DatabaseError(
      code: code, message: "cannot \(what): \(text)\(reason) (SQLite code \(code))",
      systemCode: systemCode)
  }

  func error(
    _ code: Int32, _ what: @autoclosure () -> String, systemCode: Int32 = 0
  ) -> DatabaseError {
    unsafe Database.error(handle, code, what(), systemCode: systemCode)
  }

  /// Runs statements that give no rows worth reading.
  func run(_ sql: String) throws(DatabaseError) {
    let code = unsafe sqlite3_exec(handle, sql, nil, nil, nil)
    if code != SQLITE_OK { throw error(code, "run '\(sql)'") }
  }

  /// The statement of a literal, prepared once.
  func statement(_ sql: StaticString) throws(DatabaseError) -> Statement {
    let key = unsafe UInt(bitPattern: sql.utf8Start)
    if let found = statements[key] { return found }
    let made = try prepare("\(sql)")
    statements[key] = made
    return made
  }

  /// A statement that its caller keeps; it is finalised with `Statement.finalize`.
  func prepare(_ sql: String) throws(DatabaseError) -> Statement {
    var prepared: OpaquePointer?
    let code = unsafe sqlite3_prepare_v3(
      handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
    guard code == SQLITE_OK, let prepared = unsafe prepared else {
      throw error(code, "prepare '\(sql)'")
    }
    return unsafe Statement(prepared, self)
  }

  /// The first column of the first row of a query; nil where there is none.
  func number(_ sql: String) throws(DatabaseError) -> Int64? {
    let query = try prepare(sql)
    defer { query.finalize() }
    return try query.step() ? query.number(0) : nil
  }

  /// Rows that the last statement changed.
  var changes: Int { unsafe Int(sqlite3_changes(handle)) }

  /// Whether the file could be opened for reading only, which it then stays.
  var isReadOnly: Bool { unsafe sqlite3_db_readonly(handle, "main") == 1 }

  /// Whether no transaction is open.
  var isAutocommit: Bool { unsafe sqlite3_get_autocommit(handle) != 0 }

  /// Ends the transaction, if one is open, without its changes.
  func rollBack() throws(DatabaseError) {
    // A query that an error left between two rows would take no parameters at its next use, and keep
    // the file as it was for this connection.
    for statement in statements.values { statement.reset() }
    if !isAutocommit { try run("ROLLBACK") }
  }

  /// Forgets the pages in memory that are as they are in the file, so that they are read anew.
  func forgetPages() { unsafe sqlite3_db_release_memory(handle) }

  /// How long to wait for another connection's lock.
  func setBusyTimeout(milliseconds: Int32) {
    unsafe sqlite3_busy_timeout(handle, milliseconds)
  }

  /// Counts the pages of the write-ahead log from now on, and makes no checkpoints that nobody asked for.
  func countLogPages() {
    let cell = unsafe logPagesCell ?? .allocate(capacity: 1)
    unsafe cell.initialize(to: 0)
    unsafe logPagesCell = cell
    unsafe csqlite_count_log(handle, cell)
  }

  /// Pages of the write-ahead log after the last commit; 0 where all of them are in the file.
  var logPages: Int { unsafe Int(logPagesCell?.pointee ?? 0) }

  /// Copies what the write-ahead log has into the file. False where readers keep a part from it.
  @discardableResult
  func checkpoint(_ mode: Int32) throws(DatabaseError) -> Bool {
    var frames: Int32 = 0
    var copied: Int32 = 0
    let code = unsafe sqlite3_wal_checkpoint_v2(handle, nil, mode, &frames, &copied)
    if code == SQLITE_BUSY { return false }
    if code != SQLITE_OK { throw error(code, "copy the write-ahead log") }
    let isWhole = frames == copied
    // The next commit begins it anew.
    if isWhole { unsafe logPagesCell?.pointee = 0 }
    return isWhole
  }
}

/// A prepared statement of one connection.
@safe
final class Statement {
  fileprivate let handle: OpaquePointer
  private unowned(unsafe) let database: Database

  @unsafe
  init(_ handle: OpaquePointer, _ database: Database) {
    unsafe self.handle = handle
    unsafe self.database = database
  }

  func finalize() { unsafe sqlite3_finalize(handle) }

  /// Sets a parameter, counted from 1. The parameters exist, as the tests run each statement.
  @discardableResult
  func bind(_ index: Int32, _ value: Int64) -> Statement {
    unsafe sqlite3_bind_int64(handle, index, value)
    return self
  }

  /// Sets a parameter to a number that fits 63 bits, as all do unless the database is damaged.
  @discardableResult
  func bind(_ index: Int32, _ value: UInt64) -> Statement { bind(index, Int64(clamping: value)) }

  /// Sets a parameter to a number.
  @discardableResult
  func bind(_ index: Int32, _ value: UInt32) -> Statement { bind(index, Int64(value)) }

  /// Sets a parameter to bytes, which are copied.
  @discardableResult
  func bind(_ index: Int32, _ bytes: Span<UInt8>) -> Statement {
    _ = unsafe bytes.withUnsafeBytes {
      if let start = $0.baseAddress {
        unsafe csqlite_bind_copy(handle, index, start, UInt64($0.count))
      } else {
        unsafe sqlite3_bind_zeroblob(handle, index, 0)
      }
    }
    return self
  }

  /// Sets a parameter to bytes, which are copied.
  @discardableResult
  func bind(_ index: Int32, _ bytes: [UInt8]) -> Statement { bind(index, bytes.span) }

  /// Sets a parameter to nothing.
  @discardableResult
  func bindNull(_ index: Int32) -> Statement {
    unsafe sqlite3_bind_null(handle, index)
    return self
  }

  /// Runs the statement with a parameter set to bytes that are not copied.
  func run(_ index: Int32, lending bytes: Span<UInt8>) throws(DatabaseError) {
    // They stay until the parameter is set anew below.
    _ = unsafe bytes.withUnsafeBytes {
      unsafe csqlite_bind_lent(handle, index, $0.baseAddress, UInt64($0.count))
    }
    defer { unsafe sqlite3_bind_null(handle, index) }
    try run()
  }

  /// Goes to the next row; false when there is none, and the statement is ready for its next use.
  func step() throws(DatabaseError) -> Bool {
    errno = 0
    let code = unsafe sqlite3_step(handle)
    let systemCode = errno
    if code == SQLITE_ROW { return true }
    if code == SQLITE_DONE {
      unsafe sqlite3_reset(handle)
      return false
    }
    let failure = unsafe database.error(
      code, "run '\(String(cString: sqlite3_sql(handle)))'", systemCode: systemCode)
    unsafe sqlite3_reset(handle)
    throw failure
  }

  /// Runs a statement that gives no row.
  func run() throws(DatabaseError) {
    while try step() {}
  }

  /// Ends a query before its last row.
  func reset() { unsafe sqlite3_reset(handle) }

  /// A column of the present row, counted from 0.
  func number(_ column: Int32) -> Int64 { unsafe sqlite3_column_int64(handle, column) }

  /// A column that holds what was a 32-bit number.
  func word(_ column: Int32) -> UInt32 { UInt32(truncatingIfNeeded: number(column)) }

  /// A column that holds a number of 0 or more.
  func unsigned(_ column: Int32) -> UInt64 { UInt64(max(0, number(column))) }

  /// Whether a column is nothing.
  func isNull(_ column: Int32) -> Bool {
    unsafe sqlite3_column_type(handle, column) == SQLITE_NULL
  }

  /// Calls `body` with the bytes of a column, which live as long as the row is the present one.
  func withBytes<Result: ~Copyable>(_ column: Int32, _ body: (Span<UInt8>) -> Result) -> Result {
    let start = unsafe sqlite3_column_blob(handle, column)
    let count = unsafe Int(sqlite3_column_bytes(handle, column))
    let buffer = unsafe UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count)
    return body(unsafe buffer.bindMemory(to: UInt8.self).span)
  }

  /// A copy of the bytes of a column.
  func bytes(_ column: Int32) -> [UInt8] { withBytes(column) { $0.array } }
}

extension Statement {
  /// Sets a parameter to a literal text.
  @discardableResult
  func bindText(_ index: Int32, _ text: StaticString) -> Statement {
    unsafe csqlite_bind_text(handle, index, text.utf8Start, Int32(text.utf8CodeUnitCount))
    return self
  }
}
