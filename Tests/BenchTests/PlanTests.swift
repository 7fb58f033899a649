import Packet
import Testing

@testable import Bench

@Suite struct FlowPlanTests {
  private func plan(
    _ flow: Flow, loops: Int, _ adjust: (inout BenchOptions) -> Void
  ) -> FlowPlan {
    var options = BenchOptions(flow: flow, address: "127.0.0.1", port: 1, runName: "r")
    options.loops = loops
    adjust(&options)
    return FlowPlan(options)
  }

  @Test func pairsStayTogether() {
    let plan = plan(.pair, loops: 3) { $0.publishers = 10 }
    #expect(plan.channels.count == 10)
    for (number, clients) in plan.loops.enumerated() {
      for client in clients {
        #expect(plan.channels[client.channel].home == number)
        let partner = clients.filter { $0.channel == client.channel }
        #expect(partner.count == 2 && Set(partner.map(\.topic)).count == 1)
      }
    }
    #expect(Set(plan.loops.joined().map(\.number)).count == 20)
  }

  @Test func fanOutSpreadsItsSubscribers() {
    let plan = plan(.fanOut, loops: 2) { $0.subscribers = 9 }
    #expect(plan.channels == [ChannelPlan(publishers: 1, fan: 9, home: 0, subscribers: 9)])
    #expect(plan.loops.map { $0.filter { $0.role == .subscriber }.count } == [5, 4])
    #expect(plan.loops.map { $0.filter { $0.role == .publisher }.count } == [1, 0])
  }

  @Test func fanInKnowsItsPublishers() {
    let plan = plan(.fanIn, loops: 1) { $0.publishers = 5 }
    #expect(plan.loops[0].filter { $0.role == .publisher }.map(\.publisher) == [0, 1, 2, 3, 4])
    #expect(plan.channels[0].fan == 1)
  }

  @Test func aGroupGetsEachMessageOnce() {
    let plan = plan(.share, loops: 1) {
      $0.subscribers = 4
      $0.publishers = 2
    }
    #expect(plan.channels[0].fan == 1)
    let topic = plan.loops[0].last?.topic ?? ""
    for client in plan.loops[0] where client.role == .subscriber {
      #expect(client.topic == "$share/group/\(topic)")
    }
  }

  /// Matching, as simple as it can be.
  private func matches(_ filter: String, _ topic: String) -> Bool {
    let levels = topic.split(separator: "/")
    let parts = filter.split(separator: "/")
    for (index, part) in parts.enumerated() {
      if part == "#" { return true }
      guard index < levels.count, part == "+" || part == levels[index] else { return false }
    }
    return parts.count == levels.count
  }

  @Test(arguments: [false, true])
  func wildcardsMatchAsTheyShould(_ matchesOne: Bool) {
    let plan = plan(.wildcard, loops: 1) {
      $0.subscribers = 20
      $0.publishers = matchesOne ? 20 : 3
      $0.matchesOne = matchesOne
    }
    let filters = plan.loops[0].filter { $0.role == .subscriber }.map(\.topic)
    #expect(filters.allSatisfy { validateTopicFilter(Array($0.utf8).span) })
    #expect(filters.allSatisfy { $0.contains("+") || $0.contains("#") })
    for client in plan.loops[0] where client.role == .publisher {
      #expect(filters.filter { matches($0, client.topic) }.count == (matchesOne ? 1 : 20))
    }
  }

  @Test func idleClientsAreNumberedOn() {
    let plan = plan(.idle, loops: 2) {
      $0.subscribers = 5
      $0.firstClient = 100
    }
    #expect(Set(plan.loops.joined().map(\.number)) == Set(100..<105))
    #expect(Set(plan.loops.joined().map(\.topic)).count == 5)
    #expect(plan.loops.joined().allSatisfy { $0.role == .idle })
  }

  @Test func idleClientsAreReachedByOneMore() {
    for adjust in [{ $0.reaches = true }, { $0.broadcasts = true }]
      as [(inout BenchOptions) -> Void]
    {
      let plan = plan(.idle, loops: 2) {
        $0.subscribers = 5
        adjust(&$0)
      }
      #expect(plan.loops.joined().filter { $0.role == .idle }.count == 5)
      #expect(plan.loops[0].filter { $0.role == .caller }.map(\.number) == [5])
      #expect(plan.loops[1].allSatisfy { $0.role == .idle })
    }
  }

  /// The sizes that figures of memory are quoted for.
  @Test func namesOfIdleClientsHaveOneSize() {
    for number in [0, 9, 999_999, 9_999_999] {
      #expect(FlowPlan.clientID("abcdefgh", number).utf8.count == 12)
      #expect(FlowPlan.ownTopic("abcdefgh", number).utf8.count == 17)
    }
  }

  @Test(arguments: [Flow.pair, .fanOut, .fanIn, .wildcard])
  func otherFiltersMatchNothing(_ flow: Flow) {
    let plan = plan(flow, loops: 2) {
      $0.publishers = 4
      $0.subscribers = 4
      $0.otherFilters = 70_000
      $0.otherWildcards = 60
    }
    let holders = plan.loops.joined().filter { $0.role == .holder }
    #expect(holders.map(\.held.count).sorted() == [60, 20_000, 50_000])
    #expect(Set(plan.loops.joined().map(\.number)).count == plan.loops.joined().count)
    let topics = plan.loops.joined().filter { $0.role == .publisher }.map(\.topic)
    for holder in holders {
      for index in holder.held.prefix(100) {
        let filter = FlowPlan.otherFilter("r", index, hasWildcard: holder.heldHaveWildcards)
        let isValid = validateTopicFilter(Array(filter.utf8).span)
        #expect(isValid, "\(filter)")
        #expect((filter.contains("+") || filter.contains("#")) == holder.heldHaveWildcards)
        #expect(!topics.contains { matches(filter, $0) }, "\(filter)")
      }
    }
  }
}

@Suite struct OptionsTests {
  @Test func sessionsAreKeptWhereThereAreSome() {
    var options = BenchOptions(flow: .idle, address: "127.0.0.1", port: 1, runName: "r")
    options.keepsSessions = true
    #expect(options.problem?.contains("--persistent") == true)
    options.isPersistent = true
    #expect(options.problem == nil)
    let words = options.childArguments(first: 0, count: 1)
    #expect(words.contains("--persistent") && words.contains("--keep-sessions"))
  }
}

@Suite struct ReportTests {
  @Test func jsonIsWritten() {
    let value = JSONValue.object([
      ("a", .integer(.max)), ("b", .array([.null, .bool(true)])), ("c", .string("\"\\\n\u{1}é")),
      ("d", .object([])),
    ])
    let expected = """
      {
        "a": 18446744073709551615,
        "b": [null, true],
        "c": "\\"\\\\\\n\\u0001é",
        "d": {}
      }
      """
    #expect(value.text == expected)
  }

  @Test(arguments: [
    (0.0, "0"), (1.5, "1.5"), (-0.00001, "0"), (0.12345, "0.1235"), (1e6, "1000000"),
    (-2.25, "-2.25"), (.infinity, "null"), (.nan, "null"),
  ])
  func numbersAreShort(_ value: Double, _ text: String) {
    #expect(JSONValue.number(value).text == text)
  }

  private func result(_ qos: QoS) -> BenchResult {
    var options = BenchOptions(flow: .pair, address: "127.0.0.1", port: 1, runName: "r")
    options.qos = qos
    return BenchResult(options: options)
  }

  @Test func lossIsAFaultWhereItWasPromisedAgainst() {
    var findings = LoopFindings()
    findings.expected = 10
    findings.delivered = 10
    findings.duplicates = 1
    for (qos, isGood) in [(QoS.atMostOnce, true), (.atLeastOnce, false), (.exactlyOnce, false)] {
      var result = result(qos)
      #expect(result.isGood)
      result.take(findings)
      #expect(result.lost == 1)
      #expect(result.isGood == isGood)
    }
    var lostConnection = result(.atMostOnce)
    lostConnection.disconnected = 1
    #expect(!lostConnection.isGood)
  }

  @Test func wrongOptionsAreNamed() {
    var options = BenchOptions(flow: .pair, address: "127.0.0.1", port: 1, runName: "r")
    #expect(options.problem == nil)
    options.measuresLatency = true
    options.payloadBytes = 15
    #expect(options.problem?.contains("--latency") == true)
    options.measuresLatency = false
    #expect(options.problem == nil)
    for (change, name): ((inout BenchOptions) -> Void, String) in [
      ({ $0.window = 0 }, "--window"), ({ $0.window = 60_001 }, "--window"),
      ({ $0.rate = 0 }, "--rate"), ({ $0.rate = .nan }, "--rate"),
      ({ $0.loops = 0 }, "--loops"), ({ $0.payloadBytes = -1 }, "--payload"),
      ({ $0.extent = .messages(0) }, "--messages"),
      ({ $0.extent = .seconds(.infinity) }, "--duration"), ({ $0.subscribers = 0 }, "client"),
    ] {
      var wrong = options
      change(&wrong)
      #expect(wrong.problem?.contains(name) == true)
    }
  }
}
