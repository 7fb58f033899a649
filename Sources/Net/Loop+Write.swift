import CLinux
import Glibc
import Util

extension Loop {

  /// Bytes of output that wait for this connection.
  @inlinable
  public func pendingOutput(_ slot: UInt32) -> Int { outputCount(slot) }

  @usableFromInline
  func outputCount(_ slot: UInt32) -> Int {
    let output = connections[slot].output
    return output == 0 ? 0 : outputs[output].count
  }

  /// Whether the connection is being ended by `finish`.
  public func isFinishing(_ slot: UInt32) -> Bool {
    connections[slot].flags.contains(.isFinishing)
  }

  /// Whether the socket was full when it was last written to.
  public func isBacklogged(_ slot: UInt32) -> Bool {
    connections[slot].flags.contains(.awaitsWritable)
  }

  /// Adds bytes to what is written at the end of the turn, as `fill` puts them into exactly
  /// `count` bytes of room. False when there is no memory or the connection is ending.
  @discardableResult
  public func write(
    _ slot: UInt32, count: Int, _ fill: (inout OutputSpan<UInt8>) -> Void
  ) -> Bool {
    guard let room = unsafe reserve(slot, count) else { return false }
    var span = unsafe OutputSpan(
      buffer: UnsafeMutableBufferPointer(
        start: room.assumingMemoryBound(to: UInt8.self), count: count), initializedCount: 0)
    fill(&span)
    precondition(span.freeCapacity == 0, "a packet's size was miscounted")
    _ = consume span
    return true
  }

  /// Adds a header and a body, with a packet id in the header where `packetIDOffset` says.
  @discardableResult
  public func write(
    _ slot: UInt32, header: Span<UInt8>, packetIDOffset: Int, packetID: UInt16,
    body: Span<UInt8>
  ) -> Bool {
    let isLent = unsafe body.withUnsafeBytes { unsafe mayLend(slot, $0) }
    let count = header.count + (isLent ? 0 : body.count)
    guard let room = unsafe reserve(slot, count, isLast: isLent) else { return false }
    unsafe header.withUnsafeBytes {
      if let start = $0.baseAddress { unsafe room.copyMemory(from: start, byteCount: $0.count) }
    }
    if packetIDOffset > 0 {
      precondition(packetIDOffset + 2 <= header.count, "a packet id beyond its header")
      unsafe room.storeBytes(
        of: packetID.bigEndian, toByteOffset: packetIDOffset, as: UInt16.self)
    }
    unsafe body.withUnsafeBytes {
      if isLent {
        unsafe lend(slot, $0)
      } else if let start = $0.baseAddress {
        unsafe (room + header.count).copyMemory(from: start, byteCount: $0.count)
      }
    }
    return true
  }

  /// Room for `count` bytes at the end of the connection's output.
  /// - Parameter isLast: whether a new block needs no room for more than that.
  private func reserve(
    _ slot: UInt32, _ count: Int, isLast: Bool = false
  ) -> UnsafeMutableRawPointer? {
    if connections[slot].flags.contains(.isFinishing) { return nil }
    var record = connections[slot].output
    if record == 0 {
      guard let added = outputs.insert(Output(first: 0, last: 0, count: 0)) else { return nil }
      connections[slot].output = added
      record = added
    } else if outputs[record].count >= Limits.gatheredBytes
      && !connections[slot].flags.contains(.awaitsWritable)
    {
      // Enough for one system call: let the socket have it before more memory is taken.
      flush(slot)
      if connections[slot].output == 0 { return unsafe reserve(slot, count, isLast: isLast) }
    }
    let last = outputs[record].last
    if last != 0 {
      let address = unsafe blocks.address(of: last)
      let head = unsafe address.load(as: BlockHeader.self)
      let end = Int(head.end)
      if head.lentCount == 0 && blocks.capacity(of: last) - BlockHeader.size - end >= count {
        unsafe address.storeBytes(of: UInt32(end + count), toByteOffset: 4, as: UInt32.self)
        return unsafe commit(slot, record, count, address + BlockHeader.size + end)
      }
    }
    // Blocks double with what has gathered: a lone acknowledgement takes little, a stream few.
    let more = isLast ? 0 : min(65_536, max(256, 2 * outputs[record].count))
    let size = max(count + BlockHeader.size, more)
    guard let block = blocks.allocate(size) else { return nil }
    let address = unsafe blocks.address(of: block)
    unsafe address.storeBytes(
      of: BlockHeader(next: 0, end: UInt32(count), start: 0), as: BlockHeader.self)
    if last == 0 {
      outputs[record].first = block
    } else {
      unsafe blocks.address(of: last).storeBytes(of: block, as: UInt32.self)
    }
    outputs[record].last = block
    return unsafe commit(slot, record, count, address + BlockHeader.size)
  }

  private func commit(
    _ slot: UInt32, _ record: UInt32, _ count: Int, _ address: UnsafeMutableRawPointer
  ) -> UnsafeMutableRawPointer {
    outputs[record].count += count
    markDirty(slot)
    return unsafe address
  }

  /// Has the connection's output written when the turn ends.
  func markDirty(_ slot: UInt32) {
    guard !connections[slot].flags.contains(.isDirty) else { return }
    connections[slot].flags.insert(.isDirty)
    dirty.append(slot)
  }

  /// Writes what the turn gathered.
  func flushDirty(_ handler: Handler) {
    var index = 0
    while index < dirty.count {
      let slot = dirty[index]
      index += 1
      connections[slot].flags.remove(.isDirty)
      if connections[slot].descriptor < 0 {
        // It ended during the turn; the slot was kept for this list.
        remove(slot)
        continue
      }
      if connections[slot].flags.contains(.awaitsWritable) { continue }
      flush(slot)
      if connections[slot].flags.contains(.tellsDrained), connections[slot].output == 0,
        connections[slot].generation != 0
      {
        connections[slot].flags.remove(.tellsDrained)
        drainedSlots.append((slot, connections[slot].generation))
      }
    }
    dirty.removeAll()
  }

  /// Asks for `drained` also where the socket takes all of the present output at once; it comes in
  /// the next turn, so that a stream without end leaves others their time. There must be output.
  public func tellWhenDrained(_ slot: UInt32) {
    connections[slot].flags.insert(.tellsDrained)
  }

  /// Writes until all is written or the socket is full. An error shows as an event of its own.
  func flush(_ slot: UInt32) {
    let record = connections[slot].output
    guard record != 0 else { return }
    let descriptor = connections[slot].descriptor
    while outputs[record].count > 0 {
      let (count, offered) = gather(record, descriptor)
      if count < 0 {
        if errno == EINTR { continue }
        if errno != EAGAIN {
          // The peer is gone, or the system can't send: what it has of the stream would end amid a
          // packet. Shut, the socket shows an event, and reading gives the reason.
          freeOutput(slot)
          shutdown(descriptor, Int32(SHUT_RDWR))
          return
        }
        return awaitWritable(slot)
      }
      statistics.bytesSent += UInt64(count)
      advance(record, by: count)
      if count < offered { return awaitWritable(slot) }
    }
    freeOutput(slot)
    if connections[slot].flags.contains(.isFinishing) { linger(slot) }
  }

  /// One system call with the first blocks of the chain.
  private func gather(_ record: UInt32, _ descriptor: Int32) -> (count: Int, offered: Int) {
    var parts: InlineArray<32, iovec> = unsafe .init(repeating: iovec())
    var used = 0
    var offered = 0
    var block = outputs[record].first
    // A block has up to two parts.
    while block != 0 && used + 1 < Limits.gatheredParts {
      let address = unsafe blocks.address(of: block)
      let header = unsafe address.load(as: BlockHeader.self)
      let length = Int(header.end - header.start)
      if length > 0 {
        unsafe parts[used] = iovec(
          iov_base: address + BlockHeader.size + Int(header.start), iov_len: length)
        offered += length
        used += 1
      }
      if header.lentCount != 0 {
        unsafe parts[used] = iovec(
          iov_base: UnsafeMutableRawPointer(bitPattern: header.lent),
          iov_len: Int(header.lentCount))
        offered += Int(header.lentCount)
        used += 1
      }
      block = header.next
    }
    if used == 1 {
      let part = unsafe parts[0]
      return (unsafe send(descriptor, part.iov_base, part.iov_len, Int32(MSG_NOSIGNAL)), offered)
    }
    var message = unsafe msghdr()
    var span = unsafe parts.mutableSpan
    let count = unsafe span.withUnsafeMutableBufferPointer { buffer in
      unsafe message.msg_iov = buffer.baseAddress
      unsafe message.msg_iovlen = used
      return unsafe sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL))
    }
    return (count, offered)
  }

  /// Frees what was written.
  private func advance(_ record: UInt32, by count: Int) {
    outputs[record].count -= count
    var left = count
    while left > 0 {
      let block = outputs[record].first
      let address = unsafe blocks.address(of: block)
      var header = unsafe address.load(as: BlockHeader.self)
      let length = Int(header.end - header.start)
      if left < length {
        unsafe address.storeBytes(
          of: header.start + UInt32(left), toByteOffset: 8, as: UInt32.self)
        return
      }
      left -= length
      if left < Int(header.lentCount) {
        header.start = header.end
        header.lent += UInt(left)
        header.lentCount -= UInt32(left)
        unsafe address.storeBytes(of: header, as: BlockHeader.self)
        return
      }
      left -= Int(header.lentCount)
      outputs[record].first = header.next
      if header.next == 0 { outputs[record].last = 0 }
      blocks.free(block)
    }
  }

  private func awaitWritable(_ slot: UInt32) {
    guard !connections[slot].flags.contains(.awaitsWritable) else { return }
    connections[slot].flags.insert(.awaitsWritable)
    watch(slot)
  }

  func writable(_ slot: UInt32, _ handler: Handler) {
    guard connections[slot].flags.contains(.awaitsWritable) else { return }
    connections[slot].flags.remove(.awaitsWritable)
    if connections[slot].flags.contains(.isConnecting) { return connected(slot, handler) }
    flush(slot)
    // Shutting a socket that the peer has reset ends the connection.
    guard connections[slot].descriptor >= 0 else { return }
    guard !connections[slot].flags.contains(.awaitsWritable) else { return }
    watch(slot)
    connections[slot].flags.remove(.tellsDrained)
    if !connections[slot].flags.contains(.isFinishing) { handler.drained(slot) }
  }

  func freeOutput(_ slot: UInt32) {
    let record = connections[slot].output
    guard record != 0 else { return }
    var block = outputs[record].first
    while block != 0 {
      let next = unsafe blocks.address(of: block).load(as: UInt32.self)
      blocks.free(block)
      block = next
    }
    outputs.remove(record)
    connections[slot].output = 0
  }

  /// Ends a connection in good order: what was added so far is written, our side is shut, and the
  /// socket is closed once the peer has closed its own or has had its time. The handler hears no
  /// more of it.
  public func finish(_ slot: UInt32, within ticks: UInt32 = Limits.lingerTicks) {
    guard !connections[slot].flags.contains(.isFinishing) else { return }
    freeRemainder(slot)
    let wasPaused = connections[slot].flags.contains(.isPaused)
    connections[slot].flags.insert(.isFinishing)
    connections[slot].flags.remove(.isPaused)
    setTimer(slot, at: now + max(1, ticks))
    if wasPaused { watch(slot) }
    if connections[slot].output == 0 { linger(slot) }
  }

  private func linger(_ slot: UInt32) {
    guard !connections[slot].flags.contains(.isLingering) else { return }
    connections[slot].flags.insert(.isLingering)
    // Closing with unread bytes would reset the connection, and the peer might lose the last
    // packet, which says why.
    if shutdown(connections[slot].descriptor, Int32(SHUT_WR)) != 0 { release(slot) }
  }

  /// Ends a connection at once. The handler hears no more of it.
  public func drop(_ slot: UInt32) { release(slot) }

  /// Ends a connection for a reason of the network's.
  func end(_ slot: UInt32, _ reason: CloseReason, _ handler: Handler) {
    let generation = connections[slot].generation
    handler.closed(slot, reason)
    if connections[slot].generation == generation { release(slot) }
  }

  /// Closes the socket and gives the slot up, or leaves that to the list it is still in.
  func release(_ slot: UInt32) {
    guard connections[slot].descriptor >= 0 else { return }
    cancelTimer(slot)
    freeOutput(slot)
    freeRemainder(slot)
    // Closing takes the socket out of epoll as well.
    close(connections[slot].descriptor)
    connections[slot].descriptor = -1
    connections[slot].generation = 0
    if !connections[slot].flags.contains(.isDirty) { remove(slot) }
  }

  private func remove(_ slot: UInt32) {
    connections[slot].generation = 0
    connections.remove(slot)
  }

  func freeRemainder(_ slot: UInt32) {
    let block = connections[slot].remainder
    guard block != 0 else { return }
    connections[slot].remainder = 0
    remainderBytes -= blocks.capacity(of: block)
    blocks.free(block)
  }

  /// Calls `body` for each connection that is not ending. It may end connections.
  public func forEachConnection(_ body: (UInt32) -> Void) {
    for slot in 1..<max(1, connections.limit) where connections[slot].generation != 0 {
      if !connections[slot].flags.contains(.isFinishing) { body(slot) }
    }
  }

  /// Whether no connection is left, ending ones included.
  public var isEmpty: Bool { connections.count == 0 }
}
