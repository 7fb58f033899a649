import Packet
import Session
import Store
import Testing
import Util

@testable import MQTTServer

extension BrokerTests {
  /// What clients do while somebody outside is asked and told.
  @Suite struct HookTests {
    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    private func rule(
      _ filter: String, publishes: Bool = true, subscribes: Bool = true, allows: Bool = true
    ) -> AccessList.Rule {
      AccessList.Rule(
        publishes: publishes, subscribes: subscribes, filter: Array(filter.utf8), allows: allows)
    }

    @Test(arguments: [1, 4])
    func aClientIsLetInOrRefused(loops: Int) throws {
      let hooks = TestHooks(.connect)
      hooks.onConnect { question in
        guard question.client.userName == Array("alice".utf8), question.password == [1, 0, 2]
        else { return .refuse(.badUserNameOrPassword, "who are you") }
        return .allow(Identity(userName: question.client.userName))
      }
      let broker = try TestBroker(loops: loops, hooks: hooks)
      defer { broker.stop() }
      for version in [ProtocolVersion.v3_1_1, .v5] {
        for number in 0..<20 {
          let isRight = number % 2 == 0
          let client = try Client(port: broker.port, version: version)
          let answer = try client.connect("device-\(number)") {
            $0.userName = Array("alice".utf8)
            $0.password = isRight ? [1, 0, 2] : [1]
          }
          #expect(answer.reason == (isRight ? .success : .badUserNameOrPassword))
          if isRight { try client.ping() } else { #expect(try client.isAtEnd()) }
        }
      }
    }

    @Test func whileOneIsAskedAboutOthersGoOn() throws {
      let hooks = TestHooks([.connect, .subscribe, .publish])
      hooks.onConnect { question in
        question.client.clientID == Array("slow".utf8) ? nil : .allow(Identity())
      }
      hooks.onSubscribe { question in
        question.client.clientID == Array("slow".utf8)
          ? nil : SubscribeVerdict(filters: question.filters.map { .allow($0.qos) })
      }
      hooks.onPublish { question in
        question.client.clientID == Array("slow".utf8) ? nil : question.messages.map { _ in .allow }
      }
      let broker = try TestBroker(hooks: hooks)
      defer { broker.stop() }
      let quick = try broker.client("quick")
      try quick.subscribe("ask/+")
      let slow = try Client(port: broker.port)
      // All that follows is sent before the first answer.
      try slow.sendConnect("slow")
      let subscribe = SubscribePacket(
        packetID: 7, filters: [.init(Array("ask/own".utf8), SubscriptionOptions(qos: .atLeastOnce))]
      )
      try slow.send(bytes(subscribe.encodedCount(.v5)) { subscribe.encode(.v5, into: &$0) })
      try slow.send(slow.publishBytes("ask/own", [1], packetID: 8))
      try slow.send(slow.publishBytes("plain", [2], packetID: 9))
      try slow.send([0xC0, 0])
      func goOn() throws {
        while hooks.keptCount == 0 { try quick.ping() }
        try quick.publish("elsewhere", "meanwhile")
        hooks.answerKept()
      }
      try goOn()
      _ = try slow.expect(.connAck)
      try goOn()
      _ = try slow.expect(.subAck)
      try goOn()
      #expect(try slow.message().payload == [1])
      #expect(try slow.pubAck() == .success)
      #expect(try slow.pubAck() == .noMatchingSubscribers)
      _ = try slow.expect(.pingResp)
      #expect(try quick.message().topic == "ask/own")
    }

    @Test func aConnectionThatEndsWhileItWaitsIsForgotten() throws {
      let hooks = TestHooks(.connect)
      hooks.onConnect { question in
        question.client.clientID == Array("gone".utf8) ? nil : .allow(Identity())
      }
      let broker = try TestBroker(hooks: hooks)
      defer { broker.stop() }
      do {
        let gone = try Client(port: broker.port)
        try gone.sendConnect("gone")
        let other = try broker.client("other")
        while hooks.keptCount == 0 { try other.ping() }
      }
      let other = try broker.client("other")
      while broker.server.broker.connectionCount.load(ordering: .relaxed) > 1 { try other.ping() }
      hooks.answerKept()
      try other.ping()
      #expect(broker.server.broker.directory.find(Array("gone".utf8).span) == nil)
    }

    @Test(arguments: [false, true])
    func accessListsBoundWhatAClientDoes(isStored: Bool) throws {
      let hooks = TestHooks(.connect)
      hooks.onConnect { _ in
        .allow(
          Identity(
            access: AccessList(rules: [
              rule("own/secret", allows: false), rule("own/#"), rule("in/#", publishes: false),
            ]), maximumSubscriptions: 2))
      }
      let broker = try TestBroker(hooks: hooks)
      defer { broker.stop() }
      let client = try broker.client("device", clean: false, expiry: isStored ? 300 : 0)
      #expect(try client.subscribe("own/a", "own/+", "in/b", "x") == [1, 0x87, 1, 0x87])
      #expect(try client.subscribe("own/b") == [0x97])
      try client.send(client.publishBytes("own/a", [1]))
      _ = try client.message()
      #expect(try client.pubAck() == .success)
      #expect(try client.publish("own/secret", "1") == .notAuthorized)
      #expect(try client.publish("in/b", "1") == .notAuthorized)
      // A will that it may not publish.
      let other = try Client(port: broker.port)
      let answer = try other.connect("other") {
        $0.will = ConnectPacket.Will(
          qos: .atMostOnce, retain: false, topic: Array("in/b".utf8), payload: [])
      }
      #expect(answer.reason == .notAuthorized)
    }

    @Test func verdictsAreFollowedInOrder() throws {
      let hooks = TestHooks(.publish)
      hooks.onPublish { question in
        question.messages.map { message in
          switch message.payload.first {
          case 0: .allow
          case 1: .refuse(.quotaExceeded)
          case 2: .drop
          case 3: .refuse(.banned)
          default:
            .rewrite(
              OutsideMessage(topic: Array("new".utf8), payload: message.payload + [9], retain: true)
            )
          }
        }
      }
      let broker = try TestBroker(loops: 2, hooks: hooks)
      defer { broker.stop() }
      let reader = try broker.client("reader")
      try reader.subscribe("ask/#", "new", "plain", qos: .exactlyOnce)
      let writer = try broker.client("writer")
      var sent: [UInt8] = []
      for number in 0..<100 {
        sent += writer.publishBytes("ask/\(number)", [UInt8(number % 5)])
        if number % 10 == 0 { sent += writer.publishBytes("plain", [77]) }
      }
      try writer.send(sent)
      var answers: [ReasonCode] = []
      for _ in 0..<110 { answers.append(try writer.pubAck()) }
      var expected: [ReasonCode] = []
      for number in 0..<100 {
        expected.append(
          [.success, .quotaExceeded, .success, .notAuthorized, .success][number % 5])
        if number % 10 == 0 { expected.append(.success) }
      }
      #expect(answers == expected)
      var seen: [String] = []
      for message in try reader.messages(50) { seen.append("\(message.topic) \(message.payload)") }
      var wanted: [String] = []
      for number in 0..<100 {
        if number % 5 == 0 { wanted.append("ask/\(number) [0]") }
        if number % 5 == 4 { wanted.append("new [4, 9]") }
        if number % 10 == 0 { wanted.append("plain [77]") }
      }
      #expect(seen == wanted)
      #expect(hooks.publishQuestions.contains { $0.messages.count > 1 })
      #expect(hooks.publishQuestions.reduce(0) { $0 + $1.messages.count } == 100)
      let late = try broker.client("late")
      try late.subscribe("new")
      #expect(try late.message().retain)
    }

    @Test func exactlyOnceIsAskedAboutToo() throws {
      let hooks = TestHooks(.publish)
      hooks.onPublish { $0.messages.map { $0.payload == [1] ? .refuse(.notAuthorized) : .allow } }
      let broker = try TestBroker(hooks: hooks)
      defer { broker.stop() }
      let writer = try broker.client("writer")
      for payload: UInt8 in [0, 1, 0] {
        let id = writer.newID()
        try writer.send(
          writer.publishBytes("ask/a", [payload], qos: .exactlyOnce, packetID: id))
        let answer = try writer.expect(.pubRec)
        let reason = try Acknowledgement.decode(
          answer.bytes.span, header: answer.header, version: .v5
        ).reason
        #expect(reason == (payload == 1 ? .notAuthorized : .noMatchingSubscribers))
        guard payload == 0 else { continue }
        try writer.send(writer.ack(.pubRel, id))
        _ = try writer.expect(.pubComp)
      }
    }

    @Test func aSubscriptionGetsLessThanItAskedFor() throws {
      let hooks = TestHooks(.subscribe)
      hooks.onSubscribe { question in
        SubscribeVerdict(
          filters: question.filters.map { filter in
            switch filter.filter.first {
            case UInt8(ascii: "a"): .allow(.atMostOnce)
            case UInt8(ascii: "b"): .refuse(.banned)
            default: .allow(filter.qos)
            }
          })
      }
      let broker = try TestBroker(hooks: hooks)
      defer { broker.stop() }
      let client = try broker.client("device")
      #expect(
        try client.subscribe("a", "b", "c", "d/#/e", qos: .exactlyOnce) == [0, 0x87, 2, 0x8F])
      let old = try broker.client("old", version: .v3_1_1)
      #expect(try old.subscribe("a", "b") == [0, 0x80])
    }

    @Test func endsAndUnsubscribesAreTold() throws {
      let hooks = TestHooks([.disconnect, .unsubscribe])
      let broker = try TestBroker(hooks: hooks)
      defer { broker.stop() }
      let one = try broker.client("one")
      try one.subscribe("a", "b")
      let unsubscribe = UnsubscribePacket(
        packetID: 9, filters: [Array("a".utf8), Array("x".utf8)])
      try one.send(bytes(unsubscribe.encodedCount(.v5)) { unsubscribe.encode(.v5, into: &$0) })
      _ = try one.expect(.unsubAck)
      #expect(hooks.unsubscribed == [[Array("a".utf8)]])
      try one.disconnect()
      let two = try broker.client("two")
      let again = try broker.client("two")
      #expect(try two.goodbye() == .sessionTakenOver)
      try again.send([0xF0, 0])
      _ = try again.next()
      do { _ = try broker.client("three") }
      let other = try broker.client("other")
      while hooks.disconnected.count < 4 { try other.ping() }
      let ends = hooks.disconnected.map { "\(text($0.client)) \($0.end.reason.rawValue)" }
      #expect(ends.prefix(3) == ["one 0", "two 142", "two 130"])
      #expect(ends.last == "three 128")
    }

    @Test(arguments: [QoS.atLeastOnce, .exactlyOnce], [UInt32(0), 300])
    func acknowledgementsOfKeyedMessagesAreTold(qos: QoS, expiry: UInt32) throws {
      let hooks = TestHooks(.delivered)
      let broker = try TestBroker(hooks: hooks)
      defer { broker.stop() }
      let device = try broker.client("device", clean: false, expiry: expiry)
      try device.subscribe("a", qos: .exactlyOnce)
      var properties: [UInt8] = []
      appendUserProperty(
        name: Array("message-key".utf8).span, value: Array("order 7".utf8).span, to: &properties)
      let keyed = OutsideMessage(
        topic: Array("a".utf8), properties: properties, payload: [1], qos: qos)
      let plain = OutsideMessage(topic: Array("a".utf8), payload: [2], qos: qos)
      _ = try broker.publish([plain, keyed])
      for message in try device.messages(2) { #expect(message.qos == qos) }
      try device.ping()
      #expect(hooks.delivered.map { text($0.key) } == ["order 7"])
      #expect(hooks.delivered.map { text($0.topic) } == ["a"])
      #expect(hooks.delivered.first?.client.clientID == Array("device".utf8))
    }

    @Test func messagesKeptForTheAbsentAreTold() throws {
      let hooks = TestHooks(.offline)
      let broker = try TestBroker(hooks: hooks)
      defer { broker.stop() }
      let device = try broker.client("device", clean: false, expiry: 300)
      try device.subscribe("a")
      let other = try broker.client("other")
      try other.publish("a", "here")
      #expect(hooks.offline.isEmpty)
      _ = try device.messages(1)
      try device.disconnect()
      try broker.wait("it is away") { $0.connected == 1 }
      try other.publish("a", "away")
      #expect(hooks.offline.map { text($0.message.payload) } == ["away"])
      #expect(hooks.offline.map { $0.clients.map { text($0) } } == [["device"]])
    }

    @Test func aRateHoldsAClientBack() throws {
      let hooks = TestHooks(.connect)
      hooks.onConnect { _ in .allow(Identity(publishesPerSecond: 10)) }
      let broker = try TestBroker(hooks: hooks)
      defer { broker.stop() }
      let client = try broker.client("device")
      var sent: [UInt8] = []
      for _ in 0..<25 { sent += client.publishBytes("a", [1]) }
      try client.send(sent)
      // 10 in each second: the last in the third.
      for _ in 0..<25 { _ = try client.pubAck() }
      try client.ping()
    }
  }
}
