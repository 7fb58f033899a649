import Glibc

/// A reserved range of addresses, cut into blocks of one size that are named by index.
///
/// The whole range is reserved once, without memory behind it, so that a block's address is one
/// multiplication away and never moves. Memory comes when a block is first touched, and goes back
/// to the system a chunk at a time when all blocks of a chunk are free.
///
/// Index 0 is never given out: it stands for "none". A region belongs to one thread.
@safe
struct Region: ~Copyable {
  /// Bytes that are given back to the system at once; blocks larger than this are chunks of their own.
  static let chunkBytes = 65_536

  private static let pageBytes = 4096

  /// Chunks that the table of them has room for at first.
  private static var firstChunks: Int { 8 }

  /// What is known of one chunk. Chunks with a free block form a doubly linked list.
  private struct Chunk: BitwiseCopyable {
    var firstFree: UInt32
    /// Blocks of this chunk that have been handed out at least once since it was last empty.
    var fresh: UInt32
    var live: UInt32
    var next: UInt32
    var previous: UInt32
    var isListed: Bool
    /// False until a block is handed out, and again once the memory went back.
    var isResident: Bool
  }

  @unsafe
  private struct State {
    var liveCount: Int
    var residentChunks: Int
    /// Chunks that are empty but kept, so that a block that comes and goes costs no system call.
    var spareChunks: Int
    /// Pages that blocks which were handed out lie on, in chunks whose memory did not go back.
    var touchedPages: Int
    /// Whether a block was handed out since the last `trim`.
    var isBusy: Bool
    /// What is known of each chunk that was begun. It grows by doubling: a page of its own for each of
    /// a thousand regions would be more than what they hold.
    var chunks: UnsafeMutablePointer<Chunk>
    var chunkCapacity: Int
    var chunkCount: UInt32
    var firstOpen: UInt32
    var lastOpen: UInt32
  }

  /// No chunk: the end of the list.
  private static var none: UInt32 { .max }

  @usableFromInline let base: UnsafeMutableRawPointer
  @usableFromInline let stride: Int
  /// Number of blocks; valid indices are 1 to `capacity` - 1.
  @usableFromInline let capacity: Int
  private let blocksPerChunk: Int
  private let chunkStride: Int
  private let chunksReserved: Int
  private let state: UnsafeMutablePointer<State>
  private let spareLimit: Int

  /// Reserves addresses for `capacity` blocks of `stride` bytes (a multiple of 4, at least 4).
  init(stride: Int, capacity: Int, spareLimit: Int = 1) {
    precondition(stride >= 4 && stride % 4 == 0 && capacity > 1)
    self.stride = stride
    // A chunk is whole pages and whole blocks, so that blocks follow each other without gaps and
    // a chunk may go back while its neighbours stay.
    var unit = Region.pageBytes
    while unit % stride != 0 { unit += Region.pageBytes }
    chunkStride = max(1, Region.chunkBytes / unit) * unit
    blocksPerChunk = chunkStride / stride
    chunksReserved = (capacity + blocksPerChunk - 1) / blocksPerChunk
    self.capacity = chunksReserved * blocksPerChunk
    self.spareLimit = spareLimit
    unsafe base = Region.reserve(chunksReserved * chunkStride)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(
      to: State(
        liveCount: 0, residentChunks: 0, spareChunks: 0, touchedPages: 0, isBusy: false,
        chunks: .allocate(capacity: Region.firstChunks), chunkCapacity: Region.firstChunks,
        chunkCount: 0, firstOpen: Region.none, lastOpen: Region.none))
  }

  deinit {
    unsafe munmap(base, chunksReserved * chunkStride)
    unsafe chunks.deallocate()
    unsafe state.deallocate()
  }

  /// Addresses without memory. Running out of them (47 bits) is a limit no configuration reaches,
  /// so it ends the process, as an exhausted heap does.
  private static func reserve(_ count: Int) -> UnsafeMutableRawPointer {
    let address = unsafe mmap(
      nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      fatalError(
        "cannot reserve \(count) bytes of addresses: errno \(errno); see vm.overcommit_memory")
    }
    return unsafe address
  }

  private var chunks: UnsafeMutablePointer<Chunk> { unsafe state.pointee.chunks }

  private func growTable() {
    let capacity = unsafe 2 * state.pointee.chunkCapacity
    let larger = UnsafeMutablePointer<Chunk>.allocate(capacity: capacity)
    unsafe larger.update(from: chunks, count: Int(state.pointee.chunkCount))
    unsafe chunks.deallocate()
    unsafe state.pointee.chunks = larger
    unsafe state.pointee.chunkCapacity = capacity
  }

  /// One more than the highest index that may be in use.
  var limit: UInt32 { UInt32(unsafe Int(state.pointee.chunkCount) * blocksPerChunk) }

  var liveCount: Int { unsafe state.pointee.liveCount }

  /// Bytes of memory that chunks in use may hold, spare ones included.
  var residentBytes: Int { unsafe state.pointee.residentChunks * chunkStride }

  /// Bytes of blocks in use.
  var usedBytes: Int { unsafe state.pointee.liveCount * stride }

  /// Bytes of memory that blocks were ever handed out of and that did not go back: what the system
  /// counts as ours, where each block's owner writes to all of it. Whole pages.
  var touchedBytes: Int { unsafe state.pointee.touchedPages * Region.pageBytes }

  /// The address of a block. `index` is checked against the region, not against what is free.
  @usableFromInline
  func address(_ index: UInt32) -> UnsafeMutableRawPointer {
    precondition(index != 0 && Int(index) < capacity, "block out of range")
    return unsafe base + Int(index) * stride
  }

  /// Hands out a block, contents undefined; nil when all are in use.
  func allocate() -> UInt32? {
    if unsafe state.pointee.firstOpen == Region.none {
      guard unsafe Int(state.pointee.chunkCount) < chunksReserved else { return nil }
      let chunk = unsafe state.pointee.chunkCount
      if unsafe Int(chunk) == state.pointee.chunkCapacity { growTable() }
      unsafe state.pointee.chunkCount += 1
      unsafe chunks[Int(chunk)] = Chunk(
        firstFree: 0, fresh: 0, live: 0, next: Region.none, previous: Region.none, isListed: false,
        isResident: false)
      // Index 0 of the region is never handed out.
      if chunk == 0 {
        unsafe chunks[0].fresh = 1
        if blocksPerChunk == 1 { return allocate() }
      }
      list(chunk, atFront: true)
    }
    let chunk = unsafe Int(state.pointee.firstOpen)
    if unsafe !chunks[chunk].isResident {
      unsafe chunks[chunk].isResident = true
      unsafe state.pointee.residentChunks += 1
    } else if unsafe chunks[chunk].live == 0 {
      unsafe state.pointee.spareChunks -= 1
    }
    let index: UInt32
    if unsafe chunks[chunk].firstFree != 0 {
      index = unsafe chunks[chunk].firstFree
      unsafe chunks[chunk].firstFree = address(index).load(as: UInt32.self)
    } else {
      index = unsafe UInt32(chunk * blocksPerChunk) + chunks[chunk].fresh
      let before = touchedPages(of: chunk)
      unsafe chunks[chunk].fresh += 1
      unsafe state.pointee.touchedPages += touchedPages(of: chunk) - before
    }
    unsafe chunks[chunk].live += 1
    if unsafe chunks[chunk].firstFree == 0 && Int(chunks[chunk].fresh) == blocksPerChunk {
      unlist(UInt32(chunk))
    }
    unsafe state.pointee.liveCount += 1
    unsafe state.pointee.isBusy = true
    return index
  }

  /// Pages of a chunk on which blocks lie that were handed out since it last held no memory.
  private func touchedPages(of chunk: Int) -> Int {
    // Index 0 of the region counts as fresh and is never touched.
    let first = chunk == 0 ? stride : 0
    let end = unsafe Int(chunks[chunk].fresh) * stride
    if end <= first { return 0 }
    return (end + Region.pageBytes - 1) / Region.pageBytes - first / Region.pageBytes
  }

  /// Takes a block back. Its first four bytes are overwritten.
  func free(_ index: UInt32) {
    // The address first: it checks the index, which the table of chunks does not.
    let block = unsafe address(index)
    let chunk = Int(index) / blocksPerChunk
    precondition(unsafe chunks[chunk].live > 0, "freed twice")
    unsafe block.storeBytes(of: chunks[chunk].firstFree, as: UInt32.self)
    unsafe chunks[chunk].firstFree = index
    unsafe chunks[chunk].live -= 1
    unsafe state.pointee.liveCount -= 1
    if unsafe !chunks[chunk].isListed { list(UInt32(chunk), atFront: true) }
    if unsafe chunks[chunk].live == 0 { emptied(chunk) }
  }

  private func emptied(_ chunk: Int) {
    if unsafe state.pointee.spareChunks < spareLimit {
      unsafe state.pointee.spareChunks += 1
      return
    }
    giveBack(chunk)
  }

  /// Whether there are empty chunks that still hold memory.
  var hasSpare: Bool { unsafe state.pointee.spareChunks > 0 }

  /// Gives the memory of empty chunks back to the system: all but one where blocks were handed out
  /// since the last call, and that one too where none was.
  func trim() {
    let kept = unsafe state.pointee.isBusy ? 1 : 0
    unsafe state.pointee.isBusy = false
    var chunk = 0
    while unsafe state.pointee.spareChunks > kept && chunk < Int(state.pointee.chunkCount) {
      if unsafe chunks[chunk].isResident && chunks[chunk].live == 0 {
        unsafe state.pointee.spareChunks -= 1
        giveBack(chunk)
      }
      chunk += 1
    }
  }

  private func giveBack(_ chunk: Int) {
    unsafe madvise(base + chunk * chunkStride, chunkStride, MADV_DONTNEED)
    unsafe state.pointee.touchedPages -= touchedPages(of: chunk)
    unsafe chunks[chunk].firstFree = 0
    unsafe chunks[chunk].fresh = chunk == 0 ? 1 : 0
    unsafe chunks[chunk].isResident = false
    unsafe state.pointee.residentChunks -= 1
    // Chunks that still hold something are filled before this one is touched again.
    unlist(UInt32(chunk))
    list(UInt32(chunk), atFront: false)
  }

  private func list(_ chunk: UInt32, atFront: Bool) {
    let first = unsafe state.pointee.firstOpen
    let last = unsafe state.pointee.lastOpen
    unsafe chunks[Int(chunk)].isListed = true
    unsafe chunks[Int(chunk)].previous = atFront ? Region.none : last
    unsafe chunks[Int(chunk)].next = atFront ? first : Region.none
    if atFront {
      if first != Region.none { unsafe chunks[Int(first)].previous = chunk }
      unsafe state.pointee.firstOpen = chunk
      if last == Region.none { unsafe state.pointee.lastOpen = chunk }
    } else {
      if last != Region.none { unsafe chunks[Int(last)].next = chunk }
      unsafe state.pointee.lastOpen = chunk
      if first == Region.none { unsafe state.pointee.firstOpen = chunk }
    }
  }

  private func unlist(_ chunk: UInt32) {
    let next = unsafe chunks[Int(chunk)].next
    let previous = unsafe chunks[Int(chunk)].previous
    if previous == Region.none {
      unsafe state.pointee.firstOpen = next
    } else {
      unsafe chunks[Int(previous)].next = next
    }
    if next == Region.none {
      unsafe state.pointee.lastOpen = previous
    } else {
      unsafe chunks[Int(next)].previous = previous
    }
    unsafe chunks[Int(chunk)].isListed = false
  }
}
