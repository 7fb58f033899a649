import Util

/// What a scan found in a string of MQTT.
@usableFromInline
enum StringScan: UInt8, BitwiseCopyable {
  /// Well-formed, without U+0000 and without a wildcard character.
  case plain
  /// Well-formed, without U+0000, with `+` or `#` in it.
  case hasWildcard
  /// Contains U+0000 [MQTT-1.5.4-2].
  case hasNul
  /// Not well-formed UTF-8 [MQTT-1.5.4-1].
  case notUTF8
}

/// The eight bytes from `offset`, the first one lowest.
///
/// Two halves of four bytes each: the optimiser makes one load of each half, and sees from the
/// extracted count that no byte needs a check of its own.
@inlinable @inline(__always)
func loadWord(_ bytes: Span<UInt8>, _ offset: Int) -> UInt64 {
  let word = bytes.extracting(offset..<offset &+ 8)
  let low =
    UInt32(word[0]) | UInt32(word[1]) &<< 8 | UInt32(word[2]) &<< 16 | UInt32(word[3]) &<< 24
  let high =
    UInt32(word[4]) | UInt32(word[5]) &<< 8 | UInt32(word[6]) &<< 16 | UInt32(word[7]) &<< 24
  return UInt64(low) | UInt64(high) &<< 32
}

/// The high bit of each byte of `word` that isn't ASCII, or is NUL, `+` or `#`.
///
/// `(x - 1) & ~x` sets the high bit of a byte that is 0 (and may set that of a byte above one that
/// is 0, which does not matter here: any hit leaves the fast path). `x ^ pattern` makes the byte
/// that is looked for 0.
@inlinable @inline(__always)
func specialBytes(_ word: UInt64) -> UInt64 {
  let ones: UInt64 = 0x0101_0101_0101_0101
  let plus = word ^ 0x2B2B_2B2B_2B2B_2B2B
  let hash = word ^ 0x2323_2323_2323_2323
  let zeroes = (word &- ones) & ~word | (plus &- ones) & ~plus | (hash &- ones) & ~hash
  return (zeroes | word) & 0x8080_8080_8080_8080
}

/// Scans a string: eight bytes at a time while they are ordinary ASCII, byte by byte from the
/// first that isn't.
@inlinable
func scanString(_ bytes: Span<UInt8>) -> StringScan {
  let count = bytes.count
  var offset = 0
  if count >= 8 {
    while offset &+ 8 <= count {
      guard specialBytes(loadWord(bytes, offset)) == 0 else {
        return scanSpecial(bytes, from: offset)
      }
      offset &+= 8
    }
    // The last word overlaps the one before it, which is cheaper than up to seven single bytes.
    guard offset == count || specialBytes(loadWord(bytes, count &- 8)) == 0 else {
      return scanSpecial(bytes, from: offset)
    }
    return .plain
  }
  while offset < count {
    let byte = bytes[offset]
    if byte &- 1 >= 0x7F || byte == 0x2B || byte == 0x23 {
      return scanSpecial(bytes, from: offset)
    }
    offset &+= 1
  }
  return .plain
}

/// The careful half of `scanString`; what lies before `offset` is ordinary ASCII.
@usableFromInline
func scanSpecial(_ bytes: Span<UInt8>, from offset: Int) -> StringScan {
  var offset = offset
  var wildcard = false
  while offset < bytes.count {
    let byte = bytes[offset]
    if byte < 0x80 {
      if byte == 0 { return .hasNul }
      if byte == 0x2B || byte == 0x23 { wildcard = true }
      offset &+= 1
    } else {
      let length = multiByteLength(bytes, offset)
      if length == 0 { return .notUTF8 }
      offset &+= length
    }
  }
  return wildcard ? .hasWildcard : .plain
}

/// Bytes of the well-formed sequence of two to four bytes at `offset`; 0 if there is none.
///
/// The bounds on the second byte shut out overlong forms, surrogates and what lies beyond U+10FFFF
/// (table 3-7 of the Unicode standard).
private func multiByteLength(_ bytes: Span<UInt8>, _ offset: Int) -> Int {
  let lead = bytes[offset]
  let length: Int
  var low: UInt8 = 0x80
  var high: UInt8 = 0xBF
  switch lead {
  case 0xC2...0xDF: length = 2
  case 0xE0:
    length = 3
    low = 0xA0
  case 0xED:
    length = 3
    high = 0x9F
  case 0xE1...0xEF: length = 3
  case 0xF0:
    length = 4
    low = 0x90
  case 0xF4:
    length = 4
    high = 0x8F
  case 0xF1...0xF3: length = 4
  default: return 0
  }
  guard bytes.count &- offset >= length else { return 0 }
  let second = bytes[offset &+ 1]
  guard second >= low, second <= high else { return 0 }
  var index = offset &+ 2
  while index < offset &+ length {
    guard bytes[index] & 0xC0 == 0x80 else { return 0 }
    index &+= 1
  }
  return length
}

/// Whether `bytes` are a string of MQTT: at most 65,535 bytes of well-formed UTF-8 without U+0000.
///
/// Control characters, non-characters and a byte order mark are allowed and kept
/// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.4-3].
@inlinable
public func validateUTF8String(_ bytes: Span<UInt8>) -> Bool {
  guard bytes.count <= 65_535 else { return false }
  switch scanString(bytes) {
  case .plain, .hasWildcard: return true
  case .hasNul, .notUTF8: return false
  }
}
