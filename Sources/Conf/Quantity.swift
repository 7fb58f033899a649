/// Texts of numbers, sizes and durations.
enum Quantity {
  /// One unit that a number may carry.
  struct Unit: Sendable {
    let suffix: String
    let factor: Int
  }

  /// Sizes: powers of 1000 and of 1024, told apart by their names.
  static let sizes = [
    Unit(suffix: "", factor: 1), Unit(suffix: "B", factor: 1),
    Unit(suffix: "KB", factor: 1000), Unit(suffix: "KiB", factor: 1 << 10),
    Unit(suffix: "MB", factor: 1_000_000), Unit(suffix: "MiB", factor: 1 << 20),
    Unit(suffix: "GB", factor: 1_000_000_000), Unit(suffix: "GiB", factor: 1 << 30),
  ]

  /// Durations, in milliseconds, from the longest to the shortest.
  static let durations = [
    Unit(suffix: "d", factor: 86_400_000), Unit(suffix: "h", factor: 3_600_000),
    Unit(suffix: "m", factor: 60_000), Unit(suffix: "s", factor: 1000),
    Unit(suffix: "ms", factor: 1),
  ]

  /// A whole number in decimal digits, with or without a minus sign.
  static func integer(_ text: String) throws(ValueError) -> Int {
    let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
    guard !digits.isEmpty, digits.utf8.allSatisfy({ 48...57 ~= $0 }) else {
      throw ValueError("\(quoted(text)) is not a whole number")
    }
    guard let value = Int(text) else { throw ValueError("\(text.prefix(24)) is too large") }
    return value
  }

  /// A number of bytes: digits, then nothing or a unit such as `KiB`.
  static func size(_ text: String) throws(ValueError) -> Int {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let suffix = text.dropFirst(digits.count).drop { $0 == " " }
    guard !digits.isEmpty, let unit = sizes.first(where: { $0.suffix == suffix }) else {
      throw ValueError(
        "\(quoted(text)) is not a size; use bytes, or a number with KB, KiB, MB, MiB, GB or GiB")
    }
    return try product(digits, unit.factor, of: text)
  }

  /// A duration in milliseconds: parts such as `1h30m`, longest unit first, or a bare 0.
  static func duration(_ text: String) throws(ValueError) -> Int {
    if text == "0" { return 0 }
    var rest = text[...]
    var total = 0
    var units = durations[...]
    repeat {
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      let suffix = rest.dropFirst(digits.count).prefix { $0.isLetter }
      guard !digits.isEmpty, let index = units.firstIndex(where: { $0.suffix == suffix }) else {
        throw ValueError(
          "\(quoted(text)) is not a duration; use a number with ms, s, m, h or d, such as 30s")
      }
      let part = try product(digits, units[index].factor, of: text)
      let (sum, overflow) = total.addingReportingOverflow(part)
      if overflow { throw ValueError("\(quoted(text)) is too large") }
      total = sum
      units = units[(index + 1)...]
      rest = rest.dropFirst(digits.count + suffix.count)
    } while !rest.isEmpty
    return total
  }

  private static func product(
    _ digits: Substring, _ factor: Int, of text: String
  ) throws(ValueError) -> Int {
    let value = Int(digits).map { $0.multipliedReportingOverflow(by: factor) }
    guard let value, !value.overflow else { throw ValueError("\(quoted(text)) is too large") }
    return value.partialValue
  }

  /// A number of bytes with the largest binary unit that divides it.
  static func sizeText(_ bytes: Int) -> String {
    let unit = sizes.last { $0.factor % 1000 != 0 && $0.factor > 1 && bytes % $0.factor == 0 }
    guard bytes > 0, let unit else { return String(bytes) }
    return "\(bytes / unit.factor)\(unit.suffix)"
  }

  /// A number of milliseconds in seconds, or in milliseconds where it is no whole number of them.
  static func durationText(_ milliseconds: Int) -> String {
    milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
  }
}
