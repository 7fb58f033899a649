import Yams

/// What a backend may do.
public enum BackendScope: String, Sendable, CaseIterable {
  /// It publishes.
  case publish
  /// It reads messages, and looks at clients.
  case read
  /// It steers clients.
  case admin
}

/// A backend's token.
public struct BackendTokenEntry: Sendable, Equatable {
  /// The name of its bearer: 1 to 64 bytes.
  public var name: String
  /// The token itself: 16 to 1,024 printable characters of ASCII.
  public var token: String
  /// What its bearer may do.
  public var scopes: Set<BackendScope>
}

/// The tokens of a file: a list of `name`, `token` and `scopes`.
struct BackendTokens {
  private(set) var entries: [BackendTokenEntry] = []
  private(set) var problems: [ConfigurationProblem] = []
  private(set) var warnings: [String] = []

  /// A shorter one can be guessed.
  static let minimumTokenBytes = 16
  /// A longer one does not fit into the headers of a call with others.
  static let maximumTokenBytes = 1024
  /// It stands in the log, and before each idempotency key.
  static let maximumNameBytes = 64
  /// Backends are some tens; more is a mistake.
  static let maximumTokens = 10_000

  /// No tokens.
  init() {}

  /// Reads a file, and gathers what is wrong with it.
  init(reading path: String) {
    do throws(ConfigurationProblem) {
      let file = try ConfigurationFile(reading: path, kind: "tokens file")
      if file.isReadableByOthers {
        warnings.append(
          "\(path): the tokens can be read by others than the owner of the file; chmod 600 it")
      }
      try read(file)
    } catch {
      problems.append(error)
    }
  }

  private mutating func read(_ file: ConfigurationFile) throws(ConfigurationProblem) {
    guard let text = String(validating: file.bytes, as: UTF8.self) else {
      throw ConfigurationProblem(.configuration, "\(file.path): not UTF-8 text")
    }
    let root: Node?
    do { root = try Parser(yaml: text).singleRoot() } catch {
      throw ConfigurationProblem(.configuration, "\(file.path): not valid YAML")
    }
    guard let items = root?.sequence, !items.isEmpty else {
      throw ConfigurationProblem(
        .configuration, "\(file.path): not a list of tokens; each has name, token and scopes")
    }
    guard items.count <= Self.maximumTokens else {
      throw ConfigurationProblem(
        .configuration,
        "\(file.path): \(items.count) tokens are too many; use \(Self.maximumTokens) at most")
    }
    for item in items {
      do throws(ValueError) {
        let entry = try Self.entry(item)
        if entries.contains(where: { $0.name == entry.name }) {
          throw ValueError("the name \(quoted(entry.name)) is used twice")
        }
        if entries.contains(where: { $0.token == entry.token }) {
          throw ValueError("the token of \(quoted(entry.name)) is another one's too")
        }
        entries.append(entry)
      } catch {
        let line = item.mark?.line ?? 1
        problems.append(
          ConfigurationProblem(.configuration, "\(file.path):\(line): \(error.message)"))
      }
    }
  }

  /// Throws what is wrong; never with the token in it.
  private static func entry(_ item: Node) throws(ValueError) -> BackendTokenEntry {
    guard let mapping = item.mapping else {
      throw ValueError("not a token; use name, token and scopes")
    }
    for (key, _) in mapping where !["name", "token", "scopes"].contains(key.string ?? "") {
      throw ValueError("unknown key \(quoted(key.string ?? "")); use name, token and scopes")
    }
    guard let name = mapping["name"]?.string, 1...maximumNameBytes ~= name.utf8.count,
      name.utf8.allSatisfy({ $0 > 32 && $0 != 127 })
    else { throw ValueError("name: use 1 to \(maximumNameBytes) bytes without spaces") }
    guard let token = mapping["token"]?.string,
      minimumTokenBytes...maximumTokenBytes ~= token.utf8.count,
      token.utf8.allSatisfy({ 33...126 ~= $0 })
    else {
      throw ValueError(
        "token of \(quoted(name)): use \(minimumTokenBytes) to \(maximumTokenBytes) printable "
          + "characters of ASCII without spaces")
    }
    guard let words = mapping["scopes"]?.sequence, !words.isEmpty else {
      throw ValueError("scopes of \(quoted(name)): use a list of publish, read and admin")
    }
    var scopes: Set<BackendScope> = []
    for word in words {
      guard let scope = word.string.flatMap(BackendScope.init) else {
        throw ValueError(
          "scopes of \(quoted(name)): \(quoted(word.string ?? "")) is none; "
            + "use publish, read and admin")
      }
      scopes.insert(scope)
    }
    return BackendTokenEntry(name: name, token: token, scopes: scopes)
  }
}
