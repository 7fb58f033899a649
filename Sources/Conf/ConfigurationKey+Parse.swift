extension ConfigurationKey {
  /// Addresses that one broker listens on: each is a socket for each loop.
  static let maximumListenAddresses = 64

  /// What stands in place of the addresses of a service that is turned off.
  static let offWord = "off"

  /// Parses a value and stores it in its field.
  ///
  /// Throws where the text is no value of this key's type, or is out of its range.
  func apply(_ text: String, to configuration: inout BrokerConfiguration) throws(ValueError) {
    switch kind {
    case .integer(let field, let range):
      let value = try Quantity.integer(text)
      configuration[keyPath: field] = try checked(value, range, { String($0) })
    case .size(let field, let range):
      let value = try Quantity.size(text)
      configuration[keyPath: field] = try checked(value, range, Quantity.sizeText)
    case .duration(let field, let range, let step):
      let value = try Quantity.duration(text)
      if value % step != 0 {
        throw ValueError("\(quoted(text)) is not a whole number of seconds")
      }
      configuration[keyPath: field] = try checked(value, range, Quantity.durationText)
    case .flag(let field):
      configuration[keyPath: field] = try Self.boolean(text)
    case .word(let words, let set):
      guard set(&configuration, text) else {
        let expected =
          words.count == 1
          ? "this version knows only \(words[0])"
          : "use one of \(words.joined(separator: ", "))"
        throw ValueError("\(quoted(text)) is not supported; \(expected)")
      }
    case .directory(let field):
      guard text.hasPrefix("/"), !text.utf8.contains(0) else {
        throw ValueError("\(quoted(text)) is not an absolute path; it has to start with /")
      }
      configuration[keyPath: field] = text
    case .endpoints(let field):
      configuration[keyPath: field] = try Self.endpoints(text)
    case .filters(let field):
      configuration[keyPath: field] = try Self.filters(text)
    case .optionalFile(let field):
      guard text.isEmpty || text.hasPrefix("/"), !text.utf8.contains(0) else {
        throw ValueError("\(quoted(text)) is not an absolute path; it has to start with /")
      }
      configuration[keyPath: field] = text
    case .listen(let field, let canBeOff):
      let isOff = canBeOff && (text.isEmpty || text == Self.offWord)
      configuration[keyPath: field] = isOff ? [] : try Self.addresses(text)
    }
  }

  private func checked(
    _ value: Int, _ range: ClosedRange<Int>, _ text: (Int) -> String
  ) throws(ValueError) -> Int {
    guard range.contains(value) else {
      throw ValueError(
        "\(text(value)) is out of range; "
          + "use \(text(range.lowerBound)) to \(text(range.upperBound))")
    }
    return value
  }

  /// The words that YAML's users know for true and false.
  private static func boolean(_ text: String) throws(ValueError) -> Bool {
    switch text.lowercased() {
    case "true", "yes", "on", "1": return true
    case "false", "no", "off", "0": return false
    default: throw ValueError("\(quoted(text)) is neither true nor false")
    }
  }

  private static func addresses(_ text: String) throws(ValueError) -> [ListenAddress] {
    var addresses: [ListenAddress] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let trimmed = String(part.trimmingSpaces)
      if trimmed.isEmpty {
        throw ValueError("an address is missing; use address:port, such as 127.0.0.1:1883")
      }
      let address = try ListenAddress(parsing: trimmed)
      // Port 0 stands for a port that is free, so that two of them do not collide.
      if address.port != 0, addresses.contains(address) {
        throw ValueError("\(address) is listed twice; remove one")
      }
      addresses.append(address)
    }
    guard addresses.count <= maximumListenAddresses else {
      throw ValueError(
        "\(addresses.count) addresses are too many; use \(maximumListenAddresses) at most")
    }
    return addresses
  }
}

extension Substring {
  /// The text without spaces and tabs at its ends.
  var trimmingSpaces: Substring {
    var result = drop { $0 == " " || $0 == "\t" }
    while let last = result.last, last == " " || last == "\t" { result.removeLast() }
    return result
  }
}
