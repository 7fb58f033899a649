import ArgumentParser

/// The program: each verb is a subcommand.
@main
struct RootCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bifrost",
    abstract: "An MQTT broker for very many connections.",
    version: "bifrost 0.1.0",
    subcommands: [
      ServeCommand.self, ConfigCommand.self, PubCommand.self, SubCommand.self, TopCommand.self,
      BenchCommand.self, DoctorCommand.self, StoreCommand.self,
    ])
}
