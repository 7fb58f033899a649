import ArgumentParser
import Conf
import Glibc

/// `bifrost serve`: reads the configuration and serves until a signal ends it.
struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Serve MQTT until SIGTERM or SIGINT.",
    discussion: """
      A setting is a flag, a variable in the environment, a key in the YAML file,
      or its default; the first that is there wins. 'bifrost config --print' shows
      the values in force, docs/CONFIGURATION.md what they mean.

      Settings:
      \(ConfigurationKey.flagHelp)
      """)

  @OptionGroup var sources: SourceOptions

  func run() throws {
    // Before any thread exists: threads inherit the mask.
    Signals.prepare()
    let configuration = try sources.load()
    let status = serve(configuration)
    if status != .success { throw ExitCode(status.rawValue) }
  }
}

/// What `serve` and `config` both take: the file, and the flags that the key table names.
struct SourceOptions: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("Read this YAML file.", valueName: "file"))
  var config: String?

  // The table, not the argument parser, knows the flags of the settings.
  @Argument(
    parsing: .allUnrecognized,
    help: ArgumentHelp("Flags of settings, such as --log-level debug.", valueName: "setting"))
  var settings: [String] = []

  /// The configuration in force; where it is wrong, writes one line for each problem to standard
  /// error and throws the exit status.
  func load() throws -> LoadedConfiguration {
    let sources = ConfigurationSources(
      arguments: settings, environment: Environment.variables, path: config,
      processors: ConfigurationSources.availableProcessors)
    do throws(ConfigurationProblems) {
      return try LoadedConfiguration(sources)
    } catch {
      for problem in error.problems { StandardError.write("bifrost: \(problem)\n") }
      throw ExitCode(error.exitStatus.rawValue)
    }
  }
}
