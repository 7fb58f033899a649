import Testing

@testable import Conf

@Suite("Precedence and sources")
struct LoadTests {
  @Test("without sources, every value is its default and says so")
  func defaults() throws {
    let loaded = try LoadedConfiguration(ConfigurationSources())
    #expect(loaded.values == BrokerConfiguration())
    #expect(loaded.settings.count == ConfigurationKey.all.count)
    #expect(loaded.settings.allSatisfy { $0.source == .builtIn })
    #expect(loaded.settings.first?.source.description == "default")
  }

  @Test("a flag wins over the environment, that over the file, that over the default")
  func precedence() throws {
    let file = try TemporaryFile("mqtt:\n  max-qos: 0\n  max-inflight: 3\nlog.level: debug\n")
    let loaded = try LoadedConfiguration(
      ConfigurationSources(
        arguments: ["--mqtt-max-qos", "1"],
        environment: ["BIFROST_MQTT_MAX_QOS": "2", "BIFROST_MQTT_MAX_INFLIGHT": "5", "HOME": "/"],
        path: file.path))
    #expect(loaded.values.maximumQoS == 1)
    #expect(loaded["mqtt.max-qos"]?.source == .flag("--mqtt-max-qos"))
    #expect(loaded["mqtt.max-qos"]?.source.description == "flag --mqtt-max-qos")
    #expect(loaded.values.maximumInflight == 5)
    let variable = loaded["mqtt.max-inflight"]?.source
    #expect(variable?.description == "environment BIFROST_MQTT_MAX_INFLIGHT")
    #expect(loaded.values.logLevel == .debug)
    #expect(loaded["log.level"]?.source == .file(file.path, line: 4))
    #expect(loaded["log.level"]?.source.description == "\(file.path):4")
    #expect(loaded["log.format"]?.source == .builtIn)
  }

  @Test("each key can be set by its flag, its variable and the file", arguments: Sample.all)
  func everyKeyFromEverySource(sample: Sample) throws {
    let key = try #require(ConfigurationKey.named(sample.name))
    let nested = try TemporaryFile(sample.nestedYAML)
    let dotted = try TemporaryFile("\(sample.name): \"\(sample.text)\"\n")
    let sources = [
      ConfigurationSources(arguments: [key.flag, sample.text]),
      ConfigurationSources(arguments: ["\(key.flag)=\(sample.text)"]),
      ConfigurationSources(environment: [key.environmentVariable: sample.text]),
      ConfigurationSources(path: nested.path),
      ConfigurationSources(path: dotted.path),
    ]
    for var source in sources {
      // Only the key under test may make the values acceptable.
      source.environment.merge(sample.companions) { own, _ in own }
      let loaded = try LoadedConfiguration(source)
      #expect(loaded[sample.name]?.text == sample.text)
      #expect(loaded[sample.name]?.source != .builtIn)
      #expect(loaded.values != BrokerConfiguration())
    }
  }

  @Test("the samples cover the table")
  func samplesCoverTable() {
    #expect(Sample.all.map(\.name) == ConfigurationKey.all.map(\.name))
  }

  @Test("addresses come as a YAML list, by commas, and from a flag given twice")
  func lists() throws {
    let expected = ["127.0.0.1:1", "[::1]:2"]
    let file = try TemporaryFile(
      "mqtt:\n  tcp:\n    listen:\n      - 127.0.0.1:1\n      - '[::1]:2'\n")
    let sources = [
      ConfigurationSources(path: file.path),
      ConfigurationSources(environment: ["BIFROST_MQTT_TCP_LISTEN": "127.0.0.1:1, [::1]:2"]),
      ConfigurationSources(arguments: ["--mqtt-tcp-listen=127.0.0.1:1,[::1]:2"]),
      ConfigurationSources(
        arguments: ["--mqtt-tcp-listen", "127.0.0.1:1", "--mqtt-tcp-listen", "[::1]:2"]),
    ]
    for source in sources {
      let loaded = try LoadedConfiguration(source)
      #expect(loaded.values.listen.map(\.description) == expected)
    }
  }

  @Test("a switch may stand alone, and takes the word that follows it")
  func switches() throws {
    let alone = ["--auth-anonymous", "--log-level", "error"]
    let loaded = try LoadedConfiguration(ConfigurationSources(arguments: alone))
    #expect(loaded.values.allowsAnonymous)
    #expect(loaded.values.logLevel == .error)
    let denied = ["--mqtt-retain-available", "false"]
    let second = try LoadedConfiguration(ConfigurationSources(arguments: denied))
    #expect(!second.values.retainAvailable)
  }

  @Test("an empty file, comments and empty sections set nothing", arguments: emptyFiles)
  func emptyFile(text: String) throws {
    let file = try TemporaryFile(text)
    let loaded = try LoadedConfiguration(ConfigurationSources(path: file.path))
    #expect(loaded.values == BrokerConfiguration())
  }

  static let emptyFiles = ["", "\n", "# nothing\n", "---\n", "mqtt:\n  # none\nnet: ~\n", "{}\n"]

  @Test("BIFROST_CONFIG names the file, and --config wins over it")
  func fileFromEnvironment() throws {
    let file = try TemporaryFile("mqtt.max-qos: 1\n")
    let other = try TemporaryFile("mqtt.max-qos: 0\n")
    let environment = ["BIFROST_CONFIG": file.path]
    let loaded = try LoadedConfiguration(ConfigurationSources(environment: environment))
    #expect(loaded.values.maximumQoS == 1)
    let second = try LoadedConfiguration(
      ConfigurationSources(environment: environment, path: other.path))
    #expect(second.values.maximumQoS == 0)
  }

  @Test("the loops are as many as the cores, within the range")
  func processors() throws {
    for (cores, loops) in [(1, 1), (12, 12), (0, 1), (4096, 64)] {
      let loaded = try LoadedConfiguration(ConfigurationSources(processors: cores))
      #expect(loaded.values.loops == loops)
      #expect(loaded["net.loops"]?.text == "\(loops)")
    }
    #expect(ConfigurationSources.availableProcessors >= 1)
  }

  @Test("what is printed is a file that sets the same values")
  func printedIsAFile() throws {
    let arguments = [
      "--mqtt-tcp-listen", "[::1]:1883,127.0.0.1:0", "--data-dir", "/a \"b\" \\c: #d",
      "--mqtt-max-qos=1",
    ]
    let loaded = try LoadedConfiguration(ConfigurationSources(arguments: arguments))
    #expect(loaded.printed.contains("mqtt.max-qos: 1  "))
    #expect(loaded.printed.contains("# flag --mqtt-max-qos\n"))
    #expect(loaded.printed.contains("# default\n"))
    let file = try TemporaryFile(loaded.printed)
    let again = try LoadedConfiguration(ConfigurationSources(path: file.path))
    #expect(again.values == loaded.values)
    #expect(again["mqtt.tcp.listen"]?.source == .file(file.path, line: 1))
  }
}
