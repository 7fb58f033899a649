import CLinux
import Glibc
import Util

/// Output that is not copied.
///
/// A large body that a handler writes while it is given bytes, and that lies within them, is only
/// named in the output. Before the bytes are used for anything else, `settleLent` writes it to the
/// socket, and copies what the socket does not take. So a large message that clients take is copied
/// by the system alone.
extension Loop {
  /// Calls `body`, during which the bytes stay as they are; output that lies in them is written
  /// before this returns.
  public func lending<Result>(_ bytes: UnsafeRawBufferPointer, _ body: () -> Result) -> Result {
    let start = UInt(bitPattern: bytes.baseAddress)
    let outer = lentRange
    lentRange = start..<start + UInt(bytes.count)
    let result = body()
    lentRange = outer
    if !lentTo.isEmpty { settleLent() }
    return result
  }

  /// Whether a body may be named instead of copied: it is large, it lies in what is lent, and the
  /// connection is not behind.
  func mayLend(_ slot: UInt32, _ body: UnsafeRawBufferPointer) -> Bool {
    guard body.count >= Limits.lentBytes, !connections[slot].flags.contains(.awaitsWritable) else {
      return false
    }
    let start = UInt(bitPattern: body.baseAddress)
    return lentRange.lowerBound <= start && start + UInt(body.count) <= lentRange.upperBound
  }

  /// Names a body behind what the last block of the connection's output holds, which is not empty.
  func lend(_ slot: UInt32, _ body: UnsafeRawBufferPointer) {
    let record = connections[slot].output
    let address = unsafe blocks.address(of: outputs[record].last)
    var header = unsafe address.load(as: BlockHeader.self)
    header.lentCount = UInt32(body.count)
    header.lent = UInt(bitPattern: body.baseAddress)
    unsafe address.storeBytes(of: header, as: BlockHeader.self)
    outputs[record].count += body.count
    statistics.bytesLent += UInt64(body.count)
    lentTo.append(slot)
  }

  /// Writes output that is lent, and copies what sockets did not take.
  private func settleLent() {
    for index in 0..<lentTo.count {
      let slot = lentTo[index]
      // A slot may stand here more than once, or have ended, or belong to somebody else by now.
      guard connections[slot].output != 0, connections[slot].descriptor >= 0 else { continue }
      if !connections[slot].flags.contains(.awaitsWritable) { flush(slot) }
      guard connections[slot].output != 0, !copyLent(slot) else { continue }
      // No memory: the stream would go on amid a packet. Shut, the socket shows an event.
      freeOutput(slot)
      shutdown(connections[slot].descriptor, Int32(SHUT_RDWR))
    }
    lentTo.removeAll()
  }

  /// Copies what is lent to a connection into blocks of its own; false without memory.
  private func copyLent(_ slot: UInt32) -> Bool {
    let record = connections[slot].output
    var block = outputs[record].first
    while block != 0 {
      let address = unsafe blocks.address(of: block)
      var header = unsafe address.load(as: BlockHeader.self)
      if header.lentCount != 0 {
        let count = Int(header.lentCount)
        guard let copy = blocks.allocate(BlockHeader.size + count) else { return false }
        let target = unsafe blocks.address(of: copy)
        unsafe target.storeBytes(
          of: BlockHeader(next: header.next, end: header.lentCount, start: 0),
          as: BlockHeader.self)
        // The bytes are those of `lending`, which has not returned yet.
        if let source = unsafe UnsafeRawPointer(bitPattern: header.lent) {
          unsafe (target + BlockHeader.size).copyMemory(from: source, byteCount: count)
        }
        if header.next == 0 { outputs[record].last = copy }
        header.next = copy
        header.lentCount = 0
        unsafe address.storeBytes(of: header, as: BlockHeader.self)
      }
      block = header.next
    }
    return true
  }
}
