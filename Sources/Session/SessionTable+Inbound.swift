import Util

/// What became of a QoS 2 message that came.
public enum ArrivalOutcome: Sendable {
  /// It is new: to be delivered and acknowledged with PUBREC.
  case new
  /// It came before and was not released: only acknowledged again [MQTT-4.3.3-10].
  case duplicate
  /// More are unreleased than we said we take.
  case quotaExceeded
  /// There is no memory to remember it.
  case exhausted
}

/// Identifiers of QoS 2 messages that came and were not released: a short list, and where a client
/// has many of them at a time, one bit for each identifier there is.
extension SessionTable {
  private struct Header: BitwiseCopyable {
    var count: UInt32
    var isBitmap: UInt32
  }

  private static var headerBytes: Int { 8 }
  private static var listLimit: UInt32 { 60 }
  private static var bitmapBytes: Int { 65_536 / 8 }

  /// Number of unreleased QoS 2 messages.
  public func inboundCount(_ slot: UInt32) -> Int {
    let block = records[slot].inbound
    return block == 0 ? 0 : unsafe Int(blocks.address(of: block).load(as: UInt32.self))
  }

  /// Notes that a QoS 2 message came.
  /// - Parameter limit: unreleased messages that the client may have.
  public func arrived(_ slot: UInt32, _ packetID: UInt16, limit: Int) -> ArrivalOutcome {
    var block = records[slot].inbound
    if block == 0 {
      guard limit > 0 else { return .quotaExceeded }
      let bytes = SessionTable.headerBytes + 2 * Int(SessionTable.listLimit)
      guard let made = blocks.allocate(bytes) else { return .exhausted }
      unsafe blocks.address(of: made).storeBytes(
        of: Header(count: 0, isBitmap: 0), as: Header.self)
      records[slot].inbound = made
      block = made
    }
    if contains(block, packetID) { return .duplicate }
    var header = unsafe blocks.address(of: block).load(as: Header.self)
    guard Int(header.count) < limit else { return .quotaExceeded }
    if header.isBitmap == 0 && header.count == SessionTable.listLimit {
      guard let bitmap = makeBitmap(block) else { return .exhausted }
      blocks.free(block)
      records[slot].inbound = bitmap
      block = bitmap
      header.isBitmap = 1
    }
    let address = unsafe blocks.address(of: block)
    if header.isBitmap == 0 {
      unsafe address.storeBytes(
        of: packetID, toByteOffset: SessionTable.headerBytes + 2 * Int(header.count),
        as: UInt16.self)
    } else {
      let offset = SessionTable.headerBytes + Int(packetID >> 3)
      let byte = unsafe address.load(fromByteOffset: offset, as: UInt8.self)
      unsafe address.storeBytes(
        of: byte | 1 << UInt8(packetID & 7), toByteOffset: offset, as: UInt8.self)
    }
    header.count += 1
    unsafe address.storeBytes(of: header, as: Header.self)
    return .new
  }

  /// Takes a PUBREL. False when no message with this identifier is unreleased.
  public func released(_ slot: UInt32, _ packetID: UInt16) -> Bool {
    let block = records[slot].inbound
    guard block != 0, contains(block, packetID) else { return false }
    let address = unsafe blocks.address(of: block)
    var header = unsafe address.load(as: Header.self)
    header.count -= 1
    if header.count == 0 {
      discardInbound(slot)
      return true
    }
    if header.isBitmap == 0 {
      unsafe remove(address, packetID, last: Int(header.count))
    } else {
      let offset = SessionTable.headerBytes + Int(packetID >> 3)
      let byte = unsafe address.load(fromByteOffset: offset, as: UInt8.self)
      unsafe address.storeBytes(
        of: byte & ~(1 << UInt8(packetID & 7)), toByteOffset: offset, as: UInt8.self)
    }
    unsafe address.storeBytes(of: header, as: Header.self)
    return true
  }

  /// Calls `body` with each unreleased identifier; it must not change them.
  public func forEachInbound(_ slot: UInt32, _ body: (UInt16) -> Void) {
    let block = records[slot].inbound
    guard block != 0 else { return }
    let header = unsafe blocks.address(of: block).load(as: Header.self)
    if header.isBitmap != 0 {
      for packetID in UInt16(1)...65_535 where contains(block, packetID) { body(packetID) }
      return
    }
    for index in 0..<Int(header.count) {
      let offset = SessionTable.headerBytes + 2 * index
      body(unsafe blocks.address(of: block).load(fromByteOffset: offset, as: UInt16.self))
    }
  }

  /// Moves the last identifier of a list to where `packetID` is.
  private func remove(_ address: UnsafeMutableRawPointer, _ packetID: UInt16, last: Int) {
    let tail = unsafe address.load(
      fromByteOffset: SessionTable.headerBytes + 2 * last, as: UInt16.self)
    for index in 0...last {
      let offset = SessionTable.headerBytes + 2 * index
      if unsafe address.load(fromByteOffset: offset, as: UInt16.self) == packetID {
        unsafe address.storeBytes(of: tail, toByteOffset: offset, as: UInt16.self)
        return
      }
    }
  }

  private func contains(_ block: UInt32, _ packetID: UInt16) -> Bool {
    let address = unsafe blocks.address(of: block)
    let header = unsafe address.load(as: Header.self)
    if header.isBitmap != 0 {
      let byte = unsafe address.load(
        fromByteOffset: SessionTable.headerBytes + Int(packetID >> 3), as: UInt8.self)
      return byte & (1 << UInt8(packetID & 7)) != 0
    }
    for index in 0..<Int(header.count) {
      let offset = SessionTable.headerBytes + 2 * index
      if unsafe address.load(fromByteOffset: offset, as: UInt16.self) == packetID { return true }
    }
    return false
  }

  /// The same identifiers as bits.
  private func makeBitmap(_ list: UInt32) -> UInt32? {
    let bytes = SessionTable.headerBytes + SessionTable.bitmapBytes
    guard let block = blocks.allocate(bytes) else { return nil }
    let from = unsafe blocks.address(of: list)
    let to = unsafe blocks.address(of: block)
    unsafe to.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    let count = unsafe from.load(as: Header.self).count
    unsafe to.storeBytes(of: Header(count: count, isBitmap: 1), as: Header.self)
    for index in 0..<Int(count) {
      let packetID = unsafe from.load(
        fromByteOffset: SessionTable.headerBytes + 2 * index, as: UInt16.self)
      let offset = SessionTable.headerBytes + Int(packetID >> 3)
      let byte = unsafe to.load(fromByteOffset: offset, as: UInt8.self)
      unsafe to.storeBytes(
        of: byte | 1 << UInt8(packetID & 7), toByteOffset: offset, as: UInt8.self)
    }
    return block
  }

  func discardInbound(_ slot: UInt32) {
    let block = records[slot].inbound
    guard block != 0 else { return }
    blocks.free(block)
    records[slot].inbound = 0
  }
}
