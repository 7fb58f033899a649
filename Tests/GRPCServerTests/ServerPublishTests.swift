import BifrostAPI
import GRPCCore
import Packet
import Session
import Testing

@Suite("Publisher")
struct PublishTests {
  @Test("a message comes whole to the broker, and a result for each target comes back")
  func whole() async throws {
    let gateway = FakeGateway()
    try await serve(gateway) { served in
      let full = message("a/b", "payload") {
        $0.qos = .exactlyOnce
        $0.expirySeconds = 60
        $0.contentType = "text/plain"
        $0.responseTopic = "r/s"
        $0.correlationData = .init([1, 2])
        $0.payloadIsUtf8 = true
        $0.userProperties = [.with { ($0.name, $0.value) = ("n", "v") }]
        $0.key = "k1"
      }
      let response = try await served.publisher.publish(
        publish(full, .topic("c/d"), .clientID("dev1"), .topic("no/+"), .topic("$SYS/x")))
      #expect(response.results.map(\.outcome) == [.accepted, .accepted, .refused, .refused])
      #expect(response.results[0].online == 2 && response.results[0].stored == 1)
      #expect(response.results[2].reason == "TOPIC_INVALID")
      #expect(!response.isDuplicate)
    }
    let published = gateway.state.withLock { $0.published }
    #expect(published.count == 1 && published[0].messages.count == 2)
    let first = try #require(published.first?.messages.first)
    #expect(first.topic == Array("c/d".utf8) && first.client == nil)
    #expect(first.qos == .exactlyOnce && first.lifetime == 60 && !first.retain)
    #expect(published[0].messages[1].client == Array("dev1".utf8))
    #expect(published[0].messages[1].topic == Array("a/b".utf8))
    // As MQTT 5 has them (2.2.2.2).
    var expected: [UInt8] = [0x01, 1, 0x03, 0, 10] + Array("text/plain".utf8)
    expected += [0x08, 0, 3] + Array("r/s".utf8) + [0x09, 0, 2, 1, 2]
    expected += [0x26, 0, 11] + Array("message-key".utf8) + [0, 2] + Array("k1".utf8)
    expected += [0x26, 0, 1] + Array("n".utf8) + [0, 1] + Array("v".utf8)
    #expect(first.properties == expected)
  }

  @Test("without targets it goes to the topic of the message, at QoS 1")
  func plain() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.outcome = { _ in PublishOutcome() } }
    try await serve(gateway) { served in
      let response = try await served.publisher.publish(publish(message("a")))
      #expect(response.results.map(\.outcome) == [.noSubscribers])
    }
    #expect(gateway.state.withLock { $0.published.first?.messages.first?.qos } == .atLeastOnce)
  }

  @Test("refusals of the broker are told by words", arguments: refusals)
  func refused(refusal: PublishOutcome.Refusal, word: String) async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.outcome = { _ in PublishOutcome(refusal: refusal) } }
    try await serve(gateway) { served in
      let response = try await served.publisher.publish(publish(message("a")))
      #expect(response.results.map(\.outcome) == [.refused])
      #expect(response.results.first?.reason == word)
    }
  }

  static let refusals: [(PublishOutcome.Refusal, String)] = [
    (.topicInvalid, "TOPIC_INVALID"), (.notAllowed, "NOT_ALLOWED"),
    (.storeUnavailable, "STORE_UNAVAILABLE"), (.quotaExceeded, "QUOTA_EXCEEDED"),
  ]

  @Test("targets that can't be right are refused, the others are not")
  func targets() async throws {
    try await serve(FakeGateway()) { served in
      var request = publish(message("a"), .clientID(""), .topic(""), .topic("ok"))
      request.targets.append(Bifrost_V1_Target())
      let response = try await served.publisher.publish(request)
      #expect(
        response.results.map(\.reason) == ["TARGET_INVALID", "TOPIC_INVALID", "", "TARGET_INVALID"])
      let retained = publish(message("a") { $0.retain = true }, .clientID("c"))
      #expect(try await served.publisher.publish(retained).results[0].reason == "NOT_ALLOWED")
    }
  }

  @Test("a request that is wrong is refused with its field", arguments: wrong)
  func wrongRequest(wrong: WrongPublish) async throws {
    let (request, field) = (wrong.request, wrong.field)
    let gateway = FakeGateway()
    try await serve(gateway) { served in
      do {
        _ = try await served.publisher.publish(request)
        Issue.record("it was taken")
      } catch let error as RPCError {
        #expect(error.code == .invalidArgument)
        let info = try error.unpackGoogleRPCStatus()?.details.first?.errorInfo
        #expect(info?.reason == "FIELD_INVALID")
        #expect(info?.metadata["field"] == field)
      }
    }
    #expect(gateway.state.withLock { $0.published.isEmpty })
  }

  static let wrong = [
    WrongPublish(Bifrost_V1_PublishRequest(), "message"),
    WrongPublish(publish(message("")), "message.topic"),
    WrongPublish(publish(message("a/#")), "message.topic"),
    WrongPublish(publish(message("$SYS/a")), "message.topic"),
    WrongPublish(publish(message(String(repeating: "a", count: 65_536))), "message.topic"),
    WrongPublish(publish(message(""), .clientID("c")), "message.topic"),
    WrongPublish(publish(message("a") { $0.qos = .UNRECOGNIZED(9) }), "message.qos"),
    WrongPublish(
      publish(message("a") { $0.key = String(repeating: "k", count: 257) }), "message.key"),
    WrongPublish(publish(message("a") { $0.key = "\0" }), "message.key"),
    WrongPublish(publish(message("a") { $0.contentType = "\0" }), "message.content_type"),
    WrongPublish(publish(message("a") { $0.responseTopic = "#" }), "message.response_topic"),
    WrongPublish(
      publish(message("a") { $0.correlationData = .init(repeating: 0, count: 65_536) }),
      "message.correlation_data"
    ),
    WrongPublish(
      publish(message("a") { $0.userProperties = [.with { $0.value = "\0" }] }),
      "message.user_properties"
    ),
    WrongPublish(publish(message("a"), key: String(repeating: "k", count: 257)), "idempotency_key"),
    WrongPublish(
      .with {
        $0.message = message("a")
        $0.targets = Array(repeating: .with { $0.topic = "b" }, count: 1001)
      }, "targets"
    ),
  ]

  @Test("a key is done once, and its results are given again")
  func idempotent() async throws {
    let gateway = FakeGateway()
    try await serve(gateway) { served in
      let request = publish(message("a"), key: "once", .topic("b"), .topic("#"))
      let first = try await served.publisher.publish(request)
      let second = try await served.publisher.publish(request)
      #expect(!first.isDuplicate && second.isDuplicate)
      #expect(first.results == second.results)
      let other = try await served.publisher.publish(publish(message("a"), key: "other"))
      #expect(!other.isDuplicate)
    }
    let keys = gateway.state.withLock { $0.published.map(\.key) }
    #expect(keys == [Array(" once".utf8), Array(" other".utf8)])
  }

  @Test("a second request with a key waits for the first")
  func concurrentKeys() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.holdsPublishes = true }
    try await serve(gateway) { served in
      let request = publish(message("a"), key: "once")
      async let first = served.publisher.publish(request)
      try await eventually("it is published") { gateway.state.withLock { !$0.held.isEmpty } }
      async let second = served.publisher.publish(request)
      try await Task.sleep(for: .milliseconds(50))
      gateway.release()
      let responses = try await [first, second]
      #expect(responses.filter(\.isDuplicate).count == 1)
      #expect(gateway.state.withLock { $0.published.count } == 1)
    }
  }

  @Test("a key whose publish the store did not take is done again")
  func keyOfNothing() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock {
      $0.outcome = { _ in PublishOutcome(refusal: .storeUnavailable) }
    }
    try await serve(gateway) { served in
      let request = publish(message("a"), key: "again")
      _ = try await served.publisher.publish(request)
      gateway.state.withLock { $0.outcome = { _ in PublishOutcome() } }
      #expect(try await !served.publisher.publish(request).isDuplicate)
    }
  }

  @Test("keys of an earlier run are known, without their numbers")
  func rememberedKeys() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock {
      $0.remembered = [(Array(" old".utf8), .max), (Array(" past".utf8), 1)]
    }
    try await serve(gateway) { served in
      let response = try await served.publisher.publish(
        publish(message("a"), key: "old", .topic("b"), .topic("c")))
      #expect(response.isDuplicate)
      #expect(response.results.map(\.outcome) == [.accepted, .accepted])
      #expect(response.results.allSatisfy { $0.online == 0 && $0.stored == 0 })
      let past = try await served.publisher.publish(publish(message("a"), key: "past"))
      #expect(!past.isDuplicate)
    }
  }

  @Test("a publish waits while the broker is pressed")
  func pressed() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.isPressed = true }
    try await serve(gateway) { served in
      async let response = served.publisher.publish(publish(message("a")))
      try await Task.sleep(for: .milliseconds(50))
      #expect(gateway.state.withLock { $0.published.isEmpty })
      gateway.state.withLock { $0.isPressed = false }
      #expect(try await response.results.count == 1)
    }
  }

  @Test("a broadcast goes to whom it says, and tells its progress to the end")
  func broadcast() async throws {
    let gateway = FakeGateway()
    var end = BroadcastProgress()
    (end.sent, end.acknowledged, end.lost, end.skipped, end.isDone) = (10, 7, 2, 1, true)
    let last = end
    gateway.state.withLock { $0.progress = [BroadcastProgress(), last] }
    try await serve(gateway, testOptions { $0.broadcastRate = 100 }) { served in
      for (rate, audience) in [
        (UInt32(0), Bifrost_V1_BroadcastRequest.OneOf_Audience.everyone(true)), (7, .tenant("t")),
        (1000, .filter("a/#")),
      ] {
        let request = Bifrost_V1_BroadcastRequest.with {
          $0.message = message("a")
          $0.audience = audience
          $0.clientsPerSecond = rate
        }
        let response = try await served.publisher.broadcast(request) { response in
          try await response.messages.reduce(into: []) { $0.append($1) }
        }
        let final = try #require(response.last)
        #expect(final.done && final.sent == 10 && final.acknowledged == 7)
        #expect(final.lost == 2 && final.skipped == 1)
      }
    }
    let orders = gateway.state.withLock { $0.orders }
    #expect(orders.map(\.rate) == [100, 7, 100])
    #expect(
      orders.map(\.audience)
        == [.everyone, .tenant(Array("t".utf8)), .filter(Array("a/#".utf8))])
  }

  @Test("a broadcast that is wrong is refused, one that is given up is ended")
  func broadcastRefusals() async throws {
    let gateway = FakeGateway()
    try await serve(gateway) { served in
      for audience: Bifrost_V1_BroadcastRequest.OneOf_Audience? in [
        nil, .everyone(false), .tenant(""), .filter("a/#/b"),
      ] {
        await expectRefusal(.invalidArgument, "FIELD_INVALID") {
          let request = Bifrost_V1_BroadcastRequest.with {
            $0.message = message("a")
            $0.audience = audience
          }
          try await served.publisher.broadcast(request) { response in
            for try await _ in response.messages {}
          }
        }
      }
      let request = Bifrost_V1_BroadcastRequest.with {
        $0.message = message("a")
        $0.everyone = true
      }
      gateway.state.withLock { $0.isUnavailable = true }
      await expectRefusal(.resourceExhausted, "TOO_MANY_BROADCASTS") {
        try await served.publisher.broadcast(request) { response in
          for try await _ in response.messages {}
        }
      }
      gateway.state.withLock { $0.isUnavailable = false }
      let call = Task {
        try await served.publisher.broadcast(request) { response in
          for try await _ in response.messages {}
        }
      }
      try await eventually("it begins") { gateway.state.withLock { $0.orders.count == 1 } }
      call.cancel()
      try await eventually("it ends") { gateway.state.withLock { $0.cancelledBroadcasts == 1 } }
    }
  }
}

/// A publish that is refused, named by the field that is wrong with it.
struct WrongPublish: Sendable, CustomTestStringConvertible {
  var request: Bifrost_V1_PublishRequest
  var field: String

  init(_ request: Bifrost_V1_PublishRequest, _ field: String) {
    self.request = request
    self.field = field
  }

  var testDescription: String { field }
}
