/// Where the value of a key came from.
public enum ValueSource: Sendable, Hashable, CustomStringConvertible {
  /// The command line; the flag with its dashes.
  case flag(String)
  /// The environment; the variable's name.
  case environment(String)
  /// The configuration file: its path, and the line counted from 1.
  case file(String, line: Int)
  /// No source names the key.
  case builtIn

  /// The source as `bifrost config --print` shows it.
  public var description: String {
    switch self {
    case .flag(let flag): "flag \(flag)"
    case .environment(let name): "environment \(name)"
    case .file(let path, let line): "\(path):\(line)"
    case .builtIn: "default"
    }
  }

  /// The status with which the process ends when a value from here is wrong.
  var exitStatus: ExitStatus {
    switch self {
    case .flag: .usage
    case .environment, .file, .builtIn: .configuration
    }
  }
}
