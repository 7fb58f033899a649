import Dispatch
import Packet
import Testing

@testable import MQTTServer

extension BrokerTests {
  /// Bytes that no client should send must harm nobody but their sender.
  @Suite struct FuzzTests {
    @Test func randomAndMutatedPackets() throws {
      let seed = UInt64.random(in: 0 ... .max)
      print("randomAndMutatedPackets: seed \(seed)")
      var random = SplitMix(state: seed)
      let broker = try TestBroker(loops: 2) { options in
        // Sessions end with their connections, and with them what they hold.
        options.maximumSessionExpiry = 0
        options.maximumPacketSize = 1 << 20
      }
      defer { broker.stop() }
      let witness = try broker.client("witness")
      try witness.subscribe("witness/#")
      let vectors = try Vector.load()
      let end = DispatchTime.now() + .milliseconds(3000)
      var round = 0
      while DispatchTime.now() < end {
        let version = ProtocolVersion.allCases.randomElement(using: &random) ?? .v5
        let client = try Client(port: broker.port, version: version)
        if Int.random(in: 0..<8, using: &random) != 0 {
          try client.connect("fuzz\(round % 20)", clean: Bool.random(using: &random))
        }
        // Sending fails once the broker has closed, which is what it should do.
        try? client.send(input(vectors, &random))
        round += 1
        if round % 100 == 0 {
          try witness.publish("elsewhere", "still here?")
          try witness.ping()
        }
      }
      print("randomAndMutatedPackets: \(round) inputs")
      try broker.wait("the end of all others") { $0.connected == 1 && $0.sessions == 1 }
      try witness.send(witness.publishBytes("witness/last", [1], qos: .exactlyOnce))
      while let packet = try witness.next(), packet.type != .pubRec {
        // Wills and messages that happened to match may come first.
        try #require(packet.type == .publish || packet.type == .pubAck)
      }
      try broker.wait("the memory") { $0.subscriptions == 1 && $0.queuedMessages <= 1_000 }
      let other = try broker.client("other")
      try other.ping()
    }

    /// One to five packets, as they are or with some bytes changed, cut off or put in; or noise.
    private func input(_ vectors: [Vector], _ random: inout SplitMix) -> [UInt8] {
      if Int.random(in: 0..<6, using: &random) == 0 {
        return (0..<Int.random(in: 1..<300, using: &random)).map { _ in
          UInt8.random(in: 0...255, using: &random)
        }
      }
      var all: [UInt8] = []
      for _ in 0..<Int.random(in: 1...5, using: &random) {
        guard var bytes = vectors.randomElement(using: &random)?.bytes, !bytes.isEmpty else {
          continue
        }
        for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
          let place = Int.random(in: 0..<min(bytes.count, 200), using: &random)
          switch Int.random(in: 0..<5, using: &random) {
          case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
          case 1: bytes[place] = UInt8.random(in: 0...255, using: &random)
          case 2: bytes.remove(at: place)
          case 3: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
          default: bytes.removeLast(min(bytes.count, place))
          }
        }
        all += bytes
      }
      return all
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
