import Testing

@testable import Util

private struct Entry: HashChained {
  var hash: UInt32
  var nextInBucket: UInt32 = 0
  var key: UInt32
}

@Suite struct HashChainsTests {
  private func find(
    _ key: UInt32, _ hash: UInt32, _ chains: borrowing HashChains, _ entries: borrowing Slab<Entry>
  ) -> UInt32 {
    var slot = chains.first(hash)
    while slot != 0 && entries[slot].key != key { slot = entries[slot].nextInBucket }
    return slot
  }

  @Test func growsAndShrinksStepByStep() {
    let entries = Slab<Entry>(capacity: 50_001)
    let chains = HashChains(capacity: 50_000)
    var slots: [UInt32] = []
    var buckets = chains.bucketCount
    #expect(buckets == HashChains.minimumBuckets)
    for key in 0..<UInt32(50_000) {
      let hash = key &* 2_654_435_761
      guard let slot = entries.insert(Entry(hash: hash, key: key)) else { return }
      chains.insert(slot, in: entries)
      slots.append(slot)
      // Never a pause: an insertion adds two buckets at most.
      #expect(chains.bucketCount - buckets <= 2)
      buckets = chains.bucketCount
    }
    #expect(chains.count == 50_000)
    // 5 to 8 bytes a record.
    #expect(chains.residentBytes >= 5 * 50_000 && chains.residentBytes <= 8 * 50_000)
    for key in stride(from: UInt32(0), to: 50_000, by: 7) {
      #expect(find(key, key &* 2_654_435_761, chains, entries) == slots[Int(key)])
    }
    for key in 0..<50_000 {
      chains.remove(slots[key], in: entries)
      entries.remove(slots[key])
      #expect(buckets - chains.bucketCount <= 2)
      buckets = chains.bucketCount
      if key % 5000 == 4999 && key < 49_000 {
        // Memory goes back by halves.
        #expect(chains.residentBytes <= 16 * chains.count + 4104)
        for other in stride(from: UInt32(key + 1), to: 50_000, by: 501) {
          #expect(find(other, other &* 2_654_435_761, chains, entries) == slots[Int(other)])
        }
      }
    }
    #expect(chains.count == 0 && chains.residentBytes == 4096)
  }

  /// Beyond its capacity, chains get longer and nothing else changes.
  @Test func longerChainsBeyondCapacity() {
    let entries = Slab<Entry>(capacity: 20_001)
    let chains = HashChains(capacity: 700)
    for key in 0..<UInt32(20_000) {
      if let slot = entries.insert(Entry(hash: key &* 2_654_435_761, key: key)) {
        chains.insert(slot, in: entries)
      }
    }
    #expect(chains.bucketCount == 1050 && chains.count == 20_000)
    for key in stride(from: UInt32(0), to: 20_000, by: 37) {
      #expect(find(key, key &* 2_654_435_761, chains, entries) != 0)
    }
  }

  /// Random insertions and removals; hashes so poor that many keys share a chain.
  @Test(arguments: [31, 32, 33] as [UInt64])
  func randomAgainstModel(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let entries = Slab<Entry>(capacity: 20_000)
    let chains = HashChains(capacity: 20_000)
    var model: [UInt32: UInt32] = [:]
    var keys: [UInt32] = []
    func hash(_ key: UInt32) -> UInt32 { key % 3 == 0 ? key % 97 : key &* 2_654_435_761 }
    for step in 0..<24_000 {
      if keys.isEmpty || random.chance(5) == (step / 8000 == 1) {
        let key = UInt32(truncatingIfNeeded: random.next())
        guard model[key] == nil,
          let slot = entries.insert(Entry(hash: hash(key), key: key))
        else { continue }
        chains.insert(slot, in: entries)
        model[key] = slot
        keys.append(key)
      } else {
        let place = random.below(keys.count)
        keys.swapAt(place, keys.count - 1)
        let key = keys.removeLast()
        guard let slot = model.removeValue(forKey: key) else { continue }
        #expect(find(key, hash(key), chains, entries) == slot, "seed \(seed), step \(step)")
        chains.remove(slot, in: entries)
        entries.remove(slot)
        #expect(find(key, hash(key), chains, entries) == 0, "seed \(seed), step \(step)")
      }
      #expect(chains.count == model.count)
      if step % 3000 == 0 {
        for (key, slot) in model {
          #expect(find(key, hash(key), chains, entries) == slot, "seed \(seed), step \(step)")
        }
      }
    }
  }
}
