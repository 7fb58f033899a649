import Testing
import Util

@testable import PubSub

@Suite struct FilterIndexTests {
  @Test func strides() {
    #expect(MemoryLayout<FilterRecord>.stride == 28)
    #expect(MemoryLayout<TrieNode>.stride == 36)
    #expect(MemoryLayout<SubscriptionRecord>.stride == 28)
    #expect(MemoryLayout<RetainedNode>.stride == 40)
    #expect(MemoryLayout<LevelReference>.stride == 8)
    #expect(MemoryLayout<PendingBranch>.stride == 8)
    #expect(MemoryLayout<ShareMember>.stride == 24)
  }

  @Test func sameFilterSameSlot() {
    let index = FilterIndex(capacity: 100, seed: testSeed)
    for filter in ["a/b", "a/+", "#", "$share/g/a/#", ""] {
      let slot = index.insert(filter)
      #expect(index.insert(filter) == slot)
      #expect(index.find(filter) == slot)
      #expect(index.text(of: slot) == filter)
    }
    #expect(index.count == 5)
    #expect(index.wildcardCount == 2)
  }

  @Test(arguments: [1, 2, 3] as [UInt64])
  func randomAgainstModel(seed: UInt64) {
    var source = TopicSource(seed: seed)
    let index = FilterIndex(capacity: 100_000, seed: testSeed)
    var model: [String: UInt32] = [:]
    for step in 0..<20_000 {
      // Waves: mostly growing, then mostly shrinking, so that nodes come and go.
      let grows = step / 2000 % 2 == 0 ? !source.chance(4) : source.chance(4)
      if grows {
        let filter = source.filter()
        let slot = index.insert(filter)
        #expect(model[filter] == nil || model[filter] == slot, "seed \(seed), step \(step)")
        model[filter] = slot
      } else if let (filter, slot) = model.randomElement(using: &source.generator) {
        #expect(index.find(filter) == slot, "seed \(seed), step \(step)")
        index.remove(slot)
        model[filter] = nil
        #expect(index.find(filter) == 0, "seed \(seed), step \(step)")
      }
      if step % 20 == 0 {
        let topic = source.topic()
        let expected = model.keys.filter { Naive.matches($0, topic) }.sorted()
        #expect(index.matching(topic) == expected, "seed \(seed), step \(step), \(topic)")
        #expect(index.count == model.count)
      }
    }
    for slot in model.values { index.remove(slot) }
    #expect(index.count == 0 && index.nodeCount == 0 && index.texts.count == 0)
    #expect(index.exact.count == 0 && index.children.count == 0)
  }

  @Test func manyExactFilters() {
    // A million in release; a tenth of it is enough for an unoptimised run.
    #if DEBUG
      let count = 100_000
    #else
      let count = 1_000_000
    #endif
    let index = FilterIndex(seed: testSeed)
    var slots = [UInt32](repeating: 0, count: count)
    for number in 0..<count { slots[number] = index.insert("device/\(number)/in") }
    #expect(index.count == count)
    // A record of 28, a text of 16, heads of 5 to 8; both ways, so that a change of either kind is
    // seen.
    let bytes = Double(index.residentBytes) / Double(count)
    #expect(bytes > 47 && bytes < 56, "\(bytes) bytes per filter")
    var hits = MatchedFilters()
    for number in stride(from: 0, to: count, by: 997) {
      hits.removeAll()
      index.match("device/\(number)/in".bytes.span, into: &hits)
      #expect(hits.count == 1 && hits[0] == slots[number])
      hits.removeAll()
      index.match("device/\(number)/out".bytes.span, into: &hits)
      #expect(hits.count == 0)
    }
    for slot in slots { index.remove(slot) }
    #expect(index.count == 0 && index.texts.count == 0 && index.exact.count == 0)
    #expect(index.exact.residentBytes == 4096)
    // Memory comes back: one spare chunk per size stays.
    #expect(index.residentBytes < 1 << 20, "\(index.residentBytes) bytes left")
  }

  @Test func refusalsLeaveNothingBehind() {
    // A slab rounds its capacity up to a chunk: fill it, whatever it is.
    let index = FilterIndex(capacity: 2, seed: testSeed)
    var slots: [UInt32] = []
    while true {
      let slot = index.insert("deep/\(slots.count)/x/+/y")
      if slot == 0 { break }
      slots.append(slot)
      if slots.count > 100_000 { break }
    }
    #expect(slots.count > 100 && slots.count < 100_000)
    // Each filter has its own text; each literal node, too. What was begun and had no room is gone.
    let literalNodes = index.children.count
    #expect(index.texts.count == index.count + literalNodes)
    #expect(index.insert("another/branch/+") == 0)
    #expect(index.texts.count == index.count + literalNodes)
    #expect(index.matching("deep/1/x/z/y") == ["deep/1/x/+/y"])
    for slot in slots { index.remove(slot) }
    #expect(index.count == 0 && index.nodeCount == 0 && index.texts.count == 0)
    #expect(index.insert("another/branch/+") != 0)
  }

  @Test func longestTopics() {
    let index = FilterIndex(capacity: 200_000, seed: testSeed)
    let topic = String(repeating: "/", count: 65_535)
    let filter = String(repeating: "+/", count: 32_767) + "#"
    let exact = index.insert(topic)
    let wild = index.insert(filter)
    #expect(exact != 0 && wild != 0)
    #expect(index.matching(topic) == [filter, topic].sorted())
    index.remove(exact)
    index.remove(wild)
    #expect(index.nodeCount == 0 && index.texts.count == 0)
  }

  /// Each `+` beside a literal doubles the ways to walk; the list of waiting ones stays short.
  @Test func branchesAreBounded() {
    let index = FilterIndex(capacity: 100_000, seed: testSeed)
    let depth = 12
    for mask in 0..<1 << depth {
      let levels = (0..<depth).map { mask >> $0 & 1 == 0 ? "a" : "+" }
      #expect(index.insert(levels.joined(separator: "/")) != 0)
    }
    let topic = [String](repeating: "a", count: depth).joined(separator: "/")
    #expect(index.matching(topic).count == 1 << depth)
  }
}
