extension LoadedConfiguration {
  /// The configuration as a YAML file that sets the same values, with the source of each as a
  /// comment.
  public var printed: String {
    let lines = settings.map { "\($0.key.name): \(Self.yaml($0.text))" }
    let width = lines.map(\.count).max() ?? 0
    return zip(lines, settings).map { line, setting in
      line + String(repeating: " ", count: width - line.count) + "  # \(setting.source)\n"
    }.joined()
  }

  /// A text as a YAML scalar; within double quotes unless it is plainly a word or a number.
  private static func yaml(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy {
      switch $0 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "/"):
        true
      default: false
      }
    }
    if isPlain, !text.isEmpty { return text }
    var result = "\""
    for character in text.unicodeScalars {
      if character == "\"" || character == "\\" { result += "\\" }
      if character.value < 32 || character.value == 127 {
        let digits = String(character.value, radix: 16)
        result += "\\x" + (digits.count == 1 ? "0" : "") + digits
      } else {
        result.unicodeScalars.append(character)
      }
    }
    return result + "\""
  }
}
