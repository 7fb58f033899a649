/// What to do about a limit that is too low.
public struct Remedy: Sendable, Equatable {
  /// When it helps.
  public enum Kind: String, Sendable, CaseIterable {
    /// A command that sets it until the next start.
    case now
    /// How to make it last.
    case lasting
    /// Another way out.
    case instead
  }

  /// When it helps.
  public let kind: Kind
  /// The command, the line of a file, or a sentence.
  public let text: String
  /// Where the command is given or the line written; nil where that is plain.
  public let place: String?

  init(_ kind: Kind, _ text: String, _ place: String? = nil) {
    self.kind = kind
    self.text = text
    self.place = place
  }

  /// A setting of the kernel's, now and for good.
  static func setting(_ name: String, _ value: String) -> [Remedy] {
    let word = value.contains(" ") ? "\"\(value)\"" : value
    return [
      Remedy(.now, "sysctl -w \(name)=\(word)"),
      Remedy(.lasting, "\(name) = \(value)", "in /etc/sysctl.d/90-bifrost.conf"),
    ]
  }
}

/// What one check found.
public struct Finding: Sendable, Equatable {
  /// Whether the limit bites.
  public enum Status: String, Sendable, CaseIterable {
    /// It does not.
    case fine
    /// It does.
    case low
    /// The system does not tell, or tells what makes no sense.
    case unknown
  }

  /// What a limit counts.
  public enum Unit: String, Sendable, CaseIterable {
    case files, pages, bytes, connections, ports, threads, mappings, mode
  }

  /// The limit, by the name under which it is set.
  public var name: String
  /// Whether it bites.
  public var status: Status
  /// What `present` and `needed` count.
  public var unit: Unit
  /// The limit now.
  public var present: Reading
  /// The least that does; nil where that is not a number.
  public var needed: UInt64?
  /// The present value for people, with what belongs to it.
  public var presentText: String
  /// The needed value for people.
  public var neededText: String
  /// Why the limit bites, in one line.
  public var why: String
  /// What to know although, or while, it does not bite.
  public var note: String?
  /// What to do; empty unless the status is `low`.
  public var remedies: [Remedy]

  /// Compares a limit with the least that does.
  ///
  /// - Parameters:
  ///   - detail: what the text shows behind the present value, in brackets.
  ///   - remedies: asked for only where the limit is too low.
  static func atLeast(
    _ name: String, _ present: Reading, _ needed: UInt64, _ unit: Unit, why: String,
    detail: String? = nil, note: String? = nil, remedies: () -> [Remedy]
  ) -> Finding {
    let status: Status =
      switch present {
      case .number(let value): value >= needed ? .fine : .low
      case .unlimited: .fine
      case .missing, .garbage: .unknown
      }
    return Finding(
      name: name, status: status, unit: unit, present: present, needed: needed,
      presentText: Finding.text(present, unit, detail), neededText: Amount.text(needed, unit),
      why: why, note: note, remedies: status == .low ? remedies() : [])
  }

  /// A limit that may not be there at all: any number of it is too low.
  static func unlimited(
    _ name: String, _ present: Reading, _ unit: Unit, why: String, remedies: () -> [Remedy]
  ) -> Finding {
    var finding = atLeast(name, present, .max, unit, why: why, remedies: remedies)
    finding.needed = nil
    finding.neededText = "unlimited"
    return finding
  }

  /// A present value for people.
  static func text(_ present: Reading, _ unit: Unit, _ detail: String? = nil) -> String {
    let text =
      switch present {
      case .number(let value): Amount.text(value, unit)
      case .unlimited: "unlimited"
      case .missing: "not there"
      case .garbage(let text): "not understood: '\(text)'"
      }
    return detail.map { "\(text) (\($0))" } ?? text
  }
}
