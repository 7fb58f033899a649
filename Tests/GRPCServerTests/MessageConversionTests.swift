import BifrostAPI
import Packet
import Session
import Testing

@testable import GRPCServer

/// Messages of backends become MQTT's and back.
struct MessageConversionTests {
  private func whole() -> Bifrost_V1_Message {
    .with {
      $0.topic = "a/b"
      $0.payload = .init([1, 2, 3])
      $0.qos = .exactlyOnce
      $0.retain = true
      $0.expirySeconds = 7
      $0.contentType = "text/plain"
      $0.responseTopic = "answers/ä"
      $0.correlationData = .init([0, 255])
      $0.payloadIsUtf8 = true
      $0.key = "key-1"
      $0.userProperties = [
        .with {
          $0.name = "n"
          $0.value = "v"
        },
        .with {
          $0.name = "message-key"
          $0.value = "another"
        },
        .with {
          $0.name = "n"
          $0.value = ""
        },
      ]
    }
  }

  @Test func aMessageComesBackAsItWas() throws {
    let message = whole()
    let outside = try OutsideMessage(message)
    #expect(outside.topic == Array("a/b".utf8))
    #expect(outside.qos == .exactlyOnce)
    #expect(outside.lifetime == 7)
    #expect(outside.client == nil)
    #expect(Bifrost_V1_Message(outside) == message)
  }

  @Test func whatIsNotSaidIsLeftOut() throws {
    let outside = try OutsideMessage(.with { $0.topic = "t" }, to: [7])
    #expect(outside.properties.isEmpty)
    #expect(outside.qos == .atLeastOnce)
    #expect(outside.client == [7])
    let back = Bifrost_V1_Message(outside)
    #expect(
      back
        == .with {
          $0.topic = "t"
          $0.qos = .atLeastOnce
        })
  }

  @Test func aKeyTravelsAsUserProperty() throws {
    let outside = try OutsideMessage(
      .with {
        $0.topic = "t"
        $0.key = "k"
      })
    var expected: [UInt8] = []
    appendUserProperty(name: Array("message-key".utf8).span, value: [0x6B].span, to: &expected)
    #expect(outside.properties == expected)
  }

  @Test func aKeyThatIsTooLongStaysAUserProperty() {
    var properties: [UInt8] = []
    let value = [UInt8](repeating: 0x78, count: 257)
    appendUserProperty(name: Array("message-key".utf8).span, value: value.span, to: &properties)
    let message = Bifrost_V1_Message(
      OutsideMessage(topic: [0x74], properties: properties, payload: []))
    #expect(message.key.isEmpty)
    #expect(message.userProperties.map(\.value) == [String(repeating: "x", count: 257)])
  }

  struct Change: Sendable, CustomStringConvertible {
    let field: String
    let description: String
    let apply: @Sendable (inout Bifrost_V1_Message) -> Void

    init(
      _ field: String, _ description: String,
      _ apply: @escaping @Sendable (inout Bifrost_V1_Message) -> Void
    ) {
      self.field = field
      self.description = description
      self.apply = apply
    }

    static let all = [
      Change("topic", "no topic") { $0.topic = "" },
      Change("topic", "a wildcard in the topic") { $0.topic = "a/+" },
      Change("topic", "a topic of the broker's") { $0.topic = "$SYS/a" },
      Change("topic", "a long topic") { $0.topic = String(repeating: "x", count: 65_536) },
      Change("qos", "an unknown quality of service") { $0.qos = .UNRECOGNIZED(9) },
      Change("content_type", "NUL in the content type") { $0.contentType = "a\u{0}" },
      Change("response_topic", "a wildcard for answers") { $0.responseTopic = "#" },
      Change("correlation_data", "long correlation data") {
        $0.correlationData = .init(repeating: 0, count: 65_536)
      },
      Change("key", "a long key") { $0.key = String(repeating: "x", count: 257) },
      Change("key", "NUL in the key") { $0.key = "\u{0}" },
      Change("user_properties", "NUL in a name") { $0.userProperties[0].name = "\u{0}" },
    ]
  }

  @Test(arguments: Change.all)
  func whatMQTTCannotCarryIsRefused(change: Change) {
    var message = whole()
    change.apply(&message)
    let problem = #expect(throws: MessageProblem.self) { try OutsideMessage(message) }
    #expect(problem?.field == change.field)
  }

  @Test func aBlockThatIsCutShortEndsThere() {
    let message = Bifrost_V1_Message(
      OutsideMessage(topic: [0x74], properties: [0x01, 1, 0x03, 0, 9, 65], payload: []))
    #expect(message.payloadIsUtf8)
    #expect(message.contentType.isEmpty)
  }
}
