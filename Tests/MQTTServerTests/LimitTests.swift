import Packet
import Testing

@testable import MQTTServer

extension BrokerTests {
  /// What is configured is kept to, and said to the client.
  @Suite struct LimitTests {
    @Test func connections() throws {
      let broker = try TestBroker(loops: 2) { $0.maximumConnections = 3 }
      defer { broker.stop() }
      var clients = try (0..<3).map { try broker.client("client\($0)") }
      let modern = try Client(port: broker.port)
      #expect(try modern.connect("late").reason == .quotaExceeded)
      #expect(try modern.isAtEnd())
      let old = try Client(port: broker.port, version: .v3_1_1)
      try old.sendConnect("late")
      // Server unavailable.
      #expect(try old.expect(.connAck).bytes[3] == 3)
      #expect(try old.isAtEnd())
      for client in clients { try client.ping() }
      try clients.removeLast().disconnect()
      try broker.wait("room") { $0.connected == 2 }
      let next = try broker.client("next")
      try next.ping()
    }

    @Test func packetSize() throws {
      // v5:MQTT-3.1.2-24
      let broker = try TestBroker { $0.maximumPacketSize = 1_000 }
      defer { broker.stop() }
      let small = try Client(port: broker.port)
      #expect(try small.connect("small") { $0.maximumPacketSize = 300 }.maximumPacketSize == 1_000)
      try small.subscribe("size", qos: .atLeastOnce)
      let publisher = try broker.client("publisher")
      // Each at the limit, and one byte more.
      for version in [ProtocolVersion.v5, .v3_1_1] {
        let client = try broker.client("client", version: version)
        let room = 1_000 - client.publishBytes("s", [UInt8](repeating: 0, count: 500)).count + 500
        try client.send(client.publishBytes("s", [UInt8](repeating: 0, count: room)))
        _ = try client.expect(.pubAck)
        try client.send(client.publishBytes("s", [UInt8](repeating: 0, count: room + 1)))
        if version == .v5 {
          #expect(try client.goodbye() == .packetTooLarge)
        } else {
          #expect(try client.isAtEnd())
        }
      }
      let room = 300 - publisher.publishBytes("size", [UInt8](repeating: 0, count: 200)).count + 200
      for count in [room + 1, room] {
        try publisher.send(publisher.publishBytes("size", [UInt8](repeating: 7, count: count)))
        #expect(try publisher.pubAck() == .success)
      }
      // The larger one is dropped as if it had been delivered.
      let message = try small.message()
      #expect(message.payload.count == room)
      try small.acknowledge(message)
      try small.ping()
      #expect(broker.counters.publishesDropped == 1)
    }

    @Test func qos2MessagesThatAreNotReleased() throws {
      let broker = try TestBroker { $0.session.receiveMaximum = 3 }
      defer { broker.stop() }
      let client = try Client(port: broker.port)
      #expect(try client.connect("client").receiveMaximum == 3)
      for packetID in UInt16(1)...3 {
        try client.send(client.publishBytes("a", [], qos: .exactlyOnce, packetID: packetID))
        _ = try client.expect(.pubRec)
      }
      // Releasing one makes room for one.
      try client.send(client.ack(.pubRel, 2))
      _ = try client.expect(.pubComp)
      try client.send(client.publishBytes("a", [], qos: .exactlyOnce, packetID: 9))
      _ = try client.expect(.pubRec)
      try client.send(client.publishBytes("a", [], qos: .exactlyOnce, packetID: 10))
      #expect(try client.goodbye() == .receiveMaximumExceeded)
    }

    @Test func topicLevelsAndClientIDs() throws {
      let broker = try TestBroker { options in
        options.maximumTopicLevels = 4
        options.maximumClientIDBytes = 8
      }
      defer { broker.stop() }
      let client = try broker.client("12345678")
      #expect(
        try client.subscribe("1/2/3/4", "1/2/3/4/5", "1/2/3/#", "+/+/+/+/#") == [1, 0x8F, 1, 0x8F])
      #expect(try client.publish("a/b/c/d", "x") == .noMatchingSubscribers)
      #expect(try client.publish("a/b/c/d/e", "x") == .topicNameInvalid)
      let modern = try Client(port: broker.port)
      #expect(try modern.connect("123456789").reason == .clientIdentifierNotValid)
      #expect(try modern.isAtEnd())
      let old = try Client(port: broker.port, version: .v3_1_1)
      try old.sendConnect("123456789")
      #expect(try old.expect(.connAck).bytes[3] == 2)
      #expect(try old.isAtEnd())
      // A topic that only the broker may publish to.
      #expect(try client.publish("$SYS/x", "x") == .notAuthorized)
    }

    @Test func subscriptionsOfASession() throws {
      let broker = try TestBroker { $0.maximumSubscriptions = 3 }
      defer { broker.stop() }
      let client = try broker.client("client")
      #expect(try client.subscribe("a", "b", "c", "d") == [1, 1, 1, 0x97])
      let old = try broker.client("old", version: .v3_1_1)
      #expect(try old.subscribe("a", "b", "c", "d") == [1, 1, 1, 0x80])
      // One that is there already may change.
      #expect(try client.subscribe("b", qos: .exactlyOnce) == [2])
    }

    @Test func whatIsTurnedOff() throws {
      let broker = try TestBroker(loops: 2) { options in
        options.maximumQoS = 1
        options.retainAvailable = false
        options.wildcardSubscriptionAvailable = false
        options.sharedSubscriptionAvailable = false
        options.maximumKeepAlive = 30
        options.maximumSessionExpiry = 60
      }
      defer { broker.stop() }
      let client = try Client(port: broker.port)
      let answer = try client.connect("client") { $0.sessionExpiryInterval = 600 }
      #expect(answer.maximumQoS == .atLeastOnce)
      #expect(!answer.retainAvailable)
      #expect(!answer.wildcardSubscriptionAvailable)
      #expect(!answer.sharedSubscriptionAvailable)
      #expect(answer.serverKeepAlive == 30)
      #expect(answer.sessionExpiryInterval == 60)
      #expect(
        try client.subscribe("a", "a/#", "$share/g/a", qos: .exactlyOnce) == [1, 0xA2, 0x9E])
      try client.send(client.publishBytes("a", [], qos: .exactlyOnce))
      #expect(try client.goodbye() == .qosNotSupported)
      let other = try broker.client("other")
      try other.send(other.publishBytes("a", [1], retain: true))
      #expect(try other.goodbye() == .retainNotSupported)
    }
  }
}
