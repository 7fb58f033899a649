import Packet
import Session
import Store
import Testing

@testable import MQTTServer

extension BrokerTests {
  /// What waits for a client, looked at from outside.
  @Suite struct GatewayBacklogTests {
    private func texts(_ entries: [BacklogPage.Entry]) -> [String] {
      entries.map { String(decoding: $0.message.payload, as: UTF8.self) }
    }

    @Test func ofASessionInMemory() throws {
      let broker = try TestBroker(loops: 2)
      defer { broker.stop() }
      let publisher = try broker.client("publisher")
      let device = try Client(port: broker.port)
      try device.connect("device", clean: false) {
        $0.sessionExpiryInterval = 100
        $0.receiveMaximum = 3
      }
      try device.subscribe("t")
      #expect(try broker.backlog("device").isEmpty)
      for number in 0..<10 { try publisher.publish("t", "\(number)") }
      let all = (0..<10).map { "\($0)" }
      for size in [1, 4, 1000] {
        let entries = try broker.backlog("device", messages: size)
        #expect(texts(entries) == all)
        #expect(entries.map(\.isInFlight) == (0..<10).map { $0 < 3 })
        #expect(entries.allSatisfy { $0.message.topic == [0x74] && $0.message.qos == .atLeastOnce })
      }
      #expect(texts(try broker.backlog("device", bytes: 1)) == all)
      let first = try (0..<3).map { _ in try device.message() }
      // One that is done with in the middle is left out.
      try device.acknowledge(first[1])
      _ = try device.message()
      #expect(texts(try broker.backlog("device", messages: 2)) == all.filter { $0 != "1" })
      #expect(try broker.page("nobody").isNoClient)
    }

    @Test func placesStayWhileOlderOnesAreDone() throws {
      let broker = try TestBroker()
      defer { broker.stop() }
      let publisher = try broker.client("publisher")
      let device = try broker.client("device", clean: false, expiry: 100)
      try device.subscribe("t")
      for number in 0..<20 { try publisher.publish("t", "\(number)") }
      let page = try broker.page("device", messages: 10)
      let place = try #require(page.value?.next)
      let messages = try (0..<20).map { _ in try device.message() }
      for message in messages.prefix(7) { try device.acknowledge(message) }
      try device.ping()
      let rest = try broker.page("device", after: place)
      #expect(texts(rest.value?.entries ?? []) == (10..<20).map { "\($0)" })
    }

    @Test func ofAStoredSessionLeavesItAsItIs() throws {
      try withStored { broker in
        try broker.park("device", "t/#", "t/1")
        let publisher = try broker.client("publisher")
        let all = (0..<300).map { "\($0)" }
        for (number, text) in all.enumerated() { try publisher.publish("t/\(number % 3)", text) }
        for size in [7, 100, 1000] {
          let entries = try broker.backlog("device", messages: size)
          #expect(texts(entries) == all)
          #expect(entries.allSatisfy { !$0.isInFlight })
        }
        let device = try Client(port: broker.port)
        #expect(
          try device.connect("device", clean: false) {
            $0.sessionExpiryInterval = 100
            $0.receiveMaximum = 10
          }.sessionPresent)
        let first = try (0..<10).map { _ in try device.message() }
        #expect(first.map(\.text) == Array(all.prefix(10)))
        let entries = try broker.backlog("device", messages: 50)
        #expect(texts(entries) == all)
        #expect(entries.prefix(10).allSatisfy { $0.isInFlight })
        for message in first { try device.acknowledge(message) }
        var got = first.map(\.text)
        for _ in 10..<300 {
          let message = try device.message()
          got.append(message.text)
          try device.acknowledge(message)
        }
        #expect(got == all)
        try device.ping()
        #expect(try broker.backlog("device").isEmpty)
      }
    }

    @Test func tellsHowLongMessagesLive() throws {
      let broker = try TestBroker()
      defer { broker.stop() }
      let device = try broker.client("device", clean: false, expiry: 100)
      try device.subscribe("t")
      try device.disconnect()
      let publisher = try broker.client("publisher")
      let id = publisher.newID()
      let header = PublishHeader(
        version: .v5, qos: .atLeastOnce, retain: false, packetID: id, messageExpiryInterval: 500)
      let layout = header.layout(topicCount: 1, payloadCount: 1)
      try publisher.send(
        bytes(layout.totalCount) {
          encodePublish(header, topic: [0x74].span, payload: [0x31].span, into: &$0)
        })
      _ = try publisher.pubAck()
      let lifetime = try #require(try broker.backlog("device").first?.message.lifetime)
      #expect(lifetime > 0 && lifetime <= 500)
    }
  }
}
