import Util

/// A property that a server forwards unaltered. Ranges count from the first byte of what the cursor
/// was given.
public enum ForwardedProperty: Equatable, Sendable, BitwiseCopyable {
  /// The payload format indicator: whether the payload is UTF-8.
  case payloadIsUTF8(Bool)
  /// What the payload is.
  case contentType(ByteRange)
  /// The topic of an answer.
  case responseTopic(ByteRange)
  /// What an answer bears.
  case correlationData(ByteRange)
  /// A name and a value of the application.
  case user(UserProperty)
}

/// Walks the properties of a block that are forwarded.
public struct ForwardedPropertyCursor: Sendable, BitwiseCopyable {
  private var offset = 0

  /// A cursor at the beginning of a block.
  public init() {}

  /// The next property of `block`; nil at the end, or where the block isn't well-formed.
  public mutating func next(_ block: Span<UInt8>) -> ForwardedProperty? {
    while let size = propertySize(block, at: offset, end: block.count) {
      let start = offset
      offset &+= size
      // Behind the identifier and a length of two bytes.
      let value = ByteRange(offset: start + 3, count: max(0, size - 3))
      switch PropertyID(rawValue: block[start]) {
      case .payloadFormatIndicator: return .payloadIsUTF8(block[start + 1] == 1)
      case .contentType: return .contentType(value)
      case .responseTopic: return .responseTopic(value)
      case .correlationData: return .correlationData(value)
      case .userProperty:
        let nameCount = Int(block[start + 1]) << 8 | Int(block[start + 2])
        return .user(
          UserProperty(
            name: ByteRange(offset: start + 3, count: nameCount),
            value: ByteRange(offset: start + 5 + nameCount, count: size - 5 - nameCount)))
      default: continue
      }
    }
    return nil
  }
}

/// Appends properties that are forwarded to `block`, each where it is there, in their encoded form. The strings are
/// valid ones of MQTT; they and the correlation data have up to 65,535 bytes.
public func appendForwardedProperties(
  payloadIsUTF8: Bool, contentType: Span<UInt8>?, responseTopic: Span<UInt8>?,
  correlationData: Span<UInt8>?, to block: inout [UInt8]
) {
  if payloadIsUTF8 {
    block.append(PropertyID.payloadFormatIndicator.rawValue)
    block.append(1)
  }
  if let contentType { append(.contentType, contentType, to: &block) }
  if let responseTopic { append(.responseTopic, responseTopic, to: &block) }
  if let correlationData { append(.correlationData, correlationData, to: &block) }
}

private func append(_ id: PropertyID, _ value: Span<UInt8>, to block: inout [UInt8]) {
  precondition(value.count <= 65_535, "too long for two bytes of length")
  block.reserveCapacity(block.count + 3 + value.count)
  block.append(id.rawValue)
  block.append(UInt8(truncatingIfNeeded: value.count >> 8))
  block.append(UInt8(truncatingIfNeeded: value.count))
  for index in value.indices { block.append(value[index]) }
}
