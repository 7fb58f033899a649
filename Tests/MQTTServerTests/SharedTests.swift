import Packet
import Testing

@testable import MQTTServer

extension BrokerTests {
  /// Shared subscriptions whose members are on several loops.
  @Suite struct SharedTests {
    @Test(arguments: [1, 2, 4])
    func eachMessageGoesToOneMemberAndAllHaveTheirShare(loops: Int) throws {
      let broker = try TestBroker(loops: loops)
      defer { broker.stop() }
      let members = try broker.spread("member", each: 2).flatMap { $0 }
      for client in members { try client.subscribe("$share/team/work/+") }
      let publishers = try broker.spread("publisher").flatMap { $0 }
      let each = 240
      var expected = Set<String>()
      for (number, publisher) in publishers.enumerated() {
        var stream: [UInt8] = []
        for index in 0..<each {
          stream += publisher.publishBytes(
            "work/\(number)", Array("\(number).\(index)".utf8))
          expected.insert("\(number).\(index)")
        }
        try publisher.send(stream)
        for _ in 0..<each { #expect(try publisher.pubAck() == .success) }
      }
      var received = Set<String>()
      var shares: [Int] = []
      var left = publishers.count * each
      for client in members {
        var count = 0
        // Members take turns: nobody gets more than what is left, nor waits in vain.
        while left > 0, count < publishers.count * each / members.count {
          let message = try client.message()
          #expect(received.insert(message.text).inserted)
          try client.acknowledge(message)
          count += 1
          left -= 1
        }
        shares.append(count)
      }
      #expect(received == expected)
      #expect(Set(shares).count == 1)
      for client in members { try client.ping() }
    }

    @Test func whatAMemberLeavesGoesToAnother() throws {
      let broker = try TestBroker(loops: 4)
      defer { broker.stop() }
      let members = try broker.spread("member").flatMap { $0 }
      for client in members { try client.subscribe("$share/team/work") }
      let publisher = try broker.client("publisher")
      let total = 40
      for number in 0..<total { try publisher.publish("work", "\(number)") }
      var received: [String] = []
      // Each but the last ends its session without having acknowledged anything.
      try broker.wait("all to be given out") { $0.publishesSent == UInt64(total) }
      for client in members.dropLast() { try client.send([0xE0, 0]) }
      try broker.wait("their end") { $0.connected == 2 }
      let last = members[members.count - 1]
      while Set(received).count < total {
        let message = try last.message()
        received.append(message.text)
        try last.acknowledge(message)
      }
      #expect(received.count == total)
      try last.ping()
    }

    @Test func membersThatAreAwayAreSpared() throws {
      let broker = try TestBroker(loops: 2)
      defer { broker.stop() }
      let members = try broker.spread("member", expiry: 300).flatMap { $0 }
      for client in members { try client.subscribe("$share/team/work") }
      try members[0].disconnect()
      try broker.wait("one to be away") { $0.connected == 1 }
      let publisher = try broker.client("publisher")
      // The homes are told by letter; a message that the member here gets shows that they were.
      for number in 0..<20 { try publisher.publish("work", "\(number)") }
      let received = try members[1].messages(20)
      #expect(received.map(\.text) == (0..<20).map { "\($0)" })
    }
  }
}
