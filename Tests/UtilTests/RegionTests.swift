import Glibc
import Testing

@testable import Util

@Suite struct RegionTests {
  /// Pages of the region that the kernel holds memory for.
  private func residentPages(_ region: borrowing Region) -> Int {
    let bytes = region.capacity * region.stride
    var pages = [UInt8](repeating: 0, count: (bytes + 4095) / 4096)
    let result = unsafe pages.withUnsafeMutableBufferPointer {
      unsafe mincore(region.base, bytes, $0.baseAddress!)
    }
    #expect(result == 0)
    return pages.reduce(0) { $0 + Int($1 & 1) }
  }

  @Test(arguments: [4, 12, 24, 36, 60, 72, 112, 4096, 20_480, 57_344, 65_536])
  func givesOutEachBlockOnce(stride: Int) {
    let asked = max(3, 400_000 / stride)
    let region = Region(stride: stride, capacity: asked)
    #expect(region.capacity >= asked)
    var seen = [Bool](repeating: false, count: region.capacity)
    var given = 0
    while let index = region.allocate() {
      #expect(index != 0 && Int(index) < region.capacity && !seen[Int(index)])
      #expect(index < region.limit)
      seen[Int(index)] = true
      given += 1
      let offset = unsafe Int(bitPattern: region.address(index)) - Int(bitPattern: region.base)
      #expect(offset == Int(index) * stride)
    }
    // Index 0 stands for "none"; where blocks are chunks of their own, nothing else is lost.
    #expect(given == region.capacity - 1 && region.liveCount == given)
    for index in 1..<region.capacity { region.free(UInt32(index)) }
    #expect(region.liveCount == 0)
    for _ in 0..<given { #expect(region.allocate() != nil) }
    #expect(region.allocate() == nil)
  }

  @Test func memoryGoesBackWhenChunksAreEmpty() {
    let region = Region(stride: 64, capacity: 65_536)
    var blocks: [UInt32] = []
    while let index = region.allocate() {
      unsafe region.address(index).storeBytes(of: UInt64.max, as: UInt64.self)
      blocks.append(index)
    }
    #expect(residentPages(region) == 1024 && region.residentBytes == 65_536 * 64)
    // One block for each second chunk keeps that chunk, and no more than one empty one is kept.
    for index in blocks where index % 2048 != 1 { region.free(index) }
    #expect(region.liveCount == 32 && residentPages(region) <= (32 + 1) * 16)
    #expect(region.residentBytes <= (32 + 1) * Region.chunkBytes)
    for index in blocks where index % 2048 == 1 { region.free(index) }
    #expect(region.residentBytes == Region.chunkBytes && residentPages(region) <= 16)
    // What comes and goes again needs no system call: the spare chunk serves it.
    for _ in 0..<100 {
      guard let index = region.allocate() else { return #expect(Bool(false), "no block") }
      region.free(index)
      #expect(region.residentBytes == Region.chunkBytes)
    }
    #expect(region.limit == 65_536)
  }

  /// A region that may keep some empty chunks gives up all but one when it is told to.
  @Test func spareChunksAreTrimmed() {
    let region = Region(stride: 64, capacity: 65_536, spareLimit: 8)
    var blocks: [UInt32] = []
    while let index = region.allocate() {
      unsafe region.address(index).storeBytes(of: UInt64.max, as: UInt64.self)
      blocks.append(index)
    }
    let wasSpare = region.hasSpare
    #expect(!wasSpare)
    // Chunk 5 stays in use.
    for index in blocks where index / 1024 != 5 { region.free(index) }
    #expect(region.residentBytes == 9 * Region.chunkBytes && residentPages(region) <= 9 * 16)
    let isSpare = region.hasSpare
    #expect(isSpare)
    // Blocks were handed out a moment ago: one empty chunk is kept for the next ones.
    region.trim()
    let isStillSpare = region.hasSpare
    #expect(isStillSpare && region.residentBytes == 2 * Region.chunkBytes)
    #expect(residentPages(region) <= 2 * 16 && region.liveCount == 1024)
    // None since: it goes back as well.
    region.trim()
    let isSpareInTheEnd = region.hasSpare
    #expect(!isSpareInTheEnd && region.residentBytes == Region.chunkBytes)
    #expect(residentPages(region) <= 16)
    // All can be handed out again, each once, and what was in use is untouched.
    var again = Set<UInt32>()
    while let index = region.allocate() { again.insert(index) }
    #expect(again.count == blocks.count - 1024 && again.allSatisfy { $0 / 1024 != 5 })
    for index in blocks where index / 1024 == 5 {
      let value = unsafe region.address(index).load(as: UInt64.self)
      #expect(value == .max)
      region.free(index)
    }
    for index in again { region.free(index) }
    region.trim()
    region.trim()
    #expect(region.liveCount == 0 && region.residentBytes == 0 && region.touchedBytes == 0)
  }

  /// What the region says it has is what the system says, where blocks are written to.
  @Test(arguments: [4, 20, 28, 48, 64, 112, 4096, 20_480, 65_536])
  func touchedMemoryIsCounted(stride: Int) {
    let region = Region(stride: stride, capacity: max(40, 1_000_000 / stride), spareLimit: 3)
    var random = SeededGenerator(seed: UInt64(stride))
    var live: [UInt32] = []
    for step in 0..<6 {
      let grows = step % 2 == 0
      let count = grows ? region.capacity / 3 : live.count * 3 / 4
      for _ in 0..<count {
        if grows, let index = region.allocate() {
          unsafe region.address(index).initializeMemory(
            as: UInt8.self, repeating: 0xA5, count: stride)
          live.append(index)
        } else if !grows {
          region.free(live.remove(at: random.below(live.count)))
        }
      }
      if step == 3 { region.trim() }
      #expect(region.usedBytes == live.count * stride)
      #expect(region.touchedBytes == residentPages(region) * 4096, "step \(step)")
    }
    for index in live { region.free(index) }
    region.trim()
    region.trim()
    #expect(region.touchedBytes == 0 && residentPages(region) == 0)
  }

  @Test func chunksThatAreInUseFillUpFirst() {
    let region = Region(stride: 4096, capacity: 64)
    var blocks: [UInt32] = []
    for _ in 0..<63 { if let index = region.allocate() { blocks.append(index) } }
    for index in blocks where index != 20 { region.free(index) }
    let before = region.residentBytes
    // The chunk of block 20, and the one that is spare, have room for 30 more.
    for _ in 0..<15 { _ = region.allocate() }
    #expect(region.residentBytes <= max(before, 2 * Region.chunkBytes))
  }

  /// Patterns in the blocks tell whether two of them overlap, or one lost its contents.
  @Test(arguments: [1, 2, 3] as [UInt64])
  func randomAgainstModel(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for stride in [8, 60, 1024, 24_576, 65_536] {
      let region = Region(stride: stride, capacity: max(20, 3_000_000 / stride))
      let words = stride / 4
      var live: [UInt32] = []
      for step in 0..<6000 {
        let grows = step / 1000 % 2 == 0
        if live.isEmpty || random.chance(4) != grows, let index = region.allocate() {
          live.append(index)
          for word in [0, words / 2, words - 1] {
            unsafe region.address(index).storeBytes(
              of: index &* 31, toByteOffset: 4 * word, as: UInt32.self)
          }
        } else if !live.isEmpty {
          let index = live.remove(at: random.below(live.count))
          for word in [0, words / 2, words - 1] {
            let value = unsafe region.address(index).load(
              fromByteOffset: 4 * word, as: UInt32.self)
            #expect(value == index &* 31, "seed \(seed), stride \(stride), step \(step)")
          }
          region.free(index)
        }
        #expect(region.liveCount == live.count)
      }
      #expect(Set(live).count == live.count, "seed \(seed), stride \(stride)")
      for index in live { region.free(index) }
      #expect(region.liveCount == 0 && region.residentBytes <= 2 * Region.chunkBytes)
    }
  }

  @Test func chunkZeroOfLargeBlocksHoldsNothing() {
    let region = Region(stride: 65_536, capacity: 3)
    #expect(region.allocate() == 1 && region.allocate() == 2 && region.allocate() == nil)
    region.free(1)
    #expect(region.allocate() == 1)
  }
}
