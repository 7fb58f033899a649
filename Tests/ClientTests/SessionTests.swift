import Packet
import Testing

@testable import Client

@Suite struct ClientSessionTests {
  @Test func connectIsSentAndAnswered() throws {
    var talk = Conversation()
    talk.session.connect(into: &talk.out)
    #expect(talk.take() == [0x10, 13, 0, 4, 0x4D, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, 1, 0x63])
    #expect(try talk.give([0x20, 2, 0, 0]) == .connected(sessionPresent: false))
    #expect(talk.session.phase == .connected)
  }

  @Test func refusalEndsTheSession() throws {
    var talk = Conversation()
    talk.session.connect(into: &talk.out)
    #expect(try talk.give([0x20, 2, 0, 5]) == .refused(.notAuthorized, ""))
    #expect(talk.session.phase == .ended)
  }

  @Test func nothingIsTakenBeforeConnAck() throws {
    var talk = Conversation()
    talk.session.connect(into: &talk.out)
    #expect(throws: ClientError.unexpected(.publish)) { try talk.give(publish(0)) }
  }

  @Test func qos0IsSentAtOnce() throws {
    var talk = Conversation()
    try talk.connect()
    #expect(try talk.session.publish(message("t", "p", .atMostOnce), into: &talk.out) == 0)
    #expect(talk.take() == publish(0))
    #expect(talk.session.unacknowledgedCount == 0)
  }

  @Test func qos1IsAcknowledged() throws {
    var talk = Conversation()
    try talk.connect()
    #expect(try talk.session.publish(message("t", "p", .atLeastOnce), into: &talk.out) == 1)
    #expect(talk.take() == publish(1, id: 1))
    #expect(try talk.give([0x40, 2, 0, 1]) == .published(packetID: 1, .success))
    #expect(talk.session.unacknowledgedCount == 0)
    // A second one answers nothing.
    #expect(try talk.give([0x40, 2, 0, 1]) == nil)
  }

  /// [MQTT-4.3.3-8]
  @Test func qos2TakesBothSteps() throws {
    var talk = Conversation()
    try talk.connect()
    try talk.session.publish(message("t", "p", .exactlyOnce), into: &talk.out)
    #expect(talk.take() == publish(2, id: 1))
    // PUBACK is no answer to QoS 2.
    #expect(try talk.give([0x40, 2, 0, 1]) == nil)
    #expect(try talk.give([0x50, 2, 0, 1]) == nil)
    #expect(talk.take() == [0x62, 2, 0, 1])
    // The server may not have had the PUBREL.
    #expect(try talk.give([0x50, 2, 0, 1]) == nil)
    #expect(talk.take() == [0x62, 2, 0, 1])
    #expect(try talk.give([0x70, 2, 0, 1]) == .published(packetID: 1, .success))
    #expect(talk.session.unacknowledgedCount == 0)
  }

  @Test func errorInPubRecEndsTheExchange() throws {
    var talk = Conversation(.v5)
    try talk.connect()
    try talk.session.publish(message("t", "p", .exactlyOnce), into: &talk.out)
    _ = talk.take()
    #expect(try talk.give([0x50, 3, 0, 1, 0x97]) == .published(packetID: 1, .quotaExceeded))
    #expect(talk.take().isEmpty)
    #expect(talk.session.unacknowledgedCount == 0)
  }

  @Test func incomingMessagesAreAnswered() throws {
    var talk = Conversation()
    try talk.connect()
    func event(_ qos: QoS, dup: Bool = false) -> ClientEvent {
      .message(
        IncomingMessage(topic: [0x74], payload: [0x70], qos: qos, retain: false, dup: dup))
    }
    #expect(try talk.give(publish(0)) == event(.atMostOnce))
    #expect(talk.take().isEmpty)
    #expect(try talk.give(publish(1, id: 9)) == event(.atLeastOnce))
    #expect(talk.take() == [0x40, 2, 0, 9])
    #expect(try talk.give(publish(2, id: 9)) == event(.exactlyOnce))
    #expect(talk.take() == [0x50, 2, 0, 9])
    // A repetition is answered, and not given to the program again [MQTT-4.3.3-10].
    #expect(try talk.give(publish(2, id: 9, dup: true)) == nil)
    #expect(talk.take() == [0x50, 2, 0, 9])
    #expect(try talk.give([0x62, 2, 0, 9]) == nil)
    #expect(talk.take() == [0x70, 2, 0, 9])
    // Released, the number may be used again.
    #expect(try talk.give(publish(2, id: 9)) == event(.exactlyOnce))
  }

  @Test func receiveMaximumHoldsMessagesBack() throws {
    var talk = Conversation(.v5)
    try talk.connect(properties: [0x21, 0, 2])
    for _ in 0..<4 {
      try talk.session.publish(message("t", "p", .atLeastOnce), into: &talk.out)
    }
    let one = Encoded.publish(message("t", "p", .atLeastOnce), .v5, packetID: 1).bytes
    #expect(talk.take().count == 2 * one.count)
    #expect(talk.session.unacknowledgedCount == 4)
    _ = try talk.give([0x40, 2, 0, 1])
    #expect(talk.take() == Encoded.publish(message("t", "p", .atLeastOnce), .v5, packetID: 3).bytes)
    for id: UInt8 in 2...4 { _ = try talk.give([0x40, 2, 0, id]) }
    #expect(talk.session.unacknowledgedCount == 0)
  }

  @Test func serverLimitsAreKept() throws {
    var talk = Conversation(.v5)
    // Maximum QoS 1, no retain, packets of 20 bytes.
    try talk.connect(properties: [0x24, 1, 0x25, 0, 0x27, 0, 0, 0, 20])
    for bad in [
      message("t", "p", .exactlyOnce), message("t", "a message of twenty", .atMostOnce),
      message("t/#", "p", .atMostOnce), message("", "p", .atMostOnce),
    ] {
      #expect(throws: ClientError.self) { try talk.session.publish(bad, into: &talk.out) }
    }
    var retained = message("t", "p", .atMostOnce)
    retained.retain = true
    #expect(throws: ClientError.self) { try talk.session.publish(retained, into: &talk.out) }
    #expect(talk.take().isEmpty)
  }

  @Test func reconnectRepeatsWhatIsOwed() throws {
    var talk = Conversation()
    try talk.connect()
    try talk.session.publish(message("t", "p", .atLeastOnce), into: &talk.out)
    try talk.session.publish(message("t", "p", .exactlyOnce), into: &talk.out)
    try talk.session.publish(message("t", "p", .exactlyOnce), into: &talk.out)
    _ = try talk.give([0x50, 2, 0, 2])
    talk.session.connectionLost()
    talk.session.connect(into: &talk.out)
    _ = talk.take()
    _ = try talk.give([0x20, 2, 1, 0])
    // In their order: a message, a release, a message [MQTT-4.6.0-1].
    #expect(
      talk.take() == publish(1, id: 1, dup: true) + [0x62, 2, 0, 2] + publish(2, id: 3, dup: true))
    #expect(talk.session.unacknowledgedCount == 3)
  }

  @Test func aNewSessionGetsMessagesAnew() throws {
    var talk = Conversation()
    try talk.connect()
    try talk.session.publish(message("t", "p", .atLeastOnce), into: &talk.out)
    try talk.session.publish(message("t", "p", .exactlyOnce), into: &talk.out)
    _ = try talk.give([0x50, 2, 0, 2])
    talk.session.connectionLost()
    talk.session.connect(into: &talk.out)
    _ = talk.take()
    _ = try talk.give([0x20, 2, 0, 0])
    #expect(talk.take() == publish(1, id: 3))
    #expect(talk.session.unacknowledgedCount == 1)
  }

  @Test func subscriptionsAreAnswered() throws {
    var talk = Conversation()
    try talk.connect()
    let filters = [
      SubscribePacket.Filter(Array("a".utf8), SubscriptionOptions(qos: .atLeastOnce)),
      SubscribePacket.Filter(Array("b/#".utf8), SubscriptionOptions(qos: .atMostOnce)),
    ]
    let id = try talk.session.subscribe(filters, into: &talk.out)
    #expect(
      talk.take() == [0x82, 12, 0, UInt8(id), 0, 1, 0x61, 1, 0, 3, 0x62, 0x2F, 0x23, 0])
    #expect(
      try talk.give([0x90, 4, 0, UInt8(id), 1, 0x80])
        == .subscribed(packetID: id, [.grantedQoS1, .unspecifiedError]))
    #expect(throws: ClientError.unexpected(.subAck)) {
      try talk.give([0x90, 3, 0, UInt8(id), 1])
    }
    let bad = SubscribePacket.Filter(Array("a#".utf8), SubscriptionOptions(qos: .atMostOnce))
    #expect(throws: ClientError.self) { try talk.session.subscribe([bad], into: &talk.out) }
  }

  @Test func aliasesOfTheServerAreFollowed() throws {
    var talk = Conversation(.v5) { $0.topicAliasMaximum = 1 }
    try talk.connect()
    func event(_ payload: UInt8) -> ClientEvent {
      .message(
        IncomingMessage(
          topic: [0x74], payload: [payload], qos: .atMostOnce, retain: false, dup: false))
    }
    #expect(try talk.give([0x30, 8, 0, 1, 0x74, 3, 0x23, 0, 1, 0x70]) == event(0x70))
    #expect(try talk.give([0x30, 7, 0, 0, 3, 0x23, 0, 1, 0x71]) == event(0x71))
    // Above what was allowed, and unknown.
    #expect(throws: ClientError.self) { try talk.give([0x30, 8, 0, 1, 0x74, 3, 0x23, 0, 2, 0x70]) }
    #expect(throws: ClientError.self) { try talk.give([0x30, 7, 0, 0, 3, 0x23, 0, 2, 0x71]) }
  }

  @Test func packetIDsAreNotUsedTwice() throws {
    var talk = Conversation()
    try talk.connect()
    let filter = SubscribePacket.Filter([0x61], SubscriptionOptions(qos: .atMostOnce))
    let kept = try talk.session.subscribe([filter], into: &talk.out)
    talk.session.nextPacketID = 65_535
    try talk.session.publish(message("t", "p", .atLeastOnce), into: &talk.out)
    // 0 is none, and the number of the open SUBSCRIBE is skipped [MQTT-2.2.1-3].
    #expect(try talk.session.publish(message("t", "p", .atLeastOnce), into: &talk.out) == kept + 1)
  }

  @Test func serversGoodbyeIsTold() throws {
    var talk = Conversation(.v5)
    try talk.connect()
    let goodbye: [UInt8] = [0xE0, 6, 0x8B, 4, 0x1F, 0, 1, 0x62]
    #expect(try talk.give(goodbye) == .disconnected(.serverShuttingDown, "b"))
    var old = Conversation()
    try old.connect()
    #expect(throws: ClientError.unexpected(.disconnect)) { try old.give([0xE0, 0]) }
  }

  @Test func serverKeepAliveWins() throws {
    var talk = Conversation(.v5) { $0.keepAlive = 60 }
    try talk.connect(properties: [0x13, 0, 7])
    #expect(talk.session.keepAlive == 7)
  }
}
