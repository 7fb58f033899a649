import Testing
import Util

@testable import Packet

@Suite("Encoders")
struct EncodeTests {
  @Test("variable byte integers at the borders of their lengths")
  func variable() throws {
    let borders: [(Int, [UInt8])] = [
      (0, [0x00]), (127, [0x7F]), (128, [0x80, 0x01]), (16_383, [0xFF, 0x7F]),
      (16_384, [0x80, 0x80, 0x01]), (2_097_151, [0xFF, 0xFF, 0x7F]),
      (2_097_152, [0x80, 0x80, 0x80, 0x01]), (268_435_455, [0xFF, 0xFF, 0xFF, 0x7F]),
    ]
    for (value, bytes) in borders {
      #expect(encoded(variableByteCount(value)) { $0.append(variable: value) } == bytes)
      var reader = PacketReader(bytes.span, from: 0, to: bytes.count)
      let read = try reader.readVariable()
      #expect(read == value)
    }
  }

  @Test("a template of a PUBLISH becomes each receiver's by its packet identifier alone")
  func template() {
    let topic = Array("news/all".utf8)
    let payload = [UInt8](repeating: 0x78, count: 200)
    for version in ProtocolVersion.allCases {
      for qos in QoS.allCases {
        var header = PublishHeader(version: version, qos: qos)
        let layout = header.layout(topicCount: topic.count, payloadCount: payload.count)
        var template = encoded(layout.headerCount) {
          encodePublishHeader(
            header, topic: topic.span, payloadCount: payload.count, into: &$0)
        }
        #expect((layout.packetIDOffset < 0) == (qos == .atMostOnce))
        header.packetID = 0xABCD
        if layout.packetIDOffset >= 0 {
          template[layout.packetIDOffset] = 0xAB
          template[layout.packetIDOffset + 1] = 0xCD
        }
        let direct = encoded(layout.totalCount) { [header] in
          encodePublish(header, topic: topic.span, payload: payload.span, into: &$0)
        }
        #expect(template + payload == direct)
      }
    }
  }

  @Test("what MQTT 5 alone knows is left out of a PUBLISH before it")
  func olderPublish() {
    let header = PublishHeader(
      version: .v3_1_1, qos: .atMostOnce, messageExpiryInterval: 5, topicAlias: 7)
    let forwarded: [UInt8] = [0x01, 0x01]
    let identifiers: [UInt32] = [1]
    let layout = header.layout(
      topicCount: 1, forwardedCount: 2, identifiers: identifiers.span, payloadCount: 1)
    let bytes = encoded(layout.totalCount) {
      encodePublish(
        header, topic: [0x74].span, forwarded: forwarded.span, identifiers: identifiers.span,
        payload: [0x78].span, into: &$0)
    }
    #expect(bytes == [0x30, 0x04, 0x00, 0x01, 0x74, 0x78])
  }

  @Test("acknowledgements take their shortest form")
  func shortestAck() {
    for version in ProtocolVersion.allCases {
      for type in [PacketType.pubAck, .pubRec, .pubRel, .pubComp] {
        for reason in [ReasonCode.success, .packetIdentifierNotFound] {
          let count = encodedAckCount(reason: reason, version: version)
          let bytes = encoded(count) {
            encodeAck(type: type, packetID: 0x0102, reason: reason, version: version, into: &$0)
          }
          #expect(bytes.count == (version == .v5 && reason.isError ? 5 : 4))
          #expect(Array(bytes[2...3]) == [0x01, 0x02])
        }
      }
    }
  }

  @Test("a refusal of a CONNECT fits each version")
  func refusal() {
    var packet = ConnAckPacket(reason: .banned, sessionPresent: true)
    packet.reasonString = Array("no".utf8)
    #expect(
      encoded(packet.encodedCount(.v3_1_1)) { packet.encode(.v3_1_1, into: &$0) }
        == [0x20, 0x02, 0x00, 0x05])
    #expect(
      encoded(packet.encodedCount(.v5)) { packet.encode(.v5, into: &$0) }
        == [0x20, 0x08, 0x00, 0x8A, 0x05, 0x1F, 0x00, 0x02, 0x6E, 0x6F])
  }

  @Test("MQTT 3.1 never hears of a session that is present")
  func sessionPresent() {
    let packet = ConnAckPacket(reason: .success, sessionPresent: true)
    #expect(encoded(4) { packet.encode(.v3_1, into: &$0) } == [0x20, 0x02, 0x00, 0x00])
    #expect(encoded(4) { packet.encode(.v3_1_1, into: &$0) } == [0x20, 0x02, 0x01, 0x00])
  }

  @Test("failures of a SUBSCRIBE become 0x80 before MQTT 5")
  func olderSubAck() {
    let packet = SubAckPacket(type: .subAck, packetID: 1, reasonString: [0x61])
    let reasons: [UInt8] = [0x02, 0x87, 0x8F]
    let bytes = encoded(packet.encodedCount(.v3_1_1, reasonCount: 3)) {
      packet.encode(.v3_1_1, reasons: reasons.span, into: &$0)
    }
    #expect(bytes == [0x90, 0x05, 0x00, 0x01, 0x02, 0x80, 0x80])
  }
}

@Suite("Tables")
struct TableTests {
  @Test("sets of properties are those of the standard's table")
  func propertySets() {
    let table: [(PropertySet, PropertySet)] = [
      (.acknowledgement, PropertySet(.reasonString, .userProperty)),
      (
        .connect,
        PropertySet(
          .sessionExpiryInterval, .authenticationMethod, .authenticationData,
          .requestProblemInformation, .requestResponseInformation, .receiveMaximum,
          .topicAliasMaximum, .userProperty, .maximumPacketSize)
      ),
      (
        .will,
        PropertySet(
          .payloadFormatIndicator, .messageExpiryInterval, .contentType, .responseTopic,
          .correlationData, .willDelayInterval, .userProperty)
      ),
      (
        .connAck,
        PropertySet(
          .sessionExpiryInterval, .assignedClientIdentifier, .serverKeepAlive,
          .authenticationMethod, .authenticationData, .responseInformation, .serverReference,
          .reasonString, .receiveMaximum, .topicAliasMaximum, .maximumQoS, .retainAvailable,
          .userProperty, .maximumPacketSize, .wildcardSubscriptionAvailable,
          .subscriptionIdentifierAvailable, .sharedSubscriptionAvailable)
      ),
      (
        .publish,
        PropertySet(
          .payloadFormatIndicator, .messageExpiryInterval, .contentType, .responseTopic,
          .correlationData, .subscriptionIdentifier, .topicAlias, .userProperty)
      ),
      (.subscribe, PropertySet(.subscriptionIdentifier, .userProperty)),
      (.unsubscribe, PropertySet(.userProperty)),
      (
        .disconnect,
        PropertySet(.sessionExpiryInterval, .serverReference, .reasonString, .userProperty)
      ),
      (
        .auth,
        PropertySet(.authenticationMethod, .authenticationData, .reasonString, .userProperty)
      ),
      (
        .forwarded,
        PropertySet(
          .payloadFormatIndicator, .contentType, .responseTopic, .correlationData, .userProperty)
      ),
    ]
    for (constant, names) in table { #expect(constant.bits == names.bits) }
    #expect(PropertyID.allCases.count == 27)
    #expect(PropertyID.allCases.allSatisfy { $0.rawValue < 64 })
  }

  @Test("each fault has a reason code that is a failure, a clause and a message")
  func faults() {
    for fault in DecodeError.allCases {
      #expect(fault.reason.isError)
      #expect(fault.clause.utf8CodeUnitCount > 0 && fault.message.utf8CodeUnitCount > 0)
    }
    #expect(
      Set(DecodeError.allCases.map(\.message.description)).count == DecodeError.allCases.count)
  }

  @Test("each return code of MQTT 3 has a reason code that leads back to it")
  func returnCodes() {
    for code in ConnectReturnCode.allCases { #expect(ConnectReturnCode(code.reason) == code) }
    for raw in UInt8.min...UInt8.max {
      let reason = ReasonCode(rawValue: raw)
      #expect((ConnectReturnCode(reason) == .accepted) == !reason.isError)
    }
  }

  @Test("subscription options lie as on the wire")
  func options() {
    let options = SubscriptionOptions(
      qos: .exactlyOnce, noLocal: true, retainAsPublished: true, retainHandling: .doNotSend)
    #expect(options.rawValue == 0x2E)
    #expect(options.qos == .exactlyOnce && options.noLocal && options.retainAsPublished)
    #expect(options.retainHandling == .doNotSend)
    #expect(SubscriptionOptions(qos: .atMostOnce).rawValue == 0)
  }

  /// A decoded packet lives on the stack of a loop for the length of a handler. The figures are
  /// upper bounds on purpose: they catch a field that grows, not one that shrinks.
  @Test("decoded packets stay small")
  func strides() {
    #expect(MemoryLayout<DecodeError>.size == 1)
    #expect(MemoryLayout<SubscriptionOptions>.stride == 1)
    #expect(MemoryLayout<FixedHeader>.stride == 24)
    #expect(MemoryLayout<Publish>.stride <= 104)
    #expect(MemoryLayout<Acknowledgement>.stride <= 32)
    #expect(MemoryLayout<Connect>.stride <= 256)
  }
}
