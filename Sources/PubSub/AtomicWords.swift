import Util

import Synchronization

/// An array of 64-bit words that several threads read and write, in reserved memory: its address
/// never changes, and its pages come and go.
@safe
struct AtomicWords: ~Copyable, @unchecked Sendable {
  private let memory: ReservedMemory
  private let words: UnsafeMutablePointer<Atomic<UInt64>>
  let count: Int

  /// `count` words, all zero.
  init(count: Int) {
    memory = ReservedMemory(byteCount: count * MemoryLayout<UInt64>.stride)
    // An atomic is laid out as its value, and zero bits are its value 0: memory that was never
    // touched needs no initialisation, which would make all of it resident.
    unsafe words = memory.base.bindMemory(to: Atomic<UInt64>.self, capacity: count)
    self.count = count
  }

  func load(_ index: Int) -> UInt64 {
    precondition(index >= 0 && index < count, "word out of range")
    return unsafe words[index].load(ordering: .acquiring)
  }

  func store(_ index: Int, _ value: UInt64) {
    precondition(index >= 0 && index < count, "word out of range")
    unsafe words[index].store(value, ordering: .releasing)
  }

  /// Gives the pages from a word on back; the words must be zero already.
  func giveBack(from index: Int) {
    memory.giveBack(from: index * MemoryLayout<UInt64>.stride)
  }
}
