import Util

/// The options of a subscription, as on the wire: bits 0 and 1 are the QoS, 2 is no local, 3 is
/// retain as published, 4 and 5 are the retain handling (3.8.3.1).
public struct SubscriptionOptions: Hashable, Sendable, BitwiseCopyable {
  /// The byte as it is on the wire.
  public var rawValue: UInt8

  /// Options from a byte that was checked, or that is made here.
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Options from their parts; without more than a QoS they are those of MQTT 3.
  @inlinable
  public init(
    qos: QoS, noLocal: Bool = false, retainAsPublished: Bool = false,
    retainHandling: RetainHandling = .send
  ) {
    rawValue =
      qos.rawValue | (noLocal ? 0x04 : 0) | (retainAsPublished ? 0x08 : 0)
      | retainHandling.rawValue &<< 4
  }

  /// When retained messages are sent.
  public enum RetainHandling: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// With each SUBSCRIBE.
    case send = 0
    /// Only if the subscription is new.
    case sendIfNew = 1
    /// Never.
    case doNotSend = 2
  }

  /// The highest QoS of a message on this subscription.
  @inlinable public var qos: QoS { QoS(rawValue: rawValue & 0x03) ?? .exactlyOnce }
  /// Whether the client's own messages stay away.
  @inlinable public var noLocal: Bool { rawValue & 0x04 != 0 }
  /// Whether the RETAIN flag is forwarded as it was published.
  @inlinable public var retainAsPublished: Bool { rawValue & 0x08 != 0 }
  /// When retained messages are sent.
  @inlinable public var retainHandling: RetainHandling {
    RetainHandling(rawValue: (rawValue >> 4) & 0x03) ?? .doNotSend
  }

  /// Checks a byte of a SUBSCRIBE. Before MQTT 5 there is nothing but the QoS.
  func validate(version: ProtocolVersion) throws(DecodeError) {
    guard rawValue & (version.hasProperties ? 0xC0 : 0xFC) == 0 else {
      throw .subscriptionOptionsReserved
    }
    guard rawValue & 0x03 != 3 else { throw .subscriptionQoSOutOfRange }
    guard rawValue & 0x30 != 0x30 else { throw .retainHandlingOutOfRange }
  }
}

/// A SUBSCRIBE packet. Ranges count from the packet's first byte.
public struct Subscribe: Equatable, Sendable, BitwiseCopyable {
  /// 1 to 65,535.
  public var packetID: UInt16
  /// 1 to 268,435,455; 0 if there is none.
  public var subscriptionIdentifier: UInt32 = 0
  /// The whole block of properties, without its length.
  public var properties = ByteRange(offset: 0, count: 0)
  /// The filters with their options; `makeCursor()` takes them apart.
  public var filters = ByteRange(offset: 0, count: 0)
  /// How many filters there are: 1 or more.
  public var filterCount = 0

  /// A cursor over the user properties.
  public func userProperties() -> UserPropertyCursor { UserPropertyCursor(block: properties) }

  /// A cursor over the filters.
  public func makeCursor() -> SubscribeCursor { SubscribeCursor(filters: filters) }

  /// Decodes a SUBSCRIBE. A filter that can't be subscribed to is not an error of the packet: its
  /// entry says so, and the answer is a reason code of its own in SUBACK.
  ///
  /// - Parameters:
  ///   - packet: Bytes from the packet's first one; must hold the whole packet.
  ///   - header: What `decodeFrame` found there.
  ///   - version: The version that CONNECT named.
  public static func decode(
    _ packet: Span<UInt8>, header: FixedHeader, version: ProtocolVersion
  ) throws(DecodeError) -> Subscribe {
    var reader = PacketReader(packet, header: header)
    var subscribe = Subscribe(packetID: try reader.readPacketID())
    if version.hasProperties {
      subscribe.properties = try reader.readPropertyBlock()
      var block = PropertyReader(packet, block: subscribe.properties, allowed: .subscribe)
      while let property = try block.next() {
        if property.id == .subscriptionIdentifier {
          subscribe.subscriptionIdentifier = property.number
        }
      }
    }
    guard reader.remaining > 0 else { throw .noTopicFilter }
    subscribe.filters = ByteRange(offset: reader.offset, count: reader.remaining)
    while reader.remaining > 0 {
      let filter = try reader.readString()
      let options = SubscriptionOptions(rawValue: try reader.readByte())
      try options.validate(version: version)
      if options.noLocal, hasSharePrefix(packet.extracting(filter)) {
        throw .noLocalOnSharedSubscription
      }
      subscribe.filterCount += 1
    }
    return subscribe
  }

  init(packetID: UInt16) { self.packetID = packetID }
}

/// One filter of a SUBSCRIBE or UNSUBSCRIBE.
public struct SubscribeEntry: Equatable, Sendable, BitwiseCopyable {
  /// A valid string; it may be empty.
  public var filter: ByteRange
  /// QoS 0 without any other in an UNSUBSCRIBE.
  public var options: SubscriptionOptions
  /// Whether the filter may be subscribed to: not empty, wildcards only where they may stand,
  /// `$share` with a group and a filter. If not, the answer is 0x8F, or 0x80 before MQTT 5.
  public var isValid: Bool

  /// See the properties.
  public init(filter: ByteRange, options: SubscriptionOptions, isValid: Bool) {
    self.filter = filter
    self.options = options
    self.isValid = isValid
  }
}

/// Walks the filters of a SUBSCRIBE that was decoded.
public struct SubscribeCursor: Sendable, BitwiseCopyable {
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
    guard let filter = try? reader.readBinary(), let options = try? reader.readByte() else {
      return nil
    }
    offset = UInt32(truncatingIfNeeded: reader.offset)
    return SubscribeEntry(
      filter: filter, options: SubscriptionOptions(rawValue: options),
      isValid: isWellFormedFilter(packet.extracting(filter)))
  }
}
