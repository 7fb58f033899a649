/// One key of the configuration: the row of the table from which the parsers, the help text, the
/// printed configuration and the reference are all made.
public struct ConfigurationKey: Sendable {
  /// The field of the configuration that a key sets.
  typealias Field<Value> = WritableKeyPath<BrokerConfiguration, Value> & Sendable

  /// What values a key takes, and where they go.
  enum Kind: Sendable {
    case integer(any Field<Int>, ClosedRange<Int>)
    /// A number of bytes.
    case size(any Field<Int>, ClosedRange<Int>)
    /// A number of milliseconds, a multiple of `step`.
    case duration(any Field<Int>, ClosedRange<Int>, step: Int)
    case flag(any Field<Bool>)
    /// One of some words; `set` returns false where the word is none of them.
    case word([String], set: @Sendable (inout BrokerConfiguration, String) -> Bool)
    case directory(any Field<String>)
    /// The path of a file, or nothing.
    case optionalFile(any Field<String>)
    /// Addresses; without any, or as the word `off`, where the service can be turned off.
    case listen(any Field<[ListenAddress]>, canBeOff: Bool)
    case endpoints(any Field<[EndpointAddress]>)
    case filters(any Field<[String]>)

    /// One of the cases of an enumeration, by their raw values.
    static func choice<Value>(_ field: any Field<Value>) -> Kind
    where Value: RawRepresentable<String> & CaseIterable & Sendable {
      .word(Value.allCases.map(\.rawValue)) { configuration, text in
        guard let value = Value(rawValue: text) else { return false }
        configuration[keyPath: field] = value
        return true
      }
    }
  }

  /// The value of a key that no source names.
  enum Default: Sendable {
    case text(String)
    /// As many as the process has cores.
    case processors
  }

  /// The key's name: words joined by dots and dashes, such as `mqtt.tcp.listen`.
  public let name: String
  /// What the key does, in one line without a full stop.
  public let help: String
  let kind: Kind
  let defaultValue: Default

  init(_ name: String, _ kind: Kind, default text: String, _ help: String) {
    self.init(name, kind, default: .text(text), help)
  }

  init(_ name: String, _ kind: Kind, default value: Default, _ help: String) {
    self.name = name
    self.kind = kind
    self.defaultValue = value
    self.help = help
  }

  /// The flag that sets the key: `mqtt.tcp.listen` is `--mqtt-tcp-listen`.
  public var flag: String {
    "--" + String(name.map { $0 == "." ? "-" : $0 })
  }

  /// The environment variable that sets the key: `mqtt.tcp.listen` is `BIFROST_MQTT_TCP_LISTEN`.
  public var environmentVariable: String {
    EnvironmentVariables.prefix + String(name.uppercased().map { ".-".contains($0) ? "_" : $0 })
  }

  /// The part before the first dot, or an empty text.
  var section: Substring {
    name.contains(".") ? name.prefix { $0 != "." } : ""
  }

  /// Whether several values may be given.
  var isList: Bool {
    switch kind {
    case .listen, .endpoints, .filters: true
    default: false
    }
  }

  /// Whether the flag may stand alone, which means true.
  var isSwitch: Bool {
    if case .flag = kind { true } else { false }
  }
}
