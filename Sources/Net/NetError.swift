import Glibc

/// A system call that failed.
public struct NetError: Error, CustomStringConvertible {
  /// What was tried, in words, such as `listen on 127.0.0.1:1883`.
  public let operation: String
  /// The system's error number.
  public let code: Int32

  /// An error of `operation`, with the system's number.
  public init(_ operation: String, code: Int32) {
    self.operation = operation
    self.code = code
  }

  /// One line without a full stop: what was tried, and the system's reason.
  public var description: String {
    "cannot \(operation): \(NetError.reason(code))"
  }

  /// The system's words for an error number.
  public static func reason(_ code: Int32) -> String {
    unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
  }
}
