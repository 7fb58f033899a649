import ArgumentParser
import Conf
import Glibc
import StoreSQLite

/// `bifrost store`: looks after the durable store of a data directory.
struct StoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "store",
    abstract: "Look into a durable store, check it, shrink it, move it.",
    discussion: """
      All but import work while a broker runs. docs/STORE.md says what they show.

      The status is 0, or 64 for a wrong command line, 65 for a store or an import
      that is not sound, 66 where there is no store or no input, 69 where another
      process holds the store, 71 where the system refused, 73 for a file that can't
      be made or a store that is there already, 74 for output that can't be written,
      77 where the process may not, 78 for a wrong configuration.
      """,
    subcommands: [
      StoreInspect.self, StoreVerify.self, StoreCompact.self, StoreExport.self, StoreImport.self,
    ])
}

/// Which store.
struct StoreArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Directory of the store. Without it, the one that the broker's configuration names.",
      valueName: "directory"))
  var dataDir: String?
  @Option(help: ArgumentHelp("Read the broker's configuration here.", valueName: "file"))
  var config: String?

  func validate() throws {
    if dataDir?.isEmpty == true { throw ValidationError("--data-dir is empty") }
  }

  /// The data directory. Throws the status where the configuration is wrong.
  func directory() throws -> String {
    if let dataDir { return dataDir }
    let sources = ConfigurationSources(
      arguments: [], environment: Environment.variables, path: config,
      processors: ConfigurationSources.availableProcessors)
    do throws(ConfigurationProblems) {
      return try LoadedConfiguration(sources).values.dataDirectory
    } catch {
      for problem in error.problems { StandardError.write("bifrost: \(problem)\n") }
      throw ExitCode(error.exitStatus.rawValue)
    }
  }

  /// Does something with the directory; where that fails, says why and throws the status.
  func run<Result>(_ body: (String) throws -> Result) throws -> Result {
    let directory = try directory()
    do {
      return try body(directory)
    } catch let error as StoreToolError {
      throw fail(error.message, error.exitCode)
    }
  }
}

/// Writes a line to standard error, and gives the status to end with.
func fail(_ message: String, _ code: Int32) -> ExitCode {
  StandardError.write("bifrost: \(message)\n")
  return ExitCode(code)
}

/// Writes to standard output, or ends the command.
func put(_ text: String) throws {
  guard write(text, to: STDOUT_FILENO) else {
    throw fail("cannot write to standard output", EX_IOERR)
  }
}

extension StoreToolError {
  /// How a command ends with it.
  var exitCode: Int32 {
    switch kind {
    case .missing: EX_NOINPUT
    case .occupied: EX_CANTCREAT
    case .store(let kind): ExitStatus(kind).rawValue
    case .invalid: EX_DATAERR
    }
  }
}
