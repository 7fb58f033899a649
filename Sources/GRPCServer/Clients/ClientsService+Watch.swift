import BifrostAPI
import GRPCCore
import Session

/// A place among the events, as a text.
struct ResumeToken: Equatable {
  /// The run of the broker.
  var epoch: UInt64
  /// The place of the event.
  var place: UInt64

  /// The text: two numbers of 16 digits.
  var text: String { Self.digits(epoch) + Self.digits(place) }

  init(epoch: UInt64, place: UInt64) {
    self.epoch = epoch
    self.place = place
  }

  /// Reads a text; nil where it is none of `text`.
  init?(_ text: String) {
    let digits = Array(text.utf8)
    guard digits.count == 32, let bytes = bytes(hexadecimal: text) else { return nil }
    epoch = bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) }
    place = bytes[8...].reduce(0) { $0 << 8 | UInt64($1) }
  }

  private static func digits(_ number: UInt64) -> String {
    hexadecimal((0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * UInt64($0))) })
  }
}

extension ClientsService {
  /// Events that are read at a time: the ring is locked meanwhile.
  private static let eventsPerRead = 256

  /// Sends events from a place on, until somebody ends it.
  func watch(
    _ request: Bifrost_V1_WatchRequest, _ writer: RPCWriter<Bifrost_V1_WatchResponse>, _ call: Call
  ) async throws {
    let events = gateway.events
    let prefix = Array(request.clientIDPrefix.utf8)
    var token = ResumeToken(epoch: events.epoch, place: 0)
    let given = ResumeToken(request.resumeToken)
    guard request.resumeToken.isEmpty || given != nil else {
      throw Refusal.field("resume_token", "is none that Watch gave")
    }
    token.place = events.enter()
    defer { events.leave() }
    if let given {
      guard given.epoch == events.epoch else { throw Self.expired }
      if case .lost = events.read(after: given.place, maximum: 0) { throw Self.expired }
      token.place = given.place
    }
    let started = token.text
    try await call.write(
      .with {
        $0.resumeToken = started
        $0.started = Bifrost_V1_WatchResponse.Started()
      }, to: writer)
    while true {
      switch events.read(after: token.place, maximum: Self.eventsPerRead) {
      case .lost: throw Self.expired
      case .events(let found, let next) where !found.isEmpty:
        var responses: [Bifrost_V1_WatchResponse] = []
        for event in found {
          token.place += 1
          guard event.clientID.starts(with: prefix) else { continue }
          responses.append(Bifrost_V1_WatchResponse(event, token.text))
        }
        token.place = next
        if !responses.isEmpty { try await call.write(contentsOf: responses, to: writer) }
      case .events:
        let bell = Bell()
        let number = events.whenMore(after: token.place) { bell.ring() }
        defer { events.forget(number) }
        try await bell.wait()
      }
    }
  }

  private static let expired = Refusal(
    .outOfRange, "RESUME_TOKEN_EXPIRED",
    "events behind the token are gone; read the clients anew with List")
}

extension Bifrost_V1_WatchResponse {
  fileprivate init(_ event: ClientEvent, _ token: String) {
    self.init()
    resumeToken = token
    clientID = String(decoding: event.clientID, as: UTF8.self)
    timeMilliseconds = event.time
    switch event.what {
    case .connected(let client, let isPresent):
      connected = .with {
        $0.client = Bifrost_V1_Client(client)
        $0.sessionPresent = isPresent
      }
    case .disconnected(let end):
      disconnected = .with {
        $0.reason = end.text
        $0.reasonCode = UInt32(end.reason.rawValue)
      }
    case .subscribed(let subscription): subscribed = Bifrost_V1_Subscription(subscription)
    case .unsubscribed(let filter): unsubscribed = String(decoding: filter, as: UTF8.self)
    }
  }
}
