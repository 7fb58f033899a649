import Packet
import Testing

@testable import MQTTServer

extension BrokerTests {
  /// Clients that do not read, or not enough.
  @Suite struct PressureTests {
    @Test(arguments: [1, 2])
    func aSubscriberThatStopsReadingIsBounded(loops: Int) throws {
      let broker = try TestBroker(loops: loops) { options in
        options.maximumOutputBytes = 256 << 10
      }
      defer { broker.stop() }
      let slow = try Client(port: broker.port, receiveBuffer: 8192)
      try slow.connect("slow")
      try slow.subscribe("flood", qos: .atMostOnce)
      let listener = try broker.client("listener")
      try listener.subscribe("talk")
      let talker = try broker.client("talker")
      let flooder = try broker.client("flooder")
      let payload = [UInt8](repeating: 0x55, count: 16_000)
      var stream: [UInt8] = []
      for _ in 0..<40 { stream += flooder.publishBytes("flood", payload, qos: .atMostOnce) }
      try flooder.send(stream)
      try flooder.ping()
      let before = residentBytes()
      // 64 MB for somebody who takes nothing, while others go on.
      for round in 0..<100 {
        try flooder.send(stream)
        try talker.publish("talk", "\(round)")
        #expect(try listener.messages(1).map(\.text) == ["\(round)"])
      }
      try flooder.ping()
      try broker.wait("the flood") { $0.publishesSent + $0.publishesDropped == 4_140 }
      let dropped = Int(broker.counters.publishesDropped)
      #expect(dropped > 1_000)
      #expect(residentBytes() - before < 32 << 20)
      // It reads again: whole messages, all that were not dropped, and what is published now.
      for _ in 0..<(4_040 - dropped) {
        guard try slow.message().payload == payload else { throw TestFailure("a torn message") }
      }
      try flooder.publish("flood", "again")
      #expect(try slow.message().text == "again")
      try slow.ping()
    }

    @Test func aFloodOfPingsWithoutReadingIsHeldBack() throws {
      let broker = try TestBroker { options in
        options.maximumOutputBytes = 64 << 10
      }
      defer { broker.stop() }
      let witness = try broker.client("witness")
      let client = try Client(port: broker.port, receiveBuffer: 16_384)
      try client.connect("pinger")
      let pings = (0..<65_536).map { $0 % 2 == 0 ? UInt8(0xC0) : 0 }
      let before = residentBytes()
      var sent = 0
      var idle = 0
      // Until the broker takes no more: its own queue, and then the sockets, are full.
      while idle < 50 {
        let count = client.peer.sendSome(pings, from: sent % 2)
        sent += count
        if count == 0 {
          idle += 1
          try witness.ping()
        } else {
          idle = 0
        }
        guard sent < 64 << 20 else { throw TestFailure("it takes pings without end") }
      }
      #expect(residentBytes() - before < 16 << 20)
      // It reads again: there is an answer to each whole request.
      var left = sent / 2 * 2
      while left > 0 {
        let answers = try client.peer.receive(exactly: min(left, 65_536))
        let isWhole = answers.indices.allSatisfy { answers[$0] == ($0 % 2 == 0 ? 0xD0 : 0) }
        guard isWhole else { throw TestFailure("something else than PINGRESP") }
        left -= answers.count
      }
      if sent % 2 == 1 {
        try client.send([0])
        _ = try client.expect(.pingResp)
      }
      try client.ping()
    }

    @Test func theQueueOfAnAbsentClientHasALimit() throws {
      let broker = try TestBroker { options in
        options.session.maximumQueuedMessages = 50
        options.session.maximumQueuedBytes = 100_000
      }
      defer { broker.stop() }
      let publisher = try broker.client("publisher")
      for (id, size, kept) in [("many", 10, 50), ("large", 30_000, 3)] {
        let client = try broker.client(id, expiry: 300)
        try client.subscribe(id)
        try client.disconnect()
        try broker.wait("its absence") { $0.connected == 1 }
        let dropped = broker.counters.publishesDropped
        for number in 0..<80 {
          try publisher.publish(id, "\(number)" + String(repeating: ".", count: size))
        }
        try broker.wait("drops") { $0.publishesDropped == dropped + UInt64(80 - kept) }
        let again = try broker.client(id, clean: false)
        let messages = try again.messages(kept)
        #expect(messages.map { Int($0.text.prefix { $0 != "." }) } == (0..<kept).map { $0 })
        try again.ping()
        try again.disconnect()
      }
      try broker.wait("the memory") { $0.queuedMessages == 0 }
    }

    @Test func aWindowOfOneStillBringsAll() throws {
      // v5:MQTT-3.3.4-9
      let broker = try TestBroker()
      defer { broker.stop() }
      let client = try Client(port: broker.port)
      try client.connect("narrow") { $0.receiveMaximum = 2 }
      try client.subscribe("narrow", qos: .exactlyOnce)
      let publisher = try broker.client("publisher")
      for number in 0..<30 {
        try publisher.send(
          publisher.publishBytes("narrow", Array("\(number)".utf8), qos: .exactlyOnce))
        let received = try publisher.expect(.pubRec)
        try publisher.send(
          publisher.ack(.pubRel, UInt16(received.bytes[2]) << 8 | UInt16(received.bytes[3])))
        _ = try publisher.expect(.pubComp)
      }
      var number = 0
      while number < 30 {
        let first = try client.message()
        let second = try client.message()
        // Nothing more before one of them is done.
        try client.ping()
        #expect([first.text, second.text] == ["\(number)", "\(number + 1)"])
        try client.send(client.ack(.pubRec, second.packetID) + client.ack(.pubRec, first.packetID))
        _ = try client.expect(.pubRel)
        _ = try client.expect(.pubRel)
        try client.ping()
        number += 2
        try client.send(client.ack(.pubComp, first.packetID))
        if number < 30 {
          // One place is free: exactly one message comes, which is put back for the next round.
          let third = try client.message()
          #expect(third.text == "\(number)")
          try client.ping()
          try client.send(client.ack(.pubRec, third.packetID))
          _ = try client.expect(.pubRel)
          try client.send(
            client.ack(.pubComp, third.packetID) + client.ack(.pubComp, second.packetID))
          number += 1
        } else {
          try client.send(client.ack(.pubComp, second.packetID))
        }
        if number == 29 {
          try client.acknowledge(try client.message())
          number += 1
        }
      }
      try client.ping()
      try broker.wait("the memory") { $0.queuedMessages == 0 }
    }
  }
}
