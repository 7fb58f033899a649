/// The settings on the command line, checked against the table.
///
/// The provider that reads them afterwards takes any flag with any number of values; this pass
/// finds what is unknown, lacks a value or is given twice, and writes each key as one flag.
struct CommandLineFlags {
  /// The program's name and then `--key=value` for each key.
  private(set) var arguments = ["bifrost"]
  private(set) var problems: [ConfigurationProblem] = []
  private var values: [String: String] = [:]

  init(_ words: [String]) {
    var rest = words[...]
    while let word = rest.popFirst() { read(word, &rest) }
    for key in ConfigurationKey.all {
      if let value = values[key.name] { arguments.append("\(key.flag)=\(value)") }
    }
  }

  private mutating func read(_ word: String, _ rest: inout ArraySlice<String>) {
    guard word.hasPrefix("--"), word.utf8.count > 2 else {
      problems.append(.init(.usage, "unexpected argument \(quoted(word)); settings are flags"))
      return
    }
    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let flag = String(parts[0])
    // An unknown flag takes the value that follows it along, so that it is reported once.
    let following = rest.first.map { $0.hasPrefix("--") ? nil : $0 } ?? nil
    guard let key = ConfigurationKey.all.first(where: { $0.flag == flag }) else {
      if parts.count == 1, following != nil { rest.removeFirst() }
      let advice = NearestName.advice(for: flag, among: ConfigurationKey.all.map(\.flag))
      problems.append(.init(.usage, "unknown flag \(quoted(flag).dropQuotes); \(advice)"))
      return
    }
    if parts.count == 2 {
      store(String(parts[1]), key)
    } else if let following {
      rest.removeFirst()
      store(following, key)
    } else if key.isSwitch {
      store("true", key)
    } else {
      problems.append(.init(key: key.name, source: .flag(flag), "needs a value"))
    }
  }

  private mutating func store(_ value: String, _ key: ConfigurationKey) {
    guard let earlier = values[key.name] else {
      values[key.name] = value
      return
    }
    if key.isList {
      values[key.name] = "\(earlier),\(value)"
    } else {
      problems.append(.init(key: key.name, source: .flag(key.flag), "given twice; remove one"))
    }
  }
}

extension String {
  /// A quoted text that stands where no quotes are wanted, still on one line.
  fileprivate var dropQuotes: Substring { dropFirst().dropLast() }
}
