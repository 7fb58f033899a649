import BifrostAPI
import Packet
import Session
import Util

/// The names of a client that stand in for placeholders of access rules.
struct ClientNames: Hashable, Sendable {
  /// "%c".
  var clientID: [UInt8]
  /// "%u".
  var userName: [UInt8]
  /// "%t".
  var tenant: [UInt8]

  fileprivate func value(_ letter: UInt8) -> [UInt8]? {
    switch letter {
    case UInt8(ascii: "c"): clientID
    case UInt8(ascii: "u"): userName
    case UInt8(ascii: "t"): tenant
    default: nil
    }
  }
}

/// The filter of an access rule with its placeholders.
struct AccessTemplate {
  private let text: [UInt8]

  /// Nil where it can't be the filter of a rule: those are ordinary filters.
  init?(_ text: String) {
    self.text = Array(text.utf8)
    guard validateTopicFilter(self.text.span),
      parseSharedSubscription(self.text.span) == .notShared
    else { return nil }
  }

  /// Whether it differs from client to client.
  var hasPlaceholder: Bool {
    zip(text, text.dropFirst()).contains { first, second in
      first == UInt8(ascii: "%") && "cut".utf8.contains(second)
    }
  }

  /// The filter for a client; nil where it fits nothing.
  ///
  /// A name that is empty, or has a wildcard or a "/" in it, or would make the filter one of the broker's topics, must
  /// not open more than its own place: a rule that allows then fits nothing. One that refuses may shut more, and only
  /// has to be a filter.
  func filled(_ names: ClientNames, allows: Bool) -> [UInt8]? {
    guard hasPlaceholder else { return text }
    var filter: [UInt8] = []
    var index = 0
    while index < text.count {
      if text[index] == UInt8(ascii: "%"), index + 1 < text.count,
        let value = names.value(text[index + 1])
      {
        if allows && !Self.isPlain(value) { return nil }
        filter += value
        index += 2
      } else {
        filter.append(text[index])
        index += 1
      }
    }
    let isBrokers = filter.first == UInt8(ascii: "$") && text.first != UInt8(ascii: "$")
    if allows && isBrokers { return nil }
    return validateTopicFilter(filter.span) ? filter : nil
  }

  private static func isPlain(_ name: [UInt8]) -> Bool {
    !name.isEmpty && !name.contains { "+#/".utf8.contains($0) }
  }
}
