import Packet
import Store
import Synchronization
import Testing
import Util

@testable import Session

@Suite struct RetainedMessagesTests {
  private func make(
    messages: Int = 1000, bytes: Int = 1 << 20
  ) -> (RetainedMessages, MemoryStore) {
    let store = MemoryStore(maximumMessages: messages, maximumBytes: bytes)
    return (RetainedMessages(store: store, seed: testSeed), store)
  }

  /// False when the store is full.
  @discardableResult
  private func set(_ retained: RetainedMessages, _ sample: Sample) -> Bool {
    (try? sample.withView { try retained.set($0) }) != nil
  }

  private func read(
    _ retained: RetainedMessages, _ filter: String, second: UInt32 = 1
  ) throws -> [Sample] {
    var found: [Sample] = []
    for id in retained.match(Array(filter.utf8).span) {
      try retained.read(id, second: second) { found.append(Sample($0)) }
    }
    return found.sorted { $0.topic.lexicographicallyPrecedes($1.topic) }
  }

  @Test func setReplacedAndRemoved() throws {
    // v5:MQTT-3.3.1-5 v5:MQTT-3.3.1-6 v5:MQTT-3.3.1-7
    // v3:MQTT-3.3.1-5 v3:MQTT-3.3.1-7 v3:MQTT-3.3.1-10 v3:MQTT-3.3.1-11
    let (retained, store) = make()
    var first = Sample("a/b", "1")
    first.qos = .exactlyOnce
    first.properties = [1, 2]
    #expect(set(retained, first) && set(retained, Sample("a/c", "2")))
    #expect(try read(retained, "a/+") == [first, Sample("a/c", "2")])
    // A later one takes its place, whatever its QoS.
    var second = Sample("a/b", "3")
    second.qos = .atMostOnce
    #expect(set(retained, second))
    #expect(try read(retained, "a/b") == [second])
    #expect(retained.count == 2 && store.size.messages == 2)
    #expect(set(retained, Sample("a/b", "")))
    #expect(try read(retained, "a/b").isEmpty)
    #expect(retained.count == 1 && store.size.messages == 1)
    // Of a topic that has none there is none to be removed, and none is stored.
    #expect(set(retained, Sample("x", "")) && retained.count == 1 && store.size.messages == 1)
    #expect(set(retained, Sample("a/c", "")) && retained.count == 0 && store.size == (0, 0))
  }

  @Test func whatWasReplacedOrRemovedMeanwhileIsNotRead() throws {
    let (retained, _) = make()
    set(retained, Sample("a", "1"))
    set(retained, Sample("b", "1"))
    set(retained, Sample("c", "1"))
    let ids = retained.match(Array("#".utf8).span)
    #expect(ids.count == 3)
    set(retained, Sample("a", "2"))
    set(retained, Sample("b", ""))
    var found: [Sample] = []
    for id in ids { try retained.read(id, second: 1) { found.append(Sample($0)) } }
    #expect(found == [Sample("c", "1")])
  }

  @Test func expiry() throws {
    // v5:MQTT-3.3.2-5
    let (retained, store) = make()
    var sample = Sample("a", "1")
    sample.expiresAt = 100
    set(retained, sample)
    set(retained, Sample("b", "1"))
    #expect(try read(retained, "+", second: 99) == [sample, Sample("b", "1")])
    #expect(retained.count == 2)
    // It is found no more, and takes no room from then on.
    #expect(try read(retained, "+", second: 100) == [Sample("b", "1")])
    #expect(retained.count == 1 && store.size.messages == 1)
    #expect(try read(retained, "+", second: 99) == [Sample("b", "1")])
    // One that took its place stays.
    set(retained, sample)
    let old = retained.match(Array("a".utf8).span)
    set(retained, Sample("a", "2"))
    for id in old { try retained.read(id, second: 200) { _ in #expect(Bool(false), "replaced") } }
    #expect(try read(retained, "a", second: 200) == [Sample("a", "2")])
  }

  @Test func limits() throws {
    let (few, store) = make(messages: 2)
    #expect(set(few, Sample("a", "1")) && set(few, Sample("b", "1")))
    #expect(!set(few, Sample("c", "1")) && few.count == 2 && store.size.messages == 2)
    #expect(try read(few, "c").isEmpty)
    // What is there can still change, and goes.
    #expect(set(few, Sample("a", "2")) && store.size.messages == 2)
    #expect(try read(few, "#") == [Sample("a", "2"), Sample("b", "1")])
    #expect(set(few, Sample("b", "")) && set(few, Sample("c", "1")))

    let (small, _) = make(bytes: 10)
    #expect(set(small, Sample("a", "12345")) && !set(small, Sample("a", "1234567890")))
    // A topic's message is what it was when another one is refused.
    #expect(try read(small, "a") == [Sample("a", "12345")])
    #expect(set(small, Sample("a", "123456789")) && set(small, Sample("b", "")))
    #expect(small.count == 1)
  }

  /// A message is found expired, and another takes its place before it is removed: that one stays.
  @Test func replacedWhileItExpires() throws {
    let store = InterruptedStore()
    let retained = RetainedMessages(store: store, seed: testSeed)
    var sample = Sample("a", "1")
    sample.expiresAt = 100
    set(retained, sample)
    store.afterRead.withLock { $0 = { self.set(retained, Sample("a", "2")) } }
    #expect(try read(retained, "a", second: 100).isEmpty)
    #expect(try read(retained, "a", second: 100) == [Sample("a", "2")])
    #expect(retained.count == 1 && store.size.messages == 1)
  }

  @Test func aStoreThatCantBeWritten() throws {
    let store = InterruptedStore()
    let retained = RetainedMessages(store: store, seed: testSeed)
    set(retained, Sample("a", "1"))
    store.isUnavailable.store(true, ordering: .relaxed)
    #expect(!set(retained, Sample("a", "2")) && !set(retained, Sample("b", "2")))
    store.isUnavailable.store(false, ordering: .relaxed)
    #expect(try read(retained, "#") == [Sample("a", "1")] && retained.count == 1)
  }

  /// Tasks set, remove and read at once: what is read is whole, and nothing is left over.
  @Test func tasksAtOnce() async throws {
    let (retained, store) = make(messages: 500)
    let failures = Failures()
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<6 {
        group.addTask {
          var random = SeededGenerator(seed: UInt64(task))
          for _ in 0..<3000 {
            let topic = "t/\(random.below(20))"
            switch random.below(4) {
            case 0: self.set(retained, Sample(topic, ""))
            case 1:
              let found = try? self.read(retained, random.chance(2) ? topic : "t/+")
              let isWhole = found?.allSatisfy { sample in
                sample.payload.count > sample.topic.count
                  && sample.payload.starts(with: sample.topic)
              }
              if isWhole != true { failures.count.add(1, ordering: .relaxed) }
            default:
              let tail = String(repeating: "x", count: 1 + random.below(500))
              if !self.set(retained, Sample(topic, topic + tail)) {
                failures.count.add(1, ordering: .relaxed)
              }
            }
          }
        }
      }
    }
    #expect(failures.count.load(ordering: .relaxed) == 0)
    #expect(retained.count == store.size.messages && retained.count <= 20)
    for number in 0..<20 { set(retained, Sample("t/\(number)", "")) }
    #expect(retained.count == 0 && store.size == (0, 0))
  }
}

/// A store in which something happens at the worst moment.
private final class InterruptedStore: MessageStore {
  let inner = MemoryStore(maximumMessages: 100, maximumBytes: 10_000)
  /// Called once, after a read.
  let afterRead = Mutex<(@Sendable () -> Void)?>(nil)
  let isUnavailable = Atomic<Bool>(false)

  var kind: String { "interrupted" }
  var size: (messages: Int, bytes: Int) { inner.size }
  var memory: PoolMemory { inner.memory }
  var hasSpare: Bool { inner.hasSpare }
  func trim() { inner.trim() }

  func insert(
    _ facts: StoredFacts, topic: Span<UInt8>, properties: Span<UInt8>, payload: Span<UInt8>,
    replacing old: StoredMessageID?
  ) throws(StoreError) -> StoredMessageID {
    if isUnavailable.load(ordering: .relaxed) { throw .unavailable("the disk is full") }
    return try inner.insert(
      facts, topic: topic, properties: properties, payload: payload, replacing: old)
  }

  func read(
    _ id: StoredMessageID,
    _ body: (StoredFacts, Span<UInt8>, Span<UInt8>, Span<UInt8>) -> Void
  ) throws(StoreError) -> Bool {
    let isThere = try inner.read(id, body)
    let action = afterRead.withLock { action in
      defer { action = nil }
      return action
    }
    action?()
    return isThere
  }

  func remove(_ id: StoredMessageID) throws(StoreError) { try inner.remove(id) }
}

/// What the tasks of one test share.
private final class Failures: Sendable {
  let count = Atomic<Int>(0)
}
