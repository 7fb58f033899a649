/// One thing that is wrong with the configuration.
public struct ConfigurationProblem: Error, Sendable, Equatable, CustomStringConvertible {
  /// The status with which the process ends because of it.
  public let exitStatus: ExitStatus
  /// One line without an end of line: where, which key, what is wrong, and what to do.
  public let description: String

  init(_ exitStatus: ExitStatus, _ description: String) {
    self.exitStatus = exitStatus
    self.description = description
  }

  /// A value, or the name of a key, that is wrong.
  init(key: String, source: ValueSource, _ message: String) {
    exitStatus = source.exitStatus
    description =
      switch source {
      case .file: "\(source): \(key): \(message)"
      case .builtIn: "\(key): \(message)"
      case .flag, .environment: "\(key) (\(source)): \(message)"
      }
  }
}

/// Everything that is wrong with the configuration; never empty.
public struct ConfigurationProblems: Error, Sendable, Equatable {
  /// In the order of the sources: the command line, the environment, the file; then the keys.
  public let problems: [ConfigurationProblem]

  /// The status of the first problem.
  public var exitStatus: ExitStatus { problems.first?.exitStatus ?? .software }
}
