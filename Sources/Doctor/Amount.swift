/// Numbers for people.
enum Amount {
  /// A value in its unit: bytes with a prefix, everything else with commas between thousands.
  static func text(_ value: UInt64, _ unit: Finding.Unit) -> String {
    switch unit {
    case .bytes: bytes(value)
    case .mode: "\(value)"
    default: grouped(value)
    }
  }

  /// With a comma between thousands.
  static func grouped(_ value: UInt64) -> String {
    let digits = Array("\(value)")
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.count - index) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return text
  }

  /// In whole mebibytes, or kibibytes below one: in one unit, what is needed and what is there can
  /// be compared at a glance.
  static func bytes(_ value: UInt64) -> String {
    value >= 1 << 20 ? "\(grouped(value >> 20)) MiB" : "\(grouped((value + 1023) >> 10)) KiB"
  }

  /// The next number above with two digits and zeros: for what is set by hand, and is to hold when
  /// a little more is in use than now.
  static func rounded(_ value: UInt64) -> UInt64 {
    var unit: UInt64 = 1
    while value / unit >= 100 { unit *= 10 }
    return (value / unit + (value % unit == 0 ? 0 : 1)) * unit
  }

  /// A number with the noun that goes with it, and the ending that makes it many.
  static func count(_ value: UInt64, _ noun: String, plural: String = "s") -> String {
    "\(grouped(value)) \(noun)\(value == 1 ? "" : plural)"
  }
}
