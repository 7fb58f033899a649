import Testing

@testable import Conf

@Suite("The table of keys")
struct TableTests {
  @Test("names, flags and variables are unique and well formed")
  func names() {
    for names in [
      ConfigurationKey.all.map(\.name), ConfigurationKey.all.map(\.flag),
      ConfigurationKey.all.map(\.environmentVariable),
    ] {
      #expect(Set(names).count == names.count)
    }
    for key in ConfigurationKey.all {
      #expect(key.name.utf8.allSatisfy { 97...122 ~= $0 || $0 == 45 || $0 == 46 }, "\(key.name)")
      #expect(ConfigurationKey.named(key.name)?.name == key.name)
      #expect(!key.help.isEmpty && !key.help.hasSuffix("."))
    }
    let key = ConfigurationKey.named("mqtt.tcp.listen")
    #expect(key?.flag == "--mqtt-tcp-listen")
    #expect(key?.environmentVariable == "BIFROST_MQTT_TCP_LISTEN")
    #expect(ConfigurationKey.named("mqtt") == nil)
  }

  @Test("no name of a key is the section of another")
  func sections() {
    for key in ConfigurationKey.all {
      #expect(!ConfigurationKey.all.contains { $0.name.hasPrefix(key.name + ".") })
    }
  }

  @Test("each default is accepted, and is what the configuration begins with")
  func defaults() throws {
    var values = BrokerConfiguration()
    for key in ConfigurationKey.all {
      guard case .text(let text) = key.defaultValue else { continue }
      try key.apply(text, to: &values)
      #expect(values == BrokerConfiguration(), "\(key.name)")
    }
  }

  @Test("the help names every flag within 80 columns")
  func help() {
    let help = ConfigurationKey.flagHelp
    for key in ConfigurationKey.all { #expect(help.contains("  \(key.flag) ")) }
    #expect(help.split(separator: "\n").allSatisfy { $0.count <= 80 })
  }

  @Test("docs/CONFIGURATION.md is what `make docs` writes")
  func reference() throws {
    for key in ConfigurationKey.all {
      #expect(ConfigurationKey.reference.contains("| `\(key.name)` |"), "\(key.name)")
    }
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let page = try ConfigurationFile(reading: "/\(root)/docs/CONFIGURATION.md")
    #expect(String(decoding: page.bytes, as: UTF8.self) == ConfigurationKey.reference)
  }

  @Test(
    "the nearest name",
    arguments: [
      ("mqtt.max-qoss", "mqtt.max-qos"), ("mqtt.maxqos", "mqtt.max-qos"),
      ("max-qos", "mqtt.max-qos"), ("interval", "sys.interval"), ("log.levle", "log.level"),
      ("mqtt.listen", "mqtt.tcp.listen"), ("data_dir", "data-dir"),
    ])
  func nearest(name: String, expected: String) {
    #expect(NearestName.to(name, among: ConfigurationKey.all.map(\.name)) == expected)
  }

  @Test("a name like no other has no nearest", arguments: ["x", "tls.certificate", ""])
  func noNearest(name: String) {
    #expect(NearestName.to(name, among: ConfigurationKey.all.map(\.name)) == nil)
    let long = String(repeating: "mqtt.max-qos", count: 100)
    #expect(NearestName.to(long, among: ConfigurationKey.all.map(\.name)) == nil)
  }

  @Test("the distance of two texts")
  func distance() {
    func distance(_ a: String, _ b: String) -> Int {
      NearestName.distance(Array(a.utf8), Array(b.utf8))
    }
    #expect(distance("", "") == 0)
    #expect(distance("", "abc") == 3)
    #expect(distance("abc", "") == 3)
    #expect(distance("kitten", "sitting") == 3)
    #expect(distance("flaw", "lawn") == 2)
  }
}
