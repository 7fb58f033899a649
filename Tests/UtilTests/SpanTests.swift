import Testing
import Util

@Suite struct SpanTests {
  @Test func sameBytes() {
    let cases: [([UInt8], [UInt8], Bool)] = [
      ([], [], true), ([1], [1], true), ([1], [2], false), ([1], [], false), ([], [0], false),
      ([1, 2, 3], [1, 2, 4], false), ([1, 2, 3], [1, 2, 3], true), ([0, 0], [0], false),
    ]
    for (left, right, expected) in cases {
      let isSame = left.span.hasSameBytes(as: right.span)
      #expect(isSame == expected, "\(left) and \(right)")
    }
    let whole: [UInt8] = [9, 1, 2, 9, 1, 2]
    let isPart = whole.span.extracting(1..<3).hasSameBytes(as: whole.span.extracting(4..<6))
    #expect(isPart)
  }

  @Test func copiesOfSpans() {
    let bytes: [UInt8] = Array("grüße".utf8)
    #expect(bytes.span.description == "grüße" && bytes.span.array == bytes)
    let broken: [UInt8] = [0x61, 0xFF, 0x62]
    #expect(broken.span.description == "a\u{FFFD}b")
    #expect([UInt8]().span.description.isEmpty && [UInt8]().span.array.isEmpty)
  }

  @Test func copyingIntoASpan() {
    let source: [UInt8] = [7, 8, 9]
    let nothing: [UInt8] = []
    var target: [UInt8] = [0, 0, 0, 0, 0]
    var span = target.mutableSpan
    span.copy(source.span, at: 0)
    span.copy(source.span, at: 2)
    span.copy(nothing.span, at: 5)
    #expect(target == [7, 8, 7, 8, 9])
  }

  @Test func ranges() {
    let bytes: [UInt8] = [1, 2, 3, 4]
    let range = ByteRange(offset: 1, count: 2)
    #expect(range.range == 1..<3 && !range.isEmpty && ByteRange.empty.isEmpty)
    #expect(bytes.span.extracting(range).array == [2, 3])
    #expect(bytes.span.extracting(ByteRange(offset: 4, count: 0)).array.isEmpty)
    let largest = ByteRange(offset: 268_435_460, count: 268_435_455)
    #expect(largest.range == 268_435_460..<536_870_915)
    #expect(MemoryLayout<ByteRange>.stride == 8)
  }

  @Test func misuseEndsTheProcess() async {
    await #expect(processExitsWith: .failure) {
      let source: [UInt8] = [7, 8, 9]
      var target: [UInt8] = [0, 0, 0, 0]
      var span = target.mutableSpan
      span.copy(source.span, at: 2)
    }
    await #expect(processExitsWith: .failure) {
      let bytes: [UInt8] = [7, 8, 9]
      print(bytes.span.extracting(ByteRange(offset: 2, count: 2)).count)
    }
  }
}
