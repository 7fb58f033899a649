import Store
import StoreSQLite
import Testing

@testable import Bifrost

/// The lines of an export: each says again what it was made of.
@Suite struct StoreLineTests {
  private static let subscriptions = [0, 1, 6, 0x3F & 0x2A].map { (options: UInt8) in
    SessionDetail.Subscription(
      StoredSubscription(
        filter: Array("a/\(options)".utf8), options: options, identifier: UInt32(options)),
      position: 1 << 53 + 1)
  }

  private static let window = (0...4 as ClosedRange<UInt8>).map {
    WindowEntry(
      sequence: $0 == 3 ? 0 : 1 << 61, identifier: .max, packetID: UInt16($0), state: $0,
      traits: .max, group: $0 == 3 ? 0 : 1 << 62)
  }

  private static let will = StoredWill(
    qos: 2, retain: true, delay: .max, lifetime: 1, topic: Array("grüße".utf8),
    properties: [1, 0], payload: [])

  static let items: [StoreItem] = [
    .head(StoreItem.Head(epoch: 3, nextSequence: .max, clock: .max, unread: 9, lastShare: 1)),
    .filter(StoreItem.Filter(id: .max, text: Array("a/\"#\"\\".utf8), unread: [])),
    .filter(
      StoreItem.Filter(
        id: 1, text: Array("\u{1F600}".utf8),
        unread: [.init(through: 1, total: 2), .init(through: 1 << 60, total: 1 << 61)])),
    .share(
      StoreItem.Share(
        id: 7, filter: Array("$share/g/x".utf8), inner: Array("x".utf8), cursor: 12,
        pending: [3, 1 << 60])),
    .session(
      StoreItem.Session(
        id: 1 << 40, client: [0xFF, 0, 7],
        presence: SessionPresence(
          version: 5, isConnected: true, expiryInterval: .max, expiresAt: 1, willDueAt: 2,
          will: will),
        progress: SessionProgress(
          cursor: 9, nextPacketID: .max, window: window, inbound: [1, .max]),
        subscriptions: subscriptions)),
    .session(
      StoreItem.Session(
        id: 1, client: [],
        presence: SessionPresence(version: 3, isConnected: false, expiryInterval: 0),
        progress: SessionProgress(), subscriptions: [])),
    .message(
      StoreItem.Message(
        sequence: 1, appendedAt: 2,
        facts: LoggedFacts(publisher: 3, expiresAt: 4, qos: 2, retain: true), filters: [5, .max],
        topic: Array("t".utf8), properties: [6], payload: Array("line\n\ttab\r and \u{7F}".utf8))),
    .message(
      StoreItem.Message(
        sequence: 1, appendedAt: 0, facts: LoggedFacts(qos: 1, retain: false), filters: [],
        topic: Array("t".utf8), properties: [], payload: [0x1B, 0x5B])),
    .retained(
      StoreItem.Retained(
        topic: Array("t".utf8), qos: 0, expiresAt: 0, properties: [],
        payload: Array(0...255 as ClosedRange<UInt8>))),
    .end(12),
  ]

  @Test(arguments: items)
  func isReadBack(item: StoreItem) throws {
    let line = item.line
    #expect(!line.contains("\n"))
    #expect(try StoreItem(line: Array(line.utf8)) == item)
  }

  /// Bytes that are text stay so; others, and controls that no text has, are base64.
  @Test func textIsText() {
    func payload(_ bytes: [UInt8]) -> String {
      StoreItem.retained(
        .init(topic: [0x74], qos: 0, expiresAt: 0, properties: [], payload: bytes)
      ).line
    }
    let head = #"{"type":"retained","topic":"t","qos":0,"#
    #expect(payload(Array("grüße\t1".utf8)) == head + #""payload":"grüße\t1"}"#)
    #expect(payload([0x61, 0xC3]) == head + #""payload64":"YcM="}"#)
    #expect(payload([0]) == head + #""payload64":"AA=="}"#)
    #expect(payload([]) == head + #""payload":""}"#)
  }

  @Test(arguments: [
    "", "[]", "7", "{", #"{"type":"end"}"#, #"{"type":"end","lines":-1}"#,
    #"{"type":"end","lines":1.5}"#, #"{"type":"end","lines":1,"x":1}"#,
    #"{"type":"end","lines":18446744073709551616}"#, #"{"type":"end","lines":null}"#,
    #"{"type":"filter","id":1,"filter":"a","filter64":"YQ=="}"#,
    #"{"type":"filter","id":1,"filter64":"YQ"}"#,
    #"{"type":"filter","id":4294967296,"filter":"a"}"#,
    #"{"type":"filter","id":1,"filter":"a","unread":[[1]]}"#,
  ])
  func othersAreRefused(line: String) {
    #expect(throws: LineError.self) { try StoreItem(line: Array(line.utf8)) }
  }
}
