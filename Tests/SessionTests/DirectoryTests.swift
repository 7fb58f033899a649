import Synchronization
import Testing
import Util

@testable import Session

@Suite struct DirectoryTests {
  private func owner(_ number: Int) -> SessionOwner {
    SessionOwner(
      loop: UInt8(number % 64), slot: UInt32(number + 1), generation: UInt32(number + 5))
  }

  private func id(_ number: Int) -> [UInt8] { Array("client-\(number)".utf8) }

  /// The entry of a claim; nil when it was refused.
  private func claim(_ directory: Directory, _ id: [UInt8], _ owner: SessionOwner) -> UInt32? {
    if case .claimed(let entry) = directory.claim(id.span, for: owner) { return entry }
    return nil
  }

  @Test func claimedOnceUntilReleased() {
    let directory = Directory(capacity: 100, seed: testSeed)
    #expect(directory.find(id(1).span) == nil)
    guard let entry = claim(directory, id(1), owner(1)) else {
      return #expect(Bool(false), "no room")
    }
    #expect(entry != 0 && directory.clientID(entry) == id(1) && directory.count == 1)
    #expect(directory.find(id(1).span) == owner(1))
    if case .exists(let present) = directory.claim(id(1).span, for: owner(2)) {
      #expect(present == owner(1))
    } else {
      #expect(Bool(false), "claimed twice")
    }
    directory.release(entry)
    #expect(directory.find(id(1).span) == nil && directory.count == 0)
    #expect(claim(directory, id(1), owner(2)) != nil && directory.find(id(1).span) == owner(2))
  }

  @Test func anyBytesAreAnID() {
    let directory = Directory(capacity: 100, seed: testSeed)
    let ids: [[UInt8]] = [
      [], [0], [0, 0], Array("a".utf8), Array("A".utf8), [UInt8](repeating: 1, count: 65_535),
    ]
    let entries = ids.enumerated().compactMap { claim(directory, $0.element, owner($0.offset)) }
    #expect(entries.count == ids.count && Set(entries).count == ids.count)
    for (number, id) in ids.enumerated() {
      #expect(directory.find(id.span) == owner(number))
      #expect(directory.clientID(entries[number]) == id)
    }
  }

  @Test(arguments: [1, 2] as [UInt64])
  func randomAgainstModel(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let directory = Directory(capacity: 20_000, seed: testSeed)
    var model: [Int: (entry: UInt32, owner: SessionOwner)] = [:]
    for step in 0..<20_000 {
      let number = random.below(6000)
      if let known = model[number] {
        #expect(directory.find(id(number).span) == known.owner, "seed \(seed), step \(step)")
        if random.chance(2) {
          #expect(directory.clientID(known.entry) == id(number))
          directory.release(known.entry)
          model[number] = nil
        } else {
          #expect(claim(directory, id(number), owner(step)) == nil, "seed \(seed), step \(step)")
        }
      } else {
        #expect(directory.find(id(number).span) == nil, "seed \(seed), step \(step)")
        guard let entry = claim(directory, id(number), owner(step)) else {
          return #expect(Bool(false), "no room: seed \(seed), step \(step)")
        }
        model[number] = (entry, owner(step))
      }
      if step % 500 == 0 { #expect(directory.count == model.count) }
    }
    #expect(Set(model.values.map(\.entry)).count == model.count)
    for known in model.values { directory.release(known.entry) }
    #expect(directory.count == 0)
  }

  /// A shard that is full says so, and takes others when one is released.
  @Test func full() {
    let directory = Directory(capacity: 1, seed: testSeed)
    var entries: [UInt32] = []
    var refused: Int?
    for number in 0..<400_000 {
      switch directory.claim(id(number).span, for: owner(number)) {
      case .claimed(let entry): entries.append(entry)
      case .exists: #expect(Bool(false), "a new id exists")
      case .full: refused = number
      }
      if refused != nil { break }
    }
    guard let refused else { return #expect(Bool(false), "never full") }
    #expect(directory.count == entries.count && directory.find(id(refused).span) == nil)
    for entry in entries { directory.release(entry) }
    #expect(directory.count == 0 && claim(directory, id(refused), owner(1)) != nil)
  }

  /// Many claim the same ids at once: of each only one is taken at a time.
  @Test func tasksAtOnce() async {
    let directory = Directory(capacity: 1000, seed: testSeed)
    let tally = Tally()
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<6 {
        group.addTask {
          var random = SeededGenerator(seed: UInt64(task))
          for round in 0..<8000 {
            let number = random.below(40)
            let id = Array("client-\(number)".utf8)
            let owner = SessionOwner(
              loop: UInt8(task), slot: UInt32(number + 1), generation: UInt32(round + 1))
            switch directory.claim(id.span, for: owner) {
            case .claimed(let entry):
              let isAlone = tally.holders[number].enter()
              if !isAlone || directory.find(id.span) != owner || directory.clientID(entry) != id {
                tally.failures.add(1, ordering: .relaxed)
              }
              tally.claims.add(1, ordering: .relaxed)
              tally.holders[number].leave()
              directory.release(entry)
            case .exists(let present):
              if present.slot != UInt32(number + 1) || present.loop == UInt8(task) {
                tally.failures.add(1, ordering: .relaxed)
              }
            case .full: tally.failures.add(1, ordering: .relaxed)
            }
          }
        }
      }
    }
    #expect(tally.failures.load(ordering: .relaxed) == 0 && directory.count == 0)
    #expect(tally.claims.load(ordering: .relaxed) > 10_000)
  }
}

/// What the tasks of one test share.
private final class Tally: Sendable {
  let failures = Atomic<Int>(0)
  let claims = Atomic<Int>(0)
  let holders = (0..<40).map { _ in Counter() }

  final class Counter: Sendable {
    private let value = Atomic<Int>(0)

    /// Whether nobody else is in.
    func enter() -> Bool { value.add(1, ordering: .relaxed).oldValue == 0 }
    func leave() { value.subtract(1, ordering: .relaxed) }
  }
}
