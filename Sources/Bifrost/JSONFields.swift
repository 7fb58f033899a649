import FoundationEssentials

/// What is wrong with a line, in words.
struct LineError: Error {
  let message: String
}

/// The members of a JSON object, read one after the other; at the end, all must have been asked for.
struct JSONFields {
  private let container: KeyedDecodingContainer<Name>
  /// Members that were asked for.
  private var known: Set<String> = []

  private struct Name: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { nil }
  }

  /// What the decoder of Foundation makes of an object.
  private struct Root: Decodable {
    let fields: JSONFields
    init(from decoder: any Decoder) throws { fields = try JSONFields(decoder) }
  }

  private init(_ decoder: any Decoder) throws {
    container = try decoder.container(keyedBy: Name.self)
  }

  /// The object that a line is.
  /// - Throws: `LineError`.
  init(line: [UInt8]) throws {
    do {
      self = try JSONDecoder().decode(Root.self, from: Data(line)).fields
    } catch {
      throw LineError(message: "it is not a JSON object")
    }
  }

  /// A member; nil where it is missing or null.
  mutating func optional<Value: Decodable>(_ name: String, _ type: Value.Type) throws -> Value? {
    known.insert(name)
    do {
      return try container.decodeIfPresent(Value.self, forKey: Name(name))
    } catch {
      throw LineError(message: "'\(name)' is not what it should be")
    }
  }

  mutating func required<Value: Decodable>(_ name: String, _ type: Value.Type) throws -> Value {
    guard let value = try optional(name, type) else {
      throw LineError(message: "'\(name)' is missing")
    }
    return value
  }

  /// A number; 0 where it is missing.
  mutating func number<Value: Decodable & UnsignedInteger>(_ name: String) throws -> Value {
    try optional(name, Value.self) ?? 0
  }

  mutating func flag(_ name: String) throws -> Bool { try optional(name, Bool.self) ?? false }

  /// Bytes as text, or as base64 under the longer name.
  mutating func bytes(_ name: String) throws -> [UInt8] {
    let encoded = try optional(name + StoreFormat.base64Suffix, String.self)
    let text = try optional(name, String.self)
    switch (text, encoded) {
    case (let text?, nil): return Array(text.utf8)
    case (nil, let encoded?): return try JSONFields.decode(encoded, name)
    case (nil, nil): throw LineError(message: "'\(name)' is missing")
    default: throw LineError(message: "'\(name)' is there twice")
    }
  }

  mutating func properties() throws -> [UInt8] {
    let name = "properties"
    guard let encoded = try optional(name + StoreFormat.base64Suffix, String.self) else {
      return []
    }
    return try JSONFields.decode(encoded, name)
  }

  private static func decode(_ encoded: String, _ name: String) throws -> [UInt8] {
    guard let data = Data(base64Encoded: encoded) else {
      throw LineError(message: "'\(name)\(StoreFormat.base64Suffix)' is not base64")
    }
    return Array(data)
  }

  /// The objects of a list; none where it is missing.
  mutating func objects(_ name: String) throws -> [JSONFields] {
    known.insert(name)
    let name = Name(name)
    guard container.contains(name) else { return [] }
    do {
      return try container.decode([Root].self, forKey: name).map(\.fields)
    } catch {
      throw LineError(message: "'\(name.stringValue)' is not what it should be")
    }
  }

  /// The object that a member is; nil where it is missing.
  mutating func object(_ name: String) throws -> JSONFields? {
    try optional(name, Root.self)?.fields
  }

  /// Nothing but what was asked for may be there.
  func finish() throws {
    for name in container.allKeys where !known.contains(name.stringValue) {
      throw LineError(message: "'\(name.stringValue)' is not known")
    }
  }
}
