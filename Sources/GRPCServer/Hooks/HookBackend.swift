import BifrostAPI
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Synchronization
import Util

/// One endpoint with its connection, its breaker and its health, for all hooks that name it.
final class HookBackend: Sendable {
  typealias Client = GRPCClient<HTTP2ClientTransport.Posix>

  /// What the last look at an endpoint said.
  enum Health: Sendable, Equatable {
    /// It serves, or can't say and so is taken to.
    case serving
    /// It could not be asked: it is used where no other endpoint is there.
    case unreachable
    /// It says that it does not serve: it gets no calls.
    case notServing
  }

  private struct State {
    var breaker: CircuitBreaker
    var health = Health.serving
    var tasks: [Task<Void, Never>] = []
    var isStopped = false
  }

  let address: HookEndpoint
  let client: Client
  /// What each call bears.
  let metadata: Metadata
  private let journal: HookJournal
  private let state: Mutex<State>

  /// An endpoint without a connection: `start` lets it be made, with the first call.
  init(
    _ address: HookEndpoint, options: HookOptions,
    security: HTTP2ClientTransport.Posix.TransportSecurity, metadata: Metadata, journal: HookJournal
  ) throws(HookError) {
    self.address = address
    self.metadata = metadata
    self.journal = journal
    state = Mutex(
      State(
        breaker: CircuitBreaker(
          failures: options.breakerFailures, pauseMilliseconds: options.breakerPauseMilliseconds)))
    do {
      client = Client(
        transport: try HTTP2ClientTransport.Posix(
          target: address.target, transportSecurity: security,
          config: .defaults { config in
            // Retries and the breaker pace what is tried; the connection is to be there again soon after
            // its backend is.
            config.backoff = .init(
              initial: .milliseconds(100), max: .seconds(2), multiplier: 1.6, jitter: 0.2)
            // A backend whose machine is gone is noticed by calls that time out; a ping finds it sooner.
            config.connection.keepalive = .init(
              time: .seconds(20), timeout: .seconds(5), allowWithoutCalls: false)
          }))
    } catch {
      throw HookError("\(address): \(error)")
    }
  }

  /// Lets the connection be made when it is needed, and looks after the endpoint's health.
  /// - Parameter healthInterval: milliseconds; 0 for no checks.
  func start(healthInterval: Int) {
    let connection = Task { [client, journal, address] in
      do {
        try await client.runConnections()
      } catch {
        journal.warn("\(address) can't be connected to: \(error)")
      }
    }
    var tasks = [connection]
    if healthInterval > 0 {
      tasks.append(Task { await self.watchHealth(interval: healthInterval) })
    }
    state.withLock { $0.tasks = tasks }
  }

  /// Ends the connection. Calls are over by then.
  func stop() async {
    let tasks = state.withLock { state in
      state.isStopped = true
      return state.tasks
    }
    client.beginGracefulShutdown()
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
  }

  var isOpen: Bool { state.withLock { $0.breaker.isOpen } }
  var health: Health { state.withLock { $0.health } }

  /// Lets a call through, where it is of use.
  /// - Parameter acceptsUnreachable: whether an endpoint that health checks do not reach will do.
  func admit(now: UInt64, acceptsUnreachable: Bool) -> CircuitBreaker.Permit? {
    state.withLock { state in
      switch state.health {
      case .serving: state.breaker.admit(now: now)
      case .unreachable: acceptsUnreachable ? state.breaker.admit(now: now) : nil
      case .notServing: nil
      }
    }
  }

  /// Says what became of a call that was let through: nil where it was given up.
  func settle(_ permit: CircuitBreaker.Permit, isAlive: Bool?) {
    let now = MonotonicClock.milliseconds
    let (change, isBack) = state.withLock { state -> (CircuitBreaker.Change, Bool) in
      guard let isAlive else {
        state.breaker.abandoned(permit, now: now)
        return (.none, false)
      }
      guard isAlive else {
        let jitter = Double.random(in: -1...1)
        return (state.breaker.failed(permit, now: now, jitter: jitter), false)
      }
      let isBack = state.health == .unreachable
      if isBack { state.health = .serving }
      return (state.breaker.succeeded(permit), isBack)
    }
    switch change {
    case .none: break
    case .opened: journal.turn("\(address) fails again and again, and gets no calls for a while")
    case .closed: journal.turn("\(address) answers again, and gets calls")
    }
    if isBack { journal.turn("\(address) is up") }
  }

  private func watchHealth(interval: Int) async {
    while !Task.isCancelled {
      await checkHealth()
      let pause = Double(interval) * Double.random(in: 0.9...1.1)
      // Ends early only where it is cancelled.
      try? await Task.sleep(for: .milliseconds(Int(pause)))
    }
  }

  private func checkHealth() async {
    var options = CallOptions.defaults
    options.timeout = .milliseconds(HookLimits.healthTimeoutMilliseconds)
    let found: Health
    do {
      let answer = try await Grpc_Health_V1_Health.Client(wrapping: client).check(
        .init(), metadata: metadata, options: options)
      found = answer.status == .serving ? .serving : .notServing
    } catch let error as RPCError where error.code == .unimplemented {
      found = .serving
    } catch {
      if Task.isCancelled { return }
      found = .unreachable
    }
    let before = state.withLock { state in
      let before = state.health
      state.health = found
      return before
    }
    guard found != before else { return }
    switch found {
    case .serving: journal.turn("\(address) is up")
    case .unreachable: journal.turn("\(address) is down: it does not answer health checks")
    case .notServing: journal.turn("\(address) is down: it says that it does not serve")
    }
  }
}

extension HookEndpoint {
  /// What the transport connects to.
  fileprivate var target: any ResolvableTarget {
    if host.utf8.contains(UInt8(ascii: ":")) { return .ipv6(address: host, port: port) }
    let isAddress = host.utf8.allSatisfy {
      $0 == UInt8(ascii: ".") || UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0
    }
    return isAddress ? .ipv4(address: host, port: port) : .dns(host: host, port: port)
  }
}
