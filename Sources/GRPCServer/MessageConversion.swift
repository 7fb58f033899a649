import BifrostAPI
import FoundationEssentials
import Packet
import Session
import Util

/// Why a message can't be published as it is.
struct MessageProblem: Error, Equatable, Sendable, CustomStringConvertible {
  /// The field of `bifrost.v1.Message`, by its name there.
  let field: String
  /// What is wrong with it, in words.
  let reason: String

  var description: String { "\(field) \(reason)" }
}

/// How the key of a message travels.
enum MessageKey {
  /// Bytes of a key: it is kept with each message that waits for its acknowledgement.
  static let maximumBytes = 256
}

extension OutsideMessage {
  /// A backend's message, checked. Its key comes first among the user properties, so that it is the one that is found
  /// where others bear the same name.
  /// - Parameter client: whom it is for; nil for whoever subscribes to its topic.
  init(_ message: Bifrost_V1_Message, to client: [UInt8]? = nil) throws(MessageProblem) {
    let topic = Array(message.topic.utf8)
    guard validateTopicName(topic.span) else {
      throw MessageProblem(
        field: "topic", reason: "is not a topic: 1 to 65,535 bytes without +, # and U+0000")
    }
    guard topic[0] != UInt8(ascii: "$") else {
      throw MessageProblem(field: "topic", reason: "begins with $, which is the broker's own")
    }
    self.init(
      client: client, topic: topic, properties: try message.forwardedProperties(),
      payload: Array(message.payload), qos: try QoS(message.qos, field: "qos"),
      retain: message.retain, lifetime: message.expirySeconds)
  }
}

extension QoS {
  /// The quality of service of a message; one that is not said is at least once.
  init(_ qos: Bifrost_V1_Qos, field: String) throws(MessageProblem) {
    switch qos {
    case .atMostOnce: self = .atMostOnce
    case .unspecified, .atLeastOnce: self = .atLeastOnce
    case .exactlyOnce: self = .exactlyOnce
    case .UNRECOGNIZED(let value):
      throw MessageProblem(field: field, reason: "has the unknown value \(value)")
    }
  }
}

extension Bifrost_V1_Qos {
  /// The quality of service; never unspecified.
  init(_ qos: QoS) {
    switch qos {
    case .atMostOnce: self = .atMostOnce
    case .atLeastOnce: self = .atLeastOnce
    case .exactlyOnce: self = .exactlyOnce
    }
  }
}

extension Bifrost_V1_Message {
  /// The properties as MQTT 5 encodes them. An empty field is no property.
  fileprivate func forwardedProperties() throws(MessageProblem) -> [UInt8] {
    let contentType = Array(contentType.utf8)
    guard validateUTF8String(contentType.span) else { throw .notAString("content_type") }
    let responseTopic = Array(responseTopic.utf8)
    guard responseTopic.isEmpty || validateTopicName(responseTopic.span) else {
      throw MessageProblem(
        field: "response_topic", reason: "is not a topic: 1 to 65,535 bytes without +, # and U+0000"
      )
    }
    let correlationData = Array(correlationData)
    guard correlationData.count <= 65_535 else {
      throw MessageProblem(field: "correlation_data", reason: "has more than 65,535 bytes")
    }
    var block: [UInt8] = []
    appendForwardedProperties(
      payloadIsUTF8: payloadIsUtf8, contentType: contentType.isEmpty ? nil : contentType.span,
      responseTopic: responseTopic.isEmpty ? nil : responseTopic.span,
      correlationData: correlationData.isEmpty ? nil : correlationData.span, to: &block)
    let key = Array(key.utf8)
    if !key.isEmpty {
      guard key.count <= MessageKey.maximumBytes, validateUTF8String(key.span) else {
        throw MessageProblem(
          field: "key", reason: "has more than \(MessageKey.maximumBytes) bytes, or U+0000")
      }
      let name = OutsideMessage.keyProperty
      appendUserProperty(name: name.span, value: key.span, to: &block)
    }
    for property in userProperties {
      let name = Array(property.name.utf8)
      let value = Array(property.value.utf8)
      guard validateUTF8String(name.span), validateUTF8String(value.span) else {
        throw .notAString("user_properties")
      }
      appendUserProperty(name: name.span, value: value.span, to: &block)
    }
    return block
  }

  /// A message of the broker's, for backends. The first user property that bears a key becomes `key`, others stay.
  init(_ message: OutsideMessage) {
    self.init()
    topic = String(decoding: message.topic, as: UTF8.self)
    payload = Data(message.payload)
    qos = Bifrost_V1_Qos(message.qos)
    retain = message.retain
    expirySeconds = message.lifetime
    let block = message.properties.span
    var cursor = ForwardedPropertyCursor()
    while let property = cursor.next(block) {
      switch property {
      case .payloadIsUTF8(let flag): payloadIsUtf8 = flag
      case .contentType(let range): contentType = message.properties.text(range)
      case .responseTopic(let range): responseTopic = message.properties.text(range)
      case .correlationData(let range): correlationData = Data(message.properties[range.range])
      case .user(let user): take(user, of: message.properties)
      }
    }
  }

  private mutating func take(_ user: UserProperty, of block: [UInt8]) {
    let isKey =
      key.isEmpty && user.value.count > 0 && user.value.count <= MessageKey.maximumBytes
      && block[user.name.range].elementsEqual(OutsideMessage.keyProperty)
    if isKey {
      key = block.text(user.value)
    } else {
      userProperties.append(Bifrost_V1_UserProperty(user, of: block))
    }
  }
}

extension Bifrost_V1_UserProperty {
  /// A user property of an encoded block.
  init(_ user: UserProperty, of block: [UInt8]) {
    self.init()
    name = block.text(user.name)
    value = block.text(user.value)
  }

  /// All user properties of an encoded block, in their order.
  static func all(in block: [UInt8]) -> [Bifrost_V1_UserProperty] {
    var cursor = UserPropertyCursor(block: ByteRange(offset: 0, count: block.count))
    var properties: [Bifrost_V1_UserProperty] = []
    while let user = cursor.next(block.span) {
      properties.append(Bifrost_V1_UserProperty(user, of: block))
    }
    return properties
  }
}

extension Bifrost_V1_Client {
  /// A client, as those outside are told of it.
  init(_ client: HookedClient) {
    self.init()
    clientID = String(decoding: client.clientID, as: UTF8.self)
    let name = client.identity.map(\.userName) ?? []
    userName = String(decoding: name.isEmpty ? client.userName : name, as: UTF8.self)
    tenant = String(decoding: client.identity?.tenant ?? [], as: UTF8.self)
    peer = client.peer
    protocolVersion = UInt32(client.version)
    attributes = client.identity?.attributes ?? [:]
  }
}

extension MessageProblem {
  fileprivate static func notAString(_ field: String) -> MessageProblem {
    MessageProblem(field: field, reason: "has more than 65,535 bytes, or U+0000")
  }
}

extension [UInt8] {
  /// The text of a range that was found to be UTF-8.
  fileprivate func text(_ range: ByteRange) -> String {
    String(decoding: self[range.range], as: UTF8.self)
  }
}
