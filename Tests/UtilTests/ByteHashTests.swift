import Glibc
import Testing

@testable import Util

@Suite struct ByteHashTests {
  @Test func eachByteAndTheLengthCount() {
    var random = SeededGenerator(seed: 1)
    for count in 0...80 {
      let bytes = random.bytes(count)
      let hash = hashBytes(bytes.span, seed: testSeed)
      #expect(hashBytes(bytes.span, seed: testSeed) == hash)
      for index in 0..<count {
        for bit in 0..<8 {
          var other = bytes
          other[index] ^= 1 << UInt8(bit)
          let changed = hashBytes(other.span, seed: testSeed)
          #expect(changed != hash, "bit \(bit) of byte \(index) of \(count)")
        }
      }
      let zeros = [UInt8](repeating: 0, count: count)
      let longer = [UInt8](repeating: 0, count: count + 1)
      #expect(
        hashBytes(zeros.span, seed: testSeed) != hashBytes(longer.span, seed: testSeed),
        "\(count) zeros")
    }
  }

  @Test func seedsDiffer() {
    let bytes = Array("devices/0001/status".utf8)
    let other = HashSeed(3, 5)
    #expect(hashBytes(bytes.span, seed: testSeed) != hashBytes(bytes.span, seed: other))
    #expect(
      hashBytes(bytes.span, seed: HashSeed()) != hashBytes(bytes.span, seed: HashSeed()))
  }

  /// Topics as fleets have them: no collision of 64 bits, and every part of the hash spreads.
  @Test func topicsSpread() {
    let count = 100_000
    var seen = Set<UInt64>()
    var low = [Int](repeating: 0, count: 1024)
    var high = [Int](repeating: 0, count: 32)
    for number in 0..<count {
      let topic = Array("fleet/\(number % 100)/device-\(number)/state".utf8)
      let hash = hashBytes(topic.span, seed: testSeed)
      seen.insert(hash)
      low[Int(UInt32(truncatingIfNeeded: hash)) & 1023] += 1
      high[Int(hash >> 59)] += 1
    }
    #expect(seen.count == count)
    // Six standard deviations around the mean of 97.7 and of 3,125.
    for bucket in low { #expect(bucket > 38 && bucket < 157) }
    for shard in high { #expect(shard > 2795 && shard < 3455) }
  }

  /// Bytes that end where memory ends: one read too far would end the process.
  @Test func readsNothingBehindTheBytes() {
    let page = 4096
    let base = unsafe mmap(
      nil, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let base = unsafe base, unsafe base != MAP_FAILED else {
      return #expect(Bool(false), "no memory")
    }
    let closed = unsafe mprotect(base + page, page, PROT_NONE)
    #expect(closed == 0)
    for count in 1...40 {
      let bytes = unsafe UnsafeBufferPointer(
        start: (base + page - count).assumingMemoryBound(to: UInt8.self), count: count)
      let hash = unsafe hashBytes(bytes.span, seed: testSeed)
      #expect(hash == hashBytes([UInt8](repeating: 0, count: count).span, seed: testSeed))
    }
    unsafe munmap(base, 2 * page)
  }
}
