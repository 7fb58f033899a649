import CSQLite
import PubSub
import Store
import Util

/// A store that is read and not changed, as it was at one moment: also one that a broker is writing
/// to, which is not held up. Until it is given up, the write-ahead log can't be emptied.
public final class StoreReader {
  let database: Database
  /// For the questions that it answers from the tables alone; it begins no run.
  let engine: Engine
  /// The file.
  public let path: String

  /// Opens the store of a data directory. Where no broker runs, SQLite leaves an empty write-ahead log
  /// and its index beside the file, which the next broker takes away.
  /// - Throws: `StoreToolError`, also for a store of another version.
  public init(directory: String) throws(StoreToolError) {
    path = StoreFile.path(directory)
    do throws(DatabaseError) {
      database = try StoreReader.open(path, mode: .read)
      try database.run("PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF")
      try database.run("PRAGMA cache_size = -\(StoreReader.cacheBytes / 1024)")
      try database.run("BEGIN")
      // What is read from here on is of the moment of this.
      _ = try database.number("SELECT count(*) FROM sqlite_master")
    } catch {
      throw StoreReader.explain(error, path, directory)
    }
    engine = StoreReader.engine(of: database)
  }

  private static func engine(of database: Database) -> Engine {
    let seed = HashSeed()
    return Engine(
      database, limits: StoreLimits(), seed: seed, clients: InterestIndex(seed: seed),
      listener: NoListener(), isReadOnly: true)
  }

  /// Bytes of pages that are kept in memory.
  static var cacheBytes: Int { 8 << 20 }

  /// Milliseconds that another connection's lock is waited for. A reader waits only while the log of a
  /// broker that was killed is looked through.
  static var busyMilliseconds: Int32 { 5000 }

  /// Opens a store that there is, if it is of this version.
  static func open(_ path: String, mode: Database.Mode) throws(DatabaseError) -> Database {
    guard let size = ToolFile.size(path), size > 0 else {
      throw DatabaseError(code: missingCode, message: "")
    }
    let database = try Database(path: path, mode: mode)
    database.setBusyTimeout(milliseconds: busyMilliseconds)
    if let problem = try StoreFile.checkVersion(database) { throw problem.databaseError }
    let version = try database.number("PRAGMA user_version") ?? 0
    if version == 0 { throw DatabaseError(code: missingCode, message: "") }
    if version != Schema.version {
      throw DatabaseError(
        code: StoreFile.versionCode,
        message: "the store is of version \(version), and this program writes version "
          + "\(Schema.version): start its broker once, which brings the store to it")
    }
    return database
  }

  /// Stands for a missing store where SQLite's codes are.
  private static let missingCode: Int32 = -2

  static func explain(
    _ error: DatabaseError, _ path: String, _ directory: String
  ) -> StoreToolError {
    error.code == missingCode
      ? StoreToolError(.missing, "there is no store in \(directory): \(path) is missing or empty")
      : StoreToolError(error, path: path)
  }

  /// Does something with the database.
  func reading<Result: ~Copyable>(
    _ body: () throws(DatabaseError) -> Result
  ) throws(StoreToolError) -> Result {
    do throws(DatabaseError) {
      return try body()
    } catch {
      throw StoreToolError(error, path: path)
    }
  }

  func meta(_ name: String) throws(DatabaseError) -> UInt64 {
    UInt64(max(0, try database.number("SELECT value FROM meta WHERE name = '\(name)'") ?? 0))
  }

  /// The session of the present row of a query for version, connected, expiry_interval, expires_at,
  /// will_due_at and will, from a column on.
  static func presence(_ row: Statement, from column: Int32) -> SessionPresence {
    SessionPresence(
      version: UInt8(truncatingIfNeeded: row.number(column)),
      isConnected: row.number(column + 1) != 0, expiryInterval: row.word(column + 2),
      expiresAt: row.word(column + 3), willDueAt: row.word(column + 4),
      will: row.isNull(column + 5) ? nil : row.withBytes(column + 5) { StoredWill($0) })
  }
}

/// Nobody is told anything.
private final class NoListener: StoreListener {
  func deliver(_ events: [StoreEvent], to loop: Int) {}
  func loops(for topic: Span<UInt8>) -> UInt64 { 0 }
  func gainedReaders(_ filter: Span<UInt8>) {}
  func lostReaders(_ filter: Span<UInt8>) {}
  func knowsReaders() {}
  func storeChanged(_ state: StoreState) {}
  func storeDamaged(_ damage: String) {}
}
