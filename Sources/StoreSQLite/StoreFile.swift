import CSQLite
import Glibc

/// Why a store could not be opened.
public struct StoreOpenError: Error, Sendable, CustomStringConvertible {
  /// What a program may tell apart, for its exit status.
  public enum Kind: Sendable {
    /// Another process has it open for writing.
    case locked
    /// The process may not read or write it.
    case permission
    /// It is of a version that this program does not know, or no store at all.
    case version
    /// It is damaged.
    case corrupt
    /// The system refused something else: a full disk, memory.
    case system
  }

  /// Decides on the exit status; the message is for people.
  public let kind: Kind
  /// One line that says what failed and what to do.
  public let message: String

  init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  init(_ error: DatabaseError, path: String) {
    switch error.primaryCode {
    case SQLITE_CORRUPT, SQLITE_NOTADB:
      self.init(
        .corrupt,
        "the store \(path) is damaged: \(error.message); look at it with 'bifrost store verify', or "
          + "move it away to begin with an empty one")
    case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH:
      self.init(.permission, "the store \(path) can't be written: \(error.message)")
    case SQLITE_CANTOPEN where StoreOpenError.isLimit(error.systemCode):
      self.init(
        .system, "the limit of open files is too low for the store; raise it (`ulimit -n`)")
    case SQLITE_CANTOPEN:
      self.init(
        .permission, "the store \(path) can't be opened: \(error.message); check data-dir")
    case SQLITE_BUSY, SQLITE_LOCKED:
      self.init(.locked, "the store \(path) is in use by another process")
    case SQLITE_FULL:
      self.init(.system, "the disk of the store \(path) is full")
    default: self.init(.system, "the store \(path): \(error.message)")
    }
  }

  /// The message.
  public var description: String { message }

  /// Whether an error number says that no more files may be open.
  static func isLimit(_ code: Int32) -> Bool { code == EMFILE || code == ENFILE }
}

/// What power loss may cost (`store.sync`).
public enum StoreSync: String, Sendable, CaseIterable {
  /// Nothing that was acknowledged: each transaction waits for the disk.
  case full
  /// The last transactions; the store stays whole. A crash of the process alone still costs nothing.
  case normal
}

/// The lock that keeps a second broker from a data directory: the kernel gives it back when the
/// process ends, however it does.
final class DirectoryLock: Sendable {
  private let descriptor: Int32

  init(directory: String) throws(StoreOpenError) {
    let path = directory + "/bifrost.lock"
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
    if descriptor < 0 {
      if StoreOpenError.isLimit(errno) {
        throw StoreOpenError(
          .system, "the limit of open files is too low for the store; raise it (`ulimit -n`)")
      }
      throw StoreOpenError(
        errno == EACCES || errno == EROFS || errno == EPERM ? .permission : .system,
        "cannot make \(path): \(unsafe String(cString: strerror(errno))); set data-dir to a directory "
          + "that the broker may write")
    }
    // One that was just given back may be held a moment longer: by a process that ends, or by a child of
    // this one that is about to run another program.
    var tries = StoreConstants.lockTries
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      tries -= 1
      if tries > 0 {
        usleep(UInt32(StoreConstants.lockPauseMilliseconds) * 1000)
        continue
      }
      close(descriptor)
      throw StoreOpenError(
        .locked, "the data directory \(directory) is in use by another broker")
    }
  }

  deinit { close(descriptor) }
}

/// The file of a store.
enum StoreFile {
  static func path(_ directory: String) -> String { directory + "/bifrost.db" }

  /// Makes the directory, and those above it that are missing.
  static func makeDirectory(_ directory: String) throws(StoreOpenError) {
    var path = directory.hasPrefix("/") ? "" : "."
    for part in directory.split(separator: "/") {
      path += "/" + part
      if unsafe mkdir(path, 0o750) != 0 && errno != EEXIST {
        let kind: StoreOpenError.Kind =
          errno == EACCES || errno == EROFS || errno == EPERM ? .permission : .system
        throw StoreOpenError(
          kind,
          "cannot make the data directory \(path): \(unsafe String(cString: strerror(errno))); set "
            + "data-dir to a directory that the broker may write, or store.kind to memory")
      }
    }
  }

  /// Opens the store of a directory for a broker, new or of any older version.
  static func open(_ directory: String, sync: StoreSync) throws(StoreOpenError) -> Database {
    let path = path(directory)
    do throws(DatabaseError) {
      let database = try Database(path: path, mode: .create)
      if database.isReadOnly {
        throw DatabaseError(code: SQLITE_READONLY, message: "the file can't be opened for writing")
      }
      // Another connection is a command that reads, and waits for nothing itself.
      database.setBusyTimeout(milliseconds: 5000)
      // Before the first thing that changes the file: it may be another program's.
      if let problem = try checkVersion(database) { throw problem.databaseError }
      // Only a new file takes this; it lets 'store compact' give space back bit by bit.
      try database.run("PRAGMA auto_vacuum = INCREMENTAL")
      try database.run("PRAGMA journal_mode = WAL")
      try database.run("PRAGMA synchronous = \(sync == .full ? "FULL" : "NORMAL")")
      try database.run("PRAGMA cache_size = -\(StoreConstants.pageCacheBytes / 1024)")
      // Debian's SQLite writes zeros over all that is deleted unless it is told not to: as much again as
      // the messages themselves.
      try database.run("PRAGMA secure_delete = OFF")
      try database.run("PRAGMA cell_size_check = ON")
      try database.run("PRAGMA trusted_schema = OFF")
      try database.run("PRAGMA journal_size_limit = \(StoreConstants.logFileBytes)")
      // Those that SQLite makes by itself fail in silence, so it makes none: the store's thread does.
      database.countLogPages()
      try upgrade(database)
      return database
    } catch {
      if error.code == StoreFile.versionCode { throw StoreOpenError(.version, error.message) }
      throw StoreOpenError(error, path: path)
    }
  }

  /// Stands for a wrong version where SQLite's codes are.
  static let versionCode: Int32 = -1

  /// A store that this program can't take.
  struct Problem {
    var message: String
    var databaseError: DatabaseError { DatabaseError(code: versionCode, message: message) }
  }

  /// Brings a store of an older version to this one, in one transaction for each step.
  static func upgrade(_ database: Database) throws(DatabaseError) {
    while let version = try database.number("PRAGMA user_version"), version < Schema.version {
      try database.run("BEGIN IMMEDIATE")
      do throws(DatabaseError) {
        try database.run(Schema.steps[Int(version)])
        try database.run("PRAGMA user_version = \(version + 1)")
        try database.run("PRAGMA application_id = \(Schema.applicationID)")
        try database.run("COMMIT")
      } catch {
        if !database.isAutocommit { try? database.run("ROLLBACK") }
        throw error
      }
    }
  }

  static func checkVersion(_ database: Database) throws(DatabaseError) -> Problem? {
    let version = try database.number("PRAGMA user_version") ?? 0
    let application = try database.number("PRAGMA application_id") ?? 0
    let tables = try database.number("SELECT count(*) FROM sqlite_master") ?? 0
    if application != Schema.applicationID && (tables > 0 || version != 0) {
      return Problem(message: "the file is a database of another program; set data-dir elsewhere")
    }
    if !(0...Schema.version).contains(version) {
      return Problem(
        message: "the store is of version \(version), and this program knows versions up to "
          + "\(Schema.version): run the newer bifrost that wrote it")
    }
    return nil
  }
}
