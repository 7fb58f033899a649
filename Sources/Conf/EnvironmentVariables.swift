/// The broker's variables in the environment.
enum EnvironmentVariables {
  /// What the name of each begins with.
  static let prefix = "BIFROST_"

  /// Names the configuration file where `--config` does not.
  static let configurationFile = "BIFROST_CONFIG"

  /// Names the broker's binary for the scripts that test and measure it; the broker itself, which
  /// inherits it from them, has no use for it.
  static let binary = "BIFROST_BIN"

  /// The variables that begin as the broker's do and that no key is named by.
  static func problems(in environment: [String: String]) -> [ConfigurationProblem] {
    let known = ConfigurationKey.all.map(\.environmentVariable)
    let names = Set(known + [configurationFile, binary])
    return environment.keys.sorted().compactMap { name in
      guard name.hasPrefix(prefix), !names.contains(name) else { return nil }
      if isServiceLink(name, environment[name] ?? "") { return nil }
      let advice = NearestName.advice(for: name, among: known)
      return ConfigurationProblem(
        .configuration, "environment variable \(name): no such setting; \(advice)")
    }
  }

  /// Whether a variable is one that Kubernetes and Docker set in each container for a service whose
  /// name begins with `bifrost`, such as `BIFROST_PORT_1883_TCP_ADDR`: nobody's mistake.
  private static func isServiceLink(_ name: String, _ value: String) -> Bool {
    if name.hasSuffix("_SERVICE_HOST") || name.contains("_SERVICE_PORT") { return true }
    let isURL = ["tcp://", "udp://", "sctp://"].contains { value.hasPrefix($0) }
    if name.hasSuffix("_PORT") && isURL { return true }
    let words = name.split(separator: "_")
    return zip(words, words.dropFirst()).contains { $0 == "PORT" && UInt16($1) != nil }
  }
}
