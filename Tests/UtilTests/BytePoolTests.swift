import Glibc
import Testing

@testable import Util

@Suite struct BytePoolTests {
  @Test func everySizeHasRoomAndLittleSlack() {
    let pool = BytePool()
    for size in 0...70_000 {
      guard let block = pool.allocate(size) else {
        return #expect(Bool(false), "no block of \(size)")
      }
      let capacity = pool.capacity(of: block)
      #expect(block != 0 && capacity >= size)
      if size > 64 && size <= BytePool.largestClass {
        #expect(capacity * 4 <= size * 5 + 4, "\(capacity) bytes for \(size)")
      } else if size > 16 && size <= 64 {
        #expect(capacity - size < 8)
      } else if size > BytePool.largestClass {
        #expect(capacity - size < 4096)
      }
      #expect(pool.usedBytes == capacity && pool.count == 1)
      pool.free(block)
    }
    #expect(pool.count == 0 && pool.usedBytes == 0)
    // One spare chunk a class at most, and no large mapping.
    #expect(pool.residentBytes <= BytePool.classSizes.count * Region.chunkBytes)
  }

  /// Each block is filled with its own pattern; a block that overlapped another would show it.
  @Test(arguments: [21, 22, 23] as [UInt64])
  func randomAgainstModel(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let pool = BytePool()
    var live: [(block: UInt32, size: Int, fill: UInt8)] = []
    var used = 0
    func check(_ entry: (block: UInt32, size: Int, fill: UInt8), _ step: Int) {
      let bytes = pool.bytes(entry.block, count: entry.size)
      var wrong = 0
      for index in bytes.indices where bytes[index] != entry.fill { wrong += 1 }
      #expect(wrong == 0, "seed \(seed), step \(step), size \(entry.size)")
    }
    for step in 0..<4000 {
      if live.isEmpty || random.chance(3) == (step / 1000 % 2 == 1) {
        let size =
          switch random.below(4) {
          case 0: random.below(70)
          case 1: random.below(2000)
          case 2: random.below(20_000)
          default: random.chance(8) ? 60_000 + random.below(300_000) : random.below(300)
          }
        guard let block = pool.allocate(size) else {
          return #expect(Bool(false), "seed \(seed)")
        }
        let fill = UInt8(truncatingIfNeeded: step)
        var bytes = pool.mutableBytes(block, count: size)
        for index in bytes.indices { bytes[index] = fill }
        live.append((block, size, fill))
        used += pool.capacity(of: block)
      } else {
        let entry = live.remove(at: random.below(live.count))
        check(entry, step)
        used -= pool.capacity(of: entry.block)
        pool.free(entry.block)
      }
      #expect(pool.count == live.count && pool.usedBytes == used)
      #expect(pool.residentBytes >= used)
    }
    for entry in live { check(entry, 4000) }
    for entry in live { pool.free(entry.block) }
    #expect(pool.count == 0 && pool.usedBytes == 0)
    #expect(pool.residentBytes <= BytePool.classSizes.count * Region.chunkBytes)
  }

  @Test func exhaustedPoolSaysSo() {
    let pool = BytePool(capacityBytes: 200_000)
    var blocks: [UInt32] = []
    while let block = pool.allocate(1000), blocks.count < 10_000 { blocks.append(block) }
    #expect(blocks.count >= 194 && blocks.count < 300)
    // Other sizes have a room of their own.
    guard let other = pool.allocate(5000) else { return #expect(Bool(false), "no room") }
    pool.free(other)
    for block in blocks { pool.free(block) }
    #expect(pool.count == 0)
    let again = pool.allocate(1000)
    #expect(again != nil)
  }

  /// A handle has 26 bits for the block: no class may have more, chunks rounded up included.
  @Test func handlesNameEveryBlock() {
    #expect(BytePool.classSizes.count < 63 && BytePool.classSizes.last == BytePool.largestClass)
    for size in BytePool.classSizes {
      #expect(size % 8 == 0)
      for capacityBytes in [1 << 20, 1 << 30, 1 << 34] {
        let region = Region(stride: size, capacity: BytePool.blockLimit(size, capacityBytes))
        #expect(region.capacity <= 1 << 26, "blocks of \(size) bytes")
      }
    }
  }

  /// Large blocks still in use go back with their pool, as all others do.
  @Test func largeBlocksEndWithTheirPool() async {
    // In a process of its own, where nobody else uses the same addresses.
    await #expect(processExitsWith: .success) {
      func addressesOfAPool() -> [UInt] {
        let pool = BytePool()
        return (0..<30).compactMap { number in
          guard let block = pool.allocate(1 << 20) else { return nil }
          let address = unsafe UInt(bitPattern: pool.address(of: block))
          if number % 3 == 0 { pool.free(block) }
          return address
        }
      }
      let addresses = addressesOfAPool()
      if addresses.count != 30 { exit(1) }
      for address in addresses {
        var page: UInt8 = 0
        let start = unsafe UnsafeMutableRawPointer(bitPattern: address)
        if unsafe mincore(start, 4096, &page) == 0 { exit(2) }
      }
    }
  }

  @Test func texts() {
    let pool = BytePool()
    var random = SeededGenerator(seed: 5)
    var kept: [(UInt32, [UInt8])] = []
    for count in [0, 1, 2, 13, 14, 15, 62, 63, 255, 256, 4094, 65_534, 65_535] {
      let text = random.bytes(count)
      guard let handle = pool.intern(text.span) else {
        return #expect(Bool(false), "no room for \(count)")
      }
      kept.append((handle, text))
    }
    for (handle, text) in kept {
      #expect(pool.text(handle).array == text)
      let isSame = pool.text(handle, equals: text.span)
      #expect(isSame)
      let counted = pool.withText(handle) { $0.count }
      #expect(counted == text.count)
      let longer = text + [0]
      let isLonger = pool.text(handle, equals: longer.span)
      #expect(!isLonger)
      if !text.isEmpty {
        var other = text
        other[text.count - 1] ^= 1
        let isOther = pool.text(handle, equals: other.span)
        #expect(!isOther)
      }
    }
    for (handle, _) in kept { pool.free(handle) }
    #expect(pool.count == 0)
  }

  @Test func words() {
    let pool = BytePool()
    // A block that held other bytes before starts with zeros all the same.
    guard let dirty = pool.allocate(400) else { return #expect(Bool(false), "no room") }
    var bytes = pool.mutableBytes(dirty, count: 400)
    for index in bytes.indices { bytes[index] = 0xFF }
    pool.free(dirty)
    guard let table = pool.allocateWords(100) else { return #expect(Bool(false), "no room") }
    for index in 0..<100 { #expect(pool.word(table, index) == 0) }
    for index in 0..<100 { pool.setWord(table, index, UInt32(index) &* 0x0101_0101) }
    for index in 0..<100 { #expect(pool.word(table, index) == UInt32(index) &* 0x0101_0101) }
    pool.free(table)
    #expect(pool.count == 0)
  }

  @Test func misuseEndsTheProcess() async {
    await #expect(processExitsWith: .failure) {
      let pool = BytePool()
      if let block = pool.allocate(100) { print(pool.bytes(block, count: 113).count) }
    }
    await #expect(processExitsWith: .failure) {
      let pool = BytePool()
      if let table = pool.allocateWords(4) { pool.setWord(table, 4, 1) }
    }
    await #expect(processExitsWith: .failure) { _ = BytePool().allocate(-100) }
  }
}
