import BifrostAPI
import GRPCCore
import Packet
import Session
import Testing

@testable import GRPCServer

/// Questions to backends that don't answer as they should.
struct HooksFailureTests {
  private func hanging() -> FakeHooks {
    FakeHooks(
      connect: { _ in
        try await Task.sleep(for: .seconds(3600))
        return .init()
      })
  }

  @Test(arguments: [HookFailurePolicy.allow, .refuse])
  func aHookThatHangsIsNotWaitedForLonger(policy: HookFailurePolicy) async throws {
    let backend = try await FakeBackend(hanging())
    let options = hookOptions {
      $0.connect = HookPointOptions(backend.address) {
        $0.timeoutMilliseconds = 90
        $0.onFailure = policy
      }
    }
    try await withRunner(options) { runner in
      let verdict = await runner.connect(ConnectQuestion("c"))
      #expect(verdict.isAllowed == (policy == .allow))
      if policy == .refuse { #expect(verdict.refusal == .serverBusy) }
      #expect(runner.statistics.points["connect"]?.unanswered == 1)
    }
    await backend.stop()
  }

  @Test func anAnswerThatComesLateIsNotUsed() async throws {
    let gate = Gate()
    let answered = Tally()
    let backend = try await FakeBackend(
      FakeHooks(connect: { _ in
        // The call is over for the broker by then; this backend answers all the same.
        while !gate.isOpen { await Task.yield() }
        _ = answered.add()
        return .with { $0.allow = .init() }
      }))
    let options = hookOptions {
      $0.breakerFailures = 1_000_000
      $0.connect = HookPointOptions(backend.address) {
        $0.timeoutMilliseconds = 50
        $0.retries = 0
      }
    }
    try await withRunner(options) { runner in
      // A call may be over before it has reached the backend.
      var questions = 0
      while backend.service.connects.isEmpty {
        #expect(await runner.connect(ConnectQuestion("c")).refusal == .serverBusy)
        questions += 1
      }
      gate.release()
      try await until { answered.value > 0 }
      #expect(runner.statistics.points["connect"]?.unanswered == questions)
    }
    await backend.stop()
  }

  @Test func aBackendThatDiesMidCallIsReplaced() async throws {
    let dying = try await FakeBackend(hanging())
    let other = try await FakeBackend()
    let options = hookOptions {
      $0.connect = HookPointOptions(dying.address, other.address)
    }
    try await withRunner(options) { runner in
      let tally = Tally()
      for number in 0..<2 {
        runner.connect(ConnectQuestion("c\(number)")) { if $0.isAllowed { _ = tally.add() } }
      }
      try await until { !dying.service.connects.isEmpty }
      await dying.stop()
      try await until { tally.value == 2 }
      #expect(runner.statistics.points["connect"]?.failures == 1)
      #expect(runner.statistics.points["connect"]?.retries == 1)
    }
    await other.stop()
  }

  @Test func endpointsThatAreDeadAreGoneRound() async throws {
    let backends = [try await FakeBackend(), try await FakeBackend()]
    let dead = try FakeBackend.dead()
    let options = hookOptions {
      $0.connect = HookPointOptions(dead, backends[0].address, backends[1].address)
    }
    try await withRunner(options) { runner in
      for number in 0..<20 {
        #expect(await runner.connect(ConnectQuestion("\(number)")).isAllowed)
      }
      #expect(runner.statistics.openBreakers == 1)
    }
    // Both get their share.
    for backend in backends {
      #expect(backend.service.connects.count >= 5)
      await backend.stop()
    }
  }

  @Test func aBreakerOpensAndCloses() async throws {
    let isWell = Tally()
    let backend = try await FakeBackend(
      FakeHooks(connect: { _ in
        if isWell.value == 0 { throw RPCError(code: .unavailable, message: "ill") }
        return .with { $0.allow = .init() }
      }))
    let options = hookOptions {
      $0.breakerFailures = 3
      $0.breakerPauseMilliseconds = 20
      $0.connect = HookPointOptions(backend.address) { $0.retries = 0 }
    }
    try await withRunner(options) { runner in
      for _ in 0..<3 { #expect(!(await runner.connect(ConnectQuestion("c")).isAllowed)) }
      #expect(runner.statistics.openBreakers == 1)
      _ = isWell.add()
      var isAllowed = false
      while !isAllowed { isAllowed = await runner.connect(ConnectQuestion("c")).isAllowed }
      #expect(runner.statistics.openBreakers == 0)
    }
    await backend.stop()
  }

  @Test func anOpenBreakerLetsNoCallThrough() async throws {
    let backend = try await FakeBackend(
      FakeHooks(connect: { _ in throw RPCError(code: .unavailable, message: "ill") }))
    let options = hookOptions {
      $0.breakerFailures = 2
      $0.breakerPauseMilliseconds = 3_600_000
      $0.connect = HookPointOptions(backend.address) { $0.retries = 0 }
    }
    try await withRunner(options) { runner in
      for _ in 0..<10 { #expect(!(await runner.connect(ConnectQuestion("c")).isAllowed)) }
    }
    #expect(backend.service.connects.count == 2)
    await backend.stop()
  }

  @Test func whatABackendSaysOfACallDoesNotOpenTheBreaker() async throws {
    let backend = try await FakeBackend(
      FakeHooks(connect: { _ in throw RPCError(code: .unimplemented, message: "not here") }))
    let options = hookOptions {
      $0.breakerFailures = 1
      $0.connect = HookPointOptions(backend.address) { $0.retries = 0 }
      $0.subscribe = HookPointOptions(backend.address)
    }
    try await withRunner(options) { runner in
      #expect(!(await runner.connect(ConnectQuestion("c")).isAllowed))
      let question = SubscribeQuestion(
        client: HookedClient("c"), filters: [(filter: [0x61], qos: .atMostOnce)])
      #expect(await runner.subscribe(question) == [.allow(.atMostOnce)])
      // Both hooks have one endpoint.
      #expect(runner.statistics.openBreakers == 0)
    }
    await backend.stop()
  }

  @Test func whatTheQueueDoesNotTakeIsAnsweredAtOnce() async throws {
    let gate = Gate()
    let backend = try await FakeBackend(
      FakeHooks(connect: { _ in
        try await gate.pass()
        return .with { $0.allow = .init() }
      }))
    let options = hookOptions {
      $0.connect = HookPointOptions(backend.address) {
        $0.maximumCalls = 1
        $0.maximumQueued = 2
        $0.onFailure = .wait
      }
    }
    try await withRunner(options) { runner in
      let allowed = Tally()
      runner.connect(ConnectQuestion("0")) { if $0.isAllowed { _ = allowed.add() } }
      try await until { backend.service.connects.count == 1 }
      for number in 1...2 {
        runner.connect(ConnectQuestion("\(number)")) { if $0.isAllowed { _ = allowed.add() } }
      }
      #expect(await runner.connect(ConnectQuestion("3")).refusal == .serverBusy)
      #expect(allowed.value == 0)
      gate.release()
      try await until { allowed.value == 3 }
      #expect(runner.statistics.points["connect"]?.unanswered == 1)
    }
    await backend.stop()
  }

  @Test func whoWaitsIsAnsweredOnceThereIsAnybody() async throws {
    let calls = Tally()
    let backend = try await FakeBackend(
      FakeHooks(connect: { _ in
        if calls.add() < 4 { throw RPCError(code: .unavailable, message: "ill") }
        return .with { $0.allow = .init() }
      }))
    let options = hookOptions {
      $0.breakerFailures = 2
      $0.breakerPauseMilliseconds = 10
      $0.connect = HookPointOptions(backend.address) {
        $0.retries = 0
        $0.onFailure = .wait
      }
    }
    try await withRunner(options) { runner in
      #expect(await runner.connect(ConnectQuestion("c")).isAllowed)
      #expect(calls.value == 5)
    }
    await backend.stop()
  }

  struct Garbage: Sendable, CustomStringConvertible {
    let description: String
    let answer: Bifrost_V1_OnPublishResponse

    init(_ description: String, _ verdicts: Bifrost_V1_PublishVerdict...) {
      self.description = description
      answer = .with { $0.verdicts = verdicts }
    }

    static let all = [
      Garbage("no verdict"),
      Garbage("two verdicts", .with { $0.action = .allow }, .with { $0.action = .allow }),
      Garbage("no action", .init()),
      Garbage("an unknown action", .with { $0.action = .UNRECOGNIZED(77) }),
      Garbage(
        "a reason that is none",
        .with {
          $0.action = .refuse
          $0.reasonCode = 1
        }),
      Garbage(
        "a reason that is no byte",
        .with {
          $0.action = .refuse
          $0.reasonCode = 256
        }),
      Garbage("nothing to publish", .with { $0.action = .rewrite }),
      Garbage(
        "a topic that is none",
        .with {
          $0.action = .rewrite
          $0.rewritten = .with { $0.topic = "a/#" }
        }),
    ]
  }

  @Test(arguments: Garbage.all)
  func garbageIsAFailedCall(garbage: Garbage) async throws {
    let backend = try await FakeBackend(FakeHooks(publish: { _ in garbage.answer }))
    let options = hookOptions {
      $0.breakerFailures = 1
      $0.publish = HookPointOptions(backend.address) { $0.retries = 1 }
    }
    try await withRunner(options) { runner in
      #expect(await runner.publish(PublishQuestion("c", "t")).map(\.word) == ["refuse 151"])
      let point = try #require(runner.statistics.points["publish"])
      #expect(point.calls == 2 && point.failures == 2 && point.retries == 1)
      #expect(runner.statistics.openBreakers == 0)
    }
    await backend.stop()
  }

  @Test func garbageForOneMessageIsNotAnothersHarm() async throws {
    let gate = Gate()
    let backend = try await FakeBackend(
      FakeHooks(publish: { request in
        if request.messages[0].message.topic == "first" { try await gate.pass() }
        return .with {
          $0.verdicts = request.messages.map { message in
            .with { $0.action = message.message.topic == "bad" ? .unspecified : .allow }
          }
        }
      }))
    let options = hookOptions {
      $0.publish = HookPointOptions(backend.address) {
        $0.maximumCalls = 1
        $0.retries = 1
      }
    }
    try await withRunner(options) { runner in
      async let first = runner.publish(PublishQuestion("0", "first"))
      try await until { backend.service.publishes.count == 1 }
      async let good = runner.publish(PublishQuestion("1", "good"))
      try await until { runner.statistics.points["publish"]?.queued == 1 }
      async let bad = runner.publish(PublishQuestion("2", "bad"))
      try await until { runner.statistics.points["publish"]?.queued == 2 }
      gate.release()
      #expect(await first.map(\.word) == ["allow"])
      #expect(await good.map(\.word) == ["allow"])
      #expect(await bad.map(\.word) == ["refuse 151"])
    }
    // Only what had no verdict was asked again.
    #expect(
      backend.service.publishes.map { $0.messages.map(\.message.topic) } == [
        ["first"], ["good", "bad"], ["bad"],
      ])
    await backend.stop()
  }

  @Test func garbageFromOnConnectAndOnSubscribeIsAFailedCall() async throws {
    let backend = try await FakeBackend(
      FakeHooks(
        connect: { request in
          .with {
            if request.client.clientID == "code" { $0.refuse = .with { $0.reasonCode = 4 } }
          }
        },
        subscribe: { request in
          .with {
            if request.filters.count == 1 { $0.verdicts = [.with { $0.refuseCode = 2 }] }
          }
        }))
    let options = hookOptions {
      $0.connect = HookPointOptions(backend.address) { $0.retries = 0 }
      $0.subscribe = HookPointOptions(backend.address) { $0.retries = 0 }
    }
    try await withRunner(options) { runner in
      for id in ["none", "code"] {
        #expect(await runner.connect(ConnectQuestion(id)).refusal == .serverBusy)
      }
      for count in 1...2 {
        let question = SubscribeQuestion(
          client: HookedClient("c"),
          filters: .init(repeating: (filter: [0x61], qos: .atMostOnce), count: count))
        #expect(
          await runner.subscribe(question)
            == .init(repeating: .refuse(.quotaExceeded), count: count))
      }
      #expect(runner.statistics.points["connect"]?.failures == 2)
      #expect(runner.statistics.points["subscribe"]?.failures == 2)
    }
    await backend.stop()
  }

  @Test func toStopAnswersWhatIsOpen() async throws {
    let backend = try await FakeBackend(hanging())
    let options = hookOptions {
      $0.connect = HookPointOptions(backend.address) {
        $0.maximumCalls = 2
        $0.onFailure = .wait
      }
    }
    try await withRunner(options) { runner in
      let refused = Tally()
      for number in 0..<5 {
        runner.connect(ConnectQuestion("\(number)")) {
          if $0.refusal == .serverBusy { _ = refused.add() }
        }
      }
      try await until { backend.service.connects.count == 2 }
      await runner.stop(within: .zero)
      #expect(refused.value == 5)
      #expect(await runner.connect(ConnectQuestion("late")).refusal == .serverBusy)
    }
    await backend.stop()
  }
}
