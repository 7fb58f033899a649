import CLinux
import Glibc
import Util

extension Loop {

  func readable(_ slot: UInt32, _ events: UInt32, _ handler: Handler) {
    if connections[slot].flags.contains(.isFinishing) { return discard(slot) }
    if connections[slot].flags.contains(.isPaused) {
      // It is watched for its end only; bytes may show if it was paused earlier in this turn.
      let ends = UInt32(CLINUX_EPOLLERR) | UInt32(CLINUX_EPOLLHUP)
      if events & ends != 0 { probeEnd(slot, handler) }
      return
    }
    connections[slot].lastReceived = now
    let block = connections[slot].remainder
    if block == 0 {
      guard let count = receive(slot, at: 0, handler) else { return }
      handle(slot, 0..<count, handler)
      return
    }
    let header = unsafe blocks.address(of: block).load(as: BlockHeader.self)
    if Int(header.start) > Limits.copiedRemainderBytes {
      readLarge(slot, block, header, handler)
      return
    }
    let kept = Int(header.end)
    unsafe scratch.copyMemory(
      from: blocks.address(of: block) + BlockHeader.size, byteCount: kept)
    guard let count = receive(slot, at: kept, handler) else { return }
    freeRemainder(slot)
    handle(slot, 0..<(kept + count), handler)
  }

  /// Reads into the scratch buffer behind `offset`; nil when nothing came or the connection ended.
  private func receive(_ slot: UInt32, at offset: Int, _ handler: Handler) -> Int? {
    let count = unsafe recv(
      connections[slot].descriptor, scratch + offset, Limits.readBytes - offset, 0)
    if offset + count > scratchTouched { scratchTouched = offset + count }
    return checked(count, slot, handler)
  }

  private func checked(_ count: Int, _ slot: UInt32, _ handler: Handler) -> Int? {
    if count > 0 {
      statistics.bytesReceived += UInt64(count)
      return count
    }
    let code = count < 0 ? errno : 0
    if count < 0 && (code == EAGAIN || code == EINTR) { return nil }
    end(slot, count == 0 ? .peerClosed : .networkError(code), handler)
    return nil
  }

  /// Gives a range of the scratch buffer to the handler and keeps what it leaves.
  private func handle(_ slot: UInt32, _ range: Range<Int>, _ handler: Handler) {
    let generation = connections[slot].generation
    // The scratch buffer lives as long as the loop, and nothing writes to it during the call.
    let bytes = unsafe UnsafeRawBufferPointer(
      start: scratch + range.lowerBound, count: range.count)
    let received = unsafe lending(bytes) {
      handler.received(slot, unsafe bytes.bindMemory(to: UInt8.self).span)
    }
    guard connections[slot].generation == generation,
      !connections[slot].flags.contains(.isFinishing)
    else { return }
    guard received.consumed < range.count else { return }
    let isKept = unsafe keep(
      slot, scratch + range.lowerBound + received.consumed,
      range.count - received.consumed, needed: received.needed)
    if !isKept { end(slot, .exhausted, handler) }
  }

  /// Keeps bytes until the rest of their packet is here. False when there is no memory.
  private func keep(
    _ slot: UInt32, _ start: UnsafeRawPointer, _ count: Int, needed: Int
  ) -> Bool {
    // A length is only believed as far as bytes have come: a packet that claims 200 MB gets room
    // as it grows.
    let room = min(max(needed, count), max(Limits.copiedRemainderBytes, 2 * count))
    guard let block = blocks.allocate(BlockHeader.size + room) else { return false }
    let address = unsafe blocks.address(of: block)
    unsafe address.storeBytes(
      of: BlockHeader(next: 0, end: UInt32(count), start: UInt32(max(needed, count))),
      as: BlockHeader.self)
    unsafe (address + BlockHeader.size).copyMemory(from: start, byteCount: count)
    connections[slot].remainder = block
    remainderBytes += blocks.capacity(of: block)
    return true
  }

  /// Reads the rest of a large packet, and nothing beyond it, to where its beginning lies.
  private func readLarge(
    _ slot: UInt32, _ block: UInt32, _ header: BlockHeader, _ handler: Handler
  ) {
    let have = Int(header.end)
    let needed = Int(header.start)
    // Bytes that waited for `resume` are handled first; the socket shows its own once more.
    guard have < needed else { return handleRemainder(slot, handler) }
    guard let block = grow(slot, block, have: have, needed: needed, handler) else { return }
    let address = unsafe blocks.address(of: block)
    let room = min(needed, blocks.capacity(of: block) - BlockHeader.size) - have
    let received = unsafe recv(
      connections[slot].descriptor, address + BlockHeader.size + have, room, 0)
    guard let count = checked(received, slot, handler) else { return }
    unsafe address.storeBytes(
      of: BlockHeader(next: 0, end: UInt32(have + count), start: header.start),
      as: BlockHeader.self)
    if have + count == needed { handleRemainder(slot, handler) }
  }

  /// Room in the block of a large packet for at least one more byte.
  private func grow(
    _ slot: UInt32, _ block: UInt32, have: Int, needed: Int, _ handler: Handler
  ) -> UInt32? {
    guard blocks.capacity(of: block) - BlockHeader.size <= have else { return block }
    let room = min(needed, 2 * have)
    guard let larger = blocks.allocate(BlockHeader.size + room) else {
      end(slot, .exhausted, handler)
      return nil
    }
    unsafe blocks.address(of: larger).copyMemory(
      from: blocks.address(of: block), byteCount: BlockHeader.size + have)
    freeRemainder(slot)
    connections[slot].remainder = larger
    remainderBytes += blocks.capacity(of: larger)
    return larger
  }

  /// Gives kept bytes to the handler, because they are whole now or because it asked for them.
  func handleRemainder(_ slot: UInt32, _ handler: Handler) {
    connections[slot].flags.remove(.isResuming)
    let block = connections[slot].remainder
    guard block != 0, !connections[slot].flags.contains(.isPaused),
      !connections[slot].flags.contains(.isFinishing)
    else { return }
    let generation = connections[slot].generation
    let address = unsafe blocks.address(of: block)
    let count = unsafe Int(address.load(as: BlockHeader.self).end)
    // The connection lets go of the block first, so that closing it meanwhile can't free it.
    connections[slot].remainder = 0
    let bytes = unsafe UnsafeRawBufferPointer(start: address + BlockHeader.size, count: count)
    let received = unsafe lending(bytes) {
      handler.received(slot, unsafe bytes.bindMemory(to: UInt8.self).span)
    }
    if connections[slot].generation == generation, received.consumed < count,
      !connections[slot].flags.contains(.isFinishing)
    {
      let isKept = unsafe keep(
        slot, address + BlockHeader.size + received.consumed, count - received.consumed,
        needed: received.needed)
      if !isKept { end(slot, .exhausted, handler) }
    }
    remainderBytes -= blocks.capacity(of: block)
    blocks.free(block)
  }

  /// Keeps bytes that were received elsewhere, to be handled in this turn. False when there is no
  /// memory.
  func keepForLater(_ slot: UInt32, _ bytes: [UInt8]) -> Bool {
    let isKept = unsafe bytes.withUnsafeBytes {
      // Not empty, so there is an address.
      unsafe keep(slot, $0.baseAddress!, $0.count, needed: $0.count)
    }
    guard isKept else { return false }
    connections[slot].flags.insert(.isResuming)
    resuming.append((slot, connections[slot].generation))
    return true
  }

  /// Stops giving bytes of this connection to the handler until `resume`.
  public func pause(_ slot: UInt32) {
    guard !connections[slot].flags.contains(.isPaused) else { return }
    connections[slot].flags.insert(.isPaused)
    watch(slot)
  }

  /// Takes up a paused connection again; kept bytes are handled in this turn or the next.
  public func resume(_ slot: UInt32) {
    guard connections[slot].flags.contains(.isPaused) else { return }
    connections[slot].flags.remove(.isPaused)
    watch(slot)
    if connections[slot].remainder != 0 && !connections[slot].flags.contains(.isResuming) {
      connections[slot].flags.insert(.isResuming)
      resuming.append((slot, connections[slot].generation))
    }
  }

  /// Whether the connection is paused.
  public func isPaused(_ slot: UInt32) -> Bool { connections[slot].flags.contains(.isPaused) }

  /// Bytes of a connection that is ending go nowhere.
  private func discard(_ slot: UInt32) {
    let count = unsafe recv(connections[slot].descriptor, scratch, Limits.readBytes, 0)
    if count > scratchTouched { scratchTouched = count }
    if count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR)) { return }
    release(slot)
  }

  /// A paused connection has an error or its peer has gone.
  private func probeEnd(_ slot: UInt32, _ handler: Handler) {
    var code: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    _ = unsafe getsockopt(connections[slot].descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
    end(slot, code == 0 ? .peerClosed : .networkError(code), handler)
  }

  /// Tells epoll what this connection waits for.
  func watch(_ slot: UInt32) {
    let connection = connections[slot]
    var events: UInt32 = 0
    if !connection.flags.contains(.isPaused) { events |= Loop.readEvents }
    if connection.flags.contains(.awaitsWritable) { events |= UInt32(CLINUX_EPOLLOUT) }
    // It fails only for a descriptor that is not registered, which would be our own fault.
    let code = clinux_epoll_ctl(
      epoll, EPOLL_CTL_MOD, connection.descriptor, events,
      UInt64(slot) << 32 | UInt64(connection.generation))
    precondition(code == 0, "epoll lost a connection")
  }
}
