import BifrostAPI
import GRPCCore
import Session

extension ClientsService {
  /// Clients of one answer: the most that a page of the gateway has.
  private static let pageClients = 1000
  /// Messages of one answer, and bytes of it: it stays below the 4 MiB that libraries of gRPC take, unless one
  /// message is larger by itself.
  private static let pageMessages = 500
  private static let pageBytes = 1 << 20

  /// Sends clients, a page at a time.
  func list(
    _ request: Bifrost_V1_ListRequest, _ writer: RPCWriter<Bifrost_V1_ListResponse>, _ call: Call
  ) async throws {
    var query = ClientQuery()
    query.prefix = Array(request.clientIDPrefix.utf8)
    query.tenant = Array(request.tenant.utf8)
    query.isConnected = request.connectedOnly
    guard let cursor = bytes(hexadecimal: request.cursor) else {
      throw Refusal.field("cursor", "is none that List gave")
    }
    query.cursor = cursor
    var left = request.limit == 0 ? Int.max : Int(request.limit)
    while true {
      query.maximum = min(Self.pageClients, left)
      let wanted = query
      let page = try await answer { gateway.list(wanted, done: $0) }.value("there are no clients")
      left -= page.entries.count
      // A page without clients says something only where it is the last.
      if !page.entries.isEmpty || page.next == nil {
        try await call.write(Bifrost_V1_ListResponse(page), to: writer)
      }
      guard let next = page.next, left > 0 else { return }
      query.cursor = next
    }
  }

  /// Sends messages that wait for a client, a page at a time.
  func readBacklog(
    _ request: Bifrost_V1_ReadBacklogRequest, _ writer: RPCWriter<Bifrost_V1_ReadBacklogResponse>,
    _ call: Call
  ) async throws {
    let client = try checkedClientID(request.clientID)
    var place = BacklogPlace()
    var left = request.limit == 0 ? Int.max : Int(request.limit)
    while true {
      let (from, most) = (place, min(Self.pageMessages, left))
      let page = try await answer {
        gateway.backlog(
          client, after: from, maximumMessages: most, maximumBytes: Self.pageBytes, done: $0)
      }.value("there is no session")
      left -= page.entries.count
      if !page.entries.isEmpty {
        let response = Bifrost_V1_ReadBacklogResponse(
          page, withPayloads: !request.omitsPayloads)
        try await call.write(response, to: writer)
      }
      guard let next = page.next, left > 0 else { return }
      place = next
    }
  }
}

extension Bifrost_V1_ListResponse {
  fileprivate init(_ page: ClientPage) {
    self.init()
    clients = page.entries.map { entry in
      .with {
        $0.client = Bifrost_V1_Client(entry.client)
        $0.connected = entry.isConnected
        $0.isStored = entry.isStored
      }
    }
    cursor = page.next.map { hexadecimal($0) } ?? ""
  }
}

extension Bifrost_V1_ReadBacklogResponse {
  fileprivate init(_ page: BacklogPage, withPayloads: Bool) {
    self.init()
    messages = page.entries.map { entry in
      .with {
        var message = entry.message
        if !withPayloads { message.payload = [] }
        $0.message = Bifrost_V1_Message(message)
        $0.inFlight = entry.isInFlight
      }
    }
  }
}

/// Bytes as text that may stand in any log and shell.
func hexadecimal(_ bytes: [UInt8]) -> String {
  let digits = Array("0123456789abcdef".utf8)
  return String(
    decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}

/// The bytes of a text that `hexadecimal` made; nil for another one.
func bytes(hexadecimal text: String) -> [UInt8]? {
  let digits = Array(text.utf8)
  guard digits.count.isMultiple(of: 2) else { return nil }
  var bytes: [UInt8] = []
  for index in stride(from: 0, to: digits.count, by: 2) {
    guard let high = digit(digits[index]), let low = digit(digits[index + 1]) else { return nil }
    bytes.append(high << 4 | low)
  }
  return bytes
}

private func digit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
  default: nil
  }
}
