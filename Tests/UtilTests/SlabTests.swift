import Testing

@testable import Util

private struct Item: BitwiseCopyable {
  var first: UInt32 = 0
  /// Behind the bytes that a free record uses itself.
  var generation: UInt32
  var value: UInt64
}

@Suite struct SlabTests {
  @Test func slotsStartAtOneAndRunOut() {
    let slab = Slab<Item>(capacity: 2)
    var slots: [UInt32] = []
    while let slot = slab.insert(Item(generation: 1, value: 0)) { slots.append(slot) }
    #expect(slots.first == 1 && Set(slots).count == slots.count)
    #expect(slab.count == slots.count && Int(slab.limit) == slots.count + 1)
    slab.remove(slots[7])
    let again = slab.insert(Item(generation: 2, value: 7))
    #expect(again == slots[7])
    let none = slab.insert(Item(generation: 2, value: 7))
    #expect(none == nil)
  }

  @Test func recordsStayWhereTheyAreAndChangeInPlace() {
    let slab = Slab<Item>(capacity: 1000)
    guard let slot = slab.insert(Item(generation: 5, value: 50)) else {
      return #expect(Bool(false), "no room")
    }
    for number in 0..<900 { _ = slab.insert(Item(generation: 6, value: UInt64(number))) }
    slab[slot].value += 1
    #expect(slab[slot].value == 51 && slab[slot].generation == 5)
  }

  /// Who keeps a slot and its generation can always ask whether the record is still his.
  @Test(arguments: [11, 12, 13] as [UInt64])
  func randomAgainstModel(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let slab = Slab<Item>(capacity: 50_000)
    var live: [UInt32: Item] = [:]
    var order: [UInt32] = []
    var stale: [(slot: UInt32, generation: UInt32)] = []
    var generation: UInt32 = 0
    var most = 0
    for step in 0..<60_000 {
      let grows = step / 20_000 != 1
      if order.isEmpty || random.chance(4) != grows {
        generation += 1
        let item = Item(generation: generation, value: random.next())
        guard let slot = slab.insert(item) else { return #expect(Bool(false), "seed \(seed)") }
        #expect(live[slot] == nil && slot != 0, "seed \(seed), step \(step)")
        live[slot] = item
        order.append(slot)
      } else {
        let place = random.below(order.count)
        let slot = order[place]
        order.swapAt(place, order.count - 1)
        order.removeLast()
        guard let item = live.removeValue(forKey: slot) else { return }
        #expect(
          slab[slot].value == item.value && slab[slot].generation == item.generation,
          "seed \(seed), step \(step)")
        stale.append((slot, item.generation))
        slab[slot].generation = 0
        slab.remove(slot)
      }
      most = max(most, slab.count)
      #expect(slab.count == live.count)
    }
    for (slot, item) in live { #expect(slab[slot].value == item.value && slot < slab.limit) }
    for (slot, generation) in stale { #expect(slab[slot].generation != generation) }
    #expect(slab.residentBytes >= slab.count * MemoryLayout<Item>.stride && most > 1000)
    for slot in order { slab.remove(slot) }
    #expect(slab.count == 0 && slab.residentBytes <= Region.chunkBytes)
  }

  @Test func memoryThatWentBackReadsAsZeros() {
    let slab = Slab<Item>(capacity: 20_000)
    var slots: [UInt32] = []
    for number in 0..<20_000 {
      if let slot = slab.insert(Item(generation: .max, value: UInt64(number))) {
        slots.append(slot)
      }
    }
    for slot in slots { slab.remove(slot) }
    let zeros = (1..<slab.limit).reduce(0) { sum, slot in
      sum + (slab[slot].generation == 0 && slab[slot].value == 0 ? 1 : 0)
    }
    // All but one chunk of 4,096 records.
    #expect(zeros >= Int(slab.limit) - 1 - 4096)
  }

  @Test func misuseEndsTheProcess() async {
    await #expect(processExitsWith: .failure) {
      let slab = Slab<UInt64>(capacity: 100)
      _ = slab.insert(1)
      print(slab[0])
    }
    await #expect(processExitsWith: .failure) {
      let slab = Slab<UInt64>(capacity: 100)
      _ = slab.insert(1)
      print(slab[8192])
    }
    await #expect(processExitsWith: .failure) {
      let slab = Slab<UInt64>(capacity: 100)
      if let slot = slab.insert(1) {
        slab.remove(slot)
        slab.remove(slot)
      }
    }
    await #expect(processExitsWith: .failure) {
      // Far behind the table of chunks.
      Slab<UInt64>(capacity: 100).remove(4_000_000_000)
    }
  }
}
