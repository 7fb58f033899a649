import BifrostAPI
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCProtobuf
import Glibc
import Synchronization
import Testing

@testable import GRPCServer

/// A backend in the process, on a port that the system chooses, whose answers a test gives.
final class FakeBackend: Sendable {
  private let server: GRPCServer<HTTP2ServerTransport.Posix>
  private let serving: Task<Void, Never>
  let service: FakeHooks
  let address: HookEndpoint

  init(
    _ service: FakeHooks = FakeHooks(),
    security: HTTP2ServerTransport.Posix.TransportSecurity = .plaintext,
    health: FakeHealth? = nil
  ) async throws {
    self.service = service
    var services: [any RegistrableRPCService] = [service]
    if let health { services.append(health) }
    let server = GRPCServer(
      transport: HTTP2ServerTransport.Posix(
        address: .ipv4(host: "127.0.0.1", port: 0), transportSecurity: security),
      services: services, interceptors: [TokenReader(service)])
    self.server = server
    serving = Task {
      // It throws where it is cancelled, which is how it is stopped.
      try? await server.serve()
    }
    let port = try #require(try await server.listeningAddress?.ipv4?.port)
    address = HookEndpoint(host: "127.0.0.1", port: port)
  }

  /// Closes the port, then breaks off all calls and closes all connections.
  ///
  /// In this order, and without a connection that tries the port: one that is accepted while the server closes its
  /// port is dropped in a way that NIO takes for a fault of the program.
  func stop() async {
    server.beginGracefulShutdown()
    while Self.bind(address.port) == nil { await Task.yield() }
    serving.cancel()
    await serving.value
  }

  /// An address at which nobody answers.
  static func dead() throws -> HookEndpoint {
    HookEndpoint(host: "127.0.0.1", port: try #require(bind(0)))
  }

  /// Takes a port of this machine for a moment, 0 for any, and gives it; nil where somebody listens on it.
  private static func bind(_ port: Int) -> Int? {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var one: Int32 = 1
    // Safe, here and below: what is passed is initialized, and as long as is said.
    guard
      unsafe setsockopt(
        descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size)) == 0
    else { return nil }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port)).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = unsafe withUnsafeMutablePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe Glibc.bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
      }
    }
    return isBound ? Int(UInt16(bigEndian: address.sin_port)) : nil
  }
}

/// The service: what a test says, else it allows everything.
final class FakeHooks: Bifrost_V1_Hooks.SimpleServiceProtocol {
  typealias Handler<Request, Response> = @Sendable (Request) async throws -> Response

  private struct State {
    var connect: Handler<Bifrost_V1_OnConnectRequest, Bifrost_V1_OnConnectResponse>
    var subscribe: Handler<Bifrost_V1_OnSubscribeRequest, Bifrost_V1_OnSubscribeResponse>
    var publish: Handler<Bifrost_V1_OnPublishRequest, Bifrost_V1_OnPublishResponse>
    /// Before a note is taken.
    var note: @Sendable () async throws -> Void
    var connects: [Bifrost_V1_OnConnectRequest] = []
    var subscribes: [Bifrost_V1_OnSubscribeRequest] = []
    var publishes: [Bifrost_V1_OnPublishRequest] = []
    var delivered: [Bifrost_V1_OnDeliveredRequest] = []
    var unsubscribed: [Bifrost_V1_OnUnsubscribeRequest] = []
    var disconnected: [Bifrost_V1_OnDisconnectRequest] = []
    var offline: [Bifrost_V1_OnOfflineRequest] = []
    /// What the calls bore as authorization.
    var authorizations: Set<String> = []
    /// Notes that are being taken now.
    var notesAtOnce = 0
    var mostNotesAtOnce = 0
  }

  private let state: Mutex<State>

  init(
    connect: @escaping Handler<Bifrost_V1_OnConnectRequest, Bifrost_V1_OnConnectResponse> = {
      _ in .with { $0.allow = .init() }
    },
    subscribe: @escaping Handler<Bifrost_V1_OnSubscribeRequest, Bifrost_V1_OnSubscribeResponse> = {
      request in .with { $0.verdicts = request.filters.map { _ in .init() } }
    },
    publish: @escaping Handler<Bifrost_V1_OnPublishRequest, Bifrost_V1_OnPublishResponse> = {
      request in .with { $0.verdicts = request.messages.map { _ in .with { $0.action = .allow } } }
    },
    note: @escaping @Sendable () async throws -> Void = {}
  ) {
    state = Mutex(State(connect: connect, subscribe: subscribe, publish: publish, note: note))
  }

  var connects: [Bifrost_V1_OnConnectRequest] { state.withLock { $0.connects } }
  var subscribes: [Bifrost_V1_OnSubscribeRequest] { state.withLock { $0.subscribes } }
  var publishes: [Bifrost_V1_OnPublishRequest] { state.withLock { $0.publishes } }
  var delivered: [Bifrost_V1_OnDeliveredRequest] { state.withLock { $0.delivered } }
  var unsubscribed: [Bifrost_V1_OnUnsubscribeRequest] { state.withLock { $0.unsubscribed } }
  var disconnected: [Bifrost_V1_OnDisconnectRequest] { state.withLock { $0.disconnected } }
  var offline: [Bifrost_V1_OnOfflineRequest] { state.withLock { $0.offline } }
  var authorizations: Set<String> { state.withLock { $0.authorizations } }
  var mostNotesAtOnce: Int { state.withLock { $0.mostNotesAtOnce } }

  fileprivate func saw(authorization: String) {
    state.withLock { _ = $0.authorizations.insert(authorization) }
  }

  func onConnect(
    request: Bifrost_V1_OnConnectRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnConnectResponse {
    let handler = state.withLock { state in
      state.connects.append(request)
      return state.connect
    }
    return try await handler(request)
  }

  func onSubscribe(
    request: Bifrost_V1_OnSubscribeRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnSubscribeResponse {
    let handler = state.withLock { state in
      state.subscribes.append(request)
      return state.subscribe
    }
    return try await handler(request)
  }

  func onPublish(
    request: Bifrost_V1_OnPublishRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnPublishResponse {
    let handler = state.withLock { state in
      state.publishes.append(request)
      return state.publish
    }
    return try await handler(request)
  }

  func onDelivered(
    request: Bifrost_V1_OnDeliveredRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnDeliveredResponse {
    try await take { $0.delivered.append(request) }
    return .init()
  }

  func onUnsubscribe(
    request: Bifrost_V1_OnUnsubscribeRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnUnsubscribeResponse {
    try await take { $0.unsubscribed.append(request) }
    return .init()
  }

  func onDisconnect(
    request: Bifrost_V1_OnDisconnectRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnDisconnectResponse {
    try await take { $0.disconnected.append(request) }
    return .init()
  }

  func onOffline(
    request: Bifrost_V1_OnOfflineRequest, context: ServerContext
  ) async throws -> Bifrost_V1_OnOfflineResponse {
    try await take { $0.offline.append(request) }
    return .init()
  }

  private func take(_ body: @Sendable (inout State) -> Void) async throws {
    let note = state.withLock { state in
      state.notesAtOnce += 1
      state.mostNotesAtOnce = max(state.mostNotesAtOnce, state.notesAtOnce)
      return state.note
    }
    defer { state.withLock { $0.notesAtOnce -= 1 } }
    try await note()
    state.withLock { body(&$0) }
  }
}

/// Notes which token calls bear.
private struct TokenReader: ServerInterceptor {
  let service: FakeHooks

  init(_ service: FakeHooks) { self.service = service }

  func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingServerRequest<Input>, context: ServerContext,
    next:
      @Sendable (StreamingServerRequest<Input>, ServerContext) async throws ->
      StreamingServerResponse<Output>
  ) async throws -> StreamingServerResponse<Output> {
    for value in request.metadata[stringValues: "authorization"] {
      service.saw(authorization: value)
    }
    return try await next(request, context)
  }
}

/// The health service: what a test says.
final class FakeHealth: Grpc_Health_V1_Health.SimpleServiceProtocol {
  private let status: Mutex<Grpc_Health_V1_HealthCheckResponse.ServingStatus>
  private let count = Atomic<Int>(0)

  init(_ status: Grpc_Health_V1_HealthCheckResponse.ServingStatus) { self.status = Mutex(status) }

  var checks: Int { count.load(ordering: .relaxed) }

  func set(_ status: Grpc_Health_V1_HealthCheckResponse.ServingStatus) {
    self.status.withLock { $0 = status }
  }

  func check(
    request: Grpc_Health_V1_HealthCheckRequest, context: ServerContext
  ) async throws -> Grpc_Health_V1_HealthCheckResponse {
    count.add(1, ordering: .relaxed)
    return .with { $0.status = status.withLock { $0 } }
  }

  func watch(
    request: Grpc_Health_V1_HealthCheckRequest,
    response: RPCWriter<Grpc_Health_V1_HealthCheckResponse>, context: ServerContext
  ) async throws {}
}
