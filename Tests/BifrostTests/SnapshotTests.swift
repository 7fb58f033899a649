import Testing

@testable import Bifrost
@testable import MQTTServer

@Suite struct SnapshotTests {
  private func snapshot(_ values: [(String, String)]) -> SystemSnapshot {
    var snapshot = SystemSnapshot()
    for (topic, payload) in values {
      snapshot.take(topic: Array(topic.utf8), payload: Array(payload.utf8))
    }
    return snapshot
  }

  /// What the broker publishes is what is shown.
  @Test func kindsAreThoseOfTheLedger() {
    #expect(SystemSnapshot.kinds == MemoryLedger().kinds.map(\.name))
  }

  @Test func otherTopicsAreLeftOut() {
    let snapshot = snapshot([
      ("$SYS/other", "1"), ("news", "2"), ("$SYS/broker/uptime", "3 seconds"),
    ])
    #expect(snapshot.values == ["uptime": "3 seconds"] && !snapshot.hasLedger)
  }

  @Test func thePageHasEachKind() {
    var values = [
      ("$SYS/broker/clients/connected", "1000"), ("$SYS/broker/memory/total", "31234567"),
      ("$SYS/broker/memory/resident", "31300000"), ("$SYS/broker/memory/started", "24000000"),
      ("$SYS/broker/load/publish/sent/1min", "90000.00"), ("$SYS/broker/version", "bifrost 9"),
    ]
    for (index, kind) in SystemSnapshot.kinds.enumerated() {
      values.append(("$SYS/broker/memory/\(kind)", "\(1_000_000 * (index + 1))"))
    }
    let snapshot = snapshot(values)
    #expect(snapshot.hasLedger)
    let lines = snapshot.lines(broker: "here:1883")
    #expect(lines[0] == "bifrost 9 at here:1883, up -")
    #expect(lines.contains("publishes/s    - received, 1,500 sent, - dropped"))
    #expect(lines.contains("  sessions               2,000,000         2,000"))
    #expect(lines.last == "  resident              31,300,000")
    for kind in SystemSnapshot.kinds {
      #expect(lines.contains { $0.hasPrefix("  \(kind) ") }, "\(kind)")
    }
  }

  @Test func numbersAreGrouped() {
    let cases: [(Double, String)] = [
      (0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567"), (100_000, "100,000"),
    ]
    for (value, text) in cases { #expect(SystemSnapshot.grouped(value) == text) }
  }

  @Test func jsonHasNumbersAndTexts() {
    let snapshot = snapshot([("$SYS/broker/a", "12"), ("$SYS/broker/b", "1 second")])
    #expect(snapshot.json == .object([("a", .integer(12)), ("b", .string("1 second"))]))
  }
}
