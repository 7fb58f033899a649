import BifrostAPI
import GRPCCore
import Packet
import Session

extension SubscriberService {
  /// Subscribes, and brings messages one way and acknowledgements the other until either side ends it.
  func follow(
    _ order: SubscriptionOrder, isResumed: Bool,
    _ requests: RPCAsyncSequence<Bifrost_V1_SubscribeRequest, any Error>.AsyncIterator,
    _ writer: RPCWriter<Bifrost_V1_SubscribeResponse>, _ call: Call
  ) async throws {
    var connect = ConnectPacket(version: .v5, clientID: order.member)
    connect.receiveMaximum = order.window
    try await InnerConnection.with(gateway, connect) { connection in
      try await connection.subscribe(order.filters)
      let opened = Bifrost_V1_SubscribeResponse.with { $0.opened.resumed = isResumed }
      try await call.write(opened, to: writer)
      let outstanding = Outstanding()
      let inner = connection.writer
      // The iterator is handed over: nobody else reads the call from here on.
      let source = Handover(requests)
      let link = Handover(connection)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          var requests = unsafe source.value
          while let request = try await requests.next() {
            guard case .acknowledge(let acknowledge)? = request.request else {
              throw Refusal.field("request", "all but the first acknowledge")
            }
            let packets = try outstanding.acknowledge(acknowledge.ids)
            if !packets.isEmpty { try await inner.acknowledge(packets) }
          }
        }
        group.addTask {
          var connection = unsafe link.value
          while true {
            let deliveries = try await connection.messages().compactMap {
              Self.delivery($0, outstanding)
            }
            if deliveries.isEmpty { continue }
            try await call.write(
              .with { $0.deliveries.deliveries = deliveries }, to: writer)
          }
        }
        // The first to end, by a fault or because the backend has said all, ends the other.
        defer { group.cancelAll() }
        try await group.next()
      }
    }
  }

  private static func delivery(
    _ packet: InnerPacket, _ outstanding: Outstanding
  ) -> Bifrost_V1_Delivery? {
    guard case .publish(let message, let packetID, let isRepeated) = packet else { return nil }
    return .with {
      $0.id = outstanding.number(packetID)
      $0.message = Bifrost_V1_Message(message)
      $0.redelivered = isRepeated
    }
  }
}

/// Hands something over to another task, which is the only one that uses it from then on.
private struct Handover<Value>: @unchecked Sendable {
  // Safe: the giver does not touch it any more, and there is one taker.
  nonisolated(unsafe) let value: Value

  init(_ value: Value) { unsafe self.value = value }
}
