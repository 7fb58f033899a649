import CLinux

/// How the C library's allocator is set up. Most of the broker's memory does not come from it.
enum Heap {
  /// Keeps large blocks apart from small ones, so that they go back to the system when freed.
  ///
  /// Left alone, the library puts blocks of up to 32 MiB among the small ones once it has seen one
  /// freed. What a flood took would then stay with each thread's arena for ever.
  static func keepLargeBlocksApart() {
    // Where the library itself begins.
    clinux_set_mapped_block_size(131_072)
  }
}
