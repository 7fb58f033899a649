import Glibc

/// The bytes of a file that the configuration is in, or that it names.
public struct ConfigurationFile: Sendable {
  /// The path as the user gave it; it stands in the errors.
  public let path: String
  let bytes: [UInt8]
  /// Whether others than the owner of the file may read it.
  let isReadableByOthers: Bool

  /// A file of some thousand lines at most; more is not a configuration but a mistaken path.
  static let maximumBytes = 1 << 20

  /// Reads a file of at most 1 MiB.
  ///
  /// Throws a problem with status 66 where it cannot be read.
  /// - Parameter kind: what the file is, for the errors.
  public init(
    reading path: String, kind: String = "configuration file"
  ) throws(ConfigurationProblem) {
    self.path = path
    // Safe: a terminated string; the descriptor is closed below on each way out.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
    guard descriptor >= 0 else { throw Self.problem(path, kind, errno) }
    defer { close(descriptor) }
    var status = stat()
    // Safe: fstat writes one stat, into one.
    guard unsafe fstat(descriptor, &status) == 0 else { throw Self.problem(path, kind, errno) }
    isReadableByOthers = status.st_mode & (S_IRGRP | S_IROTH) != 0
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 65_536)
    while true {
      // Safe: the count given is that of the block.
      let count = unsafe Glibc.read(descriptor, &block, block.count)
      if count < 0, errno == EINTR { continue }
      if count < 0 { throw Self.problem(path, kind, errno) }
      if count == 0 { break }
      bytes += block[..<count]
      if bytes.count > Self.maximumBytes {
        throw ConfigurationProblem(
          .noInput,
          "\(Self.shown(path)) is larger than 1 MiB; is it the \(kind)?")
      }
    }
    self.bytes = bytes
  }

  private static func problem(
    _ path: String, _ kind: String, _ code: Int32
  ) -> ConfigurationProblem {
    // Safe: the text lasts until the next call of strerror; one thread reads configurations.
    let reason = unsafe String(cString: strerror(code))
    return ConfigurationProblem(
      .noInput,
      "cannot read the \(kind) \(shown(path)): \(reason)")
  }

  private static func shown(_ path: String) -> String { quoted(path, limit: Int(PATH_MAX)) }
}
