import Synchronization
import Testing
import Util

@testable import PubSub

@Suite struct InterestIndexTests {
  /// Never a loop too few, rarely one too many, and none when all filters are gone.
  @Test(arguments: [41, 42, 43] as [UInt64])
  func randomAgainstModel(seed: UInt64) {
    var source = TopicSource(seed: seed)
    source.maximumDepth = 18
    source.words += (0..<30).map { "w\($0)" }
    let index = InterestIndex(seed: testSeed)
    var model: [(filter: String, loop: Int)] = []
    for step in 0..<20_000 {
      let grows = step / 4000 % 2 == 0 ? !source.chance(4) : source.chance(4)
      if grows || model.isEmpty {
        source.maximumDepth = source.chance(10) ? 18 : 4
        let filter = source.filter()
        let loop = source.chance(8) ? 63 : source.below(64)
        index.add(filter, loop: loop)
        model.append((filter, loop))
      } else {
        let gone = model.remove(at: source.below(model.count))
        index.remove(gone.filter, loop: gone.loop)
      }
      if step % 100 == 0 {
        let topic = source.topic()
        var expected: UInt64 = 0
        for entry in model where Naive.matches(entry.filter, topic) {
          expected |= 1 << UInt64(entry.loop)
        }
        #expect(index.loops(topic) & expected == expected, "seed \(seed), step \(step), \(topic)")
      }
    }
    #expect(index.count == model.count)
    for entry in model { index.remove(entry.filter, loop: entry.loop) }
    #expect(index.count == 0)
    for _ in 0..<1000 { #expect(index.loops(source.topic()) == 0) }
  }

  /// A filter on all loops does not fit one line, nor do a hundred such.
  @Test func filtersOnAllLoops() {
    let index = InterestIndex(seed: testSeed)
    for number in 0..<100 {
      for loop in 0..<64 { index.add("room/\(number)", loop: loop) }
    }
    for number in 0..<100 { #expect(index.loops("room/\(number)") == .max) }
    for number in 0..<100 {
      for loop in 0..<64 where loop != number % 64 { index.remove("room/\(number)", loop: loop) }
    }
    for number in 0..<100 {
      #expect(index.loops("room/\(number)") & 1 << UInt64(number % 64) != 0)
    }
    for number in 0..<100 { index.remove("room/\(number)", loop: number % 64) }
    #expect(index.count == 0)
    for number in 0..<100 { #expect(index.loops("room/\(number)") == 0) }
  }

  /// More shapes than are kept, and levels deeper than a shape has, match always, until they go.
  @Test func shapesThatAreNotKept() {
    let index = InterestIndex(seed: testSeed)
    let shapes = (1..<64).map { mask in
      (0..<6).map { mask >> $0 & 1 == 1 ? "+" : "l" }.joined(separator: "/")
    }
    for (loop, filter) in shapes.enumerated() { index.add(filter, loop: loop) }
    let topic = "l/l/l/l/l/l"
    let all: UInt64 = (1 << 63) - 1
    #expect(index.loops(topic) == all)
    // The kept ones leave first; others take their place; each is taken back for what it was.
    for (loop, filter) in shapes.enumerated().prefix(20) { index.remove(filter, loop: loop) }
    for (loop, filter) in shapes.enumerated().suffix(20) { index.add(filter, loop: loop) }
    let left = all & ~((1 << 20) - 1)
    #expect(index.loops(topic) & left == left)
    for (loop, filter) in shapes.enumerated().suffix(20) { index.remove(filter, loop: loop) }
    #expect(index.loops(topic) & left == left)
    for (loop, filter) in shapes.enumerated().dropFirst(20) { index.remove(filter, loop: loop) }
    #expect(index.count == 0 && index.loops(topic) == 0)

    let deep = (0..<17).map { _ in "d" }.joined(separator: "/") + "/+"
    index.add(deep, loop: 8)
    #expect(index.loops("anything") == 1 << 8)
    index.remove(deep, loop: 8)
    #expect(index.loops("anything") == 0)
  }

  @Test func rarelyOneTooMany() {
    let index = InterestIndex(seed: testSeed)
    let count = 100_000
    for number in 0..<count { index.add("device/\(number)/in", loop: number % 8) }
    for number in 0..<100 { index.add("device/\(number)/+", loop: 7) }
    var extra = 0
    for number in 0..<count {
      extra += (index.loops("device/\(number)/out/x")).nonzeroBitCount
      let found = index.loops("device/\(number)/in")
      #expect(found & 1 << UInt64(number % 8) != 0)
      extra += found.nonzeroBitCount - 1
    }
    let share = Double(extra) / Double(2 * count)
    #expect(share < 0.1, "\(share) loops too many for each topic")
    let bytes = Double(index.residentBytes) / Double(count)
    #expect(bytes > 8 && bytes < 24, "\(bytes) bytes per filter")
    for number in 0..<count { index.remove("device/\(number)/in", loop: number % 8) }
    for number in 0..<100 { index.remove("device/\(number)/+", loop: 7) }
    #expect(index.residentBytes == InterestIndex.minimumLines * 64)
  }

  /// Readers on other threads, while the index grows and shrinks under them. A filter must be
  /// found from when its `add` is known to have ended until its `remove` may have begun.
  @Test func readersWhileItGrowsAndShrinks() {
    let index = InterestIndex(seed: testSeed)
    let count = 60_000
    let added = Atomic<Int>(0)
    let removed = Atomic<Int>(0)
    // Odd while the two numbers above are set back.
    let round = Atomic<Int>(0)
    let isDone = Atomic<Bool>(false)
    let missed = Atomic<Int>(0)
    let questions = Atomic<Int>(0)
    @Sendable func filter(_ number: Int) -> String {
      number % 50 == 0 ? "f/\(number)/+" : "f/\(number)/x"
    }
    let writer: @Sendable () -> Void = {
      var rounds = 0
      // The readers may be slow to start: go on until they have asked.
      while rounds < 3 || (questions.load(ordering: .relaxed) <= 1000 && rounds < 300) {
        rounds += 1
        for number in 0..<count {
          index.add(filter(number), loop: number % 64)
          added.store(number + 1, ordering: .releasing)
        }
        for number in 0..<count {
          removed.store(number + 1, ordering: .sequentiallyConsistent)
          index.remove(filter(number), loop: number % 64)
        }
        round.add(1, ordering: .sequentiallyConsistent)
        added.store(0, ordering: .sequentiallyConsistent)
        removed.store(0, ordering: .sequentiallyConsistent)
        round.add(1, ordering: .sequentiallyConsistent)
      }
      isDone.store(true, ordering: .releasing)
    }
    // Another loop's filters come and go meanwhile, which moves lines too.
    let other: @Sendable () -> Void = {
      var number = 0
      while !isDone.load(ordering: .acquiring) {
        for step in 0..<500 { index.add("g/\(number + step)", loop: 1) }
        for step in 0..<500 { index.remove("g/\(number + step)", loop: 1) }
        number += 500
      }
    }
    func reader(_ seed: UInt64) -> @Sendable () -> Void {
      {
        var generator = SeededGenerator(seed: seed)
        while !isDone.load(ordering: .acquiring) {
          let before = round.load(ordering: .sequentiallyConsistent)
          let high = added.load(ordering: .sequentiallyConsistent)
          let low = removed.load(ordering: .sequentiallyConsistent)
          guard before % 2 == 0, high > low else { continue }
          // Near the ends of the range as often as anywhere: that is where things happen.
          let number =
            Bool.random(using: &generator)
            ? Int.random(in: low..<high, using: &generator) : min(high - 1, low + 3)
          let isFound = index.loops("f/\(number)/x") & 1 << UInt64(number % 64) != 0
          questions.add(1, ordering: .relaxed)
          // Its removal began meanwhile, or a new round: then nothing is promised.
          let stillLow = removed.load(ordering: .sequentiallyConsistent)
          let after = round.load(ordering: .sequentiallyConsistent)
          if !isFound && stillLow <= number && before == after {
            missed.add(1, ordering: .relaxed)
          }
        }
      }
    }
    onThreads([writer, other, reader(1), reader(2)])
    #expect(missed.load(ordering: .relaxed) == 0)
    #expect(questions.load(ordering: .relaxed) > 1000)
    #expect(index.count == 0)
  }

  /// Filters that stay, in a table so small that each of its changes moves some of them: they are
  /// found at any moment.
  @Test func filtersThatStayAreAlwaysFound() {
    let index = InterestIndex(seed: testSeed)
    let stay = 400
    for number in 0..<stay {
      index.add(number % 10 == 0 ? "s/\(number)/#" : "s/\(number)", loop: number % 64)
    }
    let isDone = Atomic<Bool>(false)
    let missed = Atomic<Int>(0)
    let questions = Atomic<Int>(0)
    let writer: @Sendable () -> Void = {
      var rounds = 0
      // The readers may be slow to start: go on until they have asked.
      while rounds < 40 || (questions.load(ordering: .relaxed) <= 1000 && rounds < 100_000) {
        rounds += 1
        for number in 0..<1200 { index.add("c/\(number)", loop: 2) }
        for number in 0..<1200 { index.remove("c/\(number)", loop: 2) }
      }
      isDone.store(true, ordering: .releasing)
    }
    let reader: @Sendable () -> Void = {
      let topics = (0..<stay).map { "s/\($0)".bytes }
      var number = 0
      while !isDone.load(ordering: .acquiring) {
        number = (number + 1) % stay
        let topic = topics[number]
        let hash = topicHash(topic.span, seed: index.seed)
        let found = index.loops(forTopic: topic.span, topicHash: hash)
        if found & 1 << UInt64(number % 64) == 0 { missed.add(1, ordering: .relaxed) }
        questions.add(1, ordering: .relaxed)
      }
    }
    onThreads([writer, reader, reader])
    #expect(missed.load(ordering: .relaxed) == 0)
    #expect(questions.load(ordering: .relaxed) > 1000)
    #expect(index.count == stay)
  }

  /// A filter on more loops than a line has places: as loops leave, others move from the set into
  /// the line, and are found at any moment.
  @Test func loopsThatStayAreAlwaysFound() {
    let index = InterestIndex(seed: testSeed)
    let staying: UInt64 = 1 << 50 - 1
    let room = Atomic<Int>(-1)
    let isDone = Atomic<Bool>(false)
    let missed = Atomic<Int>(0)
    let questions = Atomic<Int>(0)
    let writer: @Sendable () -> Void = {
      var rounds = 0
      // The readers may be slow to start: go on until they have asked.
      while rounds < 1500 || (questions.load(ordering: .relaxed) <= 1000 && rounds < 1_000_000) {
        let number = rounds % 1500
        rounds += 1
        // Those that leave come first, and so have all the places in the line.
        for loop in 50..<64 { index.add("room/\(number)", loop: loop) }
        for loop in 0..<50 { index.add("room/\(number)", loop: loop) }
        room.store(number, ordering: .sequentiallyConsistent)
        for loop in 50..<64 { index.remove("room/\(number)", loop: loop) }
        room.store(-1, ordering: .sequentiallyConsistent)
        for loop in 0..<50 { index.remove("room/\(number)", loop: loop) }
      }
      isDone.store(true, ordering: .releasing)
    }
    let reader: @Sendable () -> Void = {
      let topics = (0..<1500).map { "room/\($0)".bytes }
      while !isDone.load(ordering: .acquiring) {
        let number = room.load(ordering: .sequentiallyConsistent)
        guard number >= 0 else { continue }
        let topic = topics[number]
        let hash = topicHash(topic.span, seed: index.seed)
        let found = index.loops(forTopic: topic.span, topicHash: hash)
        let isSame = room.load(ordering: .sequentiallyConsistent) == number
        if isSame && found & staying != staying { missed.add(1, ordering: .relaxed) }
        questions.add(1, ordering: .relaxed)
      }
    }
    onThreads([writer, reader, reader])
    #expect(missed.load(ordering: .relaxed) == 0)
    #expect(questions.load(ordering: .relaxed) > 1000)
    #expect(index.count == 0)
  }
}
