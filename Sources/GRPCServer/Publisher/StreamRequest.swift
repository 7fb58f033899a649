import BifrostAPI
import GRPCCore
import GRPCProtobuf
import Session

/// A request of a publish stream.
enum StreamRequest: Sendable {
  /// Publishes of one message each, all of them checked.
  case batch(OutsideBatch)
  /// Any other.
  case other(Bifrost_V1_PublishStreamRequest)
}

/// Reads requests of publish streams.
///
/// Nearly all have publishes that a batch can have. Whatever is unusual about another, or wrong with it, is
/// found by those who read and check all of it.
struct StreamRequestDeserializer: MessageDeserializer {
  func deserialize<Bytes: GRPCContiguousBytes>(_ serialized: Bytes) throws -> StreamRequest {
    // Safe: the bytes are copied within the call.
    let bytes = unsafe serialized.withUnsafeBytes { unsafe [UInt8]($0) }
    var reader = BatchReader(byteCount: bytes.count)
    if reader.read(bytes) {
      return .batch(
        OutsideBatch(
          bytes: bytes, properties: reader.properties, records: reader.records,
          wantsOutcomes: reader.wantsResults))
    }
    return .other(
      try ProtobufDeserializer<Bifrost_V1_PublishStreamRequest>().deserialize(serialized))
  }
}
