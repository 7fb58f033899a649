/// A growable array that one owner fills and empties again and again.
///
/// `removeAll` keeps the memory, so that in the steady state nothing is allocated; after a
/// peak it falls back to `quietCapacity` elements. Unlike `Array` it is never shared, and an
/// append checks no reference count.
@safe
public struct ScratchArray<Element: BitwiseCopyable>: ~Copyable {
  /// Elements whose memory is kept whatever happens.
  public static var quietCapacity: Int { 1024 }

  private var base: UnsafeMutablePointer<Element>
  private var capacity: Int
  /// Number of elements.
  public private(set) var count: Int

  /// An empty array with room for `capacity` elements.
  public init(capacity: Int = 16) {
    precondition(capacity > 0)
    unsafe base = .allocate(capacity: capacity)
    self.capacity = capacity
    count = 0
  }

  deinit {
    unsafe base.deallocate()
  }

  /// Whether there is no element.
  public var isEmpty: Bool { count == 0 }

  /// The element at `index`, which must be in 0 ..< `count`.
  public subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count, "index out of range")
      return unsafe base[index]
    }
    set {
      precondition(index >= 0 && index < count, "index out of range")
      unsafe base[index] = newValue
    }
  }

  /// Adds an element at the end.
  public mutating func append(_ element: Element) {
    if count == capacity { resize(to: capacity * 2) }
    unsafe (base + count).initialize(to: element)
    count += 1
  }

  /// Takes the last element away; nil when there is none.
  public mutating func popLast() -> Element? {
    guard count > 0 else { return nil }
    count -= 1
    return unsafe base[count]
  }

  /// Empties the array. Memory of a peak goes back at the first small use after it.
  public mutating func removeAll() {
    let used = count
    count = 0
    if capacity > Self.quietCapacity && used <= Self.quietCapacity {
      resize(to: Self.quietCapacity)
    }
  }

  private mutating func resize(to newCapacity: Int) {
    let new = UnsafeMutablePointer<Element>.allocate(capacity: newCapacity)
    unsafe new.update(from: base, count: count)
    unsafe base.deallocate()
    unsafe base = new
    capacity = newCapacity
  }
}
