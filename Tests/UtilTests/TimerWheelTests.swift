import Testing

@testable import Util

private struct Item: TimerOwner {
  var timer = TimerLinks()
  var number: UInt32
}

/// A wheel with a clock of its own, and beside it the plainest model: a deadline for each slot.
private struct Bench: ~Copyable {
  let wheel: TimerWheel<Item>
  let items = Slab<Item>(capacity: 10_000)
  var model: [UInt32: UInt32] = [:]
  var now: UInt32

  init(now: UInt32) {
    self.now = now
    wheel = TimerWheel(now: now)
  }

  mutating func add() -> UInt32 { items.insert(Item(number: 0))! }

  mutating func set(_ slot: UInt32, at deadline: UInt32) {
    wheel.set(slot, at: deadline, in: items)
    model[slot] = max(deadline, now + 1)
  }

  mutating func cancel(_ slot: UInt32) {
    wheel.cancel(slot, in: items)
    model[slot] = nil
  }

  /// Moves on, and says who fired.
  mutating func advance(to tick: UInt32) -> [UInt32] {
    var fired: [UInt32] = []
    wheel.advance(to: tick, in: items) { fired.append($0) }
    now = tick
    for slot in fired { model[slot] = nil }
    return fired
  }
}

@Suite struct TimerWheelTests {
  @Test func strides() {
    #expect(MemoryLayout<TimerLinks>.stride == 12 && MemoryLayout<TimerLinks>.alignment == 4)
  }

  @Test func presentTickIsNeverNone() {
    let first = TimerWheel<Item>.presentTick
    let second = TimerWheel<Item>.presentTick
    #expect(first != 0 && second >= first)
  }

  @Test func firesOnItsTickAndOnce() {
    var bench = Bench(now: 1000)
    let slot = bench.add()
    for deadline in [1001, 1002, 1064, 5095, 5096, 5097, 9192, 100_000] as [UInt32] {
      bench.set(slot, at: deadline)
      #expect(bench.items[slot].timer.isSet && bench.items[slot].timer.deadline == deadline)
      while bench.now < deadline - 1 {
        // Not one tick at a time, but never over the deadline.
        let step = min(deadline - 1, bench.now + 1 + (deadline - bench.now) / 3)
        #expect(bench.advance(to: step).isEmpty)
      }
      #expect(bench.advance(to: deadline) == [slot])
      #expect(!bench.items[slot].timer.isSet && bench.wheel.ticksToNext() == nil)
      #expect(bench.advance(to: deadline + 5000).isEmpty)
      bench = Bench(now: 1000)
      _ = bench.add()
    }
  }

  @Test func deadlineInThePastFiresWithTheNextTick() {
    var bench = Bench(now: 50)
    let slot = bench.add()
    for deadline in [0, 1, 49, 50] as [UInt32] {
      bench.set(slot, at: deadline)
      #expect(bench.wheel.ticksToNext() == 1)
      #expect(bench.advance(to: bench.now).isEmpty)
      #expect(bench.advance(to: bench.now + 1) == [slot])
    }
  }

  @Test func aPauseLongerThanARoundMissesNothing() {
    var bench = Bench(now: 1)
    var slots: Set<UInt32> = []
    for number in 0..<3000 as Range<UInt32> {
      let slot = bench.add()
      bench.set(slot, at: 2 + number * 7)
      slots.insert(slot)
    }
    let late = bench.add()
    bench.set(late, at: 60_000)
    let fired = bench.advance(to: 50_000)
    #expect(Set(fired) == slots && fired.count == slots.count)
    #expect(bench.advance(to: 59_999).isEmpty && bench.advance(to: 60_000) == [late])
  }

  /// An idle connection costs no wake-ups to speak of: one a round.
  @Test func longDeadlinesWakeSeldom() {
    var bench = Bench(now: 7)
    let slot = bench.add()
    bench.set(slot, at: 7 + 1_000_000)
    var wakes = 0
    while let ticks = bench.wheel.ticksToNext() {
      #expect(ticks >= 1 && ticks <= 4096)
      let fired = bench.advance(to: bench.now + ticks)
      wakes += 1
      if !fired.isEmpty { break }
    }
    #expect(bench.now == 1_000_007 && wakes <= 1_000_000 / 4096 + 1)
  }

  @Test func theLastTickThereIs() {
    var bench = Bench(now: .max - 100)
    let slot = bench.add()
    bench.set(slot, at: .max)
    #expect(bench.advance(to: .max - 1).isEmpty && bench.advance(to: .max) == [slot])
  }

  /// What a callback does to timers of the bucket that is being worked on.
  @Test func callbacksChangeTheirOwnBucket() {
    let items = Slab<Item>(capacity: 100)
    let wheel = TimerWheel<Item>(now: 10)
    var slots: [UInt32] = []
    for number in 0..<6 as Range<UInt32> {
      guard let slot = items.insert(Item(number: number)) else { return }
      wheel.set(slot, at: 20, in: items)
      slots.append(slot)
    }
    var fired: [UInt32] = []
    wheel.advance(to: 20, in: items) { slot in
      fired.append(slot)
      switch fired.count {
      case 1:
        // The first of the list that is left, and one from its middle.
        let others = slots.filter { !fired.contains($0) }
        wheel.cancel(others[others.count - 1], in: items)
        wheel.cancel(others[1], in: items)
        // Its own bucket, a round later, and now.
        wheel.set(slot, at: 20 + 4096, in: items)
      case 2:
        wheel.set(slot, at: 5, in: items)
        guard let other = slots.first(where: { !fired.contains($0) && items[$0].timer.isSet })
        else { return }
        wheel.set(other, at: 20 + 4096, in: items)
      default:
        items.remove(slot)
      }
    }
    #expect(fired.count == 3 && Set(fired).count == 3)
    #expect(wheel.ticksToNext() == 1)
    var later: [UInt32] = []
    wheel.advance(to: 21, in: items) { later.append($0) }
    #expect(later == [fired[1]])
    wheel.advance(to: 20 + 4095, in: items) { later.append($0) }
    #expect(later.count == 1 && wheel.ticksToNext() == 1)
    wheel.advance(to: 20 + 4096, in: items) { later.append($0) }
    #expect(later.count == 3 && later.contains(fired[0]) && wheel.ticksToNext() == nil)
  }

  /// Never early, never late when the clock is asked each time `ticksToNext` says, whatever is
  /// set and stopped inside callbacks and outside.
  @Test(arguments: [41, 42, 43, 44, 45] as [UInt64])
  func randomAgainstModel(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let start = UInt32(1 + random.below(100_000))
    let items = Slab<Item>(capacity: 2000)
    let wheel = TimerWheel<Item>(now: start)
    var now = start
    var model: [UInt32: UInt32] = [:]
    var slots: [UInt32] = []
    for number in 0..<300 as Range<UInt32> {
      if let slot = items.insert(Item(number: number)) { slots.append(slot) }
    }
    func deadline(_ random: inout SeededGenerator) -> UInt32 {
      switch random.below(6) {
      case 0: now &- UInt32(random.below(Int(now) + 1))
      case 1: now + UInt32(random.below(4))
      case 2: now + 4096 * UInt32(random.below(4))
      case 3: now + UInt32(random.below(40_000))
      default: now + UInt32(random.below(600))
      }
    }
    for step in 0..<4000 {
      for _ in 0..<random.below(8) {
        let slot = slots[random.below(slots.count)]
        if random.chance(3) {
          wheel.cancel(slot, in: items)
          model[slot] = nil
        } else {
          let deadline = deadline(&random)
          wheel.set(slot, at: deadline, in: items)
          model[slot] = max(deadline, now + 1)
        }
      }
      let next = model.values.min()
      let ticks = wheel.ticksToNext()
      if let next {
        guard let ticks else { return #expect(Bool(false), "seed \(seed), step \(step)") }
        #expect(ticks >= 1 && now + ticks <= next, "seed \(seed), step \(step)")
        // Exact, unless a timer of a later round has its bucket before.
        if model.values.allSatisfy({ $0 - now <= 4096 }) { #expect(now + ticks == next) }
      } else {
        #expect(ticks == nil, "seed \(seed), step \(step)")
      }
      let target: UInt32 =
        switch random.below(10) {
        case 0: now + UInt32(random.below(10_000))
        case 1: now + 4096
        case 2: now
        case 3: now + UInt32(random.below(500))
        default: now + (ticks ?? 1)
        }
      let before = now
      now = target
      wheel.advance(to: target, in: items) { slot in
        guard let due = model.removeValue(forKey: slot) else {
          return #expect(Bool(false), "fired though not set: seed \(seed), step \(step)")
        }
        #expect(due <= target, "early: seed \(seed), step \(step)")
        #expect(due > before, "late: seed \(seed), step \(step)")
        #expect(!items[slot].timer.isSet)
        switch random.below(5) {
        case 0:
          wheel.set(slot, at: deadline(&random), in: items)
          model[slot] = items[slot].timer.deadline
        case 1:
          let other = slots[random.below(slots.count)]
          wheel.cancel(other, in: items)
          model[other] = nil
        case 2:
          let other = slots[random.below(slots.count)]
          wheel.set(other, at: deadline(&random), in: items)
          model[other] = items[other].timer.deadline
        case 3:
          // The record goes, another takes its slot, and has no timer.
          items.remove(slot)
          guard let again = items.insert(Item(number: 0)) else { return }
          slots[slots.firstIndex(of: slot) ?? 0] = again
        default: break
        }
      }
      for due in model.values { #expect(due > target, "missed: seed \(seed), step \(step)") }
      for slot in slots {
        let isSame = items[slot].timer.deadline == model[slot] ?? 0
        #expect(isSame, "seed \(seed), step \(step)")
      }
    }
  }
}
