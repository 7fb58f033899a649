import BifrostAPI
import GRPCCore
import PubSub
import Packet
import Session

extension PublisherService {
  /// Begins a broadcast, and tells how far it is.
  func broadcast(
    _ request: Bifrost_V1_BroadcastRequest, _ writer: RPCWriter<Bifrost_V1_BroadcastResponse>,
    _ call: Call
  ) async throws {
    let order = try order(request)
    // Only the newest figures matter; the last ones stay.
    let (figures, source) = AsyncStream.makeStream(
      of: BroadcastProgress.self, bufferingPolicy: .bufferingNewest(1))
    let begun = gateway.broadcast(order) { progress in
      source.yield(progress)
      if progress.isDone { source.finish() }
    }
    guard let handle = begun else {
      throw Refusal(
        .resourceExhausted, "TOO_MANY_BROADCASTS",
        "as many broadcasts are under way as may be; call again later")
    }
    defer { handle.cancel() }
    for await progress in figures {
      try await call.write(Bifrost_V1_BroadcastResponse(progress), to: writer)
    }
    try Task.checkCancellation()
  }

  private func order(_ request: Bifrost_V1_BroadcastRequest) throws(Refusal) -> BroadcastOrder {
    guard request.hasMessage else { throw .field("message", "is missing") }
    guard !request.message.retain else {
      throw .field("message.retain", "a broadcast is not retained")
    }
    let message = try request.message.checked("message.", needsTopic: true)
    let wanted = Int(request.clientsPerSecond)
    return BroadcastOrder(
      message: message, audience: try Self.audience(request),
      rate: wanted == 0 ? options.broadcastRate : min(wanted, options.broadcastRate))
  }

  private static func audience(
    _ request: Bifrost_V1_BroadcastRequest
  ) throws(Refusal) -> BroadcastOrder.Audience {
    switch request.audience {
    case .everyone(true): return .everyone
    case .everyone(false): throw .field("everyone", "is false; name a tenant or a filter instead")
    case .tenant(let name):
      let tenant = try checkedString(name, "tenant", limit: 65_535)
      guard !tenant.isEmpty else { throw .field("tenant", "is empty") }
      return .tenant(tenant)
    case .filter(let text):
      let filter = Array(text.utf8)
      guard validateTopicFilter(filter.span) else { throw .field("filter", "is no filter") }
      return .filter(filter)
    case nil: throw .field("audience", "is missing: set everyone, tenant or filter")
    }
  }
}

extension Bifrost_V1_BroadcastResponse {
  fileprivate init(_ progress: BroadcastProgress) {
    self.init()
    sent = UInt64(progress.sent)
    acknowledged = UInt64(progress.acknowledged)
    lost = UInt64(progress.lost)
    skipped = UInt64(progress.skipped)
    done = progress.isDone
  }
}
