import Packet
import Util

/// Messages from outside of MQTT in the bytes in which they came, so that none has objects of its own.
public struct OutsideBatch: Sendable {
  /// What is said of a message, and where its parts lie.
  public struct Record: BitwiseCopyable, Sendable {
    /// The topic name, in `bytes`.
    public var topic: ByteRange
    /// The bytes of the application, in `bytes`.
    public var payload: ByteRange
    /// The client that it is for, in `bytes`; empty for whoever subscribes to its topic.
    public var client: ByteRange
    /// Properties that are forwarded, in `properties`.
    public var properties: ByteRange
    /// Seconds that it lives; 0 for ever.
    public var lifetime: UInt32
    /// The quality of service.
    public var qos: QoS
    /// Whether it is to be retained; not for a message to one client.
    public var retain: Bool

    /// See the properties.
    public init(
      topic: ByteRange, payload: ByteRange, client: ByteRange = .empty,
      properties: ByteRange = .empty, qos: QoS = .atLeastOnce, retain: Bool = false,
      lifetime: UInt32 = 0
    ) {
      self.topic = topic
      self.payload = payload
      self.client = client
      self.properties = properties
      self.qos = qos
      self.retain = retain
      self.lifetime = lifetime
    }
  }

  /// What topics, payloads and clients lie in.
  public let bytes: [UInt8]
  /// What properties lie in, encoded as MQTT 5 has them.
  public let properties: [UInt8]
  /// The messages, in order. Their ranges lie inside of the two.
  public let records: [Record]
  /// Whether what became of each is asked for. Otherwise it is only which were refused.
  public let wantsOutcomes: Bool

  /// See the properties.
  public init(bytes: [UInt8], properties: [UInt8], records: [Record], wantsOutcomes: Bool) {
    self.bytes = bytes
    self.properties = properties
    self.records = records
    self.wantsOutcomes = wantsOutcomes
  }

  /// A copy of a message.
  public func message(_ record: Record) -> OutsideMessage {
    OutsideMessage(
      client: record.client.isEmpty ? nil : Array(bytes[record.client.range]),
      topic: Array(bytes[record.topic.range]),
      properties: Array(properties[record.properties.range]),
      payload: Array(bytes[record.payload.range]), qos: record.qos, retain: record.retain,
      lifetime: record.lifetime)
  }
}

extension Gateway {
  /// For those who have no quicker way: publishes copies of the messages.
  public func publish(
    _ batch: OutsideBatch, loop: Int, done: @escaping @Sendable ([PublishOutcome]) -> Void
  ) {
    publish(batch.records.map(batch.message), loop: loop, key: [], done: done)
  }
}
