import Testing

@testable import Net

extension NetTests {
  /// How connections are paused and ended by their handler.
  @Suite struct EndTests {
    @Test func pausedConnectionKeepsWhatItWasNotGiven() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, slot) = try loop.connect()
      try loop.perform { handler in
        handler.onMessage = {
          $0.loop.pause($1); _ = $2
        }
      }
      let bodies = (0..<20).map { body($0 * 10, seed: $0) }
      try peer.send(bodies.flatMap(frame))
      for count in 1...bodies.count {
        try loop.log.wait { _ in true }
        try loop.wait("message \(count)") { _ in loop.messages.count == count }
        // More turns do not bring more messages.
        for _ in 0..<3 { _ = try loop.perform { _ in true } }
        #expect(loop.messages.count == count)
        try loop.perform { $0.loop.resume(slot) }
      }
      #expect(loop.messages.map(\.hash) == bodies.map(hash))
      #expect(loop.violations == [])
      #expect(try loop.perform { $0.loop.blocks.count } == 0)
    }

    /// Much is kept, and more arrives in the turn in which the connection is taken up again.
    @Test func largeRemaindersOfAPausedConnection() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, slot) = try loop.connect()
      try loop.perform { handler in
        handler.onMessage = {
          $0.loop.pause($1); _ = $2
        }
      }
      var bodies: [[UInt8]] = []
      for round in 0..<12 {
        let sizes = [50, 40_000, 100, 90_000, 3, 200_000, 0, 33_000]
        let more = sizes.enumerated().map { body($1, seed: $0 + round * 8) }
        bodies += more
        let stream = more.flatMap(frame)
        // The last bytes come while the others wait.
        try peer.send(Array(stream.dropLast(7 + round)))
        _ = try loop.perform { _ in true }
        try peer.send(Array(stream.suffix(7 + round)))
        let total = bodies.count
        try loop.wait("all messages") { handler in
          handler.loop.resume(slot)
          return loop.messages.count == total
        }
        try loop.perform { $0.loop.resume(slot) }
      }
      #expect(loop.messages.map(\.hash) == bodies.map(hash))
      #expect(loop.violations == [])
      #expect(try loop.perform { $0.loop.blocks.count } == 0)
    }

    @Test func endOfAPausedConnectionIsNoticed() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, slot) = try loop.connect()
      try loop.perform { $0.loop.pause(slot) }
      try peer.send(frame(body(10)))
      peer.reset()
      try loop.log.wait { $0.contains(.closed(slot, isPeer: false)) }
      #expect(loop.messages.isEmpty)
      #expect(try loop.perform { $0.loop.isEmpty })
    }

    @Test func finishWritesAllAndThenEnds() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, slot) = try loop.connect(receiveBuffer: 4096)
      let pieces = (0..<30).map { body(50_000, seed: $0) }
      let writes = try loop.perform { handler in
        for piece in pieces { handler.write(slot, piece) }
        handler.loop.finish(slot, within: 80)
        handler.loop.finish(slot, within: 1)
        return handler.write(slot, [1])
      }
      #expect(!writes)
      // What it still sends goes nowhere, and does no harm.
      try peer.send(frame(body(100)))
      for piece in pieces { #expect(try peer.receive(exactly: 50_000) == piece) }
      #expect(try peer.isAtEnd())
      // Our side is shut; the slot goes when the peer's is.
      #expect(try loop.perform { $0.loop.connections.count } == 1)
      peer.finishSending()
      try loop.wait("the slot") { $0.loop.isEmpty }
      #expect(loop.messages.isEmpty)
      #expect(!loop.log.events.contains { if case .closed = $0 { true } else { false } })
      #expect(try loop.perform { $0.loop.blocks.count } == 0)
    }

    @Test func finishGivesUpOnAPeerThatDoesNotClose() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (idle, first) = try loop.connect()
      let (stuck, second) = try loop.connect(receiveBuffer: 4096)
      try loop.perform { handler in
        handler.loop.finish(first, within: 1)
        for _ in 0..<60 { handler.write(second, body(60_000)) }
        handler.loop.finish(second, within: 1)
      }
      try loop.wait("the slots") { $0.loop.isEmpty }
      #expect(try loop.perform { $0.loop.blocks.count } == 0)
      #expect(try idle.isAtEnd())
      withExtendedLifetime(stuck) {}
    }

    /// A reset finds the connection at each stage of its end, in none of which it may do harm.
    @Test func resetWhileFinishing() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      for round in 0..<120 {
        let (peer, slot) = try loop.connect(receiveBuffer: 4096)
        try loop.perform { handler in
          for _ in 0..<(round % 4) { handler.write(slot, body(60_000 + round * 3000)) }
          handler.loop.finish(slot)
        }
        if round % 3 == 0 { _ = try peer.receive(upTo: 100_000) }
        peer.reset()
      }
      try loop.wait("the slots") { $0.loop.isEmpty }
      #expect(try loop.perform { $0.loop.blocks.count + $0.loop.outputs.count } == 0)
    }

    @Test func dropEndsAtOnceAndUnheard() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, slot) = try loop.connect()
      try loop.perform { handler in
        handler.write(slot, [1, 2, 3])
        handler.loop.drop(slot)
      }
      #expect(try peer.isAtEnd())
      let (isEmpty, blocks) = try loop.perform { ($0.loop.isEmpty, $0.loop.blocks.count) }
      #expect(isEmpty)
      #expect(blocks == 0)
      #expect(loop.log.events == [.opened(slot)])
    }

    @Test func endingFromInsideACallback() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      try loop.perform { handler in
        handler.onMessage = { handler, slot, body in
          handler.write(slot, body)
          if body.count % 2 == 0 { handler.loop.finish(slot) } else { handler.loop.drop(slot) }
        }
      }
      for size in [2, 3, 70_000, 70_001] {
        let (peer, _) = try loop.connect()
        try peer.send(frame(body(size)) + frame(body(9)))
        if size % 2 == 0 { #expect(try peer.receive(exactly: size) == body(size)) }
        // A drop with unread bytes is a reset, which is an end as well.
        if size % 2 == 0 { #expect(try peer.isAtEnd()) }
      }
      try loop.wait("the slots") { $0.loop.isEmpty }
      #expect(loop.messages.map(\.count) == [2, 3, 70_000, 70_001])
      #expect(loop.violations == [])
      #expect(try loop.perform { $0.loop.blocks.count } == 0)
    }

    @Test func anEventForASlotThatWasUsedAgainIsDropped() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (first, firstSlot) = try loop.connect()
      let (second, secondSlot) = try loop.connect()
      try loop.perform { handler in
        handler.onMessage = { handler, slot, body in
          if slot == firstSlot && body.count == 1 { handler.loop.drop(secondSlot) }
        }
        // One that is paused is taken for ended by any event but bytes.
        handler.onOpened = { $0.loop.pause($1) }
      }
      // While the loop stands still, events gather: a message that ends the second connection, a
      // new client, and the reset of the second.
      let standsStill = Promise<Bool>()
      let goOn = Promise<Bool>()
      loop.mailbox.post(
        Order { _ in
          standsStill.give(true)
          _ = try? goOn.wait()
        })
      _ = try standsStill.wait()
      try first.send(frame([7]))
      let third = try Peer(port: loop.port)
      second.reset()
      goOn.give(true)
      try loop.log.wait { events in
        events.count { if case .opened = $0 { true } else { false } } == 3
      }
      #expect(loop.log.events.last == .opened(secondSlot), "the slot was not used again")
      try third.send(frame([1, 2]))
      try loop.perform { $0.loop.resume(secondSlot) }
      try loop.log.wait { events in
        events.count { if case .message = $0 { true } else { false } } == 2
      }
      #expect(loop.messages.map(\.count) == [1, 2])
      #expect(!loop.log.events.contains { if case .closed = $0 { true } else { false } })
    }
  }
}
