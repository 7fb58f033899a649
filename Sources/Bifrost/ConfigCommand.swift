import ArgumentParser
import Conf

/// `bifrost config`: shows or checks the configuration without serving.
struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config",
    abstract: "Show or check the configuration.",
    discussion: "Takes the flags of 'bifrost serve', and reads the same environment and file.")

  /// What to do with the configuration.
  enum Action: String, EnumerableFlag {
    case print, check, docs

    static func help(for value: Action) -> ArgumentHelp? {
      switch value {
      case .print: "Print the values in force, and where each came from."
      case .check: "Check them: status 0 if they are right, 78 if a value is wrong."
      case .docs: "Print the reference of all keys in Markdown."
      }
    }
  }

  @Flag(exclusivity: .exclusive)
  var action: Action

  @OptionGroup var sources: SourceOptions

  func run() throws {
    switch action {
    case .print: Swift.print(try sources.load().printed, terminator: "")
    case .check: _ = try sources.load()
    case .docs: Swift.print(ConfigurationKey.reference, terminator: "")
    }
  }
}
