import Testing

@testable import Conf

@Suite("Problems")
struct ProblemTests {
  /// The lines of a configuration that is wrong, and the status.
  private func problems(_ sources: ConfigurationSources) throws -> (lines: [String], status: Int32)
  {
    do throws(ConfigurationProblems) {
      _ = try LoadedConfiguration(sources)
    } catch {
      return (error.problems.map(\.description), error.exitStatus.rawValue)
    }
    Issue.record("the configuration was accepted")
    return ([], 0)
  }

  @Test("a file's problem names the file, the line and the key", arguments: files)
  func inFile(text: String, expected: String) throws {
    let file = try TemporaryFile(text)
    let (lines, status) = try problems(ConfigurationSources(path: file.path))
    #expect(lines.count == 1)
    #expect(status == 78)
    let line = try #require(lines.first)
    #expect(line.hasPrefix("\(file.path):"))
    #expect(line.dropFirst(file.path.count + 1) == expected)
  }

  static let files: [(String, String)] = [
    ("mqtt:\n  max-qos: 3\n", "2: mqtt.max-qos: 3 is out of range; use 0 to 2"),
    ("mqtt:\n  max-qos: high\n", "2: mqtt.max-qos: \"high\" is not a whole number"),
    ("mqtt:\n\n  max-qoss: 1\n", "3: mqtt.max-qoss: unknown key; did you mean mqtt.max-qos?"),
    ("max-qos: 1\n", "1: max-qos: unknown key; did you mean mqtt.max-qos?"),
    ("zzz: 1\n", "1: zzz: unknown key; 'bifrost config --print' lists what there is"),
    (
      "net:\n  nothing: {a: 1}\n",
      "2: net.nothing: unknown key; 'bifrost config --print' lists what there is"
    ),
    ("mqtt: 1883\n", "1: mqtt: is a section; keys have to stand in it, indented"),
    ("mqtt:\n  max-qos: {a: 1}\n", "2: mqtt.max-qos: takes a value, not keys of its own"),
    ("mqtt:\n  max-qos: [1]\n", "2: mqtt.max-qos: takes one value, not a list"),
    ("mqtt:\n  max-qos:\n", "2: mqtt.max-qos: has no value; write one or remove the line"),
    ("mqtt.tcp.listen: [[a]]\n", "1: mqtt.tcp.listen: takes a list of texts"),
    (
      "mqtt.tcp.listen: []\n",
      "1: mqtt.tcp.listen: an address is missing; use address:port, such as 127.0.0.1:1883"
    ),
    (
      "mqtt:\n  max-qos: 1\nmqtt.max-qos: 2\n",
      "3: mqtt.max-qos: is set on line 2 already; remove one"
    ),
    ("log:\n  level: info\n  level: debug\n", "2: \"level\" more than once; remove one"),
    ("- a\n- b\n", "1: not a list of keys; use lines such as 'log.level: info'"),
    ("log.level: info\nmqtt: [1\n", "3: not valid YAML: did not find expected ',' or ']'"),
    ("? [a]\n: 1\n", "1: a key has to be a word"),
    (
      "store:\n  kind: disk\n",
      "2: store.kind: \"disk\" is not supported; use one of sqlite, memory"
    ),
    (
      "shutdown:\n  timeout: 10\n",
      "2: shutdown.timeout: \"10\" is not a duration; "
        + "use a number with ms, s, m, h or d, such as 30s"
    ),
    (
      "mqtt:\n  tcp:\n    listen: 0.0.0.0:1883\n",
      "3: mqtt.tcp.listen: 0.0.0.0:1883 can be reached by other machines, and nothing "
        + "authenticates clients; set auth.anonymous: true to serve anybody, or use a "
        + "loopback address"
    ),
  ]

  @Test("a flag's problem names the flag and ends with 64", arguments: flags)
  func inFlags(arguments: [String], expected: String) throws {
    let (lines, status) = try problems(ConfigurationSources(arguments: arguments))
    #expect(lines == [expected])
    #expect(status == 64)
  }

  static let flags: [([String], String)] = [
    (["--mqtt-max-qos", "3"], "mqtt.max-qos (flag --mqtt-max-qos): 3 is out of range; use 0 to 2"),
    (["--mqtt-max-qos"], "mqtt.max-qos (flag --mqtt-max-qos): needs a value"),
    (
      ["--mqtt-max-qos", "--auth-anonymous"],
      "mqtt.max-qos (flag --mqtt-max-qos): needs a value"
    ),
    (
      ["--mqtt-max-qos=1", "--mqtt-max-qos=1"],
      "mqtt.max-qos (flag --mqtt-max-qos): given twice; remove one"
    ),
    (
      ["--mqtt-max-qos", "1,2"],
      "mqtt.max-qos (flag --mqtt-max-qos): \"1,2\" is not a whole number"
    ),
    (["--mqtt-max-qoz", "1"], "unknown flag --mqtt-max-qoz; did you mean --mqtt-max-qos?"),
    (["--max-qos=1"], "unknown flag --max-qos; did you mean --mqtt-max-qos?"),
    (["--quux"], "unknown flag --quux; 'bifrost config --print' lists what there is"),
    (
      ["--auth-anonymous", "maybe"],
      "auth.anonymous (flag --auth-anonymous): \"maybe\" is neither true nor false"
    ),
    (["extra"], "unexpected argument \"extra\"; settings are flags"),
    (["-v"], "unexpected argument \"-v\"; settings are flags"),
    (
      ["--a\u{1B}[2J\n"],
      "unknown flag --a\\u{1b}[2J\\u{a}; 'bifrost config --print' lists what there is"
    ),
  ]

  @Test("a variable's problem names the variable and ends with 78", arguments: variables)
  func inEnvironment(name: String, value: String, expected: String) throws {
    let (lines, status) = try problems(ConfigurationSources(environment: [name: value]))
    #expect(lines == [expected])
    #expect(status == 78)
  }

  static let variables: [(String, String, String)] = [
    (
      "BIFROST_LOG_LEVEL", "loud",
      "log.level (environment BIFROST_LOG_LEVEL): \"loud\" is not supported; "
        + "use one of trace, debug, info, notice, warning, error, critical"
    ),
    (
      "BIFROST_LOG_LEVL", "info",
      "environment variable BIFROST_LOG_LEVL: no such setting; did you mean BIFROST_LOG_LEVEL?"
    ),
    (
      "BIFROST_MQTT_MAX_QOS", "",
      "mqtt.max-qos (environment BIFROST_MQTT_MAX_QOS): \"\" is not a whole number"
    ),
  ]

  @Test("variables that others set are no problem")
  func foreignVariables() throws {
    let environment = [
      "BIFROST_BIN": "/usr/bin/bifrost", "BIFROST_PORT": "tcp://10.0.0.1:1883",
      "BIFROST_SERVICE_HOST": "10.0.0.1", "BIFROST_SERVICE_PORT": "1883",
      "BIFROST_SERVICE_PORT_MQTT": "1883", "BIFROST_PORT_1883_TCP": "tcp://10.0.0.1:1883",
      "BIFROST_PORT_1883_TCP_ADDR": "10.0.0.1", "BIFROST_EDGE_SERVICE_HOST": "10.0.0.2",
      "BIFROSTLING": "1", "bifrost_log_level": "loud",
    ]
    let loaded = try LoadedConfiguration(ConfigurationSources(environment: environment))
    #expect(loaded.values == BrokerConfiguration())
  }

  @Test("all problems are reported at once, in the order of the sources")
  func several() throws {
    let file = try TemporaryFile("logg: 1\nmqtt.max-qos: 9\nnet.loops: ~\n")
    let (lines, status) = try problems(
      ConfigurationSources(
        arguments: ["--nope"], environment: ["BIFROST_NOPE": "1"], path: file.path))
    #expect(lines.count == 5)
    #expect(status == 64)
    #expect(lines[0].hasPrefix("unknown flag --nope"))
    #expect(lines[1].hasPrefix("environment variable BIFROST_NOPE"))
    #expect(lines[2].hasPrefix("\(file.path):1: logg: "))
    #expect(lines[3].hasPrefix("\(file.path):3: net.loops: has no value"))
    #expect(lines[4].hasPrefix("\(file.path):2: mqtt.max-qos: "))
  }

  @Test(
    "a file that cannot be read ends with 66", arguments: ["/nonexistent/b.yaml", "/", "/dev/zero"])
  func unreadable(path: String) throws {
    let (lines, status) = try problems(ConfigurationSources(path: path))
    #expect(lines.count == 1)
    #expect(status == 66)
    #expect(lines.first?.contains("\"\(path)\"") == true)
  }

  @Test("a file that is not UTF-8 is refused")
  func notUTF8() throws {
    let file = try TemporaryFile(bytes: Array("log.level: ".utf8) + [0xFF, 0x0A])
    let (lines, status) = try problems(ConfigurationSources(path: file.path))
    #expect(lines == ["\(file.path): not UTF-8 text"])
    #expect(status == 78)
  }

  @Test("only auth.anonymous opens the broker to other machines")
  func anonymous() throws {
    for address in ["0.0.0.0:1883", "[::]:1883", "192.0.2.1:1883", "127.0.0.1:1,10.0.0.1:1"] {
      let closed = ["--mqtt-tcp-listen", address]
      let (lines, status) = try problems(ConfigurationSources(arguments: closed))
      #expect(lines.count == 1)
      #expect(status == 64)
      #expect(lines.first?.contains("mqtt.tcp.listen") == true)
      #expect(lines.first?.contains("auth.anonymous") == true)
      let open = ConfigurationSources(arguments: closed + ["--auth-anonymous"])
      #expect(try LoadedConfiguration(open).values.allowsAnonymous)
    }
    for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "[::ffff:127.0.0.1]:1"]
    {
      let sources = ConfigurationSources(arguments: ["--mqtt-tcp-listen", address])
      #expect(throws: Never.self) { try LoadedConfiguration(sources) }
    }
  }
}
