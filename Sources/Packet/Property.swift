import Util

/// The identifiers of properties (MQTT 5, table 2-4). All are below 64, so that a set of them is
/// one word.
public enum PropertyID: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  case payloadFormatIndicator = 0x01
  case messageExpiryInterval = 0x02
  case contentType = 0x03
  case responseTopic = 0x08
  case correlationData = 0x09
  case subscriptionIdentifier = 0x0B
  case sessionExpiryInterval = 0x11
  case assignedClientIdentifier = 0x12
  case serverKeepAlive = 0x13
  case authenticationMethod = 0x15
  case authenticationData = 0x16
  case requestProblemInformation = 0x17
  case willDelayInterval = 0x18
  case requestResponseInformation = 0x19
  case responseInformation = 0x1A
  case serverReference = 0x1C
  case reasonString = 0x1F
  case receiveMaximum = 0x21
  case topicAliasMaximum = 0x22
  case topicAlias = 0x23
  case maximumQoS = 0x24
  case retainAvailable = 0x25
  case userProperty = 0x26
  case maximumPacketSize = 0x27
  case wildcardSubscriptionAvailable = 0x28
  case subscriptionIdentifierAvailable = 0x29
  case sharedSubscriptionAvailable = 0x2A
}

/// How the value of a property is written.
@usableFromInline
enum PropertyForm: BitwiseCopyable {
  case byte, uint16, uint32, variable, string, binary, pair
}

extension PropertyID {
  @inlinable var form: PropertyForm {
    switch self {
    case .payloadFormatIndicator, .requestProblemInformation, .requestResponseInformation,
      .maximumQoS, .retainAvailable, .wildcardSubscriptionAvailable,
      .subscriptionIdentifierAvailable, .sharedSubscriptionAvailable:
      .byte
    case .serverKeepAlive, .receiveMaximum, .topicAliasMaximum, .topicAlias: .uint16
    case .messageExpiryInterval, .sessionExpiryInterval, .willDelayInterval, .maximumPacketSize:
      .uint32
    case .subscriptionIdentifier: .variable
    case .contentType, .responseTopic, .assignedClientIdentifier, .authenticationMethod,
      .responseInformation, .serverReference, .reasonString:
      .string
    case .correlationData, .authenticationData: .binary
    case .userProperty: .pair
    }
  }

  /// Whether a receiver of a PUBLISH gets the property as it was sent [MQTT-3.3.2-4]
  /// [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-20].
  @inlinable var isForwarded: Bool { PropertySet.forwarded.contains(self) }
}

/// A set of property identifiers.
@usableFromInline
struct PropertySet: Equatable, BitwiseCopyable, Sendable {
  @usableFromInline var bits: UInt64

  @inlinable
  init(bits: UInt64) { self.bits = bits }

  @inlinable
  init(_ ids: PropertyID...) {
    bits = 0
    for id in ids { insert(id) }
  }

  @inlinable
  func contains(_ id: PropertyID) -> Bool { bits & (1 &<< UInt64(id.rawValue)) != 0 }

  @inlinable
  mutating func insert(_ id: PropertyID) { bits |= 1 &<< UInt64(id.rawValue) }
}

/// Which packets may have which properties (MQTT 5, table 2-4). Written as bits, so that each set
/// is a constant and not a lazily made global; a test holds them against the names.
extension PropertySet {
  /// Reason string and user property.
  @inlinable static var acknowledgement: PropertySet { PropertySet(bits: 0x40_8000_0000) }
  @inlinable static var connect: PropertySet { PropertySet(bits: 0xC6_02E2_0000) }
  @inlinable static var will: PropertySet { PropertySet(bits: 0x40_0100_030E) }
  @inlinable static var connAck: PropertySet { PropertySet(bits: 0x7F6_946E_0000) }
  @inlinable static var publish: PropertySet { PropertySet(bits: 0x48_0000_0B0E) }
  @inlinable static var subscribe: PropertySet { PropertySet(bits: 0x40_0000_0800) }
  @inlinable static var unsubscribe: PropertySet { PropertySet(bits: 0x40_0000_0000) }
  @inlinable static var disconnect: PropertySet { PropertySet(bits: 0x40_9002_0000) }
  @inlinable static var auth: PropertySet { PropertySet(bits: 0x40_8060_0000) }
  /// What goes from publisher to subscriber unaltered.
  @inlinable static var forwarded: PropertySet { PropertySet(bits: 0x40_0000_030A) }
}

/// One property: which of the fields holds its value follows from `id`.
@usableFromInline
struct Property: BitwiseCopyable {
  @usableFromInline var id: PropertyID
  @usableFromInline var number: UInt32 = 0
  /// A string or binary value, or the name of a user property.
  @usableFromInline var range: ByteRange = ByteRange(offset: 0, count: 0)

  @inlinable
  init(id: PropertyID) { self.id = id }
}

/// Reads a block of properties and checks it: known, allowed here, not repeated, values in range.
@usableFromInline
struct PropertyReader: ~Escapable {
  @usableFromInline var reader: PacketReader
  @usableFromInline let allowed: PropertySet
  @usableFromInline var seen = PropertySet(bits: 0)
  /// A server may put several subscription identifiers in a PUBLISH (3.3.2.3.8).
  @usableFromInline let repeatsIdentifier: Bool

  @inlinable
  @_lifetime(copy packet)
  init(
    _ packet: Span<UInt8>, block: ByteRange, allowed: PropertySet, repeatsIdentifier: Bool = false
  ) {
    self.reader = PacketReader(packet, from: block.range.lowerBound, to: block.range.upperBound)
    self.allowed = allowed
    self.repeatsIdentifier = repeatsIdentifier
  }

  /// The next property; nil at the end of the block.
  @inlinable
  mutating func next() throws(DecodeError) -> Property? {
    guard reader.remaining > 0 else { return nil }
    // An identifier is a variable byte integer, and all known ones have one byte.
    guard let id = PropertyID(rawValue: try reader.readByte()) else { throw .unknownProperty }
    guard allowed.contains(id) else { throw .propertyNotAllowed }
    if seen.contains(id), id != .userProperty,
      id != .subscriptionIdentifier || !repeatsIdentifier
    {
      throw .duplicateProperty
    }
    seen.insert(id)
    var property = Property(id: id)
    switch id.form {
    case .byte:
      property.number = UInt32(try reader.readByte())
      guard property.number <= 1 else { throw .propertyValueOutOfRange }
    case .uint16:
      property.number = UInt32(try reader.readUInt16())
      if property.number == 0 {
        if id == .receiveMaximum { throw .propertyValueOutOfRange }
        if id == .topicAlias { throw .topicAliasZero }
      }
    case .uint32:
      property.number = try reader.readUInt32()
      if property.number == 0, id == .maximumPacketSize { throw .propertyValueOutOfRange }
    case .variable:
      property.number = try reader.readVariable()
      guard property.number != 0 else { throw .propertyValueOutOfRange }
    case .string:
      let (range, hasWildcard) = try reader.scanString()
      property.range = range
      if id == .responseTopic, hasWildcard || range.isEmpty { throw .responseTopicInvalid }
    case .binary:
      property.range = try reader.readBinary()
    case .pair:
      property.range = try reader.readString()
      _ = try reader.readString()
    }
    return property
  }
}
