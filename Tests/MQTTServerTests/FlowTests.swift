import Packet
import Testing

@testable import MQTTServer

extension BrokerTests {
  /// Streams that are longer than what is written at a time.
  @Suite struct FlowTests {
    @Test(arguments: [QoS.atMostOnce, .atLeastOnce])
    func retainedMessagesAllCome(qos: QoS) throws {
      let broker = try TestBroker(loops: 2)
      defer { broker.stop() }
      let publisher = try broker.client("publisher")
      let count = 400
      let text = String(repeating: "x", count: 1000)
      for number in 0..<count {
        try publisher.publish("keep/\(number)", "\(number)" + text, retain: true)
      }
      let client = try broker.client("client")
      try client.subscribe("keep/#", qos: qos)
      var topics = Set<String>()
      for _ in 0..<count {
        let message = try client.message()
        #expect(message.retain && message.qos == qos && message.payload.count > 1000)
        topics.insert(message.topic)
        try client.acknowledge(message)
      }
      #expect(topics.count == count)
      try client.ping()
    }

    @Test func aMessageBehindMuchOutputIsNotForgotten() throws {
      let broker = try TestBroker()
      defer { broker.stop() }
      let client = try broker.client("client")
      try client.subscribe("a/#", qos: .exactlyOnce)
      let publisher = try broker.client("publisher")
      let payload = [UInt8](repeating: 1, count: 1000)
      // More output than is let wait for one client, in one turn, and nothing after it.
      var stream: [UInt8] = []
      for _ in 0..<90 { stream += publisher.publishBytes("a/b", payload, qos: .atMostOnce) }
      for number in 0..<10 {
        stream += publisher.publishBytes("a/c", Array("\(number)".utf8), qos: .atLeastOnce)
      }
      for _ in 0..<20 {
        try publisher.send(stream)
        for _ in 0..<90 { #expect(try client.message().payload == payload) }
        #expect(try client.messages(10).map(\.text) == (0..<10).map { "\($0)" })
        for _ in 0..<10 { _ = try publisher.pubAck() }
      }
    }

    @Test func aLargeMessageThatIsRepeatedAndAcknowledged() throws {
      // v3:MQTT-4.4.0-1
      let broker = try TestBroker()
      defer { broker.stop() }
      let publisher = try broker.client("publisher")
      let first = try broker.client("client", version: .v3_1_1, clean: false)
      try first.subscribe("large")
      let large = [UInt8](repeating: 9, count: 100_000)
      try publisher.send(publisher.publishBytes("large", large))
      _ = try publisher.pubAck()
      for number in 0..<5 { try publisher.publish("large", "\(number)") }
      let message = try first.message()
      #expect(message.payload == large)
      for number in 0..<5 {
        let small = try first.message()
        #expect(small.text == "\(number)")
        try first.acknowledge(small)
      }
      try first.ping()
      first.peer.finishSending()
      #expect(try first.isAtEnd())
      for _ in 0..<3 {
        let again = try broker.client("client", version: .v3_1_1, clean: false)
        let repeated = try again.message()
        #expect(repeated.payload == large && repeated.dup)
        #expect(repeated.packetID == message.packetID)
        try again.ping()
        again.peer.finishSending()
        #expect(try again.isAtEnd())
      }
      let last = try broker.client("client", version: .v3_1_1, clean: false)
      try last.acknowledge(try last.message())
      try publisher.publish("large", "end")
      #expect(try last.messages(1).map(\.text) == ["end"])
      try last.ping()
      try broker.wait("the memory") { $0.queuedMessages == 0 }
    }

    @Test func packetsOfAnySizeInPiecesOfAnySize() throws {
      let seed = UInt64.random(in: 0 ... .max)
      print("packetsOfAnySizeInPiecesOfAnySize: seed \(seed)")
      var random = SplitMix(state: seed)
      let broker = try TestBroker(loops: 2)
      defer { broker.stop() }
      let subscriber = try broker.client("subscriber")
      try subscriber.subscribe("sizes")
      let publisher = try broker.client("publisher")
      for _ in 0..<12 {
        var payloads: [[UInt8]] = []
        for _ in 0..<6 {
          let limit = [10, 1000, 40_000, 300_000].randomElement(using: &random) ?? 10
          let count = Int.random(in: 0..<limit, using: &random)
          payloads.append([UInt8](repeating: UInt8(truncatingIfNeeded: count), count: count))
        }
        let stream = payloads.flatMap { publisher.publishBytes("sizes", $0) }
        var offset = 0
        while offset < stream.count {
          let limit = Bool.random(using: &random) ? 20_000 : 300_000
          let end = min(stream.count, offset + Int.random(in: 1...limit, using: &random))
          try publisher.send(Array(stream[offset..<end]))
          offset = end
        }
        for payload in payloads {
          _ = try publisher.pubAck()
          let message = try subscriber.message()
          #expect(message.payload == payload)
          try subscriber.acknowledge(message)
        }
      }
    }
  }
}
