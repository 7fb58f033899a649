import Dispatch
import Packet
import Session
import Synchronization
import Testing
import Util

@testable import MQTTServer

extension BrokerTests {
  /// Messages to all who are online.
  @Suite struct GatewayBroadcastTests {
    /// What is told of a broadcast.
    private final class Reports: Sendable {
      private let all = Mutex<[BroadcastProgress]>([])
      private let end = Answer<BroadcastProgress>()

      func add(_ progress: BroadcastProgress) {
        all.withLock { $0.append(progress) }
        if progress.isDone { end.give(progress) }
      }

      var last: BroadcastProgress? { all.withLock { $0.last } }

      /// The end, which comes once, and behind which nothing comes.
      func wait() throws -> BroadcastProgress {
        let last = try end.wait()
        let all = all.withLock { $0 }
        #expect(all.count { $0.isDone } == 1 && all.last == last)
        for (earlier, later) in zip(all, all.dropFirst()) {
          #expect(earlier.sent <= later.sent && earlier.acknowledged <= later.acknowledged)
        }
        return last
      }
    }

    private func begin(
      _ broker: TestBroker, _ audience: BroadcastOrder.Audience = .everyone,
      qos: QoS = .atLeastOnce, rate: Int = 100_000, payload: [UInt8] = Array("all".utf8),
      lifetime: UInt32 = 0
    ) throws -> (Reports, any BroadcastHandle) {
      let reports = Reports()
      let order = BroadcastOrder(
        message: OutsideMessage(
          topic: Array("news".utf8), payload: payload, qos: qos, lifetime: lifetime),
        audience: audience, rate: rate)
      guard let handle = broker.server.broadcast(order, progress: { reports.add($0) }) else {
        throw TestFailure("no broadcast")
      }
      return (reports, handle)
    }

    @Test(arguments: [QoS.atMostOnce, .atLeastOnce, .exactlyOnce], [1, 3])
    func reachesEverybody(qos: QoS, loops: Int) throws {
      let broker = try TestBroker(loops: loops)
      defer { broker.stop() }
      let clients = try (0..<40).map { number in
        try broker.client(
          "c\(number)", version: number % 2 == 0 ? .v5 : .v3_1_1, clean: number % 3 == 0,
          expiry: number % 2 == 0 ? 100 : nil)
      }
      try broker.client("away", expiry: 100).disconnect()
      let backend = Client(Peer(descriptor: try #require(broker.server.openConnection())))
      try backend.connect("$backend/1")
      let (reports, _) = try begin(broker, qos: qos)
      for client in clients {
        let message = try client.message()
        #expect(message.topic == "news" && message.text == "all" && message.qos == qos)
        #expect(!message.retain)
        try client.acknowledge(message)
      }
      let end = try reports.wait()
      #expect(end.sent == 40 && end.acknowledged == 40 && end.lost == 0 && end.skipped == 0)
      for client in clients { try client.ping() }
      try backend.ping()
      #expect(broker.server.broker.outside.broadcasts.load(ordering: .relaxed) == 0)
    }

    @Test(arguments: [QoS.atLeastOnce, .exactlyOnce])
    func reachesStoredSessions(qos: QoS) throws {
      try withStored { broker in
        let clients = try (0..<10).map {
          try broker.client("c\($0)", clean: false, expiry: 100)
        }
        let (reports, _) = try begin(broker, qos: qos)
        for client in clients { try client.acknowledge(try client.message()) }
        let end = try reports.wait()
        #expect(end.sent == 10 && end.acknowledged == 10)
        for client in clients { try client.ping() }
      }
    }

    @Test func reachesThoseWithAFilter() throws {
      let broker = try TestBroker(loops: 2)
      defer { broker.stop() }
      let clients = try (0..<20).map { try broker.client("c\($0)") }
      for client in clients.prefix(7) { try client.subscribe("group/+") }
      for client in clients.suffix(3) { try client.subscribe("group/1") }
      let (reports, _) = try begin(broker, .filter(Array("group/+".utf8)))
      for client in clients.prefix(7) { try client.acknowledge(try client.message()) }
      let end = try reports.wait()
      #expect(end.sent == 7 && end.acknowledged == 7)
      for client in clients { try client.ping() }
      let (none, _) = try begin(broker, .filter(Array("nobody".utf8)))
      #expect(try none.wait().sent == 0)
      let (strangers, _) = try begin(broker, .tenant(Array("strangers".utf8)))
      #expect(try strangers.wait().sent == 0)
    }

    @Test func waitsForTheLastAndNotForLeavers() throws {
      let broker = try TestBroker(loops: 2)
      defer { broker.stop() }
      let clients = try (0..<8).map {
        try broker.client("c\($0)", clean: false, expiry: $0 % 2 == 0 ? 100 : 0)
      }
      let (reports, _) = try begin(broker)
      let messages = try clients.map { try $0.message() }
      for place in 0..<4 { try clients[place].acknowledge(messages[place]) }
      // One that acknowledges and leaves at once has it, the others of these do not.
      try clients[4].acknowledge(messages[4])
      try clients[4].disconnect()
      try clients[5].disconnect()
      clients[6].peer.reset()
      try broker.wait("those who leave") { $0.connected == 5 }
      #expect(reports.last?.isDone != true)
      try clients[7].acknowledge(messages[7])
      let end = try reports.wait()
      #expect(end.sent == 8 && end.acknowledged == 6 && end.lost == 2 && end.skipped == 0)
    }

    @Test func passesOverThoseWhoDoNotRead() throws {
      let broker = try TestBroker { $0.session.maximumQueuedMessages = 2 }
      defer { broker.stop() }
      let reader = try broker.client("reader")
      let slow = try broker.client("slow", receiveBuffer: 4096)
      let small = try Client(port: broker.port)
      try small.connect("small") { $0.maximumPacketSize = 1000 }
      let narrow = try Client(port: broker.port)
      try narrow.connect("narrow") { $0.receiveMaximum = 1 }
      try slow.subscribe("flood", qos: .atMostOnce)
      let publisher = try broker.client("publisher")
      for _ in 0..<40 {
        try publisher.send(
          publisher.publishBytes(
            "flood", [UInt8](repeating: 7, count: 100_000), qos: .atMostOnce))
      }
      try publisher.ping()
      // One in flight, two that wait, and no room for a fourth.
      for _ in 0..<3 {
        let (reports, handle) = try begin(broker, payload: [1])
        try reader.acknowledge(try reader.message())
        try small.acknowledge(try small.message())
        try publisher.acknowledge(try publisher.message())
        handle.cancel()
        #expect(try reports.wait().skipped == 1)
      }
      let (reports, handle) = try begin(broker, payload: [UInt8](repeating: 1, count: 2000))
      try reader.acknowledge(try reader.message())
      try publisher.acknowledge(try publisher.message())
      handle.cancel()
      let end = try reports.wait()
      #expect(end.sent == 2 && end.skipped == 3)
      #expect(try narrow.message().payload == [1])
    }

    @Test func keepsToItsRateAndIsCancelled() throws {
      let broker = try TestBroker(loops: 2)
      defer { broker.stop() }
      let clients = try (0..<30).map { try broker.client("c\($0)") }
      // The first at once, the others over half a minute.
      let (reports, handle) = try begin(broker, qos: .atMostOnce, rate: 1)
      try broker.wait("the first") { $0.publishesSent >= 1 }
      handle.cancel()
      let end = try reports.wait()
      #expect(end.sent >= 1 && end.sent < 30)
      #expect(end.acknowledged + end.lost <= end.sent)
      #expect(broker.counters.publishesSent == UInt64(end.sent))
      handle.cancel()
      withExtendedLifetime(clients) {}
    }

    @Test func endsAWaitForThoseWhoNeverAcknowledge() throws {
      let broker = try TestBroker()
      defer { broker.stop() }
      let client = try broker.client("client")
      let (reports, handle) = try begin(broker)
      _ = try client.message()
      handle.cancel()
      let end = try reports.wait()
      #expect(end.sent == 1 && end.acknowledged == 0)
      try client.ping()
    }

    @Test func thereAreOnlySoMany() throws {
      let broker = try TestBroker()
      defer { broker.stop() }
      let client = try broker.client("client")
      let running = try (0..<Limits.broadcasts).map { _ in try begin(broker) }
      let order = BroadcastOrder(
        message: OutsideMessage(topic: [0x74], payload: []), audience: .everyone, rate: 1)
      #expect(broker.server.broadcast(order) { _ in } == nil)
      let messages = try running.map { _ in try client.message() }
      // In whatever order they are acknowledged.
      for message in messages.reversed() { try client.acknowledge(message) }
      for (reports, _) in running { #expect(try reports.wait().acknowledged == 1) }
      for topic in ["", "a/#", "a\u{0}", String(repeating: "/", count: 200)] {
        var wrong = order
        wrong.message.topic = Array(topic.utf8)
        #expect(broker.server.broadcast(wrong) { _ in } == nil)
      }
      #expect(broker.server.broadcast(order) { _ in } != nil)
    }
  }
}
