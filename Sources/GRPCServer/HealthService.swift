import BifrostAPI
import GRPCCore
import Synchronization

/// Whether the server serves.
final class HealthState: Sendable {
  /// What may be asked for; the empty name is the server.
  static let services: Set<String> = [
    "", "bifrost.v1.Publisher", "bifrost.v1.Clients", "bifrost.v1.Subscriber",
  ]

  private struct State {
    var isStopping = false
    /// Who is told when that changes.
    var watchers: [Bell] = []
  }

  private let state = Mutex(State())

  /// Says from now on that nothing is served.
  func stop() {
    let watchers = state.withLock { state in
      state.isStopping = true
      defer { state.watchers = [] }
      return state.watchers
    }
    for bell in watchers { bell.ring() }
  }

  /// Rings when the server stops, or at once if it does.
  func watch(_ bell: Bell) {
    let isStopping = state.withLock { state in
      if !state.isStopping { state.watchers.append(bell) }
      return state.isStopping
    }
    if isStopping { bell.ring() }
  }

  /// Rings no more.
  func forget(_ bell: Bell) {
    state.withLock { $0.watchers.removeAll { $0 === bell } }
  }

  /// Whether a service serves.
  func status(of service: String) -> Grpc_Health_V1_HealthCheckResponse.ServingStatus {
    guard Self.services.contains(service) else { return .serviceUnknown }
    return state.withLock { $0.isStopping } ? .notServing : .serving
  }
}

/// `grpc.health.v1.Health`.
struct HealthService: Grpc_Health_V1_Health.StreamingServiceProtocol {
  let gate: CallGate
  let state: HealthState

  func check(
    request: StreamingServerRequest<Grpc_Health_V1_HealthCheckRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Grpc_Health_V1_HealthCheckResponse> {
    try gate.unary(request, needs: nil) { request, _ in
      let status = state.status(of: request.service)
      guard status != .serviceUnknown else {
        throw Refusal(.notFound, "SERVICE_UNKNOWN", "there is no such service")
      }
      return .with { $0.status = status }
    }
  }

  func watch(
    request: StreamingServerRequest<Grpc_Health_V1_HealthCheckRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Grpc_Health_V1_HealthCheckResponse> {
    // It is not ended when the broker stops, as streams are: it says so, and ends by itself.
    try gate.answers(request, needs: nil, isStream: false) { request, writer, call in
      let status = state.status(of: request.service)
      try await call.write(.with { $0.status = status }, to: writer)
      let bell = Bell()
      state.watch(bell)
      defer { state.forget(bell) }
      try await bell.wait()
      let last = state.status(of: request.service)
      if last != status { try await call.write(.with { $0.status = last }, to: writer) }
      throw Refusal.shuttingDown
    }
  }
}
