import CSQLite
import Glibc

/// Why a command on a store did not do what it was asked to.
public struct StoreToolError: Error, Sendable, CustomStringConvertible {
  /// What a program may tell apart, for its exit status.
  public enum Kind: Sendable, Equatable {
    /// There is no store in the directory.
    case missing
    /// There is one already, with something in it.
    case occupied
    /// It could not be opened, or not be read or written any further.
    case store(StoreOpenError.Kind)
    /// What is to be imported is not what makes a store.
    case invalid
  }

  /// Decides on the exit status; the message is for people.
  public let kind: Kind
  /// One line that says what failed.
  public let message: String

  /// See the properties.
  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  init(_ error: StoreOpenError) { self.init(.store(error.kind), error.message) }

  init(_ error: DatabaseError, path: String) {
    if error.code == StoreFile.versionCode {
      self.init(.store(.version), error.message)
    } else {
      self.init(StoreOpenError(error, path: path))
    }
  }

  /// The message.
  public var description: String { message }

  /// A call of the system that failed; `code` is what it left in `errno`.
  static func system(_ what: String, code: Int32) -> StoreToolError {
    let kind: StoreOpenError.Kind =
      code == EACCES || code == EROFS || code == EPERM ? .permission : .system
    return StoreToolError(
      .store(kind), "cannot \(what): \(unsafe String(cString: strerror(code)))")
  }
}

/// Files beside the store.
enum ToolFile {
  /// Bytes of a file; nil where there is none.
  static func size(_ path: String) -> UInt64? {
    var facts = Glibc.stat()
    guard unsafe stat(path, &facts) == 0 else { return nil }
    return UInt64(max(0, facts.st_size))
  }

  /// Waits until the disk has a file, or the names in a directory.
  static func synchronise(_ path: String) throws(StoreToolError) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system("open \(path)", code: errno) }
    let code = fsync(descriptor) == 0 ? 0 : errno
    close(descriptor)
    guard code == 0 else { throw .system("write \(path) to the disk", code: code) }
  }
}
