import BifrostAPI
import CLinux
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Glibc
import Logging
import Session
import Synchronization
import Util

/// Serves backends over gRPC.
public final class BackendServer: Sendable {
  typealias Server = GRPCServer<HTTP2ServerTransport.Posix>

  private struct State {
    var servers: [Server] = []
    var serving: [Task<Void, any Error>] = []
    var endpoints: [ListenEndpoint] = []
    /// The descriptors of the listening sockets, which are the servers'.
    var listeners: [Int32] = []
    var watch: Task<Void, Never>?
  }

  private let options: BackendOptions
  private let gateway: any Gateway
  private let logger: Logger
  private let calls: CallRegistry
  private let health = HealthState()
  private let cache = IdempotencyCache()
  private let cursors = Cursors()
  private let state = Mutex(State())

  /// Nothing is opened before `start`.
  /// - Parameter gateway: the broker, which has to be running before `start`.
  public init(options: BackendOptions, gateway: any Gateway, logger: Logger) {
    self.options = options
    self.gateway = gateway
    self.logger = logger
    calls = CallRegistry(
      maximum: options.maximumCalls, slowReaderMilliseconds: options.slowReaderMilliseconds)
  }

  /// Where backends are served, with the ports that the system chose.
  public var boundEndpoints: [ListenEndpoint] { state.withLock { $0.endpoints } }

  /// Starts to serve, and returns when all addresses take calls.
  /// - Throws: `BackendServerError`; then nothing is served.
  public func start() async throws(BackendServerError) {
    let remembered: [(key: [UInt8], until: UInt32)]? = try? await answer { done in
      gateway.rememberedKeys(done)
    }
    cache.remember(remembered ?? [], at: WallClock.second)
    let calls = calls
    state.withLock { $0.watch = Task { await calls.watchSlowReaders() } }
    do throws(BackendServerError) {
      for endpoint in options.listen { try await start(endpoint) }
    } catch {
      await stop(timeoutMilliseconds: 0)
      throw error
    }
  }

  private func start(_ endpoint: ListenEndpoint) async throws(BackendServerError) {
    let security = try options.transportSecurity()
    let (descriptors, port) = try listen(endpoint, LoopExecutor.all.count)
    for (number, executor) in LoopExecutor.all.enumerated() {
      do throws(BackendServerError) {
        try await serve(endpoint, descriptors[number], security, on: executor)
      } catch {
        for rest in descriptors[(number + 1)...] { close(rest) }
        throw error
      }
    }
    state.withLock {
      $0.endpoints.append(ListenEndpoint(host: endpoint.host, port: port))
    }
  }

  private func serve(
    _ endpoint: ListenEndpoint, _ descriptor: Int32,
    _ security: HTTP2ServerTransport.Posix.TransportSecurity, on executor: LoopExecutor
  ) async throws(BackendServerError) {
    let transport = HTTP2ServerTransport.Posix(
      listeningSocketDescriptor: Int(descriptor), transportSecurity: security,
      config: options.transportConfiguration, eventLoopGroup: executor.group)
    let server = Server(transport: transport, services: services(on: executor))
    let logger = logger
    let serving = Task(executorPreference: executor) {
      do { try await server.serve() } catch {
        logger.error("grpc: stopped serving", metadata: ["error": "\(error)"])
        throw error
      }
    }
    do { _ = try await transport.listeningAddress } catch {
      var text = "\(error)"
      if case .failure(let cause) = await serving.result { text = "\(cause)" }
      throw BackendServerError(.system, "cannot serve gRPC on \(endpoint.text): \(text)")
    }
    state.withLock { state in
      state.servers.append(server)
      state.listeners.append(descriptor)
      state.serving.append(serving)
    }
  }

  private func services(on executor: LoopExecutor) -> [any RegistrableRPCService] {
    let gate = CallGate(tokens: TokenTable(options.tokens), calls: calls, executor: executor)
    return [
      PublisherService(
        gate: gate, gateway: gateway, submitter: PlanSubmitter(gateway: gateway, cache: cache),
        loops: LoopTurn(count: gateway.loopCount), options: options),
      ClientsService(gate: gate, gateway: gateway),
      SubscriberService(gate: gate, gateway: gateway, cursors: cursors),
      HealthService(gate: gate, state: health),
      ReflectionService(gate: gate),
    ]
  }

  /// Says that nothing is served, ends streams with UNAVAILABLE, lets calls with one answer end, and closes all
  /// connections: within a number of milliseconds at the latest.
  public func stop(timeoutMilliseconds: Int) async {
    health.stop()
    calls.stop()
    let former = state.withLock { state in
      defer { state = State() }
      return state
    }
    let (servers, serving) = (former.servers, former.serving)
    former.watch?.cancel()
    // A connection that is accepted while the transport closes its listener ends the process there: nobody comes any
    // more, and those who came have been taken when the listener is closed.
    if !former.listeners.isEmpty {
      for listener in former.listeners { _ = clinux_deafen(listener) }
      try? await Task.sleep(for: .milliseconds(BackendLimits.acceptMilliseconds))
    }
    for server in servers { server.beginGracefulShutdown() }
    let timer = Task {
      try await Task.sleep(for: .milliseconds(timeoutMilliseconds))
      for task in serving { task.cancel() }
    }
    for task in serving { _ = await task.result }
    timer.cancel()
  }
}
