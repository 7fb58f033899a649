import Packet
import Session
import Store
import Testing

@testable import MQTTServer

extension BrokerTests {
  /// Subscriptions on a client's behalf.
  @Suite struct GatewaySubscribeTests {
    /// With sessions in memory, and with stored ones.
    private func each(
      _ adjust: (inout ServerOptions) -> Void = { _ in }, _ body: (TestBroker) throws -> Void
    ) throws {
      let broker = try TestBroker(loops: 2, adjust)
      defer { broker.stop() }
      try body(broker)
      try withStored(adjust, body)
    }

    @Test func comesToAClientThatIsThere() throws {
      try each { broker in
        let publisher = try broker.client("publisher")
        try publisher.publish("kept", "old", retain: true)
        for version in [ProtocolVersion.v5, .v3_1_1] {
          let device = try broker.client("device", version: version, clean: false, expiry: 100)
          #expect(try broker.subscribe("device", "a/#", "kept").value == [1, 1])
          let retained = try device.message()
          #expect(retained.text == "old" && retained.retain)
          try device.acknowledge(retained)
          try publisher.publish("a/1", "new")
          let message = try device.message()
          #expect(message.text == "new" && message.qos == .atLeastOnce)
          try device.acknowledge(message)
          #expect(try broker.unsubscribe("device", "a/#", "none").value == [0, 0x11])
          try publisher.publish("a/1", "late")
          try device.ping()
          #expect(try broker.endSession("device").value != nil)
        }
        #expect(try broker.subscribe("nobody", "a").isNoClient)
        #expect(try broker.unsubscribe("nobody", "a").isNoClient)
      }
    }

    @Test func isRefusedAsASubscribe() throws {
      try each({
        $0.maximumSubscriptions = 3
        $0.maximumTopicLevels = 4
        $0.maximumQoS = 1
      }) { broker in
        _ = try broker.client("device", clean: false, expiry: 100)
        let wrong = ["", "a/#/b", "a/+b", "a\u{0}", "1/2/3/4/5", "$share/g"]
        for filter in wrong {
          #expect(try broker.subscribe("device", filter).value == [0x8F])
          if filter != "1/2/3/4/5" {
            #expect(try broker.unsubscribe("device", filter).value == [0x8F])
          }
        }
        let long = String(repeating: "x", count: 65_536)
        #expect(try broker.subscribe("device", long).value == [0x8F])
        let odd: [(UInt8, UInt32)] = [(3, 0), (0x30, 0), (0x40, 0), (1, 268_435_456)]
        for (options, identifier) in odd {
          let list = [
            StoredSubscription(filter: Array("a".utf8), options: options, identifier: identifier)
          ]
          #expect(try broker.subscribe("device", list).value == [0x83])
        }
        let local = [
          StoredSubscription(filter: Array("$share/g/a".utf8), options: 5, identifier: 0)
        ]
        #expect(try broker.subscribe("device", local).value == [0x83])
        // What the broker grants, and no more than there may be.
        #expect(try broker.subscribe("device", "a", "b", qos: .exactlyOnce).value == [1, 1])
        #expect(try broker.subscribe("device", "a", "c", "d").value == [1, 1, 0x97])
        #expect(try broker.subscribe("device", "b").value == [1])
        let there = try #require(try broker.describe("device").value)
        #expect(
          Set(there.subscriptions.map(\.filter)) == Set(["a", "b", "c"].map { Array($0.utf8) }))
      }
    }

    @Test func comesToAClientThatIsParked() throws {
      try withStored { broker in
        let publisher = try broker.client("publisher")
        try publisher.publish("kept", "old", retain: true)
        try broker.park("device")
        #expect(try broker.subscribe("device", "a", "kept").value == [1, 1])
        try publisher.publish("a", "new")
        #expect(try broker.backlog("device").map { $0.message.payload } == [Array("new".utf8)])
        let device = try Client(port: broker.port)
        #expect(
          try device.connect("device", clean: false) { $0.sessionExpiryInterval = 100 }
            .sessionPresent)
        let messages = try device.messages(2)
        #expect(Set(messages.map(\.text)) == ["old", "new"])
        try device.disconnect()
        #expect(try broker.unsubscribe("device", "a", "x").value == [0, 0x11])
        try publisher.publish("a", "late")
        #expect(try broker.backlog("device").isEmpty)
        #expect(
          try broker.describe("device").value?.subscriptions.map(\.filter) == [Array("kept".utf8)])
      }
    }

    @Test func isKeptByTheStore() throws {
      try withStored { broker in
        try broker.park("device")
        let before = broker.counters.parked
        #expect(try broker.subscribe("device", "a", "b").value == [1, 1])
        try broker.wait("the park") { $0.parked > before }
        let there = try #require(try broker.describe("device").value)
        #expect(Set(there.subscriptions.map(\.filter)) == [Array("a".utf8), Array("b".utf8)])
      }
    }

    @Test func sharesAGroup() throws {
      try each { broker in
        let publisher = try broker.client("publisher")
        let clients = try (0..<6).map { try broker.client("m\($0)", clean: false, expiry: 100) }
        for number in 0..<6 {
          #expect(
            try broker.subscribe("m\(number)", "$share/g/t", "own/\(number)").value == [1, 1])
        }
        for number in 0..<12 { try publisher.publish("t", "\(number)") }
        var texts: [String] = []
        for client in clients {
          // What comes behind shows that nothing else did.
          try client.send([0xC0, 0])
          while let packet = try client.next(), packet.type != .pingResp {
            guard packet.type == .publish else { throw TestFailure("\(packet)") }
            let publish = try Publish.decode(
              packet.bytes.span, header: packet.header, version: .v5)
            texts.append(String(decoding: packet.bytes[publish.payload.range], as: UTF8.self))
            try client.send(client.ack(.pubAck, publish.packetID))
          }
        }
        // Messages to members on other loops may be on their way still.
        #expect(Set(texts).count == texts.count)
        #expect(try broker.unsubscribe("m0", "$share/g/t").value == [0])
        for number in 0..<6 { #expect(try broker.endSession("m\(number)").value != nil) }
      }
    }
  }
}
