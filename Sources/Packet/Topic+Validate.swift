import Util

/// Whether `bytes` are a topic name: 1 to 65,535 bytes of UTF-8 without U+0000 and without a
/// wildcard [MQTT-3.3.2-2] [MQTT-4.7.3-1].
@inlinable
public func validateTopicName(_ bytes: Span<UInt8>) -> Bool {
  guard bytes.count > 0, bytes.count <= 65_535 else { return false }
  return scanString(bytes) == .plain
}

/// Whether `bytes` are a topic filter that may be subscribed to: 1 to 65,535 bytes of UTF-8 without
/// U+0000, with wildcards only where they may stand, and well-formed as a shared subscription if it
/// starts like one [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1] [MQTT-4.8.2-2].
public func validateTopicFilter(_ bytes: Span<UInt8>) -> Bool {
  validateUTF8String(bytes) && isWellFormedFilter(bytes)
}

/// A topic filter, as far as `$share` is concerned.
public enum SharedSubscription: Equatable, Sendable, BitwiseCopyable {
  /// An ordinary filter.
  case notShared
  /// A shared subscription; the ranges count from the first byte of the whole filter.
  case shared(group: ByteRange, filter: ByteRange)
  /// Starts with `$share/`, and is not a shared subscription that may be subscribed to.
  case invalid
}

/// Takes a filter of the form `$share/{group}/{filter}` apart [MQTT-4.8.2-1] [MQTT-4.8.2-2].
///
/// The group's name has at least one character and no `/`, `+` or `#`; the filter is at least one
/// character long and is checked too. The bytes must be a valid UTF-8 string already.
public func parseSharedSubscription(_ bytes: Span<UInt8>) -> SharedSubscription {
  guard hasSharePrefix(bytes) else { return .notShared }
  let prefix = 7
  var index = prefix
  while index < bytes.count, bytes[index] != 0x2F {
    if bytes[index] == 0x2B || bytes[index] == 0x23 { return .invalid }
    index += 1
  }
  guard index > prefix, index + 1 < bytes.count else { return .invalid }
  let filter = index + 1..<bytes.count
  guard hasWellPlacedWildcards(bytes.extracting(filter)) else { return .invalid }
  return .shared(
    group: ByteRange(offset: prefix, count: index - prefix),
    filter: ByteRange(offset: filter.lowerBound, count: filter.count))
}

/// Whether `bytes` start with `$share/`; `$share` alone is an ordinary filter.
func hasSharePrefix(_ bytes: Span<UInt8>) -> Bool {
  bytes.count >= 7 && bytes[0] == 0x24 && bytes[1] == 0x73 && bytes[2] == 0x68
    && bytes[3] == 0x61 && bytes[4] == 0x72 && bytes[5] == 0x65 && bytes[6] == 0x2F
}

/// Whether a valid string is a filter that may be subscribed to, shared or not.
func isWellFormedFilter(_ bytes: Span<UInt8>) -> Bool {
  switch parseSharedSubscription(bytes) {
  case .notShared: bytes.count > 0 && hasWellPlacedWildcards(bytes)
  case .shared: true
  case .invalid: false
  }
}

/// Whether each `+` fills a whole level and each `#` fills the last one [MQTT-4.7.1-1]
/// [MQTT-4.7.1-2].
func hasWellPlacedWildcards(_ bytes: Span<UInt8>) -> Bool {
  var index = 0
  while index < bytes.count {
    let byte = bytes[index]
    if byte == 0x2B || byte == 0x23 {
      let startsLevel = index == 0 || bytes[index - 1] == 0x2F
      let isLast = index + 1 == bytes.count
      guard startsLevel, isLast || (byte == 0x2B && bytes[index + 1] == 0x2F) else { return false }
    }
    index += 1
  }
  return true
}
