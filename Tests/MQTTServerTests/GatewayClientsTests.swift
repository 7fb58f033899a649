import Dispatch
import Packet
import Session
import Store
import Synchronization
import Testing

@testable import MQTTServer

extension BrokerTests {
  /// Single clients, from outside of MQTT.
  @Suite struct GatewayClientsTests {
    @Test(arguments: [1, 3])
    func describes(loops: Int) throws {
      let broker = try TestBroker(loops: loops)
      defer { broker.stop() }
      #expect(try broker.describe("nobody").isNoClient)
      let device = try Client(port: broker.port)
      try device.connect("device", clean: false, keepAlive: 77) { $0.sessionExpiryInterval = 500 }
      try device.subscribe("a/+", "b", qos: .exactlyOnce)
      let publisher = try broker.client("publisher")
      try publisher.publish("b", "1")
      let message = try device.message()
      var there = try #require(try broker.describe("device").value)
      #expect(there.client.clientID == Array("device".utf8))
      #expect(there.client.peer.hasPrefix("127.0.0.1:"))
      #expect(there.client.version == 5)
      #expect(there.isConnected && !there.isStored)
      #expect(there.expiryInterval == 500 && there.keepAlive == 77)
      #expect(
        there.subscriptions.map { String(decoding: $0.filter, as: UTF8.self) } == ["a/+", "b"])
      #expect(there.subscriptions.allSatisfy { $0.qos == 2 })
      #expect(there.inFlight == 1 && there.queued == 0)
      try device.acknowledge(message)
      try device.disconnect()
      try publisher.publish("b", "2")
      there = try #require(try broker.describe("device").value)
      #expect(!there.isConnected && there.client.peer == "")
      #expect(there.inFlight == 0 && there.queued == 1)
    }

    @Test func bringsAParkedSessionAndParksItAgain() throws {
      try withStored { broker in
        try broker.park("device", "a", "b")
        #expect(broker.server.broker.directory.count == 0)
        let before = broker.counters.parked
        let there = try #require(try broker.describe("device").value)
        #expect(there.isStored && !there.isConnected && there.expiryInterval == 3600)
        #expect(Set(there.subscriptions.map(\.filter)) == [Array("a".utf8), Array("b".utf8)])
        try broker.wait("the park") { $0.parked > before }
        #expect(broker.server.broker.directory.count == 0)
        #expect(try broker.describe("nobody").isNoClient)
        // Its client finds it.
        let client = try Client(port: broker.port)
        let answer = try client.connect("device", clean: false) { $0.sessionExpiryInterval = 10 }
        #expect(answer.sessionPresent)
      }
    }

    @Test func disconnectsWithAReason() throws {
      let broker = try TestBroker(loops: 2)
      defer { broker.stop() }
      let watcher = try broker.client("watcher")
      try watcher.subscribe("wills/#")
      for (number, discards) in [false, true].enumerated() {
        let device = try Client(port: broker.port)
        try device.connect("device") {
          $0.will = ConnectPacket.Will(
            qos: .atLeastOnce, retain: false, topic: Array("wills/\(number)".utf8),
            payload: Array("gone".utf8))
        }
        let outcome = try broker.disconnect(
          "device", .quotaExceeded, "too much", discardsWill: discards)
        #expect(outcome.value != nil)
        let packet = try device.expect(.disconnect)
        let goodbye = try Disconnect.decode(
          packet.bytes.span, header: packet.header, version: .v5)
        #expect(goodbye.reason == .quotaExceeded)
        let text = try #require(goodbye.reasonString)
        #expect(packet.bytes[text.range] == ArraySlice("too much".utf8))
        #expect(try device.isAtEnd())
      }
      let will = try watcher.message()
      #expect(will.topic == "wills/0" && will.text == "gone")
      try watcher.acknowledge(will)
      try watcher.ping()
      #expect(try broker.disconnect("device").isNoClient)
      let old = try broker.client("old", version: .v3_1_1, clean: false)
      #expect(try broker.disconnect("old").value != nil)
      #expect(try old.isAtEnd())
      // Its session is there, its connection is not.
      #expect(try broker.describe("old").value?.isConnected == false)
      #expect(try broker.disconnect("old").isNoClient)
    }

    @Test(arguments: [false, true])
    func endsSessions(isStored: Bool) throws {
      func check(_ broker: TestBroker) throws {
        let watcher = try broker.client("watcher")
        try watcher.subscribe("will")
        let device = try Client(port: broker.port)
        try device.connect("device", clean: false) {
          $0.sessionExpiryInterval = 100
          $0.will = ConnectPacket.Will(
            qos: .atLeastOnce, retain: false, topic: Array("will".utf8), payload: [])
          $0.will?.delayInterval = 50
        }
        try device.subscribe("a")
        #expect(try broker.endSession("device").value != nil)
        #expect(try device.goodbye() == .administrativeAction)
        try watcher.acknowledge(try watcher.message())
        #expect(try broker.describe("device").isNoClient)
        #expect(try broker.endSession("device").isNoClient)
        let again = try Client(port: broker.port)
        let answer = try again.connect("device", clean: false) { $0.sessionExpiryInterval = 100 }
        #expect(!answer.sessionPresent)
        // One that is away.
        try again.disconnect()
        #expect(try broker.endSession("device").value != nil)
        #expect(try broker.describe("device").isNoClient)
      }
      if isStored {
        try withStored(parks: false) { try check($0) }
        try withStored { broker in
          try broker.park("device", "a")
          #expect(try broker.endSession("device").value != nil)
          #expect(try broker.describe("device").isNoClient)
          #expect(try broker.list().isEmpty)
        }
      } else {
        let broker = try TestBroker(loops: 2)
        defer { broker.stop() }
        try check(broker)
      }
    }

    @Test(arguments: [false, true])
    func eachQuestionIsAnsweredWhileTheClientComesAndGoes(isStored: Bool) throws {
      func check(_ broker: TestBroker) throws {
        let isOver = Atomic<Bool>(false)
        let asked = Mutex((answers: 0, odd: 0))
        let threads = DispatchGroup()
        for number in 0..<3 {
          threads.enter()
          DispatchQueue.global().async {
            while !isOver.load(ordering: .relaxed) {
              let outcome: String? =
                switch number {
                case 0: (try? broker.describe("device")).map { "\($0)" }
                case 1: (try? broker.subscribe("device", "x", "$share/g/x")).map { "\($0)" }
                default: (try? broker.unsubscribe("device", "x", "$share/g/x")).map { "\($0)" }
                }
              asked.withLock {
                $0.answers += 1
                if outcome == nil { $0.odd += 1 }
              }
            }
            threads.leave()
          }
        }
        for round in 0..<60 {
          let client = try Client(port: broker.port)
          let expiry: UInt32 = round % 3 == 0 ? 0 : 100
          try client.connect("device", clean: round % 5 == 0) {
            $0.sessionExpiryInterval = expiry
          }
          if round % 2 == 0 { client.peer.reset() } else { try client.disconnect() }
          if round % 7 == 0 { _ = try broker.endSession("device") }
        }
        isOver.store(true, ordering: .relaxed)
        threads.wait()
        let counts = asked.withLock { $0 }
        #expect(counts.answers > 0 && counts.odd == 0)
      }
      if isStored {
        try withStored(loops: 3) { try check($0) }
      } else {
        let broker = try TestBroker(loops: 3)
        defer { broker.stop() }
        try check(broker)
      }
    }
  }
}
