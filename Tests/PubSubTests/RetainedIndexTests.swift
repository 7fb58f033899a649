import Synchronization
import Testing
import Util

@testable import PubSub

@Suite struct RetainedIndexTests {
  @Test func setGetRemove() throws {
    var index = RetainedIndex(capacity: 100, seed: testSeed)
    #expect(try index.set("a/b".bytes.span, to: 1) == 0)
    #expect(try index.set("a".bytes.span, to: 2) == 0)
    #expect(try index.set("a/b".bytes.span, to: 3) == 1)
    #expect(index.get("a/b".bytes.span) == 3)
    #expect(index.get("a/b/c".bytes.span) == 0)
    #expect(index.count == 2 && index.nodeCount == 2)
    #expect(index.remove("a/c".bytes.span) == 0)
    // The inner topic goes, its node stays for the one below it.
    #expect(index.remove("a".bytes.span) == 2)
    #expect(index.remove("a".bytes.span) == 0)
    #expect(index.count == 1 && index.nodeCount == 2)
    #expect(index.remove("a/b".bytes.span) == 3)
    #expect(index.count == 0 && index.nodeCount == 0 && index.texts.count == 0)
  }

  @Test(arguments: [11, 12, 13] as [UInt64])
  func randomAgainstModel(seed: UInt64) throws {
    var source = TopicSource(seed: seed)
    var index = RetainedIndex(capacity: 100_000, seed: testSeed)
    var model: [String: UInt64] = [:]
    var hits = ScratchArray<UInt64>()
    for step in 0..<20_000 {
      let grows = step / 2000 % 2 == 0 ? !source.chance(4) : source.chance(4)
      if grows {
        let topic = source.topic()
        let old = try index.set(topic.bytes.span, to: UInt64(step + 1))
        #expect(old == model[topic] ?? 0, "seed \(seed), step \(step)")
        model[topic] = UInt64(step + 1)
      } else if let (topic, handle) = model.randomElement(using: &source.generator) {
        #expect(index.get(topic.bytes.span) == handle, "seed \(seed), step \(step)")
        #expect(index.remove(topic.bytes.span) == handle, "seed \(seed), step \(step)")
        model[topic] = nil
      }
      if step % 20 == 0 {
        let filter = source.filter()
        hits.removeAll()
        #expect(index.match(filter: filter.bytes.span, into: &hits) == .complete)
        let found = (0..<hits.count).map { hits[$0] }.sorted()
        let expected = model.filter { Naive.matches(filter, $0.key) }.values.sorted()
        #expect(found == expected, "seed \(seed), step \(step), \(filter)")
        #expect(index.count == model.count)
      }
    }
    for topic in model.keys { #expect(index.remove(topic.bytes.span) != 0) }
    #expect(index.count == 0 && index.nodeCount == 0 && index.texts.count == 0)
    #expect(index.children.count == 0)
  }

  @Test func limits() throws {
    var index = RetainedIndex(capacity: 1000, seed: testSeed)
    for number in 1...100 { _ = try index.set("x/\(number)".bytes.span, to: UInt64(number)) }
    var hits = ScratchArray<UInt64>()
    for filter in ["#", "x/#", "x/+", "+/+"] {
      hits.removeAll()
      #expect(index.match(filter: filter.bytes.span, limit: 100, into: &hits) == .complete)
      #expect(hits.count == 100)
      hits.removeAll()
      #expect(index.match(filter: filter.bytes.span, limit: 99, into: &hits) == .hitLimit)
      #expect(hits.count == 99)
      hits.removeAll()
      #expect(index.match(filter: filter.bytes.span, visitLimit: 50, into: &hits) == .visitLimit)
      #expect(hits.count < 50)
    }
    hits.removeAll()
    #expect(
      index.match(filter: "+/+/nothing".bytes.span, visitLimit: 50, into: &hits) == .visitLimit)
    #expect(hits.count == 0)
  }

  @Test func refusalsLeaveNothingBehind() throws {
    var index = RetainedIndex(capacity: 2, seed: testSeed)
    var count = 0
    do {
      while count < 100_000 {
        _ = try index.set("r/\(count)/x/y".bytes.span, to: 1)
        count += 1
      }
      Issue.record("never full")
    } catch {
      #expect(error == IndexFull())
    }
    #expect(index.count == count)
    #expect(index.texts.count == index.nodeCount && index.children.count == index.nodeCount)
    // The last set had room for some of its levels only; they are gone: all nodes lead to topics.
    var hits = ScratchArray<UInt64>()
    #expect(index.match(filter: "r/+/x/y".bytes.span, into: &hits) == .complete)
    #expect(hits.count == count && index.nodeCount == 1 + 3 * count)
    for number in 0..<count { #expect(index.remove("r/\(number)/x/y".bytes.span) == 1) }
    #expect(index.nodeCount == 0 && index.texts.count == 0)
  }

  @Test func deepestTopic() throws {
    var index = RetainedIndex(capacity: 200_000, seed: testSeed)
    let topic = String(repeating: "/", count: 65_535)
    #expect(try index.set(topic.bytes.span, to: 9) == 0)
    var hits = ScratchArray<UInt64>()
    for filter in ["#", String(repeating: "+/", count: 32_766) + "#", "/#", topic] {
      hits.removeAll()
      #expect(index.match(filter: filter.bytes.span, into: &hits) == .complete)
      #expect(hits.count == 1)
    }
    #expect(index.remove(topic.bytes.span) == 9)
    #expect(index.nodeCount == 0)
  }

  @Test func manyTopics() throws {
    #if DEBUG
      let count = 100_000
    #else
      let count = 1_000_000
    #endif
    // Behind a lock, as it is used.
    let shared = Mutex(RetainedIndex(seed: testSeed))
    try shared.withLock { index in
      for number in 0..<count {
        _ = try index.set(
          "site/\(number % 100)/device/\(number)".bytes.span, to: UInt64(number + 1))
      }
      #expect(index.count == count)
      let bytes = Double(index.residentBytes) / Double(count)
      #expect(bytes > 50 && bytes < 80, "\(bytes) bytes per topic")
      var hits = ScratchArray<UInt64>()
      #expect(index.match(filter: "site/7/device/+".bytes.span, into: &hits) == .complete)
      #expect(hits.count == count / 100)
      hits.removeAll()
      #expect(index.match(filter: "#".bytes.span, into: &hits) == .complete)
      #expect(hits.count == count)
      for number in 0..<count {
        _ = index.remove("site/\(number % 100)/device/\(number)".bytes.span)
      }
      #expect(index.count == 0 && index.nodeCount == 0 && index.texts.count == 0)
      #expect(index.residentBytes < 1 << 20, "\(index.residentBytes) bytes left")
    }
  }
}
