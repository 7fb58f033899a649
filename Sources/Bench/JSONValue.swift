/// A value of JSON, with the members of an object in the order given.
public indirect enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case integer(UInt64)
  /// A number that is not finite becomes null.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([(String, JSONValue)])

  /// Whether both are the same, the order of members included.
  public static func == (left: JSONValue, right: JSONValue) -> Bool { left.text == right.text }

  /// The text, with two spaces for each level and no line end behind it.
  public var text: String {
    var out = ""
    write(to: &out, indent: "")
    return out
  }

  /// The text on one line, without spaces and with no line end behind it.
  public var line: String {
    var out = ""
    writeLine(to: &out)
    return out
  }

  private func writeLine(to out: inout String) {
    switch self {
    case .array(let values):
      out += "["
      for (index, value) in values.enumerated() {
        if index > 0 { out += "," }
        value.writeLine(to: &out)
      }
      out += "]"
    case .object(let members):
      out += "{"
      for (index, (name, value)) in members.enumerated() {
        if index > 0 { out += "," }
        JSONValue.quote(name, to: &out)
        out += ":"
        value.writeLine(to: &out)
      }
      out += "}"
    default: write(to: &out, indent: "")
    }
  }

  private func write(to out: inout String, indent: String) {
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .integer(let value): out += "\(value)"
    case .number(let value): out += value.isFinite ? JSONValue.rounded(value) : "null"
    case .string(let value): JSONValue.quote(value, to: &out)
    case .array(let values):
      out += "["
      for (index, value) in values.enumerated() {
        if index > 0 { out += ", " }
        value.write(to: &out, indent: indent)
      }
      out += "]"
    case .object(let members):
      out += "{"
      for (index, (name, value)) in members.enumerated() {
        out += index > 0 ? ",\n" : "\n"
        out += indent + "  "
        JSONValue.quote(name, to: &out)
        out += ": "
        value.write(to: &out, indent: indent + "  ")
      }
      out += members.isEmpty ? "}" : "\n\(indent)}"
    }
  }

  /// A number with four digits behind the point: no measurement here is finer.
  static func rounded(_ value: Double) -> String {
    guard value.magnitude < 1e15 else { return "\(value)" }
    let scaled = (value.magnitude * 10_000).rounded()
    let whole = UInt64(scaled) / 10_000
    let fraction = UInt64(scaled) % 10_000
    let sign = value < 0 && scaled > 0 ? "-" : ""
    if fraction == 0 { return "\(sign)\(whole)" }
    var digits = String(fraction + 10_000).dropFirst()
    while digits.last == "0" { digits.removeLast() }
    return "\(sign)\(whole).\(digits)"
  }

  private static func quote(_ value: String, to out: inout String) {
    out += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\t": out += "\\t"
      case "\r": out += "\\r"
      case "\u{0}"..<"\u{20}":
        let digits = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }
}
