import BifrostAPI
import GRPCCore
import Packet
import Session
import Store

/// `bifrost.v1.Clients`.
struct ClientsService: Bifrost_V1_Clients.StreamingServiceProtocol {
  let gate: CallGate
  let gateway: any Gateway

  func get(
    request: StreamingServerRequest<Bifrost_V1_GetRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Bifrost_V1_GetResponse> {
    try gate.unary(request, needs: .read) { request, _ in
      let client = try checkedClientID(request.clientID)
      let description = try await answer { gateway.describe(client, done: $0) }
        .value("there is neither a connection nor a session")
      return .with { $0.session = Bifrost_V1_Session(description) }
    }
  }

  func list(
    request: StreamingServerRequest<Bifrost_V1_ListRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Bifrost_V1_ListResponse> {
    try gate.answers(request, needs: .read, list)
  }

  func disconnect(
    request: StreamingServerRequest<Bifrost_V1_DisconnectRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Bifrost_V1_DisconnectResponse> {
    try gate.unary(request, needs: .admin) { request, _ in
      let client = try checkedClientID(request.clientID)
      let text = try checkedString(request.reason, "reason", limit: 256)
      let reason: ReasonCode
      switch request.reasonCode {
      case 0: reason = .administrativeAction
      case 128...255: reason = ReasonCode(rawValue: UInt8(request.reasonCode))
      default: throw Refusal.field("reason_code", "use 128 to 255, or 0 for 152")
      }
      try await answer {
        gateway.disconnect(
          client, reason: reason, text: text, discardsWill: request.discardsWill, done: $0)
      }.value("the client is not connected")
      return Bifrost_V1_DisconnectResponse()
    }
  }

  func subscribe(
    request: StreamingServerRequest<Bifrost_V1_SubscribeClientRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Bifrost_V1_SubscribeClientResponse> {
    try gate.unary(request, needs: .admin) { request, _ in
      let client = try checkedClientID(request.clientID)
      try checkCount(request.subscriptions.count, "subscriptions")
      var subscriptions: [StoredSubscription] = []
      for (index, subscription) in request.subscriptions.enumerated() {
        subscriptions.append(try subscription.checked("subscriptions[\(index)]."))
      }
      let wanted = subscriptions
      let codes = try await answer { gateway.subscribe(client, wanted, done: $0) }
        .value("there is no session")
      return .with { $0.reasonCodes = codes.map { UInt32($0) } }
    }
  }

  func unsubscribe(
    request: StreamingServerRequest<Bifrost_V1_UnsubscribeClientRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Bifrost_V1_UnsubscribeClientResponse> {
    try gate.unary(request, needs: .admin) { request, _ in
      let client = try checkedClientID(request.clientID)
      try checkCount(request.filters.count, "filters")
      var filters: [[UInt8]] = []
      for (index, text) in request.filters.enumerated() {
        filters.append(try checkedFilter(text, "filters[\(index)]"))
      }
      let wanted = filters
      let codes = try await answer { gateway.unsubscribe(client, wanted, done: $0) }
        .value("there is no session")
      return .with { $0.reasonCodes = codes.map { UInt32($0) } }
    }
  }

  func deleteSession(
    request: StreamingServerRequest<Bifrost_V1_DeleteSessionRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Bifrost_V1_DeleteSessionResponse> {
    try gate.unary(request, needs: .admin) { request, _ in
      let client = try checkedClientID(request.clientID)
      try await answer { gateway.endSession(client, done: $0) }.value("there is no session")
      return Bifrost_V1_DeleteSessionResponse()
    }
  }

  func readBacklog(
    request: StreamingServerRequest<Bifrost_V1_ReadBacklogRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Bifrost_V1_ReadBacklogResponse> {
    try gate.answers(request, needs: .read, readBacklog)
  }

  func watch(
    request: StreamingServerRequest<Bifrost_V1_WatchRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Bifrost_V1_WatchResponse> {
    try gate.answers(request, needs: .read, watch)
  }
}

/// Filters of one request: as many as a client's SUBSCRIBE has at the very most.
private func checkCount(_ count: Int, _ field: String) throws(Refusal) {
  guard 1...1000 ~= count else { throw .field(field, "use 1 to 1,000") }
}

/// A filter that may be subscribed to.
func checkedFilter(_ text: String, _ field: String) throws(Refusal) -> [UInt8] {
  let filter = Array(text.utf8)
  guard validateTopicFilter(filter.span) else { throw .field(field, "is no filter") }
  return filter
}

extension Steered {
  /// What was asked for, or why it can't be had.
  /// - Parameter missing: says that there is no such client, or none with what is needed.
  func value(_ missing: String) throws(Refusal) -> Value {
    switch self {
    case .done(let value): return value
    case .noClient: throw .noClient(missing)
    case .unavailable(let text): throw Refusal(.unavailable, "NOT_AT_PRESENT", text)
    }
  }
}

extension Bifrost_V1_Subscription {
  /// A subscription as backends see it.
  init(_ subscription: StoredSubscription) {
    self.init()
    let options = SubscriptionOptions(rawValue: subscription.options)
    filter = String(decoding: subscription.filter, as: UTF8.self)
    qos = Bifrost_V1_Qos(options.qos)
    noLocal = options.noLocal
    retainAsPublished = options.retainAsPublished
    identifier = subscription.identifier
  }

  /// The subscription that is asked for.
  /// - Parameter path: how the request names it, with a dot at its end.
  fileprivate func checked(_ path: String) throws(Refusal) -> StoredSubscription {
    let bytes = try checkedFilter(filter, path + "filter")
    if noLocal, case .shared = parseSharedSubscription(bytes.span) {
      throw .field(path + "no_local", "can't be set for a shared subscription")
    }
    guard identifier <= 268_435_455 else {
      throw .field(path + "identifier", "use 1 to 268,435,455, or 0 for none")
    }
    let options = SubscriptionOptions(
      qos: try qos.checked(path + "qos"), noLocal: noLocal,
      retainAsPublished: retainAsPublished)
    return StoredSubscription(filter: bytes, options: options.rawValue, identifier: identifier)
  }
}

extension Bifrost_V1_Session {
  fileprivate init(_ description: ClientDescription) {
    self.init()
    client = Bifrost_V1_Client(description.client)
    connected = description.isConnected
    isStored = description.isStored
    expirySeconds = description.expiryInterval
    keepAliveSeconds = UInt32(description.keepAlive)
    subscriptions = description.subscriptions.map { Bifrost_V1_Subscription($0) }
    inFlight = UInt64(description.inFlight)
    queued = UInt64(description.queued)
  }
}
