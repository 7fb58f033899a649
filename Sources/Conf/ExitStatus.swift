/// How the process ends: the numbers of `sysexits.h`, which init systems and scripts know.
public enum ExitStatus: Int32, Sendable, CaseIterable {
  /// It did what it was asked to.
  case success = 0
  /// The command line is wrong.
  case usage = 64
  /// The store is damaged, or of a version that this program does not know.
  case data = 65
  /// The configuration file does not exist or cannot be read.
  case noInput = 66
  /// An address to listen on is in use, or is not one of this machine's.
  case unavailable = 69
  /// The broker failed in a way that it should not have.
  case software = 70
  /// The system refused something: a limit on open files that is too low, memory, a thread.
  case system = 71
  /// The process may not do what it was asked to, such as to listen on port 80.
  case permission = 77
  /// A value in the configuration file or in the environment is wrong.
  case configuration = 78

  /// What the status means, for the reference.
  var meaning: String {
    switch self {
    case .success: "Stopped as it was asked to, or the configuration is right"
    case .usage: "The command line is wrong: an unknown flag, or a wrong value of one"
    case .data: "The store is damaged, or of a version that this program does not know"
    case .noInput: "The configuration file does not exist or cannot be read"
    case .unavailable:
      "An address to listen on is in use or not one of this machine's, or the store is in use"
    case .software: "The broker did not stop within `shutdown.timeout`"
    case .system: "The system refused: the limit on open files is too low, or memory is short"
    case .permission: "The process may not listen on that port"
    case .configuration: "A value in the configuration file or in the environment is wrong"
    }
  }
}
