import Bench

/// What a broker says of itself under `$SYS/broker/`, and how `bifrost top` shows it.
struct SystemSnapshot {
  /// Where all of it lies.
  static let prefix = "$SYS/broker/"
  /// The kinds of memory, in the order in which they are shown; each is a topic below `memory/`.
  static let kinds = [
    "connections", "sessions", "client-ids", "directory", "filters", "subscriptions", "interest",
    "read-remainders", "write-queues", "in-flight", "retained", "store", "between-loops", "buffers",
    "heap",
    "free", "program",
  ]
  /// The topic that a broker publishes last of each round.
  static let last = "memory/started"

  /// Values by topic, without the prefix.
  private(set) var values: [String: String] = [:]

  /// Notes a message. Gives its topic without the prefix; nil where it is not one of these.
  @discardableResult
  mutating func take(topic: [UInt8], payload: [UInt8]) -> String? {
    let topic = String(decoding: topic, as: UTF8.self)
    guard topic.hasPrefix(Self.prefix) else { return nil }
    let name = String(topic.dropFirst(Self.prefix.count))
    values[name] = String(decoding: payload, as: UTF8.self)
    return name
  }

  /// Whether the broker has a ledger of its memory, as this program's has.
  var hasLedger: Bool { values[Self.last] != nil && values["memory/total"] != nil }

  /// The number at the start of a value.
  private func number(_ name: String) -> Double? {
    values[name]?.split(separator: " ").first.flatMap { Double($0) }
  }

  /// Per second, from an average over the last minute.
  private func rate(_ name: String) -> String {
    guard let perMinute = number("load/\(name)/1min") else { return "-" }
    return Self.grouped((perMinute / 60).rounded())
  }

  private func count(_ name: String) -> String { number(name).map(Self.grouped) ?? "-" }

  /// An integer with commas between groups of three digits.
  static func grouped(_ value: Double) -> String {
    guard value.magnitude < 1e15 else { return "\(value)" }
    let digits = String(Int64(value.magnitude))
    var out = ""
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.count - index) % 3 == 0 { out += "," }
      out.append(digit)
    }
    return value < 0 && out != "0" ? "-" + out : out
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  private static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  /// The page, line by line.
  func lines(broker: String) -> [String] {
    var lines = [
      "\(values["version"] ?? "a broker") at \(broker), up \(values["uptime"] ?? "-")", "",
      "clients        \(count("clients/connected")) connected, "
        + "\(count("clients/disconnected")) away, \(count("clients/maximum")) at most",
      "subscriptions  \(count("subscriptions/count"))",
      "retained       \(count("retained messages/count"))",
      "publishes/s    \(rate("publish/received")) received, \(rate("publish/sent")) sent, "
        + "\(rate("publish/dropped")) dropped",
      "bytes/s        \(rate("bytes/received")) received, \(rate("bytes/sent")) sent", "",
      Self.left("memory", 18) + Self.right("bytes", 16) + Self.right("per client", 14),
    ]
    let clients = number("clients/connected") ?? 0
    for kind in Self.kinds {
      guard let bytes = number("memory/\(kind)") else { continue }
      var line = Self.left("  \(kind)", 18) + Self.right(Self.grouped(bytes), 16)
      if clients > 0 && kind != "program" {
        line += Self.right(Self.grouped((bytes / clients).rounded()), 14)
      }
      lines.append(line)
    }
    lines.append(Self.left("  total", 18) + Self.right(count("memory/total"), 16))
    lines.append(Self.left("  resident", 18) + Self.right(count("memory/resident"), 16))
    return lines
  }

  /// All values as one object; those that are integers as numbers.
  var json: JSONValue {
    .object(
      values.sorted { $0.key < $1.key }.map { name, value in
        (name, UInt64(value).map { .integer($0) } ?? .string(value))
      })
  }
}
