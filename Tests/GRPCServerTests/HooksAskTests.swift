import BifrostAPI
import GRPCCore
import Packet
import Session
import Testing

@testable import GRPCServer

/// Questions to a backend that answers.
struct HooksAskTests {
  @Test func onlyWhatHasEndpointsIsAsked() async throws {
    let backend = try await FakeBackend()
    let options = hookOptions {
      $0.publish = HookPointOptions(backend.address) { $0.topics = ["a/+", "b/#"] }
      $0.offline = HookPointOptions(backend.address)
    }
    try await withRunner(options) { runner in
      #expect(runner.points == [.publish, .offline])
      #expect(runner.publishTopics == ["a/+", "b/#"].map { Array($0.utf8) })
      #expect(!runner.tellsOffline(Array("$SYS/x".utf8).span) as Bool)
      #expect(await runner.connect(ConnectQuestion("c")).isAllowed)
      #expect(backend.service.connects.isEmpty)
    }
    await backend.stop()
  }

  @Test func aClientIsLetInAsWhatTheBackendSays() async throws {
    let backend = try await FakeBackend(
      FakeHooks(connect: { request in
        .with {
          $0.allow = .with {
            $0.userName = "user"
            $0.tenant = "tenant"
            $0.acl = [.with { $0.filter = "devices/%c/#" }]
            $0.limits = .with {
              $0.maxSubscriptions = 3
              $0.maxSessionExpirySeconds = 60
              $0.maxPublishesPerSecond = 9
            }
            $0.attributes = ["model": "m1"]
          }
        }
      }))
    var properties: [UInt8] = []
    appendUserProperty(name: Array("n".utf8).span, value: Array("v".utf8).span, to: &properties)
    var question = ConnectQuestion("c1", user: "own", password: "secret")
    question.keepAlive = 30
    question.will = OutsideMessage(topic: Array("will".utf8), payload: [7], qos: .atMostOnce)
    question.userProperties = properties
    try await withRunner(hookOptions { $0.connect = HookPointOptions(backend.address) }) { runner in
      guard case .allow(let identity) = await runner.connect(question) else {
        Issue.record("refused")
        return
      }
      #expect(identity.userName == Array("user".utf8))
      #expect(identity.tenant == Array("tenant".utf8))
      #expect(identity.access?.rules.map(\.filter) == [Array("devices/c1/#".utf8)])
      #expect(identity.maximumSubscriptions == 3)
      #expect(identity.maximumSessionExpiry == 60)
      #expect(identity.publishesPerSecond == 9)
      #expect(identity.attributes == ["model": "m1"])
    }
    let request = try #require(backend.service.connects.first)
    #expect(request.client.clientID == "c1")
    #expect(request.client.userName == "own")
    #expect(request.client.protocolVersion == 5)
    #expect(request.hasPassword_p && request.password == .init("secret".utf8))
    #expect(request.cleanStart)
    #expect(request.keepAliveSeconds == 30)
    #expect(request.will.topic == "will" && request.will.qos == .atMostOnce)
    #expect(request.userProperties.map(\.value) == ["v"])
    await backend.stop()
  }

  @Test(arguments: [(0, 0x87), (0x86, 0x86), (0x8A, 0x8A), (0x8B, 0x80), (0xFF, 0x80)])
  func aClientIsRefusedWithWhatCONNACKCanCarry(code: Int, expected: Int) async throws {
    let backend = try await FakeBackend(
      FakeHooks(connect: { _ in
        .with {
          $0.refuse = .with {
            $0.reasonCode = UInt32(code)
            $0.reason = String(repeating: "ä", count: 200)
          }
        }
      }))
    try await withRunner(hookOptions { $0.connect = HookPointOptions(backend.address) }) { runner in
      guard case .refuse(let reason, let text) = await runner.connect(ConnectQuestion("c")) else {
        Issue.record("let in")
        return
      }
      #expect(Int(reason.rawValue) == expected)
      #expect(text == String(repeating: "ä", count: 128))
    }
    await backend.stop()
  }

  @Test func filtersAreGrantedAndRefused() async throws {
    let backend = try await FakeBackend(
      FakeHooks(subscribe: { _ in
        .with {
          $0.verdicts = [
            .init(), .with { $0.maxQos = .atMostOnce }, .with { $0.maxQos = .exactlyOnce },
            .with { $0.refuseCode = 0x87 }, .with { $0.refuseCode = 0x99 },
          ]
        }
      }))
    let asked: [QoS] = [.exactlyOnce, .atLeastOnce, .atLeastOnce, .atMostOnce, .atMostOnce]
    let question = SubscribeQuestion(
      client: HookedClient("c"),
      filters: asked.enumerated().map { (filter: Array("f/\($0)".utf8), qos: $1) })
    try await withRunner(
      hookOptions { $0.subscribe = HookPointOptions(backend.address) }
    ) { runner in
      let verdict = await runner.subscribe(question)
      #expect(
        verdict == [
          .allow(.exactlyOnce), .allow(.atMostOnce), .allow(.atLeastOnce), .refuse(.notAuthorized),
          .refuse(.unspecifiedError),
        ])
    }
    #expect(backend.service.subscribes.first?.filters.map(\.filter) == (0..<5).map { "f/\($0)" })
    #expect(backend.service.subscribes.first?.filters.first?.qos == .exactlyOnce)
    await backend.stop()
  }

  @Test func messagesAreJudgedOneByOne() async throws {
    let backend = try await FakeBackend(
      FakeHooks(publish: { _ in
        .with {
          $0.verdicts = [
            .with { $0.action = .allow }, .with { $0.action = .refuse },
            .with {
              $0.action = .refuse
              $0.reasonCode = 0x99
            },
            .with { $0.action = .drop },
            .with {
              $0.action = .rewrite
              $0.rewritten = .with {
                $0.topic = "new"
                $0.qos = .atMostOnce
                $0.key = "k"
              }
            },
          ]
        }
      }))
    var question = PublishQuestion("c", "0", "1", "2", "3", "4")
    question.messages[4].qos = .exactlyOnce
    try await withRunner(
      hookOptions { $0.publish = HookPointOptions(backend.address) }
    ) { [question] runner in
      let verdicts = await runner.publish(question)
      #expect(
        verdicts.map(\.word) == ["allow", "refuse 135", "refuse 153", "drop", "rewrite new"])
      guard case .rewrite(let message) = verdicts[4] else { return }
      // The quality of service is the client's.
      #expect(message.qos == .exactlyOnce)
      #expect(Bifrost_V1_Message(message).key == "k")
    }
    await backend.stop()
  }

  @Test func whatWaitsGoesTogether() async throws {
    let gate = Gate()
    let backend = try await FakeBackend(
      FakeHooks(publish: { request in
        if request.messages.count == 1 { try await gate.pass() }
        return .with {
          $0.verdicts = request.messages.map { message in
            .with {
              $0.action = message.message.topic == "no" ? .drop : .allow
            }
          }
        }
      }))
    let options = hookOptions {
      $0.publish = HookPointOptions(backend.address) { $0.maximumCalls = 1 }
    }
    try await withRunner(options) { runner in
      async let first = runner.publish(PublishQuestion("0", "first"))
      try await until { backend.service.publishes.count == 1 }
      async let second = runner.publish(PublishQuestion("1", "a", "no"))
      try await until { runner.statistics.points["publish"]?.queued == 1 }
      async let third = runner.publish(PublishQuestion("2", "no", "b"))
      try await until { runner.statistics.points["publish"]?.queued == 2 }
      gate.release()
      #expect(await first.map(\.word) == ["allow"])
      #expect(await second.map(\.word) == ["allow", "drop"])
      #expect(await third.map(\.word) == ["drop", "allow"])
    }
    #expect(
      backend.service.publishes.map { $0.messages.map(\.client.clientID) } == [
        ["0"], ["1", "1", "2", "2"],
      ])
    await backend.stop()
  }

  @Test func aCallHasABoundedNumberOfMessages() async throws {
    let gate = Gate()
    let backend = try await FakeBackend(
      FakeHooks(publish: { request in
        if request.messages[0].message.topic == "first" { try await gate.pass() }
        return .with { $0.verdicts = request.messages.map { _ in .with { $0.action = .allow } } }
      }))
    let options = hookOptions {
      $0.publish = HookPointOptions(backend.address) { $0.maximumCalls = 1 }
    }
    try await withRunner(options) { runner in
      let tally = Tally()
      runner.publish(PublishQuestion("c", "first")) { _ in _ = tally.add() }
      try await until { backend.service.publishes.count == 1 }
      for _ in 0..<HookLimits.batchCount + 1 {
        runner.publish(PublishQuestion("c", "t")) { _ in _ = tally.add() }
      }
      gate.release()
      try await until { tally.value == HookLimits.batchCount + 2 }
    }
    #expect(backend.service.publishes.map(\.messages.count) == [1, HookLimits.batchCount, 1])
    await backend.stop()
  }
}
