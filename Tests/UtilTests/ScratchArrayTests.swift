import Testing
import Util

@Suite struct ScratchArrayTests {
  @Test func growsAndEmpties() {
    var array = ScratchArray<UInt32>(capacity: 1)
    for number in 0..<UInt32(10_000) { array.append(number) }
    #expect(array.count == 10_000 && array[0] == 0 && array[9999] == 9999)
    array[5] = 77
    #expect(array[5] == 77)
    #expect(array.popLast() == 9999 && array.count == 9999)
    array.removeAll()
    #expect(array.count == 0 && array.popLast() == nil)
    // A small use after a peak: the memory goes back, and the array works on.
    array.append(1)
    array.removeAll()
    for number in 0..<UInt32(2000) { array.append(number) }
    #expect(array.count == 2000 && array[1999] == 1999)
  }
}
