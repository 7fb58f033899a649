import Packet
import Session
import Store
import Testing
import Util

@testable import MQTTServer

extension TestBroker {
  /// Publishes from outside, and waits for what became of it.
  func publish(_ messages: [OutsideMessage], loop: Int = 0) throws -> [PublishOutcome] {
    let answer = Answer<[PublishOutcome]>()
    server.publish(messages, loop: loop, key: []) { answer.give($0) }
    return try answer.wait()
  }

  /// Publishes from outside as one batch, and waits for what became of it.
  func publish(
    batch messages: [OutsideMessage], wantsOutcomes: Bool
  ) throws -> [PublishOutcome] {
    var bytes: [UInt8] = []
    func append(_ part: [UInt8]) -> ByteRange {
      defer { bytes += part }
      return ByteRange(offset: bytes.count, count: part.count)
    }
    let records = messages.map { message in
      OutsideBatch.Record(
        topic: append(message.topic), payload: append(message.payload),
        client: append(message.client ?? []), qos: message.qos, retain: message.retain)
    }
    let answer = Answer<[PublishOutcome]>()
    let batch = OutsideBatch(
      bytes: bytes, properties: [], records: records, wantsOutcomes: wantsOutcomes)
    server.publish(batch, loop: 0) { answer.give($0) }
    return try answer.wait()
  }
}

extension OutsideMessage {
  init(_ topic: String, _ text: String, client: String? = nil, qos: QoS = .atLeastOnce) {
    self.init(
      client: client.map { Array($0.utf8) }, topic: Array(topic.utf8), payload: Array(text.utf8),
      qos: qos)
  }
}

extension PublishOutcome {
  init(online: Int, stored: Int = 0) {
    self.init()
    self.online = online
    self.stored = stored
  }
}

extension BrokerTests {
  /// Messages from outside of MQTT.
  @Suite struct GatewayPublishTests {
    @Test(arguments: [1, 4])
    func whoGetsIt(loops: Int) throws {
      let broker = try TestBroker(loops: loops)
      defer { broker.stop() }
      let clients = try broker.spread("client-", each: 2)
      for group in clients { for client in group { try client.subscribe("all/#") } }
      let count = 2 * loops
      let double = try broker.client("double")
      try double.subscribe("all/a", "all/+", "all/#")
      let away = try broker.client("away", clean: false, expiry: 300)
      try away.subscribe("all/a", "all/+")
      try away.disconnect()
      try broker.wait("it is away") { Int($0.connected) == Int($0.sessions) - 1 }
      for loop in 0..<loops {
        let outcomes = try broker.publish(
          [
            OutsideMessage("all/a", "1"), OutsideMessage("none", "2"),
            OutsideMessage("all/b", "3", qos: .atMostOnce), OutsideMessage("a/#", "4"),
            OutsideMessage("$SYS/x", "5"),
          ], loop: loop)
        #expect(
          outcomes == [
            PublishOutcome(online: count + 1, stored: 2), PublishOutcome(),
            PublishOutcome(online: count + 1), PublishOutcome(refusal: .topicInvalid),
            PublishOutcome(refusal: .notAllowed),
          ])
        for group in clients {
          for client in group {
            #expect(try client.messages(2).map(\.text) == ["1", "3"])
          }
        }
        #expect(try double.messages(2).map(\.text) == ["1", "3"])
      }
      let back = try Client(port: broker.port)
      try back.connect("away", clean: false) { $0.sessionExpiryInterval = 300 }
      #expect(try back.messages(loops).map(\.text) == Array(repeating: "1", count: loops))
    }

    @Test(arguments: [1, 4])
    func toOneClient(loops: Int) throws {
      let broker = try TestBroker(loops: loops)
      defer { broker.stop() }
      let clients = try broker.spread("client-")
      for (place, group) in clients.enumerated() {
        for client in group { try client.subscribe("other") }
        _ = place
      }
      let device = try broker.client("device")
      for loop in 0..<loops {
        let outcomes = try broker.publish(
          [
            OutsideMessage("push", "0", client: "device", qos: .atMostOnce),
            OutsideMessage("push", "1", client: "device"),
            OutsideMessage("push", "2", client: "device", qos: .exactlyOnce),
            OutsideMessage("push", "3", client: "nobody"),
            OutsideMessage("push/+", "4", client: "device"),
          ], loop: loop)
        #expect(
          outcomes == [
            PublishOutcome(online: 1), PublishOutcome(online: 1), PublishOutcome(online: 1),
            PublishOutcome(), PublishOutcome(refusal: .topicInvalid),
          ])
        let messages = try device.messages(3)
        #expect(messages.map(\.text) == ["0", "1", "2"])
        #expect(messages.map(\.topic) == ["push", "push", "push"])
        #expect(messages.map(\.qos) == [.atMostOnce, .atLeastOnce, .exactlyOnce])
      }
      let lasting = try broker.client("lasting", clean: false, expiry: 300)
      try lasting.disconnect()
      try broker.wait("it is away") { Int($0.connected) == Int($0.sessions) - 1 }
      let outcomes = try broker.publish([
        OutsideMessage("push", "0", client: "lasting", qos: .atMostOnce),
        OutsideMessage("push", "1", client: "lasting"),
      ])
      #expect(outcomes == [PublishOutcome(), PublishOutcome(online: 0, stored: 1)])
      let back = try Client(port: broker.port)
      try back.connect("lasting", clean: false) { $0.sessionExpiryInterval = 300 }
      #expect(try back.messages(1).map(\.text) == ["1"])
    }

    @Test(arguments: [1, 4])
    func aBatch(loops: Int) throws {
      let broker = try TestBroker(loops: loops) { $0.maximumRetainedMessages = 1 }
      defer { broker.stop() }
      let clients = try broker.spread("client-", each: 1)
      for group in clients { for client in group { try client.subscribe("all/#") } }
      let other = try broker.client("other")
      let taken = [
        OutsideMessage("all/a", "1"), OutsideMessage("none", "2"),
        OutsideMessage("push", "3", client: "other"),
      ]
      var kept = OutsideMessage("all/kept", "4")
      kept.retain = true
      var more = OutsideMessage("all/more", "5")
      more.retain = true
      #expect(
        try broker.publish(batch: taken, wantsOutcomes: false).allSatisfy { $0.refusal == nil })
      #expect(
        try broker.publish(batch: taken + [kept, more], wantsOutcomes: true) == [
          PublishOutcome(online: loops), PublishOutcome(), PublishOutcome(online: 1),
          PublishOutcome(online: loops), PublishOutcome(refusal: .quotaExceeded),
        ])
      let refused = try broker.publish(
        batch: taken + [OutsideMessage("$SYS/x", "6"), more], wantsOutcomes: false)
      #expect(refused.map(\.refusal) == [nil, nil, nil, .notAllowed, .quotaExceeded])
      for group in clients {
        for client in group {
          #expect(try client.messages(4).map(\.text) == ["1", "1", "4", "1"])
        }
      }
      #expect(try other.messages(3).map(\.text) == ["3", "3", "3"])
    }

    @Test func aGroupCountsOnce() throws {
      let broker = try TestBroker(loops: 2)
      defer { broker.stop() }
      let clients = try broker.spread("member-", each: 2)
      for group in clients { for client in group { try client.subscribe("$share/g/a") } }
      let outcomes = try broker.publish((0..<8).map { OutsideMessage("a", "\($0)") })
      #expect(outcomes == Array(repeating: PublishOutcome(online: 1), count: 8))
      for group in clients { for client in group { _ = try client.messages(2) } }
    }

    @Test func retainedAndExpired() throws {
      let broker = try TestBroker { $0.maximumRetainedMessages = 1 }
      defer { broker.stop() }
      var kept = OutsideMessage("kept", "1")
      kept.retain = true
      var more = OutsideMessage("more", "2")
      more.retain = true
      #expect(
        try broker.publish([kept, more]) == [
          PublishOutcome(), PublishOutcome(refusal: .quotaExceeded),
        ])
      let reader = try broker.client("reader")
      try reader.subscribe("kept")
      #expect(try reader.message().retain)
    }
  }
}
