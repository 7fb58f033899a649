import Testing
import Util

@Suite struct ArrayRisingTests {
  private func inserting(_ element: UInt64, _ list: inout [UInt64]) -> Bool {
    list.insertRising(element)
  }

  private func removing(_ element: UInt64, _ list: inout [UInt64]) -> Bool {
    list.removeRising(element)
  }

  @Test func elementsRiseAndAreThereOnce() {
    var list: [UInt64] = []
    let news = ([5, 9, 1, 5, 7, 9, 1, 3] as [UInt64]).map { inserting($0, &list) }
    #expect(news == [true, true, true, false, true, false, false, true])
    #expect(list == [1, 3, 5, 7, 9])
    let found = ([4, 11, 0, 1, 9, 5, 5] as [UInt64]).map { removing($0, &list) }
    #expect(found == [false, false, false, true, true, true, false])
    #expect(list == [3, 7])
  }

  @Test func theLowestAndTheHighest() {
    var list: [UInt64] = []
    #expect(!removing(0, &list))
    #expect(inserting(.max, &list) && inserting(0, &list) && !inserting(.max, &list))
    #expect(list == [0, .max])
    #expect(removing(0, &list) && removing(.max, &list) && list.isEmpty)
  }

  /// Beside a set.
  @Test(arguments: [1, 2, 3] as [UInt64]) func schedules(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var list: [UInt64] = []
    var model: Set<UInt64> = []
    for step in 0..<3000 {
      let element = UInt64(random.below(60))
      if random.chance(2) {
        #expect(inserting(element, &list) == model.insert(element).inserted, "step \(step)")
      } else {
        #expect(removing(element, &list) == (model.remove(element) != nil), "step \(step)")
      }
      #expect(list == model.sorted(), "seed \(seed), step \(step)")
    }
  }
}
