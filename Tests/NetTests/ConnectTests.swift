import Glibc
import Testing
import Util

@testable import Net

extension NetTests {
  /// Outgoing connections, and the alarm.
  @Suite struct ConnectTests {
    /// Begins a connection on a loop and gives its slot.
    private func connect(
      _ loop: TestLoop, to port: UInt16, from source: String? = nil, saying bytes: [UInt8] = []
    ) throws -> UInt32 {
      let result = try loop.perform { handler -> Result<UInt32, NetError> in
        do throws(NetError) {
          let slot = try handler.loop.connect(to: "127.0.0.1", port: port, from: source)
          if !bytes.isEmpty { handler.write(slot, bytes) }
          return .success(slot)
        } catch {
          return .failure(error)
        }
      }
      return try result.get()
    }

    @Test func twoLoopsTalk() throws {
      let server = try TestLoop()
      let client = try TestLoop()
      defer {
        client.stop()
        server.stop()
      }
      try server.perform { $0.onMessage = { $0.write($1, frame($2)) } }
      let slot = try connect(client, to: server.port, from: "127.0.0.7")
      try client.log.wait { $0.contains(.opened(slot)) }
      let body = body(100_000)
      try client.perform { _ = $0.write(slot, frame(body)) }
      try client.log.wait { events in
        events.contains { if case .message = $0 { true } else { false } }
      }
      #expect(client.messages.map(\.hash) == [hash(body)])
      let name = try server.perform { handler in
        handler.open.first.map { handler.loop.peerName($0) } ?? ""
      }
      #expect(name.hasPrefix("127.0.0.7:"))
    }

    @Test func whatIsWrittenBeforeIsSentThen() throws {
      let server = try TestLoop()
      let client = try TestLoop()
      defer {
        client.stop()
        server.stop()
      }
      _ = try connect(client, to: server.port, saying: frame([1, 2, 3]))
      try server.log.wait { events in
        events.contains { if case .message = $0 { true } else { false } }
      }
      #expect(server.messages.map(\.hash) == [hash([1, 2, 3])])
    }

    @Test func aRefusedConnectionIsClosed() throws {
      let port: UInt16
      do {
        let gone = try TestLoop()
        port = gone.port
        gone.stop()
      }
      let client = try TestLoop()
      defer { client.stop() }
      let slot = try connect(client, to: port, saying: frame([1]))
      try client.log.wait { $0.contains(.closed(slot, isPeer: false)) }
      #expect(!client.log.events.contains(.opened(slot)))
      try client.wait("the slot to go") { $0.loop.isEmpty }
    }

    @Test func wrongAddressesThrow() throws {
      let client = try TestLoop()
      defer { client.stop() }
      #expect(throws: NetError.self) { try connect(client, to: 1, from: "192.0.2.1") }
      #expect(throws: NetError.self) { try connect(client, to: 1, from: "::1") }
      #expect(throws: NetError.self) { try connect(client, to: 1, from: "nonsense") }
      #expect(try client.perform { $0.loop.isEmpty })
    }

    @Test func aConnectionOnItsWayCanBeDropped() throws {
      let server = try TestLoop()
      let client = try TestLoop()
      defer {
        client.stop()
        server.stop()
      }
      for isFinish in [false, true] {
        let port = server.port
        try client.perform { handler in
          guard let slot = try? handler.loop.connect(to: "127.0.0.1", port: port) else { return }
          if isFinish { handler.loop.finish(slot) } else { handler.loop.drop(slot) }
        }
        try client.wait("the slot to go") { $0.loop.isEmpty }
      }
      #expect(client.log.events.isEmpty)
    }

    @Test func hostsAreResolved() throws {
      #expect(try resolve("127.0.0.3") == ["127.0.0.3"])
      #expect(try resolve("::1") == ["::1"])
      #expect(try resolve("localhost").first?.hasPrefix("127.") == true)
      #expect(throws: NetError.self) { try resolve("no such host") }
    }

    @Test func alarmsComeInTime() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let times = Promise<[UInt64]>()
      let start = MonotonicClock.nanoseconds
      try loop.perform { handler in
        var seen: [UInt64] = []
        handler.onAlarm = { handler in
          seen.append(MonotonicClock.nanoseconds)
          if seen.count == 3 { return times.give(seen) }
          try? handler.loop.setAlarm(at: start + UInt64(seen.count + 1) * 3_000_000)
        }
        // The second call takes the place of the first.
        try? handler.loop.setAlarm(at: start + 1_000_000)
        try? handler.loop.setAlarm(at: start + 3_000_000)
      }
      for (index, time) in try times.wait().enumerated() {
        #expect(time >= start + UInt64(index + 1) * 3_000_000)
      }
    }

    @Test func anAlarmInThePastComesAtOnce() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let rang = Promise<Bool>()
      try loop.perform { handler in
        handler.onAlarm = { _ in rang.give(true) }
        try? handler.loop.setAlarm(at: 0)
      }
      #expect(try rang.wait())
    }
  }
}
