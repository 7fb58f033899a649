import Glibc
import Packet
import Session
import Testing
import Util

@testable import MQTTServer

extension BrokerTests {
  /// Connections of servers of this process.
  @Suite struct GatewayConnectionTests {
    private func open(_ broker: TestBroker) throws -> Client {
      guard let descriptor = broker.server.openConnection() else {
        throw TestFailure("no connection")
      }
      return Client(Peer(descriptor: descriptor))
    }

    @Test(arguments: [(1, false), (3, false), (3, true)])
    func isTrusted(loops: Int, isPrivate: Bool) throws {
      let broker = try TestBroker(loops: loops, isPrivate: isPrivate) { $0.maximumConnections = 2 }
      defer { broker.stop() }
      let devices = try (0..<2).map { try broker.client("device\($0)") }
      try devices[0].subscribe("down")
      // More than there may be of clients.
      let backends = try (0..<6).map { number in
        let backend = try open(broker)
        #expect(try backend.connect("$backend/\(number)").reason == .success)
        try backend.subscribe("up/#")
        return backend
      }
      try devices[1].publish("up/1", "hello")
      for backend in backends { try backend.acknowledge(try backend.message()) }
      try backends[0].publish("down", "back")
      try devices[0].acknowledge(try devices[0].message())
      #expect(try broker.describe("$backend/3").value?.client.peer == "backend")
      #expect(broker.server.broker.outside.trusted.load(ordering: .relaxed) == 6)
      #expect(broker.server.broker.connectionCount.load(ordering: .relaxed) == 2)
      // It stays trusted on the loop of its session.
      for round in 0..<4 {
        let again = try open(broker)
        #expect(try again.connect("$backend/0", clean: false).reason == .success, "\(round)")
        try again.disconnect()
      }
      // They are no clients for anybody who does not name them.
      #expect(try broker.list().count == 2)
      #expect(try broker.list { $0.prefix = Array("$backend/".utf8) }.count == 5)
      for backend in backends.dropFirst() { try backend.disconnect() }
      for device in devices { try device.disconnect() }
      try broker.wait("the end") { $0.connected == 0 }
      #expect(broker.server.broker.outside.trusted.load(ordering: .relaxed) == 0)
      #expect(broker.server.broker.connectionCount.load(ordering: .relaxed) == 0)
    }

    @Test func nobodyElseHasItsClientIDs() throws {
      let broker = try TestBroker()
      defer { broker.stop() }
      let device = try Client(port: broker.port)
      #expect(try device.connect("$backend/1").reason == .clientIdentifierNotValid)
      #expect(try device.isAtEnd())
      _ = try broker.client("$backend")
    }

    @Test func thereAreOnlySoMany() throws {
      let broker = try TestBroker()
      defer { broker.stop() }
      broker.server.broker.outside.trusted.store(Limits.trustedConnections, ordering: .relaxed)
      #expect(broker.server.openConnection() == nil)
      #expect(
        broker.server.broker.outside.trusted.load(ordering: .relaxed) == Limits.trustedConnections)
    }
  }
}
