import Util

/// An UNSUBSCRIBE packet. Ranges count from the packet's first byte.
public struct Unsubscribe: Equatable, Sendable, BitwiseCopyable {
  /// 1 to 65,535.
  public var packetID: UInt16
  /// The whole block of properties, without its length.
  public var properties = ByteRange(offset: 0, count: 0)
  /// The filters; `makeCursor()` takes them apart.
  public var filters = ByteRange(offset: 0, count: 0)
  /// How many filters there are: 1 or more.
  public var filterCount = 0

  /// A cursor over the user properties.
  public func userProperties() -> UserPropertyCursor { UserPropertyCursor(block: properties) }

  /// A cursor over the filters.
  public func makeCursor() -> UnsubscribeCursor { UnsubscribeCursor(filters: filters) }

  /// Decodes an UNSUBSCRIBE.
  ///
  /// - Parameters:
  ///   - packet: Bytes from the packet's first one; must hold the whole packet.
  ///   - header: What `decodeFrame` found there.
  ///   - version: The version that CONNECT named.
  public static func decode(
    _ packet: Span<UInt8>, header: FixedHeader, version: ProtocolVersion
  ) throws(DecodeError) -> Unsubscribe {
    var reader = PacketReader(packet, header: header)
    var unsubscribe = Unsubscribe(packetID: try reader.readPacketID())
    if version.hasProperties {
      unsubscribe.properties = try reader.readPropertyBlock()
      var block = PropertyReader(packet, block: unsubscribe.properties, allowed: .unsubscribe)
      while try block.next() != nil {}
    }
    guard reader.remaining > 0 else { throw .noTopicFilter }
    unsubscribe.filters = ByteRange(offset: reader.offset, count: reader.remaining)
    while reader.remaining > 0 {
      _ = try reader.readString()
      unsubscribe.filterCount += 1
    }
    return unsubscribe
  }

  init(packetID: UInt16) { self.packetID = packetID }
}

/// Walks the filters of an UNSUBSCRIBE that was decoded.
public struct UnsubscribeCursor: Sendable, BitwiseCopyable {
  var offset: UInt32
  let end: UInt32

  init(filters: ByteRange) {
    offset = filters.offset
    end = filters.offset + filters.count
  }

  /// The next filter of `packet`, the bytes that `decode` was given; nil at the end.
  public mutating func next(_ packet: Span<UInt8>) -> SubscribeEntry? {
    guard offset < end, Int(end) <= packet.count else { return nil }
    var reader = PacketReader(packet, from: Int(offset), to: Int(end))
    guard let filter = try? reader.readBinary() else { return nil }
    offset = UInt32(truncatingIfNeeded: reader.offset)
    return SubscribeEntry(
      filter: filter, options: SubscriptionOptions(qos: .atMostOnce),
      isValid: isWellFormedFilter(packet.extracting(filter)))
  }
}
