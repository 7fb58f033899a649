import BifrostAPI
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCProtobuf
import GRPCServer
import Logging
import Session
import Synchronization
import Testing
import Util

typealias Client = GRPCClient<HTTP2ClientTransport.Posix>

/// What a test has: a server on a port that the system chose, and a client of it.
struct Served: Sendable {
  let client: Client
  let server: BackendServer

  var publisher: Bifrost_V1_Publisher.Client<HTTP2ClientTransport.Posix> {
    Bifrost_V1_Publisher.Client(wrapping: client)
  }
  var clients: Bifrost_V1_Clients.Client<HTTP2ClientTransport.Posix> {
    Bifrost_V1_Clients.Client(wrapping: client)
  }
  var subscriber: Bifrost_V1_Subscriber.Client<HTTP2ClientTransport.Posix> {
    Bifrost_V1_Subscriber.Client(wrapping: client)
  }
  var health: Grpc_Health_V1_Health.Client<HTTP2ClientTransport.Posix> {
    Grpc_Health_V1_Health.Client(wrapping: client)
  }
}

/// Options for a port that the system chooses.
func testOptions(_ change: (inout BackendOptions) -> Void = { _ in }) -> BackendOptions {
  var options = BackendOptions()
  options.listen = [ListenEndpoint(host: "127.0.0.1", port: 0)]
  change(&options)
  return options
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Runs a server and a client of it around a test, and stops both.
func serve(
  _ gateway: any Gateway, _ options: BackendOptions = testOptions(),
  security: HTTP2ClientTransport.Posix.TransportSecurity = .plaintext,
  _ body: (Served) async throws -> Void
) async throws {
  let server = BackendServer(options: options, gateway: gateway, logger: quiet)
  try await server.start()
  let port = try #require(server.boundEndpoints.first).port
  let result: Result<Void, any Error>
  do {
    let transport = try HTTP2ClientTransport.Posix(
      target: .ipv4(address: "127.0.0.1", port: Int(port)), transportSecurity: security,
      config: .defaults { $0.http2.targetWindowSize = 65_535 })
    try await withGRPCClient(transport: transport) { client in
      try await body(Served(client: client, server: server))
    }
    result = .success(())
  } catch { result = .failure(error) }
  await server.stop(timeoutMilliseconds: 10_000)
  try result.get()
}

/// The code of the error that a call ends with, and the reason in its details.
func refusal<Value>(_ call: () async throws -> Value) async -> (
  code: RPCError.Code?, reason: String?
) {
  do {
    _ = try await call()
    return (nil, nil)
  } catch let error as RPCError {
    let info = try? error.unpackGoogleRPCStatus()?.details.compactMap(\.errorInfo).first
    #expect(info == nil || info?.domain == "bifrost")
    return (error.code, info?.reason)
  } catch {
    Issue.record("\(error)")
    return (nil, nil)
  }
}

/// Expects that a call is refused with a code and a reason.
func expectRefusal<Value>(
  _ code: RPCError.Code, _ reason: String, sourceLocation: SourceLocation = #_sourceLocation,
  _ call: () async throws -> Value
) async {
  let found = await refusal(call)
  #expect(found.code == code, sourceLocation: sourceLocation)
  #expect(found.reason == reason, sourceLocation: sourceLocation)
}

/// Waits until something is so; fails after some seconds.
func eventually(
  _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation, _ isSo: () -> Bool
) async throws {
  for _ in 0..<1000 {
    if isSo() { return }
    try await Task.sleep(for: .milliseconds(10))
  }
  Issue.record(what, sourceLocation: sourceLocation)
}

/// A message with a topic and a payload.
func message(
  _ topic: String, _ payload: String = "x", _ change: (inout Bifrost_V1_Message) -> Void = { _ in }
) -> Bifrost_V1_Message {
  var message = Bifrost_V1_Message()
  message.topic = topic
  message.payload = .init(payload.utf8)
  change(&message)
  return message
}

/// A publish of a message to targets.
func publish(
  _ message: Bifrost_V1_Message, key: String = "", _ targets: Bifrost_V1_Target.OneOf_Target...
) -> Bifrost_V1_PublishRequest {
  .with {
    $0.message = message
    $0.idempotencyKey = key
    $0.targets = targets.map { target in .with { $0.target = target } }
  }
}

/// Counts what came, from any task.
final class Answered: Sendable {
  private let number = Mutex(0)
  var count: Int { number.withLock { $0 } }
  func note() { number.withLock { $0 += 1 } }
}
