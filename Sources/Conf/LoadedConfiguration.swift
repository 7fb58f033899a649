/// The configuration in force, and where each value of it came from.
public struct LoadedConfiguration: Sendable {
  /// One key with the value that won.
  public struct Setting: Sendable {
    /// The row of the table.
    public let key: ConfigurationKey
    /// The value as its source wrote it; several are joined by commas.
    public let text: String
    /// The source that won.
    public let source: ValueSource
  }

  /// The values, parsed and in range.
  public let values: BrokerConfiguration
  /// Every key, in the order of the table.
  public let settings: [Setting]
  /// The tokens in the file that `grpc.tokens-file` names.
  public let backendTokens: [BackendTokenEntry]
  /// What may be a mistake, each as one line.
  public let warnings: [String]

  /// The setting of a key, or nil where there is no such key.
  public subscript(name: String) -> Setting? {
    settings.first { $0.key.name == name }
  }
}

/// What a configuration is made of, apart from the built-in defaults.
public struct ConfigurationSources: Sendable {
  /// The words of the command line after the subcommand, without `--config`.
  public var arguments: [String]
  /// The process's environment.
  public var environment: [String: String]
  /// The path that `--config` names; without it `BIFROST_CONFIG` may name one.
  public var path: String?
  /// The cores that the process may run on, the default of `net.loops`.
  public var processors: Int

  /// Sources that name nothing.
  public init(
    arguments: [String] = [], environment: [String: String] = [:], path: String? = nil,
    processors: Int = 1
  ) {
    self.arguments = arguments
    self.environment = environment
    self.path = path
    self.processors = processors
  }
}
