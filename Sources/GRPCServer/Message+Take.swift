import BifrostAPI
import Packet
import Session

extension Bifrost_V1_Message {
  /// The message, checked but for its topic where nobody needs that.
  /// - Parameter path: how the request names the message, with a dot at its end.
  func checked(_ path: String, needsTopic: Bool) throws(Refusal) -> OutsideMessage {
    do throws(MessageProblem) {
      if needsTopic || !topic.isEmpty { return try OutsideMessage(self) }
      var named = self
      named.topic = "-"
      return try OutsideMessage(named)
    } catch {
      throw .field(path + error.field, error.reason)
    }
  }
}

extension Bifrost_V1_Qos {
  /// The quality of service that is meant.
  func checked(_ field: String) throws(Refusal) -> QoS {
    do throws(MessageProblem) { return try QoS(self, field: field) } catch {
      throw .field(error.field, error.reason)
    }
  }
}

/// Whether a text can be published to: a topic name that does not begin with "$".
func isPublishable(_ topic: Span<UInt8>) -> Bool {
  validateTopicName(topic) && topic[0] != UInt8(ascii: "$")
}

/// The bytes of a text that MQTT can have.
func checkedString(_ text: String, _ field: String, limit: Int) throws(Refusal) -> [UInt8] {
  let bytes = Array(text.utf8)
  guard bytes.count <= limit else { throw .field(field, "has more than \(limit) bytes") }
  guard validateUTF8String(bytes.span) else { throw .field(field, "has U+0000") }
  return bytes
}

/// The client id of a request.
func checkedClientID(_ text: String) throws(Refusal) -> [UInt8] {
  let id = try checkedString(text, "client_id", limit: BackendLimits.clientIDBytes)
  guard !id.isEmpty else { throw .field("client_id", "is missing") }
  return id
}
