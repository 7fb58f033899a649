import Packet
import Testing

@Suite("Random bytes", .serialized)
struct RandomTests {
  @Test("random valid packets survive decoding and encoding")
  func roundTrip() {
    Trials("round trip", seconds: 2).run { seed in
      var maker = RandomPacket(seed: seed)
      let bytes = maker.make()
      do {
        let again = try reencode(bytes, version: maker.version)
        #expect(again == bytes, "seed \(seed)")
      } catch {
        Issue.record("seed \(seed): \(error)")
      }
    }
  }

  @Test("random bodies behind a good fixed header never crash")
  func noise() {
    Trials("noise", seconds: 1).run { seed in
      var random = SeededGenerator(seed: seed)
      let version = ProtocolVersion.allCases.randomElement(using: &random) ?? .v5
      var body = random.bytes(upTo: 100)
      // Small numbers are what lengths and identifiers are made of.
      if random.oneIn(2) { body = body.map { $0 & 0x1F } }
      let type = PacketType.allCases.randomElement(using: &random) ?? .publish
      var flags = type.requiredFlags
      if type == .publish { flags = UInt8.random(in: 0...15, using: &random) }
      let bytes = [type.rawValue << 4 | flags, UInt8(body.count)] + body
      check(bytes, version, seed)
    }
  }

  @Test("random bytes never crash the framing")
  func framing() {
    Trials("framing", seconds: 0.5).run { seed in
      var random = SeededGenerator(seed: seed)
      let bytes = random.bytes(upTo: 12)
      for offset in 0...bytes.count {
        let frame = try? decodeFrame(bytes.span, from: offset, maximumPacketSize: 1_000)
        guard case .packet(let header) = frame else { continue }
        #expect(offset + header.totalLength <= bytes.count, "seed \(seed)")
      }
    }
  }

  @Test("packets of the table with a few bytes changed never crash")
  func mutations() throws {
    let corpus = try Vector.load().filter { $0.bytes.count < 1_000 }
    Trials("mutations", seconds: 3).run { seed in
      var random = SeededGenerator(seed: seed)
      let (bytes, version) = mutate(corpus, &random)
      check(bytes, version, seed)
    }
  }

  @Test("the mutations reach each fault that a decoder has")
  func mutationsReachEachFault() throws {
    let corpus = try Vector.load().filter { $0.bytes.count < 1_000 }
    var missing = Set(DecodeError.allCases)
    var accepted = 0
    var random = SeededGenerator(seed: 1)
    for _ in 0..<200_000 where !missing.isEmpty || accepted == 0 {
      let (bytes, version) = mutate(corpus, &random)
      do {
        _ = try reencode(bytes, version: version, maximumPacketSize: 2_000)
        accepted += 1
      } catch let error as DecodeError {
        missing.remove(error)
      } catch {}
    }
    #expect(missing.isEmpty)
    #expect(accepted > 0)
  }

  /// One packet of the corpus after some damage, and its remaining length put right again, so that
  /// the damage reaches the decoder and doesn't end at the framing.
  private func mutate(
    _ corpus: [Vector], _ random: inout SeededGenerator
  ) -> ([UInt8], ProtocolVersion) {
    let vector = corpus.randomElement(using: &random) ?? corpus[0]
    var bytes = vector.bytes
    for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
      let index = Int.random(in: 0..<bytes.count, using: &random)
      switch Int.random(in: 0..<5, using: &random) {
      case 0: bytes[index] = UInt8.random(in: .min ... .max, using: &random)
      case 1: bytes[index] ^= 1 << UInt8.random(in: 0...7, using: &random)
      case 2: bytes.remove(at: index)
      case 3: bytes.insert(UInt8.random(in: 0...0x2F, using: &random), at: index)
      default:
        let other = corpus.randomElement(using: &random) ?? vector
        bytes = Array(bytes.prefix(index)) + other.bytes.suffix(bytes.count - index)
      }
    }
    if !random.oneIn(8), (2...129).contains(bytes.count) { bytes[1] = UInt8(bytes.count - 2) }
    let version = random.oneIn(4) ? nil : vector.versions.randomElement(using: &random)
    return (bytes, version ?? ProtocolVersion.allCases.randomElement(using: &random) ?? .v5)
  }

  /// What is accepted must encode, and what was encoded must decode to the same.
  private func check(_ bytes: [UInt8], _ version: ProtocolVersion, _ seed: UInt64) {
    guard let once = try? reencode(bytes, version: version) else { return }
    let isConnect = bytes[0] >> 4 == PacketType.connect.rawValue
    do {
      let twice = try reencode(once, version: version)
      #expect(twice == once, "seed \(seed)")
      #expect(isConnect || once.count <= bytes.count, "seed \(seed)")
    } catch {
      Issue.record("seed \(seed): \(error)")
    }
  }
}
