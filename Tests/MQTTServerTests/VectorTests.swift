import Packet
import Testing

@testable import MQTTServer

extension BrokerTests {
  /// Each packet of the table is sent to a live broker, whose answer is held against the table's.
  @Suite struct VectorTests {
    /// What the table supposes.
    private func makeBroker() throws -> TestBroker {
      try TestBroker { options in
        options.topicAliasMaximum = 0
        options.maximumClientIDBytes = 65_535
      }
    }

    private func check(_ broker: TestBroker, _ vector: Vector, cut: Int? = nil) throws {
      for version in vector.versions.isEmpty ? [.v3_1_1] : vector.versions {
        let client = try Client(port: broker.port, version: version)
        if !vector.isConnect {
          let answer = try client.connect("vector")
          guard answer.reason == .success else { throw TestFailure("no connection") }
        }
        if let cut {
          let before = broker.counters.bytesReceived + UInt64(cut)
          try client.send(Array(vector.bytes[..<cut]))
          try broker.wait("the first piece") { $0.bytesReceived >= before }
          // The broker may have seen enough already, and closed.
          try? client.send(Array(vector.bytes[cut...]))
        } else {
          try client.send(vector.bytes)
        }
        try expect(vector, client)
      }
    }

    private func expect(_ vector: Vector, _ client: Client) throws {
      let words = vector.answer.split(separator: " ")
      let code = words.count > 1 ? UInt8(words[1].dropFirst(2), radix: 16) : nil
      switch words[0] {
      case "-":
        if vector.isConnect {
          let answer = try client.expect(.connAck)
          try require(answer.bytes[3] == 0, "CONNACK \(answer.bytes[3])")
        } else if vector.bytes[0] >> 4 == PacketType.disconnect.rawValue {
          try require(try client.isAtEnd(), "more after DISCONNECT")
          return
        }
        try client.send([0xC0, 0])
        while let packet = try client.next() {
          if packet.type == .pingResp { return }
          try require(packet.type != .disconnect, "DISCONNECT \(packet.bytes)")
        }
        throw TestFailure("the connection ended")
      case "close":
        let packet = try client.next()
        try require(packet == nil, "\(packet?.bytes ?? []) before the end")
      case "connack":
        let answer = try client.expect(.connAck)
        try require(answer.bytes[3] == code, "CONNACK \(answer.bytes[3])")
        // Session present is 0.
        try require(answer.bytes[2] == 0, "session present")
        try require(try client.isAtEnd(), "more after CONNACK")
      case "disconnect":
        let answer = try client.expect(.disconnect)
        try require(answer.body.first ?? 0 == code, "DISCONNECT \(answer.bytes)")
        try require(try client.isAtEnd(), "more after DISCONNECT")
      case "suback", "unsuback":
        let answer = try client.expect(words[0] == "suback" ? .subAck : .unsubAck)
        try require(answer.bytes.last == code, "\(answer.bytes)")
        try client.ping()
      default: throw TestFailure("an answer the test does not know")
      }
    }

    private func require(_ condition: Bool, _ text: @autoclosure () -> String) throws {
      if !condition { throw TestFailure(text()) }
    }

    private func run(_ broker: TestBroker, _ vector: Vector, cut: Int? = nil) {
      do {
        try check(broker, vector, cut: cut)
      } catch {
        let place = cut.map { " cut at \($0)" } ?? ""
        Issue.record("\(vector.name)\(place), \(vector.answer): \(error)")
      }
    }

    @Test func eachPacketGetsItsAnswer() throws {
      let broker = try makeBroker()
      defer { broker.stop() }
      let witness = try broker.client("witness")
      let vectors = try Vector.load()
      #expect(vectors.count > 500)
      for vector in vectors { run(broker, vector) }
      // v5:MQTT-4.13.1-1
      // v5:MQTT-4.13.2-1
      try witness.ping()
      try broker.wait("the others' end") { $0.connected == 1 }
    }

    @Test func packetsThatAreCutGetTheSameAnswer() throws {
      let broker = try makeBroker()
      defer { broker.stop() }
      let short = try Vector.load().filter { $0.bytes.count < 48 && $0.bytes.count > 1 }
      for (index, vector) in short.enumerated() where index % 11 == 0 {
        for cut in 1..<vector.bytes.count { run(broker, vector, cut: cut) }
      }
      try broker.client("witness").ping()
    }
  }
}
