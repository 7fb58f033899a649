import Packet
import Testing

@testable import MQTTServer

extension BrokerTests {
  /// What holds on one loop holds between loops.
  @Suite struct CrossLoopTests {
    @Test(arguments: [false, true])
    func eachPublisherReachesEachSubscriber(isPrivate: Bool) throws {
      let broker = try TestBroker(loops: 4, isPrivate: isPrivate)
      defer { broker.stop() }
      let exact = try broker.spread("exact", each: 5).flatMap { $0 }
      let wild = try broker.spread("wild", each: 5).flatMap { $0 }
      for client in exact { try client.subscribe("push/all", qos: .atLeastOnce) }
      for client in wild { try client.subscribe("push/+", "push/#", qos: .exactlyOnce) }
      let publishers = try broker.spread("publisher").flatMap { $0 }
      #expect(exact.count + wild.count == 40)
      for (number, publisher) in publishers.enumerated() {
        #expect(try publisher.publish("push/all", "from \(number)") == .success)
        #expect(try publisher.publish("elsewhere", "nobody") == .noMatchingSubscribers)
        for client in exact + wild {
          // Overlapping filters deliver once; QoS is the lower of two.
          let message = try client.message()
          #expect(message.text == "from \(number)")
          #expect(message.qos == .atLeastOnce)
          try client.acknowledge(message)
        }
      }
      // Without subscribers the loops are told so.
      for client in exact + wild { try client.disconnect() }
      try broker.wait("their end") { $0.subscriptions == 0 }
      for publisher in publishers {
        #expect(try publisher.publish("push/all", "nobody") == .noMatchingSubscribers)
      }
    }

    @Test func orderIsKeptFromOnePublisherToEachSubscriber() throws {
      // v5:MQTT-4.6.0-5
      // v3:MQTT-4.6.0-6
      let broker = try TestBroker(loops: 4) { options in
        options.session.maximumQueuedMessages = 10_000
      }
      defer { broker.stop() }
      let subscribers = try broker.spread("subscriber").flatMap { $0 }
      for (index, client) in subscribers.enumerated() {
        try client.subscribe(index % 2 == 0 ? "order/one" : "order/+")
      }
      let publisher = try broker.client("publisher", version: .v3_1_1)
      let total = 10_000
      let chunk = 2_500
      for start in stride(from: 0, to: total, by: chunk) {
        var stream: [UInt8] = []
        for number in start..<(start + chunk) {
          stream += publisher.publishBytes("order/one", Array("\(number)".utf8))
        }
        try publisher.send(stream)
        for _ in 0..<chunk { _ = try publisher.expect(.pubAck) }
        for client in subscribers {
          var number = start
          var acks: [UInt8] = []
          while number < start + chunk {
            let message = try client.message()
            guard message.text == "\(number)" else {
              throw TestFailure("\(message.text) instead of \(number)")
            }
            acks += client.ack(.pubAck, message.packetID)
            number += 1
            // Seldom enough that the window closes and messages wait.
            if number % 128 == 0 || number == start + chunk {
              try client.send(acks)
              acks = []
            }
          }
        }
      }
      for client in subscribers { try client.ping() }
      #expect(broker.counters.publishesDropped == 0)
      try broker.wait("the memory") { $0.queuedMessages == 0 }
    }

    @Test func theSessionIsResumedOnWhicheverLoop() throws {
      // v5:MQTT-3.1.2-23
      // v5:MQTT-3.2.2-3
      // v5:MQTT-4.4.0-1
      let broker = try TestBroker(loops: 4)
      defer { broker.stop() }
      let publisher = try broker.client("publisher")
      let first = try broker.client("device", expiry: 300)
      try first.subscribe("device/+", qos: .exactlyOnce)
      try first.disconnect()
      try broker.wait("its absence") { $0.connected == 1 }
      var expected: [String] = []
      for round in 0..<20 {
        for number in 0..<5 {
          try publisher.publish("device/\(number)", "\(round).\(number)")
          expected.append("\(round).\(number)")
        }
        let client = try Client(port: broker.port)
        let answer = try client.connect("device", clean: false) {
          $0.sessionExpiryInterval = 300
        }
        #expect(answer.sessionPresent)
        // Two are left unacknowledged, and come again with the next connection.
        let repeated = round == 0 ? 0 : 2
        var messages: [Message] = []
        for _ in 0..<(5 + repeated) { messages.append(try client.message()) }
        #expect(messages.map(\.text) == Array(expected.suffix(5 + repeated)))
        #expect(messages.map(\.dup) == messages.indices.map { $0 < repeated })
        for message in messages.dropLast(2) { try client.acknowledge(message) }
        // QoS 0 and a PINGRESP behind the acknowledgements: they were handled.
        try client.ping()
        client.peer.finishSending()
        #expect(try client.isAtEnd())
      }
      #expect(broker.server.broker.directory.count == 2)
    }
  }
}
