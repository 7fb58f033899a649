import Testing
import Util

@testable import Net

extension NetTests {
  /// Large bodies are written from where they were read, and copied where the socket is full.
  @Suite struct LendTests {
    /// Sends messages of any size through the loop to several peers, some of whom read late.
    @Test(arguments: [4096, 0] as [Int32])
    func whatIsPassedOnArrivesWhole(receiveBuffer: Int32) throws {
      let seed = UInt64.random(in: 0 ... .max)
      print("whatIsPassedOnArrivesWhole: seed \(seed)")
      var random = SplitMix(state: seed)
      let loop = try TestLoop()
      defer { loop.stop() }
      let (sender, source) = try loop.connect()
      let targets = try (0..<3).map { _ in try loop.connect(receiveBuffer: receiveBuffer) }
      let slots = targets.map(\.slot)
      try loop.perform { handler in
        handler.onBytes = { handler, slot, bytes in
          guard slot == source else { return }
          for target in slots { handler.pass(target, bytes) }
        }
      }
      var expected: [UInt8] = []
      var all: [UInt8] = []
      for round in 0..<30 {
        var stream: [UInt8] = []
        for _ in 0..<Int.random(in: 1...20, using: &random) {
          let limit = Int.random(in: 0..<8, using: &random) == 0 ? 300_000 : 20_000
          stream += frame(
            body(Int.random(in: 0..<limit, using: &random), seed: Int(random.next() & 0xFF)))
        }
        expected += stream
        try sender.send(stream)
        // The second peer reads in the end only.
        if round % 3 == 2 || round == 29 {
          for index in [0, 2] {
            #expect(try targets[index].peer.receive(exactly: expected.count) == expected)
          }
          all += expected
          expected = []
        }
      }
      #expect(try targets[1].peer.receive(exactly: all.count) == all)
      try loop.wait("the end of the output") { handler in
        slots.allSatisfy { handler.loop.pendingOutput($0) == 0 }
      }
      let (lent, blocks) = try loop.perform {
        ($0.loop.statistics.bytesLent, $0.loop.blocks.count)
      }
      #expect(lent > 100_000 && blocks == 0 && loop.violations.isEmpty)
    }

    /// Peers that go away while a body is lent to them, and a handler that ends connections itself.
    @Test func connectionsMayEndMeanwhile() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (sender, source) = try loop.connect()
      var targets = try (0..<6).map { _ in try loop.connect(receiveBuffer: 4096) }
      let slots = targets.map(\.slot)
      let survivor = targets[5].peer
      try loop.perform { handler in
        var count = 0
        handler.onBytes = { handler, slot, bytes in
          guard slot == source else { return }
          count += 1
          for target in slots where handler.open.contains(target) { handler.pass(target, bytes) }
          if count == 3 {
            // One at once, one in good order, both with output that is lent.
            handler.loop.drop(slots[0])
            handler.loop.finish(slots[1])
            handler.open.subtract([slots[0], slots[1]])
          }
        }
      }
      let message = body(100_000)
      let stream = frame(message)
      var sent = 0
      for round in 0..<10 {
        try sender.send(stream)
        sent += stream.count
        if round == 5 { targets.removeSubrange(2..<5) }
      }
      var all: [UInt8] = []
      for _ in 0..<10 { all += stream }
      #expect(try survivor.receive(exactly: sent) == all)
      try loop.wait("the end of the others") { $0.loop.connections.count == 2 }
      let blocks = try loop.perform { $0.loop.blocks.count }
      #expect(blocks == 0)
      _ = targets
    }
  }
}
