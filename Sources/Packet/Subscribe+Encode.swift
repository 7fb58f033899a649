import Util

/// A SUBSCRIBE to be encoded.
public struct SubscribePacket: Sendable {
  /// 1 to 65,535.
  public var packetID: UInt16
  /// 1 to 268,435,455; 0 for none. Left out before MQTT 5, as the user properties are.
  public var subscriptionIdentifier: UInt32
  /// At least one.
  public var filters: [Filter]
  /// Encoded by `appendUserProperty`.
  public var userProperties: [UInt8]

  /// A topic filter with its options.
  public struct Filter: Sendable {
    /// UTF-8.
    public var filter: [UInt8]
    /// Before MQTT 5 only the QoS is written.
    public var options: SubscriptionOptions

    /// A filter that is asked for with `options`.
    public init(_ filter: [UInt8], _ options: SubscriptionOptions) {
      self.filter = filter
      self.options = options
    }
  }

  /// A SUBSCRIBE of `filters`, at least one.
  public init(
    packetID: UInt16, filters: [Filter], subscriptionIdentifier: UInt32 = 0,
    userProperties: [UInt8] = []
  ) {
    self.packetID = packetID
    self.filters = filters
    self.subscriptionIdentifier = subscriptionIdentifier
    self.userProperties = userProperties
  }

  private var propertiesCount: Int {
    let identifier =
      subscriptionIdentifier == 0 ? 0 : 1 + variableByteCount(Int(subscriptionIdentifier))
    return identifier + userProperties.count
  }

  private func remaining(_ version: ProtocolVersion) -> Int {
    var count = 2
    if version.hasProperties {
      let properties = propertiesCount
      count += variableByteCount(properties) + properties
    }
    for filter in filters { count += 3 + filter.filter.count }
    return count
  }

  /// Bytes of the packet.
  public func encodedCount(_ version: ProtocolVersion) -> Int {
    packetCount(remaining: remaining(version))
  }

  /// Writes the packet; `out` must have `encodedCount` bytes of capacity left.
  public func encode(_ version: ProtocolVersion, into out: inout OutputSpan<UInt8>) {
    out.append(
      fixedHeader: .subscribe, flags: PacketType.subscribe.requiredFlags,
      remaining: remaining(version))
    out.append(uint16: packetID)
    if version.hasProperties {
      out.append(variable: propertiesCount)
      if subscriptionIdentifier != 0 {
        out.append(PropertyID.subscriptionIdentifier.rawValue)
        out.append(variable: Int(subscriptionIdentifier))
      }
      out.append(copying: userProperties.span)
    }
    for filter in filters {
      out.append(counted: filter.filter.span)
      out.append(filter.options.rawValue & (version.hasProperties ? 0x3F : 0x03))
    }
  }
}

/// An UNSUBSCRIBE to be encoded.
public struct UnsubscribePacket: Sendable {
  /// 1 to 65,535.
  public var packetID: UInt16
  /// UTF-8 each; at least one.
  public var filters: [[UInt8]]
  /// Encoded by `appendUserProperty`; left out before MQTT 5.
  public var userProperties: [UInt8]

  /// An UNSUBSCRIBE of `filters`, at least one.
  public init(packetID: UInt16, filters: [[UInt8]], userProperties: [UInt8] = []) {
    self.packetID = packetID
    self.filters = filters
    self.userProperties = userProperties
  }

  private func remaining(_ version: ProtocolVersion) -> Int {
    var count = 2
    if version.hasProperties {
      count += variableByteCount(userProperties.count) + userProperties.count
    }
    for filter in filters { count += 2 + filter.count }
    return count
  }

  /// Bytes of the packet.
  public func encodedCount(_ version: ProtocolVersion) -> Int {
    packetCount(remaining: remaining(version))
  }

  /// Writes the packet; `out` must have `encodedCount` bytes of capacity left.
  public func encode(_ version: ProtocolVersion, into out: inout OutputSpan<UInt8>) {
    out.append(
      fixedHeader: .unsubscribe, flags: PacketType.unsubscribe.requiredFlags,
      remaining: remaining(version))
    out.append(uint16: packetID)
    if version.hasProperties {
      out.append(variable: userProperties.count)
      out.append(copying: userProperties.span)
    }
    for filter in filters { out.append(counted: filter.span) }
  }
}
