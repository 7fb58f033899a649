import Configuration

extension LoadedConfiguration {
  /// Reads the sources: a flag wins over the environment, that over the file, and that over the
  /// defaults.
  ///
  /// Throws everything that is wrong with them at once.
  public init(_ sources: ConfigurationSources) throws(ConfigurationProblems) {
    let flags = CommandLineFlags(sources.arguments)
    var problems = flags.problems
    problems += EnvironmentVariables.problems(in: sources.environment)
    let file = Self.file(sources, &problems)
    let reader = SettingReader(flags: flags, environment: sources.environment, file: file)
    var values = BrokerConfiguration()
    var settings: [Setting] = []
    for key in ConfigurationKey.all {
      let setting = reader.setting(key, processors: sources.processors)
      do throws(ValueError) {
        try key.apply(setting.text, to: &values)
      } catch {
        problems.append(.init(key: key.name, source: setting.source, error.message))
      }
      settings.append(setting)
    }
    self.values = values
    self.settings = settings
    var tokens = BackendTokens()
    if problems.isEmpty, !values.grpcTokensFile.isEmpty {
      tokens = BackendTokens(reading: values.grpcTokensFile)
      problems += tokens.problems
    }
    backendTokens = tokens.entries
    warnings = tokens.warnings + values.grpcWarnings
    if problems.isEmpty { problems += relationProblems() + grpcProblems() + hookProblems() }
    if !problems.isEmpty { throw ConfigurationProblems(problems: problems) }
  }

  private static func file(
    _ sources: ConfigurationSources, _ problems: inout [ConfigurationProblem]
  ) -> FileSettings? {
    let variable = EnvironmentVariables.configurationFile
    guard let path = sources.path ?? sources.environment[variable] else { return nil }
    do throws(ConfigurationProblem) {
      let file = try ConfigurationFile(reading: path)
      let index = try FileIndex(file)
      problems += index.problems
      return try FileSettings(file, index)
    } catch {
      problems.append(error)
      return nil
    }
  }

  /// What is wrong with values that are each right by themselves.
  private func relationProblems() -> [ConfigurationProblem] {
    guard !values.allowsAnonymous, let open = values.listen.first(where: { !$0.isLoopback }) else {
      return []
    }
    // No authenticator exists that could tell one client from another, so that a broker other
    // machines can reach would serve anybody: that has to be asked for.
    return [
      ConfigurationProblem(
        key: "mqtt.tcp.listen", source: self["mqtt.tcp.listen"]?.source ?? .builtIn,
        "\(open) can be reached by other machines, and nothing authenticates clients; "
          + "set auth.anonymous: true to serve anybody, or use a loopback address")
    ]
  }
}

/// The values of a configuration file, and the line of each.
private struct FileSettings {
  let path: String
  let lines: [String: Int]
  let values: YAMLSnapshot

  /// Nil stands for a file without values, or one that the library refuses as a whole for a problem
  /// that the index has found already, with its line.
  init?(_ file: ConfigurationFile, _ index: FileIndex) throws(ConfigurationProblem) {
    guard !index.lines.isEmpty else { return nil }
    path = file.path
    lines = index.lines
    do {
      // The bytes that the index saw: the library's own provider would read the file again, and
      // the lines that errors name could then be those of another text.
      // Safe: a view of initialized bytes, of which the snapshot makes values of its own.
      values = try unsafe YAMLSnapshot(
        data: file.bytes.span.bytes, providerName: file.path, parsingOptions: .default)
    } catch {
      guard index.problems.isEmpty else { return nil }
      throw ConfigurationProblem(.configuration, "\(file.path): \(error)")
    }
  }
}

/// Finds the value of each key in the sources, from the strongest to the weakest.
private struct SettingReader {
  /// Where a key's value came from, or nil where this source's value is not to be used.
  private typealias Source = @Sendable (ConfigurationKey) -> ValueSource?

  private let sources: [(values: any ConfigSnapshot, source: Source)]

  init(flags: CommandLineFlags, environment: [String: String], file: FileSettings?) {
    let variables = EnvironmentVariablesProvider(environmentVariables: environment)
    var sources: [(values: any ConfigSnapshot, source: Source)] = [
      (CommandLineArgumentsProvider(arguments: flags.arguments).snapshot(), { .flag($0.flag) }),
      (
        variables.prefixKeys(with: "bifrost").snapshot(),
        { .environment($0.environmentVariable) }
      ),
    ]
    if let file {
      let (lines, path) = (file.lines, file.path)
      // A key without a line has a value of the wrong shape, which is reported already.
      sources.append((file.values, { lines[$0.name].map { .file(path, line: $0) } }))
    }
    self.sources = sources
  }

  func setting(_ key: ConfigurationKey, processors: Int) -> LoadedConfiguration.Setting {
    let name = AbsoluteConfigKey(ConfigKey(key.name))
    for (values, source) in sources {
      if let text = Self.text(name, in: values), let source = source(key) {
        return .init(key: key, text: text, source: source)
      }
    }
    let text =
      switch key.defaultValue {
      case .text(let text): text
      case .processors: String(min(max(processors, 1), ConfigurationKey.maximumLoops))
      }
    return .init(key: key, text: text, source: .builtIn)
  }

  /// A value as text, or nil where the source has none. A list is joined by commas: which keys
  /// take one is the table's business, not the source's.
  private static func text(_ key: AbsoluteConfigKey, in values: any ConfigSnapshot) -> String? {
    if let result = try? values.value(forKey: key, type: .string) {
      guard case .string(let text) = result.value?.content else { return nil }
      return text
    }
    let list = try? values.value(forKey: key, type: .stringArray)
    guard case .stringArray(let texts) = list?.value?.content else { return nil }
    return texts.joined(separator: ",")
  }
}
