import Dispatch
import Net
import Packet
import Testing
import Util

@testable import MQTTServer

extension BrokerTests {
  /// How the broker and its clients part.
  @Suite struct StopTests {
    @Test(arguments: [(1, false), (2, false), (2, true)])
    func clientsAreToldAndTheCallReturns(loops: Int, isPrivate: Bool) throws {
      let broker = try TestBroker(loops: loops, isPrivate: isPrivate)
      let modern = try (0..<10).map { try broker.client("modern\($0)") }
      let old = try (0..<5).map { try broker.client("old\($0)", version: .v3_1_1) }
      let silent = try Client(port: broker.port)
      try broker.wait("all") { $0.connected == 15 }
      let start = MonotonicClock.milliseconds
      let stopping = try LoopThread(name: "stop") {
        broker.server.stop(timeoutMilliseconds: 5_000)
      }
      for client in modern { #expect(try client.goodbye() == .serverShuttingDown) }
      for client in old { #expect(try client.isAtEnd()) }
      #expect(try silent.isAtEnd())
      for client in modern + old + [silent] { client.peer.finishSending() }
      stopping.join()
      #expect(MonotonicClock.milliseconds - start < 2_000)
      #expect(throws: TestFailure.self) { try Client(port: broker.port) }
      // A second call finds nothing to do.
      broker.stop()
    }

    @Test func clientsThatDoNotCloseAreNotWaitedForLong() throws {
      let broker = try TestBroker(loops: 2)
      let clients = try (0..<6).map { try broker.client("stuck\($0)") }
      let start = MonotonicClock.milliseconds
      broker.server.stop(timeoutMilliseconds: 500)
      #expect(MonotonicClock.milliseconds - start < 2_500)
      for client in clients { #expect(try client.goodbye() == .serverShuttingDown) }
    }

    @Test func aPortThatIsTakenIsSaidSo() throws {
      let broker = try TestBroker()
      defer { broker.stop() }
      for loops in [1, 2] {
        do {
          let other = try TestBroker(loops: loops) { options in
            options.listen = [ListenEndpoint(host: "127.0.0.1", port: broker.port)]
          }
          other.stop()
          Issue.record("two brokers at one port")
        } catch let error as ServerError {
          #expect(error.kind == .addressInUse)
        }
      }
    }

    /// All that waits for a clock, at the same time.
    @Test func whoIsSilentIsSentAway() throws {
      // v5:MQTT-3.1.2-22
      // v3:MQTT-3.1.2-24
      let broker = try TestBroker { options in
        options.connectTimeoutMilliseconds = 1_000
      }
      defer { broker.stop() }
      let start = MonotonicClock.milliseconds
      let mute = try Client(port: broker.port)
      let half = try Client(port: broker.port)
      try half.send([0x10, 20, 0, 4])
      let silent = try Client(port: broker.port)
      try silent.connect("silent", keepAlive: 1)
      let old = try Client(port: broker.port, version: .v3_1_1)
      try old.connect("old", keepAlive: 1)
      let busy = try Client(port: broker.port)
      try busy.connect("busy", keepAlive: 1)
      let patient = try broker.client("patient")
      #expect(try mute.isAtEnd())
      #expect(try half.isAtEnd())
      let connectTime = MonotonicClock.milliseconds - start
      #expect((1_000...1_700).contains(connectTime))
      try busy.ping()
      #expect(try silent.goodbye() == .keepAliveTimeout)
      #expect(try old.isAtEnd())
      let keepAliveTime = MonotonicClock.milliseconds - start
      #expect((1_500...2_400).contains(keepAliveTime))
      try busy.ping()
      try patient.ping()
    }

    @Test func aSessionExpiresOnlyWhenItIsToldTo() throws {
      let broker = try TestBroker()
      defer { broker.stop() }
      let brief = try broker.client("brief", clean: false, expiry: 1)
      try brief.disconnect()
      // The same, but the client comes back and asks for a session without end.
      let lasting = try broker.client("lasting", clean: false, expiry: 1)
      try lasting.disconnect()
      let again = try broker.client("lasting", clean: false, expiry: .max)
      try again.disconnect()
      try broker.wait("the first to expire") { $0.expiredClients == 1 }
      let third = try broker.client("third", clean: false, expiry: 1)
      try third.disconnect()
      try broker.wait("the third to expire") { $0.expiredClients == 2 }
      #expect(broker.counters.sessions == 1)
      let last = try Client(port: broker.port)
      #expect(try last.connect("lasting", clean: false).sessionPresent)
      let gone = try Client(port: broker.port)
      #expect(try !gone.connect("brief", clean: false).sessionPresent)
    }
  }
}
