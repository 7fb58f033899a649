import Testing

@testable import Conf

@Suite("Keys of gRPC")
struct BackendTests {
  private func problems(_ arguments: String...) -> [String] {
    do throws(ConfigurationProblems) {
      _ = try LoadedConfiguration(ConfigurationSources(arguments: arguments))
      return []
    } catch {
      return error.problems.map(\.description)
    }
  }

  @Test("no addresses, or the word off, turn it off", arguments: ["off", ""])
  func off(text: String) throws {
    let sources = ConfigurationSources(environment: ["BIFROST_GRPC_LISTEN": text])
    #expect(try LoadedConfiguration(sources).values.grpcListen.isEmpty)
    let mqtt = ConfigurationSources(environment: ["BIFROST_MQTT_TCP_LISTEN": text])
    #expect(throws: ConfigurationProblems.self) { try LoadedConfiguration(mqtt) }
  }

  @Test("other machines need a token or a certificate")
  func open() throws {
    let open = "--grpc-listen=0.0.0.0:5051"
    #expect(problems(open).first?.contains("grpc.tokens-file") == true)
    #expect(problems(open, "--grpc-tokens-file", Sample.tokensPath).isEmpty)
    let files = ["--grpc-tls-certificate-file=/c", "--grpc-tls-key-file=/k"]
    #expect(problems(open, files[0], files[1]).count == 1)
    #expect(problems(open, files[0], files[1], "--grpc-tls-client-ca-file=/a").isEmpty)
  }

  @Test("TLS needs both files, and client certificates need TLS")
  func files() {
    #expect(problems("--grpc-tls-certificate-file=/c").first?.contains("key-file") == true)
    #expect(problems("--grpc-tls-key-file=/k").first?.contains("certificate-file") == true)
    #expect(problems("--grpc-tls-client-ca-file=/a").first?.contains("needs TLS") == true)
    #expect(problems("--grpc-tls-key-file=k").first?.contains("absolute path") == true)
  }

  @Test("tokens come with names and scopes")
  func tokens() throws {
    let arguments = ["--grpc-tokens-file", Sample.tokensPath]
    let loaded = try LoadedConfiguration(ConfigurationSources(arguments: arguments))
    #expect(loaded.backendTokens.map(\.name) == ["pushes", "reads", "steers"])
    #expect(loaded.backendTokens.last?.scopes == [.publish, .read, .admin])
    let warning = loaded.warnings.first
    #expect(warning == nil || warning?.contains("chmod 600") == true)
  }

  @Test("a token that is wrong is named by its line, and never shown", arguments: wrong)
  func wrongTokens(text: String, expected: String) throws {
    let file = try TemporaryFile(text)
    let lines = problems("--grpc-tokens-file", file.path)
    #expect(lines.count == 1)
    #expect(lines.first?.hasPrefix(file.path) == true)
    #expect(lines.first?.contains(expected) == true, "\(lines)")
    #expect(lines.first?.contains("secret") != true)
  }

  static let wrong: [(String, String)] = [
    ("", "not a list of tokens"), ("name: a\n", "not a list of tokens"),
    ("- [\n", "not valid YAML"),
    ("- a\n", ":1: not a token"), ("- {name: a, tok: b}\n", "unknown key \"tok\""),
    ("- {name: '', token: secret-secret-secret, scopes: [read]}\n", "name: use 1 to 64"),
    ("- {name: a, token: secret, scopes: [read]}\n", "token of \"a\": use 16 to 1024"),
    ("- {name: a, token: secret-secret secret, scopes: [read]}\n", "without spaces"),
    ("- {name: a, token: secret-secret-secret}\n", "scopes of \"a\": use a list"),
    ("- {name: a, token: secret-secret-secret, scopes: [root]}\n", "\"root\" is none"),
    (
      "- {name: a, token: secret-secret-secret, scopes: [read]}\n"
        + "- {name: a, token: secret-secret-secre2, scopes: [read]}\n", ":2: the name \"a\""
    ),
    (
      "- {name: a, token: secret-secret-secret, scopes: [read]}\n"
        + "- {name: b, token: secret-secret-secret, scopes: [read]}\n", ":2: the token of \"b\""
    ),
  ]

  @Test("a tokens file that does not exist is said to be one")
  func missing() {
    let lines = problems("--grpc-tokens-file=/nonexistent/tokens.yaml")
    #expect(lines.first?.contains("cannot read the tokens file") == true)
  }

  @Test("unencrypted tokens are warned of")
  func unencrypted() throws {
    let arguments = ["--grpc-listen=0.0.0.0:0", "--grpc-tokens-file", Sample.tokensPath]
    let loaded = try LoadedConfiguration(ConfigurationSources(arguments: arguments))
    #expect(loaded.warnings.contains { $0.contains("unencrypted") })
  }
}
