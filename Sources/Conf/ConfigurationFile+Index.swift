import Yams

/// Which keys a configuration file holds, and on which lines.
///
/// The provider that serves the values knows no lines and takes any key; this pass over the same
/// bytes finds where each key stands, and what the table does not know.
struct FileIndex {
  /// The line of each known key that is given a value.
  private(set) var lines: [String: Int] = [:]
  private(set) var problems: [ConfigurationProblem] = []
  private let path: String

  /// Throws where the text is not one YAML mapping.
  init(_ file: ConfigurationFile) throws(ConfigurationProblem) {
    path = file.path
    guard let text = String(validating: file.bytes, as: UTF8.self) else {
      throw ConfigurationProblem(.configuration, "\(path): not UTF-8 text")
    }
    guard let root = try Self.root(of: text, path) else { return }
    guard let mapping = root.mapping else {
      throw ConfigurationProblem(
        .configuration,
        "\(path):\(root.mark?.line ?? 1): not a list of keys; use lines such as 'log.level: info'")
    }
    read(mapping, prefix: "")
  }

  /// The document, or nil where there is none: an empty file sets nothing.
  private static func root(of text: String, _ path: String) throws(ConfigurationProblem) -> Node? {
    do {
      guard let root = try Parser(yaml: text).singleRoot() else { return nil }
      return root.isNull ? nil : root
    } catch {
      throw problem(error, path)
    }
  }

  private static func problem(_ error: any Error, _ path: String) -> ConfigurationProblem {
    let place: String
    let reason: String
    switch error as? YamlError {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      (place, reason) = ("\(path):\(mark.line)", "not valid YAML: \(problem)")
    case .duplicatedKeysInMapping(let duplicates, let context):
      let names = duplicates.sorted().map { quoted($0) }.joined(separator: ", ")
      (place, reason) = ("\(path):\(context.mark.line)", "\(names) more than once; remove one")
    case .reader(let problem, _, _, _):
      (place, reason) = (path, "not valid YAML: \(problem)")
    default:
      (place, reason) = (path, "not valid YAML")
    }
    return ConfigurationProblem(.configuration, "\(place): \(reason)")
  }

  private mutating func read(_ mapping: Node.Mapping, prefix: String) {
    for (nameNode, value) in mapping {
      let line = nameNode.mark?.line ?? value.mark?.line ?? 1
      guard case .scalar(let scalar) = nameNode else {
        let place = ValueSource.file(path, line: line)
        problems.append(.init(.configuration, "\(place): a key has to be a word"))
        continue
      }
      read(value, name: prefix + scalar.string, line: line)
    }
  }

  private mutating func read(_ value: Node, name: String, line: Int) {
    let isSection = ConfigurationKey.all.contains { $0.name.hasPrefix(name + ".") }
    if let key = ConfigurationKey.named(name) {
      if let earlier = lines[name] {
        fail(name, line, "is set on line \(earlier) already; remove one")
      } else if let message = Self.mismatch(value, key) {
        fail(name, line, message)
      } else {
        lines[name] = line
      }
    } else if case .mapping(let mapping) = value, isSection {
      read(mapping, prefix: name + ".")
    } else if isSection {
      // A section whose lines are all comments sets nothing.
      if !value.isNull { fail(name, line, "is a section; keys have to stand in it, indented") }
    } else {
      let shown = String(quoted(name).dropFirst().dropLast())
      let advice = NearestName.advice(for: name, among: ConfigurationKey.all.map(\.name))
      fail(shown, line, "unknown key; \(advice)")
    }
  }

  private mutating func fail(_ name: String, _ line: Int, _ message: String) {
    problems.append(.init(key: name, source: .file(path, line: line), message))
  }

  /// What is wrong with the shape of a value, before its text is read.
  private static func mismatch(_ value: Node, _ key: ConfigurationKey) -> String? {
    switch value {
    case .scalar: value.isNull ? "has no value; write one or remove the line" : nil
    case .mapping: "takes a value, not keys of its own"
    case .sequence(let items) where key.isList:
      items.allSatisfy { $0.scalar != nil } ? nil : "takes a list of texts"
    case .sequence: "takes one value, not a list"
    case .alias: "takes a value, not an alias"
    }
  }
}

extension Node {
  /// An empty value, `~` or `null`, without quotes.
  fileprivate var isNull: Bool {
    guard case .scalar(let scalar) = self, scalar.style != .singleQuoted,
      scalar.style != .doubleQuoted
    else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
  }
}
