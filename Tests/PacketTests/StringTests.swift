import Packet
import Testing
import Util

@Suite("Strings and topics")
struct StringTests {
  /// The standard library's decoder is the judge.
  private func isString(_ bytes: [UInt8]) -> Bool {
    bytes.count <= 65_535 && !bytes.contains(0) && String(validating: bytes, as: UTF8.self) != nil
  }

  @Test(
    "agrees with the standard library on each sequence of up to two bytes, and three from E0 on")
  func exhaustive() {
    for first in UInt8.min...UInt8.max {
      #expect([first].isValidString == isString([first]), "\(first)")
      for second in UInt8.min...UInt8.max {
        let bytes = [first, second]
        if bytes.isValidString != isString(bytes) { Issue.record("\(bytes)") }
        guard first >= 0xE0 else { continue }
        for third: UInt8 in [0x00, 0x41, 0x7F, 0x80, 0xBF, 0xC0, 0xFF] {
          let three = bytes + [third]
          if three.isValidString != isString(three) { Issue.record("\(three)") }
          let four = three + [0x80]
          if four.isValidString != isString(four) { Issue.record("\(four)") }
        }
      }
    }
  }

  @Test("agrees with the standard library on random text around the eight-byte words")
  func random() {
    let pieces: [[UInt8]] = [
      Array("a".utf8), Array("/".utf8), Array("bcdefghi".utf8), Array("é".utf8), Array("日".utf8),
      Array("😀".utf8), [0x7F], [0x01], [0x2A], [0x22], [0x24], [0x2C], [0x80], [0xC3],
      [0xE2, 0x82],
      [0xF0, 0x9F, 0x98], [0xED, 0xA0, 0x80], [0x00], [0x2B], [0x23],
    ]
    Trials("strings", seconds: 1).run { seed in
      var random = SeededGenerator(seed: seed)
      var bytes: [UInt8] = []
      let common = Int.random(in: 4...pieces.count, using: &random)
      for _ in 0..<Int.random(in: 0...24, using: &random) {
        bytes += pieces[Int.random(in: 0..<common, using: &random)]
      }
      let isString = isString(bytes)
      let isName = isString && !bytes.isEmpty && !bytes.contains(0x2B) && !bytes.contains(0x23)
      #expect(bytes.isValidString == isString, "seed \(seed): \(bytes)")
      #expect(bytes.isValidTopicName == isName, "seed \(seed): \(bytes)")
    }
  }

  @Test("finds one bad byte at each place of strings of each length")
  func eachPlace() {
    for count in 1...40 {
      let good = [UInt8](repeating: 0x61, count: count)
      #expect(good.isValidTopicName)
      for index in 0..<count {
        for byte: UInt8 in [0x00, 0x2B, 0x23, 0x80, 0xFF] {
          var bytes = good
          bytes[index] = byte
          #expect(!bytes.isValidTopicName, "\(byte) at \(index) of \(count)")
        }
        // Neighbours of the special bytes are ordinary.
        for byte: UInt8 in [0x01, 0x22, 0x24, 0x2A, 0x2C, 0x7F] {
          var bytes = good
          bytes[index] = byte
          #expect(bytes.isValidTopicName, "\(byte) at \(index) of \(count)")
        }
      }
    }
  }

  @Test("holds strings to the length that two bytes can tell")
  func length() {
    let longest = [UInt8](repeating: 0x61, count: 65_535)
    #expect(longest.isValidTopicName && longest.isValidTopicFilter)
    let longer = longest + [0x61]
    #expect(!longer.isValidString)
    #expect(!longer.isValidTopicName && !longer.isValidTopicFilter)
  }

  @Test(
    "topic filters",
    arguments: [
      ("#", true), ("+", true), ("a/#", true), ("+/#", true), ("/", true), ("//", true),
      ("a//+", true), ("$SYS/#", true), ("$share", true), ("$shared/a", true), ("$share/g/#", true),
      ("$share/g//", true), ("", false), ("a#", false), ("#/", false), ("a+", false), ("+a", false),
      ("a/+b/c", false), ("##", false), ("$share/", false), ("$share/g", false),
      ("$share/g/", false), ("$share//a", false), ("$share/+/a", false), ("$share/g#/a", false),
      ("$share/g/a#", false), ("\u{0}", false),
    ])
  func filters(_ filter: String, _ isValid: Bool) {
    #expect(Array(filter.utf8).isValidTopicFilter == isValid)
  }

  @Test("takes shared subscriptions apart")
  func shared() {
    let filter = Array("$share/group/a/+".utf8)
    guard case .shared(let group, let rest) = filter.sharedSubscription else {
      Issue.record("not shared")
      return
    }
    #expect(filter.field(group) == Array("group".utf8))
    #expect(filter.field(rest) == Array("a/+".utf8))
    #expect(Array("$shar/g/a".utf8).sharedSubscription == .notShared)
    #expect(Array("$share".utf8).sharedSubscription == .notShared)
    #expect(Array("a/$share/g/a".utf8).sharedSubscription == .notShared)
    #expect(Array("$share/g".utf8).sharedSubscription == .invalid)
  }
}

/// The validators, for `#expect`, which can't take a span apart.
extension Array where Element == UInt8 {
  fileprivate var isValidString: Bool { validateUTF8String(span) }
  fileprivate var isValidTopicName: Bool { validateTopicName(span) }
  fileprivate var isValidTopicFilter: Bool { validateTopicFilter(span) }
  fileprivate var sharedSubscription: SharedSubscription { parseSharedSubscription(span) }
}
