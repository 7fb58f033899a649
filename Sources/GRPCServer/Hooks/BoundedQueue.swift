/// What waits, oldest first, bounded in number and in bytes.
struct BoundedQueue<Element> {
  private struct Entry {
    var element: Element
    /// What it counts in a batch.
    var weight: Int
    var bytes: Int
  }

  private let maximumCount: Int
  private let maximumBytes: Int
  private var entries: [Entry?] = []
  /// Index of the oldest.
  private var head = 0
  private var bytes = 0

  /// An empty queue. Something that is larger than `maximumBytes` may be in it alone.
  init(maximumCount: Int, maximumBytes: Int) {
    self.maximumCount = maximumCount
    self.maximumBytes = maximumBytes
  }

  var count: Int { entries.count - head }
  var isEmpty: Bool { count == 0 }

  /// Adds something, or says that there is no room for it.
  mutating func append(_ element: Element, weight: Int, bytes: Int) -> Bool {
    guard count < maximumCount, isEmpty || self.bytes + bytes <= maximumBytes else { return false }
    entries.append(Entry(element: element, weight: weight, bytes: bytes))
    self.bytes += bytes
    return true
  }

  /// Takes what is oldest: as much as the bounds allow, and one at least where there is any.
  mutating func takeFirst(maximumWeight: Int, maximumBytes: Int) -> [Element] {
    var taken: [Element] = []
    var weight = 0
    var size = 0
    while head < entries.count, let entry = entries[head] {
      weight += entry.weight
      size += entry.bytes
      if !taken.isEmpty && (weight > maximumWeight || size > maximumBytes) { break }
      taken.append(entry.element)
      entries[head] = nil
      head += 1
      bytes -= entry.bytes
    }
    shrink()
    return taken
  }

  /// Takes all.
  mutating func takeAll() -> [Element] { takeFirst(maximumWeight: .max, maximumBytes: .max) }

  /// Closes the gap in front, once it is as long as what waits; an empty queue owns no memory.
  private mutating func shrink() {
    if isEmpty {
      entries = []
      head = 0
    } else if head > 64 && head >= count {
      entries.removeFirst(head)
      head = 0
    }
  }
}
