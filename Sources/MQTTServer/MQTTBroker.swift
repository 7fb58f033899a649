import Dispatch
import Glibc
import Logging
import Net
import Packet
import Session
import Store
import Synchronization
import Util

/// The MQTT broker: its loops and what they share.
public final class MQTTBroker: Sendable {
  private struct State {
    var threads: [LoopThread] = []
    var endpoints: [ListenEndpoint] = []
  }

  /// Descriptors that are not clients': the standard ones, libraries', and for each loop its
  /// epoll, wake-up, passage and listeners.
  private static func reservedDescriptors(_ options: ServerOptions) -> Int {
    16 + options.loops * (4 + options.listen.count)
  }

  let options: ServerOptions
  private let logger: Logger
  let broker: Broker
  private let usesPrivateDescriptors: Bool
  private let state = Mutex(State())

  /// Checks the options against the machine, and makes what the loops share.
  /// - Parameter store: where sessions and messages are that outlive the process, opened and not
  ///   started; nil where none do.
  /// - Parameter hooks: who is asked and told what clients do; nil for nobody.
  /// - Throws: `ServerError`.
  public init(
    options: ServerOptions, store: (any Store)? = nil, hooks: (any BrokerHooks)? = nil,
    logger: Logger
  ) throws(ServerError) {
    guard options.loops >= 1 && options.loops <= 64 else {
      throw ServerError(.system, "net.loops is \(options.loops); set it to 1 to 64")
    }
    let reserved = MQTTBroker.reservedDescriptors(options)
    let limit = openFileLimit()
    guard limit > reserved else {
      throw ServerError(
        .openFiles,
        "the limit of open files is \(limit), and \(options.loops) loops need \(reserved) before "
          + "the first client; raise it (`ulimit -n`) or set net.loops lower")
    }
    let wanted = options.maximumConnections
    let isPrivate =
      switch options.privateDescriptors {
      case .on: true
      case .off: false
      case .auto: wanted > limit - reserved
      }
    let capacity = (limit - reserved) * (isPrivate ? options.loops : 1)
    guard wanted <= capacity else {
      throw ServerError(
        .openFiles,
        "mqtt.max-connections is \(wanted), and the limit of open files allows \(capacity); raise "
          + "it (`ulimit -n`), set net.private-descriptors to on, or set net.loops higher")
    }
    self.options = options
    self.logger = logger
    usesPrivateDescriptors = isPrivate
    do throws(NetError) {
      broker = try Broker(
        options: options, store: store, hooks: hooks,
        connectionLimit: wanted == 0 ? capacity : wanted,
        logger: logger)
    } catch {
      throw MQTTBroker.serverError(error)
    }
  }

  /// Where clients are accepted, with the ports that the system chose.
  public var boundEndpoints: [ListenEndpoint] { state.withLock { $0.endpoints } }

  /// Starts the loops, and returns when all of them accept clients.
  /// - Throws: `ServerError`; then none is left running.
  public func start() throws(ServerError) {
    var endpoints = options.listen
    broker.durable?.start(broker)
    for number in 0..<options.loops {
      let outcome = StartOutcome()
      do throws(NetError) {
        let broker = broker
        let wanted = endpoints
        let isPrivate = usesPrivateDescriptors
        let thread = try LoopThread(name: "loop-\(number)") {
          MQTTBroker.run(
            number, broker, listen: wanted, isFirst: number == 0, isPrivate: isPrivate, outcome)
        }
        state.withLock { $0.threads.append(thread) }
        endpoints = try outcome.wait()
      } catch {
        stop(timeoutMilliseconds: 0)
        throw MQTTBroker.serverError(error)
      }
    }
    broker.noteStart()
    let bound = endpoints
    state.withLock { $0.endpoints = bound }
  }

  /// The body of a loop's thread.
  private static func run(
    _ number: Int, _ broker: Broker, listen wanted: [ListenEndpoint], isFirst: Bool,
    isPrivate: Bool, _ outcome: StartOutcome
  ) {
    let loop: Loop<Worker>
    var bound: [ListenEndpoint] = []
    do throws(NetError) {
      if isPrivate { try partOpenFiles() }
      loop = try Loop(
        mailbox: broker.mailboxes[number],
        maximumConnections: min(
          broker.connectionLimit + Limits.trustedConnections, Limits.sessionsPerLoop))
      for endpoint in wanted {
        let port = try loop.listen(
          on: endpoint.host, port: endpoint.port,
          sharing: broker.mailboxes.count == 1 ? .none : isFirst ? .first : .join)
        bound.append(ListenEndpoint(host: endpoint.host, port: port))
      }
    } catch {
      outcome.finish(.failure(error))
      return
    }
    let worker = Worker(number, broker, loop)
    outcome.finish(.success(bound))
    loop.run(worker)
  }

  /// Says goodbye to all clients and ends the loops; returns when they have ended, which is after
  /// `timeoutMilliseconds` at the latest.
  public func stop(timeoutMilliseconds: Int) {
    let threads = state.withLock { state in
      let threads = state.threads
      state.threads = []
      return threads
    }
    let deadline =
      TimerWheel<Connection>.presentTick + Worker.ticks(milliseconds: timeoutMilliseconds)
    for number in threads.indices { broker.mailboxes[number].post(.stop(deadline: deadline)) }
    for thread in threads { thread.join() }
    // After the loops have said which clients are away.
    broker.durable?.stop()
  }

  private static func serverError(_ error: NetError) -> ServerError {
    switch error.code {
    case EADDRINUSE:
      ServerError(
        .addressInUse,
        "\(error); end the program that has the port, or set mqtt.tcp.listen to another one")
    case EADDRNOTAVAIL:
      ServerError(
        .addressNotAvailable, "\(error); set mqtt.tcp.listen to an address of this machine")
    case EACCES, EPERM:
      ServerError(
        .permission, "\(error); set mqtt.tcp.listen to a port from 1024 on, or allow this one")
    case EMFILE, ENFILE:
      ServerError(
        .openFiles, "\(error): the limit of open files is too low; raise it (`ulimit -n`)")
    default: ServerError(.system, "\(error)")
    }
  }
}

/// How the start of a loop went, for the thread that waits for it.
private final class StartOutcome: Sendable {
  private let done = DispatchSemaphore(value: 0)
  private let result = Mutex<Result<[ListenEndpoint], NetError>?>(nil)

  func finish(_ outcome: Result<[ListenEndpoint], NetError>) {
    result.withLock { $0 = outcome }
    done.signal()
  }

  func wait() throws(NetError) -> [ListenEndpoint] {
    done.wait()
    guard let outcome = result.withLock({ $0 }) else { return [] }
    return try outcome.get()
  }
}
