import Testing

@testable import Net

/// All tests of this target, one at a time.
@Suite(.serialized, .exclusive)
enum NetTests {}

extension NetTests {
  /// A handler gets each message once and whole, however the stream is cut.
  @Suite struct StreamTests {
    private func check(_ loop: TestLoop, _ bodies: [[UInt8]]) throws {
      let count = bodies.count
      try loop.log.wait(seconds: 20) { events in
        events.count { if case .message = $0 { true } else { false } } >= count
      }
      // A turn more, in which a message too many would show.
      _ = try loop.perform { _ in true }
      #expect(loop.messages.map(\.count) == bodies.map(\.count))
      #expect(loop.messages.map(\.hash) == bodies.map(hash))
      #expect(loop.violations == [])
    }

    @Test func cutAtEachPosition() throws {
      let bodies = [0, 1, 5, 0, 60, 2, 100].map { body($0, seed: $0) }
      let stream = bodies.flatMap(frame)
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, _) = try loop.connect()
      for cut in 1..<stream.count {
        let sent = UInt64((cut - 1) * stream.count)
        try peer.send(Array(stream[..<cut]))
        try loop.wait("the first part") { $0.loop.statistics.bytesReceived == sent + UInt64(cut) }
        try peer.send(Array(stream[cut...]))
        let total = sent + UInt64(stream.count)
        try loop.wait("the second part") { $0.loop.statistics.bytesReceived == total }
      }
      try check(loop, (1..<stream.count).flatMap { _ in bodies })
      #expect(try loop.perform { $0.loop.blocks.count } == 0)
    }

    @Test func byteByByte() throws {
      let bodies = [3, 0, 40].map { body($0) }
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, _) = try loop.connect()
      for (index, byte) in bodies.flatMap(frame).enumerated() {
        try peer.send([byte])
        try loop.wait("a byte") { $0.loop.statistics.bytesReceived == UInt64(index + 1) }
      }
      try check(loop, bodies)
    }

    @Test(arguments: [1, 3, 4, 5, 32_764, 32_767, 32_768, 32_769, 39_999, 40_003, 40_004, 40_005])
    func largeMessageCut(_ cut: Int) throws {
      let bodies = [body(40_000), body(3), body(50_000, seed: 1), body(0)]
      let stream = bodies.flatMap(frame)
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, _) = try loop.connect()
      try peer.send(Array(stream[..<cut]))
      try loop.wait("the first part") { $0.loop.statistics.bytesReceived == UInt64(cut) }
      try peer.send(Array(stream[cut...]))
      try check(loop, bodies)
      #expect(try loop.perform { $0.loop.blocks.count } == 0)
    }

    @Test func largeAndSmallInChunksOfAnySize() throws {
      let seed = UInt64.random(in: 0 ... .max)
      var random = SplitMix(state: seed)
      print("largeAndSmallInChunksOfAnySize: seed \(seed)")
      var sizes = [32_764, 32_765, 65_532, 262_140, 262_144, 300_000, 1_000_000, 700_000, 500_000]
      for _ in 0..<60 { sizes.append(Int.random(in: 0..<200, using: &random)) }
      for _ in 0..<20 { sizes.append(Int.random(in: 0..<200_000, using: &random)) }
      sizes.shuffle(using: &random)
      let bodies = sizes.enumerated().map { body($1, seed: $0) }
      let stream = bodies.flatMap(frame)
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, _) = try loop.connect()
      var offset = 0
      while offset < stream.count {
        let limit = Bool.random(using: &random) ? 300 : 150_000
        let end = min(stream.count, offset + Int.random(in: 1...limit, using: &random))
        try peer.send(Array(stream[offset..<end]))
        offset = end
      }
      try check(loop, bodies)
      #expect(try loop.perform { $0.loop.blocks.count } == 0)
    }

    @Test func aLengthIsBelievedOnlyAsFarAsBytesHaveCome() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      let (peer, _) = try loop.connect()
      try peer.send([0x0C, 0, 0, 0] + body(10))
      try loop.wait("the bytes") { $0.loop.statistics.bytesReceived == 14 }
      #expect(try loop.perform { $0.loop.blocks.usedBytes } <= 65_536)
      try peer.send(body(100_000))
      try loop.wait("more bytes") { $0.loop.statistics.bytesReceived == 100_014 }
      #expect(try loop.perform { $0.loop.blocks.usedBytes } <= 262_144)
    }

    @Test func endOfStreamIsHeardOnce() throws {
      let loop = try TestLoop()
      defer { loop.stop() }
      do {
        let (first, slot) = try loop.connect()
        // An incomplete message goes with its connection.
        try first.send([0, 0, 0, 9, 1])
        first.finishSending()
        try loop.log.wait { $0.contains(.closed(slot, isPeer: true)) }
      }
      let (peer, _) = try loop.connect()
      try peer.send([0, 0])
      try loop.wait("the bytes") { $0.loop.statistics.bytesReceived == 7 }
      peer.reset()
      try loop.log.wait { events in
        events.contains { if case .closed(_, isPeer: false) = $0 { true } else { false } }
      }
      let state = try loop.perform { ($0.loop.isEmpty, $0.loop.blocks.count) }
      #expect(state == (true, 0))
      #expect(loop.log.events.count { if case .closed = $0 { true } else { false } } == 2)
    }
  }
}

/// A small generator with a seed (SplitMix64, which is in the public domain).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }
}
