import Foundation
import Packet

/// A packet that a client sends, from a line of `Tests/Vectors/packets.txt`, whose head says what
/// the fields mean.
struct Vector: Sendable {
  var name: String
  /// Empty for a CONNECT that isn't MQTT.
  var versions: [ProtocolVersion]
  var bytes: [UInt8]
  var answer: String

  /// Whether it is meant as the first packet of a connection.
  var isConnect: Bool {
    versions.isEmpty || (!bytes.isEmpty && bytes[0] >> 4 == PacketType.connect.rawValue)
  }

  /// All that clients send; a line that can't be read is an error.
  static func load() throws -> [Vector] {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let text = try String(
      contentsOf: tests.appending(path: "Vectors/packets.txt"), encoding: .utf8)
    var vectors: [Vector] = []
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      let fields = line.components(separatedBy: " | ")
      guard fields.count == 7 else { throw TestFailure("\(fields.count) fields: \(line)") }
      guard fields[3] == "c2s" else { continue }
      vectors.append(
        Vector(
          name: fields[0],
          versions: try fields[2] == "-" ? [] : fields[2].split(separator: ",").map(version),
          bytes: try bytes(fields[4]), answer: fields[6]))
    }
    return vectors
  }

  private static func version(_ text: Substring) throws -> ProtocolVersion {
    switch text {
    case "3.1": .v3_1
    case "3.1.1": .v3_1_1
    case "5": .v5
    default: throw TestFailure("version \(text)")
    }
  }

  private static func bytes(_ text: String) throws -> [UInt8] {
    var bytes: [UInt8] = []
    for word in text.split(separator: " ") {
      let parts = word.split(separator: "*")
      let digits = Array(parts[0].utf8)
      var run: [UInt8] = []
      for index in stride(from: 0, to: digits.count, by: 2) {
        let pair = String(decoding: digits[index..<min(index + 2, digits.count)], as: UTF8.self)
        guard pair.count == 2, let byte = UInt8(pair, radix: 16)
        else { throw TestFailure("hex \(word)") }
        run.append(byte)
      }
      let count = parts.count == 2 ? Int(parts[1]) ?? 0 : 1
      for _ in 0..<count { bytes += run }
    }
    return bytes
  }
}
