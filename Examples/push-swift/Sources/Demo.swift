import BifrostAPI
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix

/// Shows the backend at work: a broker, two devices, and what is pushed to them. Ends with status 0
/// where all of it happened.
@main
enum Demo {
  static func main() async {
    do {
      try await run(Settings(CommandLine.arguments.dropFirst()))
    } catch {
      FileHandle.standardError.write(Data("push-swift: \(error)\n".utf8))
      exit(1)
    }
  }

  /// Serves the hooks, then the story.
  private static func run(_ settings: Settings) async throws {
    let acknowledgements = Acknowledgements()
    let listen = try settings.hooks ?? Address("127.0.0.1:0")
    let server = GRPCServer(
      transport: .http2NIOPosix(
        address: .ipv4(host: listen.host, port: listen.port), transportSecurity: .plaintext),
      services: [Hooks(acknowledgements: acknowledgements)])
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.serve() }
      guard let port = try await server.listeningAddress?.ipv4?.port else {
        throw Failure("the hooks have no port")
      }
      defer { server.beginGracefulShutdown() }
      guard let grpc = settings.grpc, let mqtt = settings.mqtt else {
        let broker = try await OwnBroker(
          settings.bifrost, hooks: Address("\(listen.host):\(port)"))
        defer { broker.stop() }
        return try await connect(broker.grpc, devices: broker.mqtt, acknowledgements)
      }
      try await connect(grpc, devices: mqtt, acknowledgements)
    }
  }

  private static func connect(
    _ broker: Address, devices: Address, _ acknowledgements: Acknowledgements
  ) async throws {
    try await withGRPCClient(
      transport: .http2NIOPosix(
        target: .ipv4(address: broker.host, port: broker.port), transportSecurity: .plaintext)
    ) { client in
      try await show(Backend(client), devices: devices, acknowledgements)
    }
  }

  /// The story.
  private static func show(
    _ backend: Backend, devices: Address, _ acknowledgements: Acknowledgements
  ) async throws {
    var children: [Child] = []
    // Devices are switched off: SIGTERM is blocked in what a thread of a task has started.
    defer { for child in children { child.stop(SIGKILL) } }
    for (name, password) in [("kitchen", "soup"), ("garage", "oil")] {
      children.append(try device(name, password: password, at: devices))
      try await wait("\(name) to connect") { try await backend.isConnected(name) }
    }
    // It is refused, and ends.
    let attic = try device("attic", password: "guess", at: devices)
    children.append(attic)
    try await wait("the attic to give up") { !attic.isRunning }

    guard
      let key = try await backend.push(
        to: "kitchen", topic: "devices/kitchen/display", "dinner is ready")
    else { throw Failure("there is no kitchen") }
    await acknowledgements.wait(device: "kitchen", key: key)

    guard try await backend.push(to: "cellar", topic: "devices/cellar/display", "hello?") == nil
    else { throw Failure("there is a cellar") }
    say("backend: there is no cellar")

    guard try await backend.broadcast(topic: "news", "good night") == 2 else {
      throw Failure("the broadcast did not reach both")
    }
    say("done")
  }

  /// Looks until a condition holds.
  private static func wait(
    _ what: String, _ condition: () async throws -> Bool
  ) async throws {
    for _ in 0..<1000 {
      if try await condition() { return }
      try await Task.sleep(for: .milliseconds(20))
    }
    throw Failure("waited in vain for \(what)")
  }
}

/// What the command line says.
struct Settings {
  var bifrost = ".build/release/bifrost"
  var grpc: Address?
  var mqtt: Address?
  var hooks: Address?

  init(_ arguments: ArraySlice<String>) throws {
    var rest = arguments
    while let name = rest.popFirst() {
      guard let value = rest.popFirst() else { throw Failure("\(name) needs a value") }
      switch name {
      case "--bifrost": bifrost = value
      case "--grpc": grpc = try Address(value)
      case "--mqtt": mqtt = try Address(value)
      case "--hooks": hooks = try Address(value)
      default: throw Failure("unknown option \(name)")
      }
    }
    let given = [grpc, mqtt, hooks].filter { $0 != nil }.count
    guard given == 0 || given == 3 else { throw Failure("give all three addresses, or none") }
  }
}
