import PubSub
import Testing
import Util

/// One row of the rules of topic filters. Non-normative examples of the standard have the clause
/// of the rule that they show.
struct MatchingRow: CustomTestStringConvertible {
  let clause: String
  let filter: String
  let topic: String
  let matches: Bool

  var testDescription: String { "[\(clause)] \(filter) \(matches ? "~" : "!~") \(topic)" }

  init(_ clause: String, _ filter: String, _ topic: String, _ matches: Bool) {
    self.clause = clause
    self.filter = filter
    self.topic = topic
    self.matches = matches
  }

  static let all: [MatchingRow] = [
    // A `#` takes any number of levels, its parent included.
    .init("MQTT-4.7.1-2", "sport/tennis/player1/#", "sport/tennis/player1", true),
    .init("MQTT-4.7.1-2", "sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
    .init("MQTT-4.7.1-2", "sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
    .init("MQTT-4.7.1-2", "sport/tennis/player1/#", "sport/tennis/player10", false),
    .init("MQTT-4.7.1-2", "sport/#", "sport", true),
    .init("MQTT-4.7.1-2", "sport/#", "sport/", true),
    .init("MQTT-4.7.1-2", "sport/#", "sports", false),
    .init("MQTT-4.7.1-2", "#", "a", true),
    .init("MQTT-4.7.1-2", "#", "/", true),
    .init("MQTT-4.7.1-2", "#", "a/b/c/d/e/f/g", true),
    .init("MQTT-4.7.1-2", "/#", "a", false),
    .init("MQTT-4.7.1-2", "/#", "/a", true),
    .init("MQTT-4.7.1-2", "/#", "/", true),
    // A `+` takes exactly one level, which may be empty.
    .init("MQTT-4.7.1-3", "sport/tennis/+", "sport/tennis/player1", true),
    .init("MQTT-4.7.1-3", "sport/tennis/+", "sport/tennis/player2", true),
    .init("MQTT-4.7.1-3", "sport/tennis/+", "sport/tennis/player1/ranking", false),
    .init("MQTT-4.7.1-3", "sport/+", "sport", false),
    .init("MQTT-4.7.1-3", "sport/+", "sport/", true),
    .init("MQTT-4.7.1-3", "+/tennis/#", "sport/tennis", true),
    .init("MQTT-4.7.1-3", "+/tennis/#", "sport/tennis/player1", true),
    .init("MQTT-4.7.1-3", "+/tennis/#", "sport/golf/player1", false),
    .init("MQTT-4.7.1-3", "sport/+/player1", "sport/tennis/player1", true),
    .init("MQTT-4.7.1-3", "sport/+/player1", "sport/player1", false),
    .init("MQTT-4.7.1-3", "+", "finance", true),
    .init("MQTT-4.7.1-3", "+", "/finance", false),
    .init("MQTT-4.7.1-3", "+/+", "/finance", true),
    .init("MQTT-4.7.1-3", "/+", "/finance", true),
    .init("MQTT-4.7.1-3", "+/+/+", "//", true),
    .init("MQTT-4.7.1-3", "+/+", "//", false),
    .init("MQTT-4.7.1-3", "+/#", "a", true),
    .init("MQTT-4.7.1-3", "+/+/#", "a", false),
    // A leading `$` is hidden from a leading wildcard, and from that only.
    .init("MQTT-4.7.2-1", "#", "$SYS/uptime", false),
    .init("MQTT-4.7.2-1", "+/uptime", "$SYS/uptime", false),
    .init("MQTT-4.7.2-1", "+/#", "$SYS", false),
    .init("MQTT-4.7.2-1", "+/monitor/Clients", "$SYS/monitor/Clients", false),
    .init("MQTT-4.7.2-1", "$SYS/#", "$SYS/monitor/Clients", true),
    .init("MQTT-4.7.2-1", "$SYS/#", "$SYS", true),
    .init("MQTT-4.7.2-1", "$SYS/monitor/+", "$SYS/monitor/Clients", true),
    .init("MQTT-4.7.2-1", "#", "a/$SYS", true),
    .init("MQTT-4.7.2-1", "a/+", "a/$SYS", true),
    .init("MQTT-4.7.2-1", "+", "$", false),
    // Names are compared as they are: case, space, empty levels.
    .init("MQTT-4.7.3-4", "ACCOUNTS", "Accounts", false),
    .init("MQTT-4.7.3-4", "Accounts payable", "Accounts payable", true),
    .init("MQTT-4.7.3-4", "/finance", "finance", false),
    .init("MQTT-4.7.3-4", "a//b", "a/b", false),
    .init("MQTT-4.7.3-4", "a/+/b", "a//b", true),
    .init("MQTT-4.7.3-4", "a/", "a", false),
    .init("MQTT-4.7.3-4", "/", "/", true),
    .init("MQTT-4.7.3-4", "caf\u{E9}/+", "caf\u{E9}/x", true),
    .init("MQTT-4.7.3-4", "caf\u{E9}/+", "cafe\u{301}/x", false),
    // The whole text of a shared subscription is no filter.
    .init("MQTT-4.8.2-1", "$share/group/a", "$share/group/a", false),
    .init("MQTT-4.8.2-1", "$share/group/+", "$share/group/a", false),
    .init("MQTT-4.8.2-1", "$shared/group/a", "$shared/group/a", true),
    .init("MQTT-4.8.2-1", "$share", "$share", true),
  ]

  static let deepFilter = (0..<20).map { "l\($0)" }.joined(separator: "/")
}

@Suite struct MatchingTableTests {
  @Test(arguments: MatchingRow.all)
  func filterIndex(_ row: MatchingRow) {
    let index = FilterIndex(capacity: 100, seed: testSeed)
    let slot = index.insert(row.filter)
    #expect(slot != 0)
    #expect(index.matching(row.topic) == (row.matches ? [row.filter] : []))
    #expect(index.find(row.filter) == slot)
    index.remove(slot)
    #expect(index.find(row.filter) == 0)
    #expect(index.matching(row.topic) == [])
  }

  @Test(arguments: MatchingRow.all.filter { !$0.filter.hasPrefix("$share/") })
  func retainedIndex(_ row: MatchingRow) throws {
    var index = RetainedIndex(capacity: 100, seed: testSeed)
    #expect(try index.set(row.topic.bytes.span, to: 7) == 0)
    var hits = ScratchArray<UInt64>()
    let result = index.match(filter: row.filter.bytes.span, into: &hits)
    #expect(result == .complete)
    #expect(hits.count == (row.matches ? 1 : 0))
  }

  @Test(arguments: MatchingRow.all.filter(\.matches))
  func interestIndex(_ row: MatchingRow) {
    let index = InterestIndex(capacity: 100, seed: testSeed)
    index.add(row.filter, loop: 5)
    #expect(index.loops(row.topic) & 1 << 5 != 0)
    index.remove(row.filter, loop: 5)
    #expect(index.loops(row.topic) == 0)
  }

  /// The naive model, which the random tests trust, agrees with the table.
  @Test(arguments: MatchingRow.all.filter { !$0.filter.hasPrefix("$share/") })
  func model(_ row: MatchingRow) {
    // Scalars, not characters: String compares by canonical equivalence, MQTT does not.
    guard row.topic.allSatisfy(\.isASCII) else { return }
    #expect(Naive.matches(row.filter, row.topic) == row.matches)
  }
}
