import Packet
import Testing

@testable import MQTTServer

extension BrokerTests {
  /// One client id, many connections.
  @Suite struct TakeoverTests {
    @Test(arguments: [(1, false), (4, false), (4, true)])
    func theSessionSurvivesEachTakeover(loops: Int, isPrivate: Bool) throws {
      // v5:MQTT-3.1.4-3
      let broker = try TestBroker(loops: loops, isPrivate: isPrivate)
      defer { broker.stop() }
      let publisher = try broker.client("publisher")
      var current = try broker.client("device", clean: false, expiry: 300)
      try current.subscribe("take/+")
      for round in 0..<200 {
        try publisher.publish("take/\(round)", "\(round)")
        let next = try Client(port: broker.port)
        let answer = try next.connect("device", clean: false) { $0.sessionExpiryInterval = 300 }
        #expect(answer.sessionPresent)
        // The old connection may have the message, without having acknowledged it.
        let first = try current.message()
        #expect(first.text == "\(round)")
        #expect(try current.goodbye() == .sessionTakenOver)
        let again = try next.message()
        #expect(
          again
            == Message(
              topic: "take/\(round)", payload: Array("\(round)".utf8), qos: .atLeastOnce, dup: true,
              packetID: first.packetID))
        try next.acknowledge(again)
        current = next
      }
      try current.ping()
      #expect(broker.server.broker.directory.count == 2)
      try broker.wait("one connection each") { $0.connected == 2 && $0.queuedMessages == 0 }
      #expect(
        broker.server.broker.connectionCount.load(ordering: .relaxed) == 2)
    }

    @Test(arguments: [false, true])
    func ofManyAtOnceOneStays(isPrivate: Bool) throws {
      let broker = try TestBroker(loops: 4, isPrivate: isPrivate)
      defer { broker.stop() }
      for version in [ProtocolVersion.v5, .v3_1_1] {
        for clean in [true, false] {
          let clients = try (0..<60).map { _ in
            try Client(port: broker.port, version: version)
          }
          for client in clients { try client.sendConnect("crowd", clean: clean) }
          // A PINGREQ behind the CONNECT travels with it, if it was read with it.
          var staying: [Client] = []
          for client in clients { try? client.send([0xC0, 0]) }
          for client in clients {
            var isAnswered = false
            while !isAnswered, let packet = try next(client) {
              isAnswered = packet.type == .pingResp
            }
            if isAnswered { staying.append(client) }
          }
          // Some had their answer before they were taken over.
          try broker.wait("one to stay") { $0.connected == 1 }
          var alive = 0
          for client in staying {
            do {
              try client.ping()
              alive += 1
            } catch {}
          }
          #expect(alive == 1)
          #expect(broker.server.broker.directory.count == 1)
        }
      }
    }

    /// The next packet, or nil at the end, be that a reset.
    private func next(_ client: Client) throws -> Incoming? {
      do { return try client.next() } catch let error as TestFailure {
        if error.description == "recv: 11" { throw error }
        return nil
      }
    }

    @Test func whatFollowsALargeConnectTravelsWithIt() throws {
      let broker = try TestBroker(loops: 4)
      defer { broker.stop() }
      let first = try broker.client("device", clean: false, expiry: 300)
      for round in 0..<12 {
        // Two reads at least: CONNECT is larger than what is copied, PINGREQ lies behind it.
        let client = try Client(port: broker.port)
        var packet = ConnectPacket(
          version: .v5, clientID: Array("device".utf8), cleanStart: false)
        packet.sessionExpiryInterval = 300
        packet.will = ConnectPacket.Will(
          qos: .atMostOnce, retain: false, topic: Array("will".utf8),
          payload: [UInt8](repeating: 7, count: 60_000))
        let connect = bytes(packet.encodedCount) { packet.encode(into: &$0) }
        let before = broker.counters.bytesReceived
        try client.send(Array(connect.prefix(40_000)))
        try broker.wait("the beginning") { $0.bytesReceived >= before + 40_000 }
        try client.send(connect.dropFirst(40_000) + [0xC0, 0])
        let answer = try client.expect(.connAck)
        #expect(answer.bytes[2] == 1, "session present, round \(round)")
        _ = try client.expect(.pingResp)
        try client.disconnect()
      }
      #expect(try first.goodbye() == .sessionTakenOver)
    }

    @Test func aCleanStartEndsTheSessionOnWhicheverLoop() throws {
      // v5:MQTT-3.1.2-4
      // v5:MQTT-3.2.2-2
      let broker = try TestBroker(loops: 4)
      defer { broker.stop() }
      let publisher = try broker.client("publisher")
      for round in 0..<10 {
        let client = try Client(port: broker.port)
        let answer = try client.connect("device", clean: true) { $0.sessionExpiryInterval = 300 }
        #expect(!answer.sessionPresent)
        try client.ping()
        try client.subscribe("clean/\(round)")
        let reason = try publisher.publish("clean/\(max(0, round - 1))", "for nobody")
        #expect(reason == (round == 0 ? .success : .noMatchingSubscribers))
      }
      #expect(broker.server.broker.directory.count == 2)
    }
  }
}
