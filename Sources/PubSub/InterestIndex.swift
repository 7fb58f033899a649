import Synchronization
import Util

/// Which loops have a filter that may match a topic, for all loops to read without a lock.
///
/// A publish asks it once, and wakes only the loops that it names. It may name a loop too many
/// (that loop finds nobody, and one wake-up was wasted); it never misses one whose `add` came
/// before the question.
///
/// **What is stored.** One 32-bit entry for each filter of each loop: the loop and 26 bits of the
/// filter's hash, in lines of 64 bytes that the other bits select. A question reads one line, and
/// one more for each shape of filters with wildcards that fits the topic (see `FilterShape`). The
/// entries that a full line has no room for are kept under the lock, and the line has a set of
/// their loops, which a question takes as it is. Filters whose shape can't be
/// kept make their loop one that always matches. Lines are added and taken away one at a time
/// (linear hashing), in place: 11 to 21 bytes for each entry, no pause, and no memory that a
/// reader could hold on to after it is gone.
///
/// **Why no loop is missed.** All changes are made under one lock. A reader takes no lock, but
/// takes the state (number of lines and a version) before it reads, again after it, and starts
/// anew if it changed. So:
/// - An entry that is moved between lines, by a split or a merge, is first written to its new
///   line; then the state changes; and only then is the old one cleared. A reader that finds a
///   line already cleared therefore finds the state changed, because a release fence lies
///   between the state's store and the clearing, and an acquire fence between the reader's loads
///   of the line and of the state.
/// - An entry that moves from the set of a full line into the line is written before the set is
///   stored anew, and a reader loads the set first. Entries never change place inside a line.
/// - A shape is stored after the first entry that needs it and cleared after the last is gone.
///   It stays where it is meanwhile, so a reader that walks the shapes passes it.
public final class InterestIndex: Sendable {
  /// Shapes that are kept; filters of further shapes match always. A question costs one look-up
  /// for each, so the bound is also one on its time.
  static let maximumShapes = 32
  /// Lines that are kept even when empty, 4 KiB. At least 64: a line's number gives the low six
  /// bits of the hash, which entries leave out.
  static let minimumLines = 64
  static let wordsPerLine = 8
  /// Lines are added while there are more entries per line, of the 14 that fit: few are full.
  static let splitLoad = 6
  /// Lines are taken away while there are fewer entries per line.
  static let mergeLoad = 3

  /// The seed of all hashes; shared with the filter indices.
  public let seed: HashSeed
  let lines: AtomicWords
  let maximumLines: Int
  /// Bits 0-31: number of lines; 32-63: a version that each change of the number raises.
  let state: Atomic<UInt64>
  let shapes: AtomicWords
  /// No shape at or after this place is in use.
  let shapeLimit = Atomic<Int>(0)
  /// Loops that match always.
  let alwaysLoops = Atomic<UInt64>(0)
  let book: Mutex<InterestBook>

  /// Reserves addresses, not memory.
  /// - Parameter capacity: filters, counted once for each loop, up to which the index stays exact;
  ///   beyond it, it names more and more loops in vain.
  public init(capacity: Int = 1 << 25, seed: HashSeed) {
    self.seed = seed
    maximumLines = max(InterestIndex.minimumLines, capacity / InterestIndex.splitLoad)
    lines = AtomicWords(count: maximumLines * InterestIndex.wordsPerLine)
    state = Atomic(UInt64(InterestIndex.minimumLines))
    shapes = AtomicWords(count: InterestIndex.maximumShapes)
    book = Mutex(InterestBook())
  }

  /// Number of filters, counted once for each loop.
  public var count: Int { book.withLock { $0.entryCount + $0.alwaysCounts.reduce(0, +) } }

  /// Bytes of memory that the lines may hold. As the index shrinks they go back by halves.
  public var residentBytes: Int {
    book.withLock { $0.touchedLines } * InterestIndex.wordsPerLine * MemoryLayout<UInt64>.stride
  }

  /// The loops, as a set of bits, that have a filter which may match `topic`.
  /// - Parameter topicHash: `topicHash(topic, seed: seed)`.
  public func loops(forTopic topic: Span<UInt8>, topicHash: UInt32) -> UInt64 {
    if shapeLimit.load(ordering: .acquiring) == 0 {
      while true {
        let before = state.load(ordering: .acquiring)
        let found = probe(topicHash, state: before)
        atomicMemoryFence(ordering: .acquiring)
        if state.load(ordering: .relaxed) == before {
          return found | alwaysLoops.load(ordering: .acquiring)
        }
      }
    }
    let parts = TopicParts(topic, seed: seed)
    while true {
      let before = state.load(ordering: .acquiring)
      var found = probe(topicHash, state: before)
      for index in 0..<shapeLimit.load(ordering: .acquiring) {
        let bits = shapes.load(index)
        guard bits != 0 else { continue }
        let shape = FilterShape(bits: UInt32(truncatingIfNeeded: bits))
        if let hash = parts.hash(for: shape) { found |= probe(hash, state: before) }
      }
      atomicMemoryFence(ordering: .acquiring)
      if state.load(ordering: .relaxed) == before {
        return found | alwaysLoops.load(ordering: .acquiring)
      }
    }
  }

  /// The loops with an entry for `hash`, and those of the set of a full line.
  private func probe(_ hash: UInt32, state: UInt64) -> UInt64 {
    let hash = InterestIndex.normalised(hash)
    let line = InterestIndex.line(of: hash, lineCount: Int(state & 0xFFFF_FFFF))
    let first = line * InterestIndex.wordsPerLine
    // The set first: see "why no loop is missed".
    var found = lines.load(first)
    let tag = hash >> 6
    for word in first + 1..<first + InterestIndex.wordsPerLine {
      let entries = lines.load(word)
      let low = UInt32(truncatingIfNeeded: entries)
      let high = UInt32(truncatingIfNeeded: entries >> 32)
      if low >> 6 == tag { found |= 1 << UInt64(low & 63) }
      if high >> 6 == tag { found |= 1 << UInt64(high & 63) }
    }
    return found
  }

  /// The smallest 2^n - 1 that covers `lineCount` lines.
  static func lineMask(_ lineCount: Int) -> Int {
    (1 << (Int.bitWidth - (lineCount - 1).leadingZeroBitCount)) - 1
  }

  /// The line of a hash: lines that are not there yet are folded into the lower half.
  static func line(of hash: UInt32, lineCount: Int) -> Int {
    let mask = lineMask(lineCount)
    let line = Int(hash) & mask
    return line < lineCount ? line : line & (mask >> 1)
  }

  /// An entry of all zeros stands for none, so no tag may be zero.
  static func normalised(_ hash: UInt32) -> UInt32 {
    hash >> 6 == 0 ? hash | 1 << 31 : hash
  }
}
