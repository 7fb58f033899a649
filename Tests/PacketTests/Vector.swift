import Foundation
import Packet

/// A line of `Tests/Vectors/packets.txt`, whose head says what the fields mean.
struct Vector: Sendable, CustomStringConvertible {
  var name: String
  var clause: String
  /// Empty for a CONNECT that isn't MQTT.
  var versions: [ProtocolVersion]
  var fromClient: Bool
  var bytes: [UInt8]
  var outcome: Outcome
  var answer: String

  enum Outcome: Equatable, Sendable {
    case valid(canonical: Bool)
    case fault(ReasonCode, name: String)
  }

  var description: String { name }

  var isValid: Bool {
    if case .valid = outcome { true } else { false }
  }

  /// The versions to decode with: any will do for a CONNECT.
  var decodeVersions: [ProtocolVersion] { versions.isEmpty ? [.v5] : versions }
}

struct VectorError: Error, CustomStringConvertible {
  var description: String
}

extension Vector {
  /// The size limit that the table supposes.
  static let maximumPacketSize = 16 * 1_024 * 1_024

  /// The whole table; a line that can't be read is an error, so that none is skipped unseen.
  static func load() throws -> [Vector] {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let url = tests.appending(path: "Vectors/packets.txt")
    let text = try String(contentsOf: url, encoding: .utf8)
    var vectors: [Vector] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    where !line.isEmpty && !line.hasPrefix("#") {
      do {
        vectors.append(try Vector(line: String(line)))
      } catch {
        throw VectorError(description: "packets.txt:\(index + 1): \(error)")
      }
    }
    return vectors
  }

  private init(line: String) throws {
    let fields = line.components(separatedBy: " | ")
    guard fields.count == 7 else { throw VectorError(description: "\(fields.count) fields") }
    name = fields[0]
    clause = fields[1]
    versions = try fields[2] == "-" ? [] : fields[2].split(separator: ",").map(Self.version)
    guard fields[3] == "c2s" || fields[3] == "s2c" else {
      throw VectorError(description: "direction \(fields[3])")
    }
    fromClient = fields[3] == "c2s"
    bytes = try Self.bytes(fields[4])
    outcome = try Self.outcome(fields[5])
    answer = fields[6]
  }

  private static func version(_ text: Substring) throws -> ProtocolVersion {
    switch text {
    case "3.1": .v3_1
    case "3.1.1": .v3_1_1
    case "5": .v5
    default: throw VectorError(description: "version \(text)")
    }
  }

  private static func outcome(_ text: String) throws -> Outcome {
    if text == "valid" { return .valid(canonical: true) }
    if text == "valid*" { return .valid(canonical: false) }
    let words = text.split(separator: " ")
    guard words.count == 2, words[0].hasPrefix("0x"),
      let code = UInt8(words[0].dropFirst(2), radix: 16)
    else { throw VectorError(description: "outcome \(text)") }
    return .fault(ReasonCode(rawValue: code), name: String(words[1]))
  }

  private static func bytes(_ text: String) throws -> [UInt8] {
    var bytes: [UInt8] = []
    for word in text.split(separator: " ") {
      let parts = word.split(separator: "*")
      var digits = parts[0]
      var run: [UInt8] = []
      while digits.count >= 2 {
        guard let byte = UInt8(digits.prefix(2), radix: 16) else { break }
        run.append(byte)
        digits = digits.dropFirst(2)
      }
      guard digits.isEmpty else { throw VectorError(description: "hex \(word)") }
      if parts.count == 2 {
        guard run.count == 1, let count = Int(parts[1]) else {
          throw VectorError(description: "repetition \(word)")
        }
        run = Array(repeating: run[0], count: count)
      }
      bytes += run
    }
    return bytes
  }
}
