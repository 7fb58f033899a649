import Glibc

/// Addresses reserved once, zero until touched, and given back to the system page by page.
///
/// A table in such memory grows without moving, so that growing costs no copy, and so that a thread
/// that reads it without a lock never holds an address that is gone.
@safe
public struct ReservedMemory: ~Copyable {
  private static let page = 4096

  /// The first byte; the range is writable.
  public let base: UnsafeMutableRawPointer
  /// Bytes reserved, whole pages.
  public let byteCount: Int

  /// Reserves at least `byteCount` bytes of addresses. Running out of addresses ends the process,
  /// as an exhausted heap does: no configuration comes near it.
  public init(byteCount: Int) {
    precondition(byteCount > 0)
    let rounded = (byteCount + ReservedMemory.page - 1) / ReservedMemory.page * ReservedMemory.page
    let address = unsafe mmap(
      nil, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      fatalError("cannot reserve \(rounded) bytes of addresses: errno \(errno)")
    }
    unsafe base = address
    self.byteCount = rounded
  }

  deinit {
    unsafe munmap(base, byteCount)
  }

  /// Gives the pages from `offset` on back; whole pages only. They read as zero afterwards.
  public func giveBack(from offset: Int) {
    let start = (offset + ReservedMemory.page - 1) / ReservedMemory.page * ReservedMemory.page
    guard start < byteCount else { return }
    // A failure keeps memory that is not needed and changes nothing else: callers clear first.
    unsafe madvise(base + start, byteCount - start, MADV_DONTNEED)
  }
}
