import Packet
import Testing

@testable import Client

@Suite struct NamedPropertiesTests {
  private func read(_ words: String) throws -> NamedProperties {
    try NamedProperties(
      words: words.split(separator: " ").map(String.init), allowed: NamedProperties.Place.allCases)
  }

  @Test func propertiesReachTheirPackets() throws {
    let properties = try read(
      "CONNECT session-expiry-interval 60 connect user-property a b publish content-type text "
        + "publish message-expiry-interval 7 publish topic-alias 3 subscribe "
        + "subscription-identifier 9 disconnect session-expiry-interval 1")
    var connect = ConnectPacket(version: .v5, clientID: [])
    properties.apply(to: &connect)
    #expect(connect.sessionExpiryInterval == 60)
    #expect(connect.userProperties == [0x26, 0, 1, 0x61, 0, 1, 0x62])
    var message = OutgoingMessage(topic: [0x74], payload: [])
    properties.apply(to: &message)
    #expect(message.expiryInterval == 7)
    #expect(message.topicAlias == 3)
    #expect(message.forwardedProperties == [0x03, 0, 4, 0x74, 0x65, 0x78, 0x74])
    #expect(properties.subscriptionIdentifier == 9)
    #expect(properties.disconnect.sessionExpiryInterval == 1)
  }

  @Test func whatIsSentCanBeDecoded() throws {
    let properties = try read(
      "publish content-type text publish response-topic r publish correlation-data c publish "
        + "payload-format-indicator 1 publish user-property a b publish user-property a c")
    var message = OutgoingMessage(topic: [0x74], payload: [0x70])
    properties.apply(to: &message)
    let bytes = Encoded.publish(message, .v5, packetID: 0).bytes
    let frame = try decodeFrame(bytes.span, from: 0, maximumPacketSize: 1_000)
    guard case .packet(let header) = frame else {
      Issue.record("no packet")
      return
    }
    let publish = try Publish.decode(bytes.span, header: header, version: .v5)
    #expect(publish.properties.payloadFormatIndicator == 1)
    #expect(publish.properties.contentType != nil)
    var cursor = publish.properties.userProperties()
    var count = 0
    while cursor.next(bytes.span) != nil { count += 1 }
    #expect(count == 2)
  }

  @Test(arguments: [
    "publish", "publish content-type", "publish user-property a", "nowhere content-type x",
    "publish no-such-thing x", "connect content-type x", "publish topic-alias 0",
    "publish topic-alias 65536", "publish message-expiry-interval -1",
    "publish payload-format-indicator 2", "publish content-type a publish content-type b",
    "connect receive-maximum 5 connect receive-maximum 6", "publish response-topic a/#",
  ])
  func wrongWordsAreRefused(_ words: String) {
    #expect(throws: NamedProperties.Problem.self) { try read(words) }
  }
}
