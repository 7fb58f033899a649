import Testing

@testable import GRPCServer

/// The queue and the tables of hooks.
struct HooksTablesTests {
  /// `#expect` takes no call that changes a value.
  private func check(
    _ isTrue: Bool, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(isTrue, sourceLocation: sourceLocation)
  }

  @Test func aQueueIsBoundedInNumber() {
    var queue = BoundedQueue<Int>(maximumCount: 2, maximumBytes: 100)
    check(queue.append(1, weight: 1, bytes: 1))
    check(queue.append(2, weight: 1, bytes: 1))
    check(!queue.append(3, weight: 1, bytes: 1))
    check(queue.takeFirst(maximumWeight: 1, maximumBytes: 100) == [1])
    check(queue.append(4, weight: 1, bytes: 1))
    check(queue.takeAll() == [2, 4])
    check(queue.isEmpty)
  }

  @Test func aQueueIsBoundedInBytesButTakesOne() {
    var queue = BoundedQueue<Int>(maximumCount: 10, maximumBytes: 100)
    check(queue.append(1, weight: 1, bytes: 1000))
    check(!queue.append(2, weight: 1, bytes: 1))
    check(queue.takeFirst(maximumWeight: 1, maximumBytes: 1) == [1])
    check(queue.append(3, weight: 1, bytes: 60))
    check(!queue.append(4, weight: 1, bytes: 41))
    check(queue.append(5, weight: 1, bytes: 40))
  }

  @Test func aBatchIsBoundedByWeightAndBytes() {
    var queue = BoundedQueue<Int>(maximumCount: 1000, maximumBytes: 10_000)
    for number in 0..<5 { check(queue.append(number, weight: 3, bytes: 10)) }
    check(queue.takeFirst(maximumWeight: 7, maximumBytes: 100) == [0, 1])
    check(queue.takeFirst(maximumWeight: 100, maximumBytes: 25) == [2, 3])
    check(queue.takeFirst(maximumWeight: 1, maximumBytes: 1) == [4])
    check(queue.takeFirst(maximumWeight: 1, maximumBytes: 1) == [])
  }

  @Test func aQueueKeepsItsOrderOverManyTurns() {
    var queue = BoundedQueue<Int>(maximumCount: 1000, maximumBytes: 1_000_000)
    var next = 0
    var seen = 0
    var generator = SeededGenerator(seed: 7)
    for _ in 0..<2000 {
      for _ in 0..<Int.random(in: 0...5, using: &generator)
      where queue.append(next, weight: 1, bytes: 1) {
        next += 1
      }
      for number in queue.takeFirst(
        maximumWeight: Int.random(in: 1...5, using: &generator), maximumBytes: 1000)
      {
        check(number == seen)
        seen += 1
      }
    }
    check(queue.takeAll() == Array(seen..<next))
  }

  @Test func whatWasNotUsedGoesFirst() {
    var table = RecentlyUsed<String, Int>(maximumCount: 3, maximumBytes: 100)
    table.set("a", 1, bytes: 1)
    table.set("b", 2, bytes: 1)
    table.set("c", 3, bytes: 1)
    check(table.value("a") == 1)
    table.set("d", 4, bytes: 1)
    check(table.value("b") == nil)
    check(table.value("a") == 1)
    table.set("e", 5, bytes: 99)
    check(table.value("c") == nil)
    check(table.value("d") == nil)
    check(table.value("a") == 1)
    table.set("f", 6, bytes: 101)
    check(table.value("f") == nil)
    check(table.count == 2)
    table.remove("a")
    table.remove("e")
    check(table.count == 0)
    table.set("g", 7, bytes: 100)
    check(table.value("g") == 7)
  }

  @Test func anAnswerHoldsForItsTime() {
    let cache = AnswerCache<String, Int>()
    var isAsked = false
    check(
      cache.find(now: 0) {
        isAsked = true
        return "a"
      } == nil)
    // No key is made while there is no answer.
    check(!isAsked)
    cache.keep(1, for: "a", seconds: 2, bytes: 1, now: 1000)
    cache.keep(2, for: "b", seconds: 0, bytes: 1, now: 1000)
    check(cache.find(now: 2999) { "a" } == 1)
    check(cache.find(now: 2999) { "b" } == nil)
    check(cache.find(now: 3000) { "a" } == nil)
    cache.keep(3, for: "c", seconds: .max, bytes: 1, now: 0)
    check(cache.find(now: 86_399_999) { "c" } == 3)
    check(cache.find(now: 86_400_000) { "c" } == nil)
  }
}
