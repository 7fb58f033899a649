import Packet
import Session
import Store
import StoreSQLite
import Testing
import Util

@testable import MQTTServer

extension BrokerTests {
  /// Messages from outside of MQTT for sessions that outlive the process.
  @Suite struct GatewayStoredTests {
    private func back(_ broker: TestBroker, _ id: String) throws -> Client {
      let client = try Client(port: broker.port)
      let answer = try client.connect(id, clean: false) { $0.sessionExpiryInterval = 3000 }
      #expect(answer.sessionPresent)
      return client
    }

    @Test(arguments: [1, 3])
    func oneClientGetsWhatIsForIt(loops: Int) throws {
      let directory = try StoreDirectory()
      do {
        let broker = try TestBroker(loops: loops, store: try directory.open()) {
          $0.parkAfterMilliseconds = 1
        }
        defer { broker.stop() }
        let device = try broker.client("device", clean: false, expiry: 3000)
        let bystander = try broker.client("bystander", clean: false, expiry: 3000)
        try bystander.subscribe("#")
        for loop in 0..<loops {
          // Connected: sent at once, and durable.
          let outcomes = try broker.publish(
            (0..<20).map { OutsideMessage("push/a", "\(loop) \($0)", client: "device") }, loop: loop
          )
          #expect(outcomes == Array(repeating: PublishOutcome(online: 1), count: 20))
          #expect(try device.messages(20).map(\.text) == (0..<20).map { "\(loop) \($0)" })
        }
        try device.disconnect()
        try broker.wait("it is parked") { $0.parked == 1 }
        for loop in 0..<loops {
          let outcomes = try broker.publish(
            [
              OutsideMessage("push/b", "\(loop)", client: "device", qos: .exactlyOnce),
              OutsideMessage("push/b", "\(loop)", client: "device", qos: .atMostOnce),
              OutsideMessage("push/b", "\(loop)", client: "nobody"),
            ], loop: loop)
          #expect(outcomes == [PublishOutcome(online: 0, stored: 1), .init(), .init()])
        }
        try bystander.ping()
      }
      let broker = try TestBroker(loops: loops, store: try directory.open())
      defer { broker.stop() }
      let device = try back(broker, "device")
      let messages = try device.messages(loops)
      #expect(Set(messages.map(\.text)) == Set((0..<loops).map { "\($0)" }))
      #expect(messages.allSatisfy { $0.topic == "push/b" && $0.qos == .exactlyOnce })
      try device.ping()
      try device.disconnect()
      // All is done: nothing comes again.
      let again = try back(broker, "device")
      try again.ping()
    }

    @Test(arguments: [1, 3])
    func whatIsStoredIsCounted(loops: Int) throws {
      let directory = try StoreDirectory()
      let broker = try TestBroker(loops: loops, store: try directory.open()) {
        $0.parkAfterMilliseconds = 1
      }
      defer { broker.stop() }
      let online = try broker.client("online", clean: false, expiry: 3000)
      try online.subscribe("a/+", "a/b")
      let plain = try broker.client("plain")
      try plain.subscribe("a/b")
      for number in 0..<3 {
        let client = try broker.client("away-\(number)", clean: false, expiry: 3000)
        try client.subscribe("a/b")
        try client.disconnect()
      }
      try broker.wait("they are parked") { $0.parked == 3 }
      let member = try broker.client("member", clean: false, expiry: 3000)
      try member.subscribe("$share/g/a/b")
      for loop in 0..<loops {
        #expect(
          try broker.publish(
            [OutsideMessage("a/b", "1"), OutsideMessage("a/c", "2"), OutsideMessage("x", "3")],
            loop: loop) == [
              PublishOutcome(online: 3, stored: 3), PublishOutcome(online: 1), PublishOutcome(),
            ])
        #expect(try online.messages(2).map(\.text) == ["1", "2"])
        #expect(try plain.messages(1).map(\.text) == ["1"])
        #expect(try member.messages(1).map(\.text) == ["1"])
      }
    }

    @Test func theAbsentAreToldFromTheStore() throws {
      let directory = try StoreDirectory()
      let hooks = TestHooks(.offline)
      let broker = try TestBroker(loops: 2, store: try directory.open(), hooks: hooks) {
        $0.parkAfterMilliseconds = 1
      }
      defer { broker.stop() }
      for number in 0..<3 {
        let client = try broker.client("away-\(number)", clean: false, expiry: 3000)
        try client.subscribe("a/b")
        try client.disconnect()
      }
      try broker.wait("they are parked") { $0.parked == 3 }
      let online = try broker.client("online", clean: false, expiry: 3000)
      try online.subscribe("a/b")
      let publisher = try broker.client("publisher")
      try publisher.publish("a/b", "one")
      _ = try broker.publish([
        OutsideMessage("a/b", "two"), OutsideMessage("push", "three", client: "away-1"),
        OutsideMessage("push", "four", client: "online"),
      ])
      #expect(
        hooks.offline.map { String(decoding: $0.message.payload, as: UTF8.self) } == [
          "one", "two", "three",
        ])
      #expect(hooks.offline.map(\.clients.count) == [3, 3, 1])
      #expect(hooks.offline.last?.message.topic == Array("push".utf8))
    }

    @Test func keysAreRemembered() throws {
      let directory = try StoreDirectory()
      for run in 0..<2 {
        let broker = try TestBroker(store: try directory.open())
        defer { broker.stop() }
        let keys = Answer<[[UInt8]]>()
        broker.server.rememberedKeys { keys.give($0.map(\.key)) }
        #expect(try keys.wait() == (run == 0 ? [] : [[1, 2, 3]]))
        let done = Answer<[PublishOutcome]>()
        broker.server.publish([OutsideMessage("a", "1")], loop: 0, key: [1, 2, 3]) { done.give($0) }
        _ = try done.wait()
      }
    }
  }
}
