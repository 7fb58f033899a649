import Testing

@testable import Net

extension NetTests {
  /// What a handler writes arrives whole and in order, whatever the socket takes at a time.
  @Suite struct WriteTests {
    @Test func slowReaderGetsAllAndThenTheHandlerHears() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, slot) = try loop.connect(receiveBuffer: 4096)
      let total = 6_000_000
      try loop.wait("a full socket") { handler in
        handler.write(slot, body(60_000))
        return handler.loop.pendingOutput(slot) > total
      }
      let (isBacklogged, pending) = try loop.perform {
        ($0.loop.isBacklogged(slot), $0.loop.pendingOutput(slot))
      }
      #expect(isBacklogged)
      #expect(pending > total)
      #expect(!loop.log.events.contains(.drained(slot)))
      let sent = try loop.perform { handler in
        Int(handler.loop.statistics.bytesSent) + handler.loop.pendingOutput(slot)
      }
      let piece = body(60_000)
      var received = 0
      while received < sent {
        let bytes = try peer.receive(exactly: min(60_000, sent - received))
        #expect(bytes == piece)
        received += bytes.count
      }
      try loop.log.wait { $0.contains(.drained(slot)) }
      #expect(loop.log.events.count { $0 == .drained(slot) } == 1)
      let left = try loop.perform {
        ($0.loop.pendingOutput(slot), $0.loop.outputs.count, $0.loop.blocks.count)
      }
      #expect(left == (0, 0, 0))
    }

    @Test func writesOfAnySizeKeepTheirOrder() throws {
      let seed = UInt64.random(in: 0 ... .max)
      print("writesOfAnySizeKeepTheirOrder: seed \(seed)")
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, slot) = try loop.connect(receiveBuffer: 8192)
      var random = SplitMix(state: seed)
      var expected: [UInt8] = []
      var offset = 0
      for _ in 0..<40 {
        var pieces: [[UInt8]] = []
        for _ in 0..<Int.random(in: 1...60, using: &random) {
          let limit = Int.random(in: 0..<10, using: &random) == 0 ? 100_000 : 300
          pieces.append(
            body(Int.random(in: 0..<limit, using: &random), seed: Int(random.next() & 0xFF)))
        }
        expected += pieces.flatMap { $0 }
        let turn = pieces
        try loop.perform { handler in
          for piece in turn { handler.write(slot, piece) }
        }
        if Bool.random(using: &random) {
          let count = Int.random(in: 0...(expected.count - offset), using: &random)
          #expect(
            try peer.receive(exactly: count) == Array(expected[offset..<(offset + count)]))
          offset += count
        }
      }
      #expect(try peer.receive(exactly: expected.count - offset) == Array(expected[offset...]))
      try loop.wait("the end of the output") { $0.loop.pendingOutput(slot) == 0 }
      #expect(try loop.perform { $0.loop.blocks.count } == 0)
    }

    @Test func headerAndBodyWithAPacketID() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, slot) = try loop.connect()
      try loop.perform { handler in
        let header: [UInt8] = [1, 2, 0, 0, 5]
        let text: [UInt8] = [6, 7]
        handler.loop.write(
          slot, header: header.span, packetIDOffset: 2, packetID: 0x0304, body: text.span)
        handler.loop.write(
          slot, header: header.span, packetIDOffset: 0, packetID: 9, body: Span())
      }
      #expect(try peer.receive(exactly: 12) == [1, 2, 3, 4, 5, 6, 7, 1, 2, 0, 0, 5])
    }

    @Test func askedForDrainedComesThoughTheSocketTookAll() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, slot) = try loop.connect()
      // A stream that goes on whenever what it wrote is out: each time in a later turn.
      try loop.perform { handler in
        nonisolated(unsafe) var left = 20
        handler.onDrained = { handler, slot in
          guard unsafe left > 0 else { return }
          unsafe left -= 1
          handler.write(slot, body(1000))
          handler.loop.tellWhenDrained(slot)
        }
        handler.write(slot, body(1000))
        handler.loop.tellWhenDrained(slot)
      }
      for _ in 0..<21 { #expect(try peer.receive(exactly: 1000) == body(1000)) }
      try loop.log.wait { events in events.count { $0 == .drained(slot) } == 21 }
      // Nobody asked any more.
      try loop.perform { _ = $0.write(slot, [1]) }
      _ = try peer.receive(exactly: 1)
      _ = try loop.perform { _ in true }
      #expect(loop.log.events.count { $0 == .drained(slot) } == 21)
    }

    @Test func outputForAPeerThatIsGoneEndsTheConnection() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      for _ in 0..<30 {
        let (peer, slot) = try loop.connect(receiveBuffer: 4096)
        try loop.perform { handler in
          for _ in 0..<40 { handler.write(slot, body(60_000)) }
        }
        peer.reset()
        try loop.wait("the end") { $0.loop.isEmpty }
      }
      #expect(try loop.perform { $0.loop.blocks.count } == 0)
      #expect(loop.log.events.count { if case .closed = $0 { true } else { false } } == 30)
    }

    @Test func anIdleConnectionOwnsNothing() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      var peers: [Peer] = []
      try loop.perform { handler in
        handler.onMessage = { $0.write($1, frame($2)) }
      }
      for index in 0..<50 {
        let (peer, _) = try loop.connect()
        let message = frame(body(index * 2000, seed: index))
        try peer.send(message)
        #expect(try peer.receive(exactly: message.count) == message)
        peers.append(peer)
      }
      let owned = try loop.perform { handler in
        handler.open.reduce(0) {
          $0 + Int(handler.loop.connections[$1].remainder)
            + Int(handler.loop.connections[$1].output)
        }
      }
      #expect(owned == 0)
      let (count, blocks, outputs, resident) = try loop.perform {
        (
          $0.loop.connections.count, $0.loop.blocks.count, $0.loop.outputs.count,
          $0.loop.blocks.residentBytes
        )
      }
      #expect(count == 50)
      #expect(blocks == 0)
      #expect(outputs == 0)
      // One spare chunk for each block size that was in use.
      #expect(resident < 4 << 20)
      withExtendedLifetime(peers) {}
    }

    @Test func recordsHaveTheirSize() {
      #expect(MemoryLayout<Connection>.stride == 40)
      #expect(MemoryLayout<Output>.stride == 16)
      #expect(MemoryLayout<BlockHeader>.size == BlockHeader.size)
    }
  }
}
