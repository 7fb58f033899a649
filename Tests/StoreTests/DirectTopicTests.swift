import Testing

@testable import Store

@Suite struct DirectTopicTests {
  private func encode(_ session: UInt64, _ client: String, _ topic: String) -> [UInt8]? {
    DirectTopic.encode(
      session: session, client: Array(client.utf8).span, topic: Array(topic.utf8).span)
  }

  // A span can't be named within an expectation.
  private func decode(_ bytes: [UInt8]) -> DirectTopic? { DirectTopic(bytes.span) }
  private func isDirect(_ bytes: [UInt8]) -> Bool { DirectTopic.isDirect(bytes.span) }
  private func owner(_ inbox: [UInt8]) -> UInt64? { DirectTopic.session(ofInbox: inbox.span) }

  private func text(_ bytes: [UInt8], _ range: Range<Int>) -> String {
    String(decoding: bytes[range], as: UTF8.self)
  }

  @Test(arguments: [
    (1, "lamp", "light/1"), (UInt64.max, "", "t"), (0xDEAD_BEEF, "größe/$x", "$s/+"),
  ])
  func roundTrip(session: UInt64, client: String, topic: String) throws {
    let bytes = try #require(encode(session, client, topic))
    let direct = try #require(decode(bytes))
    #expect(direct.session == session)
    #expect(text(bytes, direct.client) == client && text(bytes, direct.topic) == topic)
    #expect(isDirect(bytes))
    #expect(owner(bytes) == nil)
    let inbox = DirectTopic.inbox(of: session)
    #expect(owner(inbox) == session)
    #expect(isDirect(inbox) && decode(inbox) == nil)
    #expect(Array(bytes.prefix(inbox.count)) == inbox)
  }

  /// The form is that of files, which stay.
  @Test func form() {
    #expect(encode(0x1F, "ab", "c") == Array("$\u{0}000000000000001f0002abc".utf8))
  }

  @Test func lengths() throws {
    let client = String(repeating: "c", count: 65_535 - 22 - 1)
    #expect(encode(1, client, "t")?.count == DirectTopic.maximumBytes)
    #expect(encode(1, client, "tt") == nil)
    let longest = try #require(encode(1, client, "t"))
    #expect(decode(longest)?.client.count == client.utf8.count)
  }

  /// Whatever the bytes are, they are taken apart within their ends or not at all.
  @Test func othersAreNone() {
    let good = Array("$\u{0}000000000000001f0002abc".utf8)
    for count in 0..<good.count { #expect(decode(Array(good.prefix(count))) == nil) }
    var random = SeededGenerator(seed: 1)
    for _ in 0..<2000 {
      var bytes = good
      bytes[random.below(bytes.count)] = UInt8(random.below(256))
      guard let direct = decode(bytes) else { continue }
      #expect(direct.topic.upperBound == bytes.count && !direct.topic.isEmpty)
      #expect(direct.client.lowerBound == 22 && direct.client.upperBound == direct.topic.lowerBound)
    }
    for other in ["", "$", "a\u{0}000000000000001f0002abc", "$share/g/t", "t"] {
      #expect(!isDirect(Array(other.utf8)))
      #expect(decode(Array(other.utf8)) == nil)
    }
    let upper = Array("$\u{0}000000000000001F0002abc".utf8)
    #expect(decode(upper) == nil)
    #expect(owner(Array("$\u{0}00000000000001F".utf8)) == nil)
  }

  /// A turn of a loop has many orders: none is larger because some are.
  @Test func ordersAreSmall() {
    #expect(MemoryLayout<StoreOrder>.stride == 32)
  }
}
