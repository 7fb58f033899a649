import Packet
import Util

/// Messages that are kept: one block each, shared by all who wait for it, by count.
///
/// A pool belongs to one thread, so the counts are plain.
public struct MessagePool: ~Copyable {
  private struct Header: BitwiseCopyable {
    var references: UInt32
    var facts: MessageFacts
    var topicCount: UInt32
    var propertiesCount: UInt32
    var payloadCount: UInt32
  }

  /// Whether `trim` would give memory back.
  public var hasSpare: Bool { blocks.hasSpare }

  /// Gives memory that is not needed back to the system.
  public func trim() { blocks.trim() }

  private static var headerBytes: Int { MemoryLayout<Header>.stride }

  private let blocks: BytePool

  init() {
    blocks = BytePool(
      capacityBytes: 1 << 32, spareChunks: Limits.spareChunks)
  }

  /// Number of messages kept.
  public var count: Int { blocks.count }

  /// Bytes in use.
  public var usedBytes: Int { blocks.usedBytes }

  /// What the pool's memory is used for.
  public var memory: PoolMemory { blocks.memory }

  /// Bytes of memory held, free blocks included.
  public var residentBytes: Int { blocks.residentBytes }

  /// Copies a message; the caller holds one reference. Nil when there is no memory.
  public func keep(_ message: borrowing MessageView) -> UInt32? {
    let total = MessagePool.headerBytes + message.byteCount
    guard let handle = blocks.allocate(total) else { return nil }
    let address = unsafe blocks.address(of: handle)
    unsafe address.storeBytes(
      of: Header(
        references: 1, facts: message.facts, topicCount: UInt32(message.topic.count),
        propertiesCount: UInt32(message.properties.count),
        payloadCount: UInt32(message.payload.count)), as: Header.self)
    var next = unsafe address + MessagePool.headerBytes
    unsafe next = message.topic.copy(to: next)
    unsafe next = message.properties.copy(to: next)
    _ = unsafe message.payload.copy(to: next)
    return handle
  }

  /// One more holds the message.
  public func retain(_ handle: UInt32) {
    let address = unsafe blocks.address(of: handle)
    let count = unsafe address.load(as: UInt32.self)
    unsafe address.storeBytes(of: count + 1, as: UInt32.self)
  }

  /// One less holds the message; the last one frees it.
  public func release(_ handle: UInt32) {
    let address = unsafe blocks.address(of: handle)
    let count = unsafe address.load(as: UInt32.self)
    precondition(count > 0, "a message released too often")
    if count == 1 {
      blocks.free(handle)
    } else {
      unsafe address.storeBytes(of: count - 1, as: UInt32.self)
    }
  }

  /// The facts of a message.
  public func facts(_ handle: UInt32) -> MessageFacts {
    unsafe blocks.address(of: handle).load(as: Header.self).facts
  }

  /// Bytes of topic, properties and payload.
  public func byteCount(_ handle: UInt32) -> Int {
    let header = unsafe blocks.address(of: handle).load(as: Header.self)
    return Int(header.topicCount + header.propertiesCount + header.payloadCount)
  }

  /// A message in place; the caller holds it while it looks.
  @_lifetime(borrow self)
  public func view(_ handle: UInt32) -> MessageView {
    let header = unsafe blocks.address(of: handle).load(as: Header.self)
    let topicEnd = MessagePool.headerBytes + Int(header.topicCount)
    let propertiesEnd = topicEnd + Int(header.propertiesCount)
    let bytes = blocks.bytes(handle, count: propertiesEnd + Int(header.payloadCount))
    return MessageView(
      facts: header.facts, topic: bytes.extracting(MessagePool.headerBytes..<topicEnd),
      properties: bytes.extracting(topicEnd..<propertiesEnd),
      payload: bytes.extracting(droppingFirst: propertiesEnd))
  }

  /// Calls `body` with a message in place. (A view can't be taken out of a class's property
  /// otherwise.)
  public func withView<Result>(
    _ handle: UInt32, _ body: (borrowing MessageView) -> Result
  ) -> Result {
    body(view(handle))
  }
}
