extension ConfigurationKey {
  /// The flags of all keys, for `bifrost serve --help`.
  public static var flagHelp: String {
    all.map { key in
      let text = "\(key.help) (default: \(key.defaultText))"
      let lines = wrapped(text, width: 72).map { "\n      \($0)" }.joined()
      return "  \(key.flag) \(key.placeholder)\(lines)"
    }.joined(separator: "\n")
  }

  private static func wrapped(_ text: String, width: Int) -> [String] {
    var lines = [""]
    for word in text.split(separator: " ") {
      let last = lines[lines.count - 1]
      if last.isEmpty {
        lines[lines.count - 1] = String(word)
      } else if last.count + 1 + word.count <= width {
        lines[lines.count - 1] = "\(last) \(word)"
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }

  /// The reference of all keys in Markdown: the file docs/CONFIGURATION.md.
  public static var reference: String {
    var text = introduction
    for (section, title) in sections {
      text += "\n## \(title)\n\n| key | value | default | |\n|---|---|---|---|\n"
      for key in all where key.section == section {
        text += "| `\(key.name)` | \(key.valueText) | \(key.defaultMarkdown) | \(key.help) |\n"
      }
    }
    text += "\n## Exit status\n\n| status | |\n|---|---|\n"
    for status in ExitStatus.allCases {
      text += "| \(status.rawValue) | \(status.meaning) |\n"
    }
    text += "| 130, 143 | A second SIGINT or SIGTERM ended it before the graceful stop did |\n"
    return text
  }

  private static let sections: [(Substring, String)] = [
    ("mqtt", "MQTT"), ("grpc", "gRPC"), ("auth", "Authentication"), ("net", "Network"),
    ("store", "Store"),
    ("session", "Sessions"),
    ("", "Files"), ("log", "Log"), ("shutdown", "Shutdown"), ("sys", "$SYS topics"),
    ("hooks", "Hooks"),
  ]

  private static let introduction = """
    # Configuration

    This page is written by `bifrost config --docs`, from the table that the broker itself reads.

    Each key can be set in four places. The first that names it wins:

    1. a flag of `bifrost serve`: `mqtt.tcp.listen` is `--mqtt-tcp-listen`;
    2. a variable in the environment: `BIFROST_MQTT_TCP_LISTEN`;
    3. a YAML file that `--config FILE`, or else the variable `BIFROST_CONFIG`, names; the words of
       a key may be nested, or joined by dots;
    4. the default.

    ```yaml
    mqtt:
      tcp:
        listen: ["127.0.0.1:1883", "[::1]:1883"]
      max-packet-size: 1MiB
    log.level: notice
    ```

    A name that is not a key is an error, wherever it stands: an unknown flag, an unknown key in the
    file, an unknown variable that begins with `BIFROST_`. (`BIFROST_BIN`, which scripts use to find
    the binary, and the variables that Kubernetes sets for a service named `bifrost` are left alone.)
    `bifrost config --check --config FILE` checks a file, and `bifrost config --print` shows the
    values in force and where each came from.

    Durations are numbers with `ms`, `s`, `m`, `h` or `d`, such as `90s` or `1h30m`. Sizes are bytes,
    or numbers with `KB`, `MB`, `GB` (powers of 1000) or `KiB`, `MiB`, `GiB` (powers of 1024).

    The broker has no authenticator yet. So it listens on loopback addresses only, unless
    `auth.anonymous` is true. gRPC is served on other addresses where `grpc.tokens-file` or
    `grpc.tls.client-ca-file` tells backends from others.

    """

  private var placeholder: String {
    switch kind {
    case .integer: "NUMBER"
    case .size: "SIZE"
    case .duration: "DURATION"
    case .flag: "[true|false]"
    case .word(let words, _): words.joined(separator: "|")
    case .directory: "DIRECTORY"
    case .optionalFile: "FILE"
    case .listen(_, let canBeOff): canBeOff ? "ADDRESS:PORT[,…]|off" : "ADDRESS:PORT[,…]"
    case .endpoints: "HOST:PORT[,…]"
    case .filters: "FILTER[,…]"
    }
  }

  private var valueText: String {
    switch kind {
    case .integer(_, let range): "\(range.lowerBound) to \(range.upperBound)"
    case .size(_, let range):
      "\(Quantity.sizeText(range.lowerBound)) to \(Quantity.sizeText(range.upperBound))"
    case .duration(_, let range, _):
      "\(Quantity.durationText(range.lowerBound)) to \(Quantity.durationText(range.upperBound))"
    case .flag: "`true`, `false`"
    case .word(let words, _): words.map { "`\($0)`" }.joined(separator: ", ")
    case .directory: "an absolute path"
    case .optionalFile: "an absolute path, or nothing"
    case .listen(_, let canBeOff):
      "up to \(Self.maximumListenAddresses), a list or joined by commas"
        + (canBeOff ? ", or `\(Self.offWord)`" : "")
    case .endpoints: "up to \(Self.maximumEndpoints), a list or joined by commas"
    case .filters: "up to \(Self.maximumFilters), a list or joined by commas"
    }
  }

  private var defaultText: String {
    switch defaultValue {
    case .text(let text): text.isEmpty ? "none" : text
    case .processors: "one for each core"
    }
  }

  private var defaultMarkdown: String {
    if case .text(let text) = defaultValue, !text.isEmpty { "`\(text)`" } else { defaultText }
  }
}
