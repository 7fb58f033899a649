import Glibc

/// Blocks of bytes in size classes, named by a 32-bit handle.
///
/// Strings, read remainders, write queues and queued messages live here. A free block is kept for
/// the next use; chunks of memory in which every block is free go back to the system. Handle 0
/// stands for "none". The pool belongs to one thread.
@safe
public struct BytePool: ~Copyable {
  /// Block sizes: eight bytes apart where small strings live, then four steps to each doubling,
  /// so that at most a fifth of a block beyond 64 bytes is slack.
  static let classSizes: [Int] = {
    var sizes = [16, 24, 32, 40, 48, 56, 64]
    var step = 16
    while sizes[sizes.count - 1] < largestClass {
      for _ in 0..<4 { sizes.append(sizes[sizes.count - 1] + step) }
      step *= 2
    }
    return sizes
  }()

  /// The largest block that comes from a class; a larger one is a mapping of its own.
  static let largestClass = 65_536

  /// Bits of a handle that name the block inside its class.
  @usableFromInline static var indexBits: UInt32 { 26 }

  /// Where the blocks of a class lie: what finding a block takes, in one cache line.
  @usableFromInline
  @unsafe
  struct Place: BitwiseCopyable {
    @usableFromInline var base: UnsafeMutableRawPointer?
    @usableFromInline var stride: Int
    /// Indices below it may be in use; 0 where the class was never asked for a block.
    @usableFromInline var limit: UInt32
  }

  private struct Large: BitwiseCopyable {
    var address: UInt
    /// 0 in a record that is free.
    var count: Int
  }

  /// One region a class, made when its first block is asked for.
  private let regions: UnsafeMutablePointer<Region>
  private let isStarted: UnsafeMutablePointer<Bool>
  /// For each number that six bits of a handle can give.
  @usableFromInline let places: UnsafeMutablePointer<Place>
  private let classCount: Int
  /// Class of each size, in steps of eight bytes.
  private let classOfSize: UnsafeMutablePointer<UInt8>
  private let capacityBytes: Int
  private let spareChunks: Int
  private let large: Slab<Large>
  private let totals: UnsafeMutablePointer<Totals>

  private struct Totals {
    var usedBytes: Int
    var largeBytes: Int
  }

  /// - Parameters:
  ///   - capacityBytes: addresses reserved for each size class; 1 GiB where nothing else is said,
  ///     which bounds what one loop can hold in blocks of one size.
  ///   - spareChunks: empty chunks of each size class that are kept until `trim`, so that blocks
  ///     which come and go in each turn cost no system call.
  public init(capacityBytes: Int = 1 << 30, spareChunks: Int = 1) {
    let sizes = BytePool.classSizes
    classCount = sizes.count
    unsafe regions = .allocate(capacity: sizes.count)
    unsafe isStarted = .allocate(capacity: sizes.count)
    unsafe places = .allocate(capacity: 64)
    unsafe places.initialize(repeating: Place(base: nil, stride: 0, limit: 0), count: 64)
    unsafe classOfSize = .allocate(capacity: BytePool.largestClass / 8 + 1)
    var size = 0
    for (index, classSize) in sizes.enumerated() {
      unsafe isStarted[index] = false
      while size <= classSize {
        unsafe classOfSize[size / 8] = UInt8(index)
        size += 8
      }
    }
    self.capacityBytes = capacityBytes
    self.spareChunks = spareChunks
    large = Slab(capacity: 1 << 20)
    unsafe totals = .allocate(capacity: 1)
    unsafe totals.initialize(to: Totals(usedBytes: 0, largeBytes: 0))
  }

  deinit {
    for index in 0..<classCount where unsafe isStarted[index] {
      unsafe (regions + index).deinitialize(count: 1)
    }
    var slot: UInt32 = 1
    while slot < large.limit {
      let block = large[slot]
      if block.count != 0 {
        unsafe munmap(UnsafeMutableRawPointer(bitPattern: block.address), block.count)
      }
      slot += 1
    }
    unsafe isStarted.deallocate()
    unsafe places.deallocate()
    unsafe regions.deallocate()
    unsafe classOfSize.deallocate()
    unsafe totals.deallocate()
  }

  /// Bytes in blocks that are in use, counted by block size.
  public var usedBytes: Int { unsafe totals.pointee.usedBytes }

  /// Bytes of memory that the pool may hold, free blocks included.
  public var residentBytes: Int {
    var sum = unsafe totals.pointee.largeBytes
    for index in 0..<classCount where unsafe isStarted[index] {
      unsafe sum += regions[index].residentBytes
    }
    return sum
  }

  /// Number of blocks in use.
  public var count: Int {
    var sum = large.count
    for index in 0..<classCount where unsafe isStarted[index] {
      unsafe sum += regions[index].liveCount
    }
    return sum
  }

  /// A block of at least `count` bytes, contents undefined; nil when the pool is exhausted.
  public func allocate(_ count: Int) -> UInt32? {
    precondition(count >= 0, "not a size")
    guard count <= BytePool.largestClass else { return allocateLarge(count) }
    let sizeClass = unsafe Int(classOfSize[(count + 7) / 8])
    if unsafe !isStarted[sizeClass] { start(sizeClass) }
    guard let index = unsafe regions[sizeClass].allocate() else { return nil }
    unsafe totals.pointee.usedBytes += regions[sizeClass].stride
    return UInt32(sizeClass) << BytePool.indexBits | index
  }

  private func start(_ sizeClass: Int) {
    let size = BytePool.classSizes[sizeClass]
    let blocks = BytePool.blockLimit(size, capacityBytes)
    unsafe (regions + sizeClass).initialize(
      to: Region(stride: size, capacity: blocks, spareLimit: spareChunks))
    unsafe isStarted[sizeClass] = true
    unsafe places[sizeClass] = Place(
      base: regions[sizeClass].base, stride: size, limit: UInt32(regions[sizeClass].capacity))
  }

  /// Blocks of one class. A region rounds up to whole chunks; a chunk less than what the bits of a
  /// handle name leaves room for that.
  static func blockLimit(_ size: Int, _ capacityBytes: Int) -> Int {
    max(2, min(capacityBytes / size, 1 << Int(indexBits) - Region.chunkBytes / size))
  }

  /// Whether `trim` would give memory back.
  public var hasSpare: Bool {
    for index in 0..<classCount where unsafe isStarted[index] {
      if unsafe regions[index].hasSpare { return true }
    }
    return false
  }

  /// Gives the memory of empty chunks back to the system: all but one of each size class that a
  /// block was asked of since the last call, and that one too of the others.
  public func trim() {
    for index in 0..<classCount where unsafe isStarted[index] { unsafe regions[index].trim() }
  }

  /// What the pool's memory is used for.
  public var memory: PoolMemory {
    let large = unsafe totals.pointee.largeBytes
    var sum = PoolMemory(used: large, touched: large)
    for index in 0..<classCount where unsafe isStarted[index] {
      unsafe sum += PoolMemory(
        used: regions[index].usedBytes, touched: regions[index].touchedBytes)
    }
    return sum
  }

  private static let largeClass: UInt32 = 63

  private func allocateLarge(_ count: Int) -> UInt32? {
    let rounded = (count + 4095) & ~4095
    let address = unsafe mmap(
      nil, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else { return nil }
    guard let slot = large.insert(Large(address: UInt(bitPattern: address), count: rounded)) else {
      unsafe munmap(address, rounded)
      return nil
    }
    unsafe totals.pointee.usedBytes += rounded
    unsafe totals.pointee.largeBytes += rounded
    return BytePool.largeClass << BytePool.indexBits | slot
  }

  /// Gives a block back. `handle` must be in use.
  public func free(_ handle: UInt32) {
    let sizeClass = handle >> BytePool.indexBits
    let index = handle & (1 << BytePool.indexBits - 1)
    if sizeClass == BytePool.largeClass {
      let block = large[index]
      unsafe munmap(UnsafeMutableRawPointer(bitPattern: block.address), block.count)
      unsafe totals.pointee.usedBytes -= block.count
      unsafe totals.pointee.largeBytes -= block.count
      large[index].count = 0
      large.remove(index)
      return
    }
    precondition(unsafe Int(sizeClass) < classCount && isStarted[Int(sizeClass)], "not a handle")
    unsafe totals.pointee.usedBytes -= regions[Int(sizeClass)].stride
    unsafe regions[Int(sizeClass)].free(index)
  }

  /// Number of bytes that the block holds; at least what was asked for.
  public func capacity(of handle: UInt32) -> Int {
    let place = unsafe places[Int(handle >> BytePool.indexBits)]
    if unsafe place.limit != 0 { return unsafe place.stride }
    return largeBlock(handle).count
  }

  private func largeBlock(_ handle: UInt32) -> Large {
    precondition(handle >> BytePool.indexBits == BytePool.largeClass, "not a handle")
    return large[handle & (1 << BytePool.indexBits - 1)]
  }

  /// The address of a block, valid until it is freed; it never moves.
  @unsafe
  @inlinable
  @inline(__always)
  public func address(of handle: UInt32) -> UnsafeMutableRawPointer {
    let index = handle & (1 << BytePool.indexBits - 1)
    // Six bits: within the 64 places.
    let place = unsafe places[Int(handle >> BytePool.indexBits)]
    guard unsafe index != 0 && index < place.limit, let base = unsafe place.base else {
      return unsafe largeAddress(handle)
    }
    return unsafe base + Int(index) * place.stride
  }

  @usableFromInline
  func largeAddress(_ handle: UInt32) -> UnsafeMutableRawPointer {
    // A mapping's address was checked when it was made.
    unsafe UnsafeMutableRawPointer(bitPattern: largeBlock(handle).address)!
  }

  /// The first `count` bytes of a block.
  @_lifetime(borrow self)
  public func bytes(_ handle: UInt32, count: Int) -> Span<UInt8> {
    precondition(count >= 0 && count <= capacity(of: handle), "beyond the block")
    // The block's memory stays mapped while the pool lives; a block freed meanwhile reads as
    // other bytes, never as unmapped memory, except for large ones, which the owner must not free
    // while a span is in use.
    let span = unsafe UnsafeBufferPointer(
      start: address(of: handle).assumingMemoryBound(to: UInt8.self), count: count
    ).span
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// The first `count` bytes of a block, for writing.
  @_lifetime(borrow self)
  public func mutableBytes(_ handle: UInt32, count: Int) -> MutableSpan<UInt8> {
    precondition(count >= 0 && count <= capacity(of: handle), "beyond the block")
    let span = unsafe UnsafeMutableBufferPointer(
      start: address(of: handle).assumingMemoryBound(to: UInt8.self), count: count
    ).mutableSpan
    return unsafe _overrideLifetime(span, borrowing: self)
  }
}
