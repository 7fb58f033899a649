import Synchronization
import Testing

@testable import Store

/// A message as a test has it.
private struct Sample: Equatable {
  var qos: UInt8 = 1
  var expiresAt: UInt32 = 0
  var topic: [UInt8]
  var properties: [UInt8] = []
  var payload: [UInt8]

  init(_ topic: String, _ payload: [UInt8], properties: [UInt8] = []) {
    self.topic = Array(topic.utf8)
    self.payload = payload
    self.properties = properties
  }

  var byteCount: Int { topic.count + properties.count + payload.count }
}

extension MemoryStore {
  /// Nil when the store is full.
  fileprivate func put(_ sample: Sample, replacing old: StoredMessageID? = nil) -> StoredMessageID?
  {
    try? insert(
      StoredFacts(qos: sample.qos, expiresAt: sample.expiresAt), topic: sample.topic.span,
      properties: sample.properties.span, payload: sample.payload.span, replacing: old)
  }

  fileprivate func get(_ id: StoredMessageID) throws -> Sample? {
    var found: Sample?
    let isThere = try read(id) { facts, topic, properties, payload in
      var sample = Sample("", [])
      sample.qos = facts.qos
      sample.expiresAt = facts.expiresAt
      for index in topic.indices { sample.topic.append(topic[index]) }
      for index in properties.indices { sample.properties.append(properties[index]) }
      for index in payload.indices { sample.payload.append(payload[index]) }
      found = sample
    }
    #expect(isThere == (found != nil))
    return found
  }
}

/// What the tasks of one test share.
private final class Shared: Sendable {
  let ids = Mutex<[StoredMessageID]>([])
  let failures = Atomic<Int>(0)
  let taken = Atomic<Int>(0)

  func pick(_ number: UInt64) -> StoredMessageID? {
    ids.withLock { $0.isEmpty ? nil : $0[Int(number % UInt64($0.count))] }
  }
}

@Suite struct MemoryStoreTests {
  @Test func givesBackWhatItTook() throws {
    let store = MemoryStore(maximumMessages: 10, maximumBytes: 1 << 20)
    #expect(store.kind == "memory")
    var first = Sample("a/b", [1, 2, 3], properties: [9, 9])
    first.qos = 2
    first.expiresAt = 4_000_000_000
    let empty = Sample("", [])
    let large = Sample("large", [UInt8](repeating: 7, count: 200_000))
    guard let id = store.put(first), let emptyID = store.put(empty), let largeID = store.put(large)
    else { return #expect(Bool(false), "no room") }
    #expect(try store.get(id) == first)
    #expect(try store.get(emptyID) == empty)
    #expect(try store.get(largeID) == large)
    #expect(store.size == (3, first.byteCount + large.byteCount))
    try store.remove(largeID)
    try store.remove(id)
    try store.remove(emptyID)
    #expect(store.size == (0, 0))
  }

  @Test func aRemovedMessageIsGoneForGood() throws {
    let store = MemoryStore(maximumMessages: 10, maximumBytes: 1000)
    guard let id = store.put(Sample("a", [1])) else { return #expect(Bool(false), "no room") }
    try store.remove(id)
    #expect(try store.get(id) == nil)
    // A second removal, and one of an identifier that never was, change nothing.
    try store.remove(id)
    for raw in [0, 1, 1 << 32, UInt64.max, id.rawValue & ~0xFFFF_FFFF] as [UInt64] {
      let other = StoredMessageID(rawValue: raw)
      #expect(try store.get(other) == nil)
      try store.remove(other)
    }
    // The slot is used again, under another name.
    guard let next = store.put(Sample("b", [2])) else { return #expect(Bool(false), "no room") }
    #expect(next != id)
    #expect(try store.get(id) == nil)
    try store.remove(id)
    #expect(try store.get(next) == Sample("b", [2]))
    #expect(store.size == (1, 2))
  }

  @Test func limitsOfMessagesAndBytes() throws {
    let few = MemoryStore(maximumMessages: 3, maximumBytes: 1000)
    let ids = (0..<3).compactMap { few.put(Sample("t\($0)", [1])) }
    #expect(ids.count == 3)
    var isFull = false
    do throws(StoreError) {
      let bytes: [UInt8] = [1]
      _ = try few.insert(
        StoredFacts(qos: 0, expiresAt: 0), topic: bytes.span, properties: bytes.span,
        payload: bytes.span, replacing: nil)
    } catch {
      if case .full = error { isFull = true }
    }
    #expect(isFull)
    #expect(few.size == (3, 9))
    try few.remove(ids[1])
    #expect(few.put(Sample("t4", [1])) != nil && few.put(Sample("t5", [1])) == nil)

    let small = MemoryStore(maximumMessages: 100, maximumBytes: 10)
    guard let six = small.put(Sample("abc", [1, 2, 3])), let four = small.put(Sample("abcd", []))
    else { return #expect(Bool(false), "no room") }
    #expect(small.put(Sample("x", [])) == nil && small.size == (2, 10))
    try small.remove(four)
    #expect(small.put(Sample("abcde", [])) == nil && small.put(Sample("abcd", [])) != nil)
    try small.remove(six)
    #expect(small.size == (1, 4))
  }

  /// A full store can change what it holds, and takes no more for that.
  @Test func replacingInAFullStore() throws {
    let store = MemoryStore(maximumMessages: 2, maximumBytes: 20)
    guard let first = store.put(Sample("a", [1, 2])), store.put(Sample("b", [1])) != nil
    else { return #expect(Bool(false), "no room") }
    #expect(store.put(Sample("c", [1])) == nil)
    guard let second = store.put(Sample("a", [3, 4]), replacing: first) else {
      return #expect(Bool(false), "a replacement counts as a new message")
    }
    // The old one can be read until the caller removes it.
    #expect(try store.get(first) == Sample("a", [1, 2]))
    try store.remove(first)
    #expect(try store.get(second) == Sample("a", [3, 4]))
    #expect(store.size == (2, 5))
    // One that is gone makes no room, and no room is made for more bytes than there are.
    #expect(store.put(Sample("d", [1]), replacing: first) == nil)
    let large = Sample("a", [UInt8](repeating: 1, count: 18))
    #expect(store.put(large, replacing: second) == nil)
    #expect(store.put(Sample("a", [UInt8](repeating: 1, count: 17)), replacing: second) != nil)
  }

  @Test(arguments: [1, 2, 3] as [UInt64])
  func randomAgainstModel(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let store = MemoryStore(maximumMessages: 200, maximumBytes: 200_000)
    var model: [StoredMessageID: Sample] = [:]
    var removed: [StoredMessageID] = []
    var bytes = 0
    for step in 0..<8000 {
      if random.below(3) != 0 {
        let sample = Sample(
          "topic/\(step)", random.bytes(random.below(step % 50 == 0 ? 80_000 : 1500)),
          properties: random.bytes(random.below(20)))
        let fits = model.count < 200 && bytes + sample.byteCount <= 200_000
        let id = store.put(sample)
        #expect((id != nil) == fits, "seed \(seed), step \(step)")
        guard let id else { continue }
        #expect(model[id] == nil)
        model[id] = sample
        bytes += sample.byteCount
      } else if let (id, sample) = model.randomElement(using: &random) {
        #expect(try store.get(id) == sample, "seed \(seed), step \(step)")
        try store.remove(id)
        model[id] = nil
        bytes -= sample.byteCount
        removed.append(id)
      }
      #expect(store.size == (model.count, bytes), "seed \(seed), step \(step)")
    }
    for (id, sample) in model { #expect(try store.get(id) == sample, "seed \(seed)") }
    for id in removed { #expect(try store.get(id) == nil, "seed \(seed)") }
    for id in model.keys { try store.remove(id) }
    #expect(store.size == (0, 0))
  }

  /// Many tasks insert, read and remove at once: each finds its own, and nobody finds a torn one.
  @Test func tasksAtOnce() async {
    let store = MemoryStore(maximumMessages: 100, maximumBytes: 1 << 20)
    let shared = Shared()
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<6 {
        group.addTask {
          var random = SeededGenerator(seed: UInt64(task))
          for _ in 0..<4000 {
            let fill = UInt8(truncatingIfNeeded: random.next())
            let count = 1 + random.below(2000)
            let sample = Sample("x", [UInt8](repeating: fill, count: count))
            if let id = store.put(sample) {
              shared.taken.add(1, ordering: .relaxed)
              shared.ids.withLock { $0.append(id) }
            }
            let known = shared.pick(random.next())
            guard let known else { continue }
            _ = try? store.read(known) { _, topic, _, payload in
              var isWhole = topic.count == 1 && payload.count > 0
              for index in payload.indices where payload[index] != payload[0] { isWhole = false }
              if !isWhole { shared.failures.add(1, ordering: .relaxed) }
            }
            if random.below(2) == 0 || store.size.messages > 90 {
              try? store.remove(known)
              shared.ids.withLock { ids in ids.removeAll { $0 == known } }
            }
          }
        }
      }
    }
    #expect(shared.failures.load(ordering: .relaxed) == 0)
    #expect(shared.taken.load(ordering: .relaxed) > 1000)
    for id in shared.ids.withLock({ $0 }) { try? store.remove(id) }
    #expect(store.size == (0, 0))
  }
}
