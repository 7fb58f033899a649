/// A number that the system tells, or why there is none.
public enum Reading: Sendable, Equatable {
  case number(UInt64)
  /// No limit: `max`, `unlimited`, or a number that stands for it.
  case unlimited
  /// The file, or the line of it, is not there.
  case missing
  /// It is there and is no number; the text, as far as it can be shown.
  case garbage(String)

  /// From 2^62 on a number means that there is no limit: the kernel writes several such numbers,
  /// depending on the size of a page or a `long`.
  private static var endless: UInt64 { 1 << 62 }

  /// The number, where there is one.
  public var value: UInt64? { if case .number(let value) = self { value } else { nil } }

  /// What a file with one number says; `nil` stands for a file that is not there.
  init(_ text: String?) {
    guard let text else {
      self = .missing
      return
    }
    self.init(words: Reading.words(text), column: 0, of: 1, text)
  }

  /// One of several numbers in a file, the first having column 0.
  init(_ text: String?, column: Int, of count: Int) {
    guard let text else {
      self = .missing
      return
    }
    self.init(words: Reading.words(text), column: column, of: count, text)
  }

  private init(words: [Substring], column: Int, of count: Int, _ text: String) {
    guard words.count == count else {
      self = .garbage(Reading.shown(text))
      return
    }
    self.init(word: words[column])
  }

  /// A word that is a number or says that there is no limit.
  init(word: Substring) {
    if word == "max" || word == "unlimited" {
      self = .unlimited
    } else if word.isEmpty || !word.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) {
      self = .garbage(Reading.shown(String(word)))
    } else if let value = UInt64(word), value < Reading.endless {
      self = .number(value)
    } else {
      self = .unlimited
    }
  }

  /// The number times `factor`; what is too large has no limit.
  func times(_ factor: UInt64) -> Reading {
    guard case .number(let value) = self else { return self }
    let (product, overflow) = value.multipliedReportingOverflow(by: factor)
    return overflow || product >= Reading.endless ? .unlimited : .number(product)
  }

  /// The words of a text, whatever white space is between them.
  static func words(_ text: String) -> [Substring] {
    text.split { $0 == " " || $0 == "\t" || $0 == "\n" || $0 == "\r\n" }
  }

  /// The beginning of a text with nothing that a terminal would obey.
  private static func shown(_ text: String) -> String {
    String(
      text.unicodeScalars.prefix(24).map { scalar in
        scalar.value >= 0x20 && scalar.value < 0x7f ? Character(scalar) : "."
      })
  }
}
