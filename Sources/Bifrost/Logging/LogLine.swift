/// One event of the log, and its two forms.
///
/// Messages and fields hold what clients sent. So both forms escape whatever could end the line,
/// forge a second one or drive a terminal.
struct LogLine {
  let time: Timestamp
  let level: String
  let message: String
  let fields: [(name: String, value: String)]

  /// `time level message name=value…`, with the end of line.
  var text: String {
    var line = "\(time) \(level)"
    // Messages of the levels that occur every day begin in the same column.
    line += String(repeating: " ", count: max(0, 5 - level.utf8.count) + 1)
    Self.append(message, to: &line, escapingQuotes: false)
    for (name, value) in fields {
      line += " "
      Self.append(name, to: &line, escapingQuotes: false)
      line += "="
      if Self.needsQuotes(value) {
        line += "\""
        Self.append(value, to: &line, escapingQuotes: true)
        line += "\""
      } else {
        line += value
      }
    }
    return line + "\n"
  }

  /// One JSON object with `time`, `level`, `message` and a member for each field, with the end of
  /// line. A field named as one of the three is written with an underscore before its name.
  var json: String {
    var line = "{\"time\":\"\(time)\",\"level\":\"\(level)\",\"message\":\""
    Self.append(message, to: &line, escapingQuotes: true)
    for (name, value) in fields {
      line += "\",\""
      if ["time", "level", "message"].contains(name) { line += "_" }
      Self.append(name, to: &line, escapingQuotes: true)
      line += "\":\""
      Self.append(value, to: &line, escapingQuotes: true)
    }
    return line + "\"}\n"
  }

  private static func needsQuotes(_ value: String) -> Bool {
    value.isEmpty
      || value.unicodeScalars.contains { $0 == " " || $0 == "=" || $0 == "\"" || mustEscape($0) }
  }

  /// Control characters, the separators that some readers take for ends of lines, the characters
  /// that turn the direction of writing, and the backslash that stands for them all.
  private static func mustEscape(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0x5C, 0x2028, 0x2029, 0x202A...0x202E, 0x2066...0x2069: true
    default: false
    }
  }

  /// Appends a text with the escapes of JSON, whose `\uXXXX` no scalar beyond U+FFFF needs here.
  private static func append(_ text: String, to line: inout String, escapingQuotes: Bool) {
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": line += "\\\\"
      case "\"" where escapingQuotes: line += "\\\""
      case "\n": line += "\\n"
      case "\r": line += "\\r"
      case "\t": line += "\\t"
      case _ where mustEscape(scalar):
        let digits = String(scalar.value, radix: 16)
        line += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: line.unicodeScalars.append(scalar)
      }
    }
  }
}
