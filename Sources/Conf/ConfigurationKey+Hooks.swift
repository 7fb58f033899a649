extension ConfigurationKey {
  /// Endpoints of one hook: each has a connection and health checks of its own.
  static let maximumEndpoints = 64
  /// Filters of one hook: each is compared with each message's topic.
  static let maximumFilters = 64

  /// The keys of the hooks: those of each, then what they have in common.
  static let hooks = HookName.allCases.flatMap(hook) + commonHooks

  private static func hook(_ name: HookName) -> [ConfigurationKey] {
    let prefix = "hooks.\(name.rawValue)."
    let defaults = HookPointConfiguration(name)
    let what = name.isQuestion ? "questions" : "notes"
    var keys = [
      ConfigurationKey(
        prefix + "endpoints", .endpoints(\.hooks[name].endpoints), default: "",
        "Backends that are \(name.occasion), in turn; none turns the hook off"),
      ConfigurationKey(
        prefix + "timeout", .duration(\.hooks[name].timeoutMilliseconds, 10...600_000, step: 1),
        default: Quantity.durationText(defaults.timeoutMilliseconds),
        "Time of a call with its retries, and of a question's wait for its turn before"),
      ConfigurationKey(
        prefix + "retries", .integer(\.hooks[name].retries, 0...100),
        default: String(defaults.retries),
        "How often a call that failed is tried again, at another endpoint where there is one"),
      ConfigurationKey(
        prefix + "max-queued", .integer(\.hooks[name].maximumQueued, 1...1_000_000),
        default: String(defaults.maximumQueued),
        name.isQuestion
          ? "Questions that may wait; further ones are taken as not answered"
          : "Notes that may wait; further ones are dropped"),
    ]
    if name.isQuestion {
      keys += [
        ConfigurationKey(
          prefix + "max-calls", .integer(\.hooks[name].maximumCalls, 1...1000), default: "64",
          "Calls at a time"),
        ConfigurationKey(
          prefix + "on-failure", .choice(\.hooks[name].onFailure), default: "refuse",
          "What becomes of \(what) that nobody answers"),
      ]
    }
    if name.hasTopics {
      keys.append(
        ConfigurationKey(
          prefix + "topics", .filters(\.hooks[name].topics), default: "#",
          "Filters of the topics that the hook is about"))
    }
    return keys
  }

  private static let commonHooks = [
    ConfigurationKey(
      "hooks.tls.ca-file", .optionalFile(\.hooks.certificateAuthorityFile), default: "",
      "Certificates (PEM) of those who sign backends' certificates; none for plain text"),
    ConfigurationKey(
      "hooks.tls.certificate-file", .optionalFile(\.hooks.certificateFile), default: "",
      "The broker's own certificate (PEM), for backends that ask for one"),
    ConfigurationKey(
      "hooks.tls.key-file", .optionalFile(\.hooks.keyFile), default: "",
      "The key (PEM) of the broker's own certificate"),
    ConfigurationKey(
      "hooks.token-file", .optionalFile(\.hooks.tokenFile), default: "",
      "A file with a token that is sent with each call (Bearer), read at the start"),
    ConfigurationKey(
      "hooks.breaker-failures", .integer(\.hooks.breakerFailures, 1...1_000_000), default: "5",
      "Calls that fail one after the other until an endpoint gets none for a while"),
    ConfigurationKey(
      "hooks.breaker-pause", .duration(\.hooks.breakerPauseMilliseconds, 10...3_600_000, step: 1),
      default: "5s", "How long it gets none then, about, before one call tries whether it works"),
    ConfigurationKey(
      "hooks.health-interval",
      .duration(\.hooks.healthIntervalMilliseconds, 0...3_600_000, step: 1), default: "5s",
      "Time between two health checks (grpc.health.v1) of an endpoint, about; 0 turns them off"),
  ]

  /// Parses endpoints, which are joined by commas; an empty text has none.
  static func endpoints(_ text: String) throws(ValueError) -> [EndpointAddress] {
    var endpoints: [EndpointAddress] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: text.isEmpty) {
      let endpoint = try EndpointAddress(parsing: String(part.trimmingSpaces))
      if endpoints.contains(endpoint) {
        throw ValueError("\(endpoint) is listed twice; remove one")
      }
      endpoints.append(endpoint)
    }
    guard endpoints.count <= maximumEndpoints else {
      throw ValueError("\(endpoints.count) endpoints are too many; use \(maximumEndpoints) at most")
    }
    return endpoints
  }

  /// Parses topic filters, which are joined by commas: one at least.
  static func filters(_ text: String) throws(ValueError) -> [String] {
    var filters: [String] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let filter = String(part.trimmingSpaces)
      let levels = filter.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
      let isFilter = levels.enumerated().allSatisfy { index, level in
        level.elementsEqual("+".utf8)
          || (level.elementsEqual("#".utf8) && index == levels.count - 1)
          || !level.contains { "+#".utf8.contains($0) || $0 == 0 }
      }
      guard isFilter, 1...65_535 ~= filter.utf8.count, !filter.hasPrefix("$share/") else {
        throw ValueError("\(quoted(filter)) is not a topic filter, such as devices/+/events or #")
      }
      filters.append(filter)
    }
    guard filters.count <= maximumFilters else {
      throw ValueError("\(filters.count) filters are too many; use \(maximumFilters) at most")
    }
    return filters
  }
}

extension LoadedConfiguration {
  /// What is wrong with values of hooks that are each right by themselves.
  func hookProblems() -> [ConfigurationProblem] {
    let hooks = values.hooks
    func problem(_ key: String, _ text: String) -> ConfigurationProblem {
      ConfigurationProblem(key: key, source: self[key]?.source ?? .builtIn, text)
    }
    if hooks.certificateFile.isEmpty != hooks.keyFile.isEmpty {
      let (given, missing) =
        hooks.keyFile.isEmpty ? ("certificate-file", "key-file") : ("key-file", "certificate-file")
      return [problem("hooks.tls.\(given)", "hooks.tls.\(missing) is missing; set both")]
    }
    if !hooks.certificateFile.isEmpty && hooks.certificateAuthorityFile.isEmpty {
      return [
        problem(
          "hooks.tls.certificate-file", "without hooks.tls.ca-file connections are plain text")
      ]
    }
    return []
  }
}
