import BifrostAPI
import GRPCCore
import Packet
import Session

/// `bifrost.v1.Subscriber`: each stream is an MQTT client within the process. A cursor is a session that is
/// never there, and shares its subscriptions with the clients of the streams that read it.
struct SubscriberService: Bifrost_V1_Subscriber.StreamingServiceProtocol {
  let gate: CallGate
  let gateway: any Gateway
  let cursors: Cursors

  func subscribe(
    request: StreamingServerRequest<Bifrost_V1_SubscribeRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Bifrost_V1_SubscribeResponse> {
    try gate.stream(request, needs: .read) { requests, writer, call in
      var iterator = requests.makeAsyncIterator()
      guard let first = try await iterator.next() else {
        try Task.checkCancellation()
        throw Refusal(.invalidArgument, "REQUEST_MISSING", "the first request has to open")
      }
      guard case .open(let open)? = first.request else {
        throw Refusal.field("open", "the first request has to open")
      }
      let order = try SubscriptionOrder(open)
      guard !order.name.isEmpty else {
        try await follow(order, isResumed: false, iterator, writer, call)
        return
      }
      guard gateway.isDurable else {
        throw Refusal(
          .failedPrecondition, "NOT_DURABLE", "a name needs a broker with store.kind: sqlite")
      }
      cursors.enter(order.name)
      defer { cursors.leave(order.name) }
      let isResumed = try await cursors.change(order.name) { try await prepare(order) }
      try await follow(order, isResumed: isResumed, iterator, writer, call)
    }
  }

  func deleteCursor(
    request: StreamingServerRequest<Bifrost_V1_DeleteCursorRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Bifrost_V1_DeleteCursorResponse> {
    try gate.unary(request, needs: .read) { request, _ in
      try SubscriptionOrder.check(request.name, "name")
      return try await cursors.change(request.name) {
        guard !cursors.isRead(request.name) else {
          throw Refusal(.failedPrecondition, "CURSOR_IN_USE", "a stream reads the cursor")
        }
        let keeper = SubscriptionOrder.keeper(request.name)
        switch try await answer({ gateway.endSession(keeper, done: $0) }) as Steered<Void> {
        case .done: return Bifrost_V1_DeleteCursorResponse()
        case .noClient: throw Refusal(.notFound, "CURSOR_NOT_FOUND", "there is no such cursor")
        case .unavailable(let text): throw Refusal(.unavailable, "NOT_AT_PRESENT", text)
        }
      }
    }
  }

  /// Makes a cursor, or gives it the filters that are wanted now.
  /// - Returns: whether there was one.
  private func prepare(_ order: SubscriptionOrder) async throws -> Bool {
    let keeper = SubscriptionOrder.keeper(order.name)
    let found: Steered<ClientDescription> = try await answer { gateway.describe(keeper, done: $0) }
    var present: ClientDescription?
    switch found {
    case .done(let description): present = description
    case .noClient: break
    case .unavailable(let text): throw Refusal(.unavailable, "NOT_AT_PRESENT", text)
    }
    if present == nil {
      var connect = ConnectPacket(version: .v5, clientID: keeper, cleanStart: false)
      connect.sessionExpiryInterval = .max
      try await InnerConnection.with(gateway, connect) { _ in }
    }
    // It is changed while it is away, so that it is never given a message.
    let (added, removed) = order.changes(from: present?.subscriptions ?? [])
    if !added.isEmpty {
      let codes = try await answer { gateway.subscribe(keeper, added, done: $0) }
        .value("the cursor was deleted meanwhile")
      for (subscription, code) in zip(added, codes) where ReasonCode(rawValue: code).isError {
        throw Refusal.filter(subscription.filter, code)
      }
    }
    if !removed.isEmpty {
      _ = try await answer { gateway.unsubscribe(keeper, removed, done: $0) }
        .value("the cursor was deleted meanwhile")
    }
    return present != nil
  }
}
