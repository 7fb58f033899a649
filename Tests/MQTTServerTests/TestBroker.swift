import Dispatch
import Glibc
import Logging
import Net
import Packet
import Session
import Store
import Synchronization
import Testing
import Util

@testable import MQTTServer

/// All tests of this target, one at a time.
@Suite(.serialized, .exclusive)
enum BrokerTests {}

/// A broker in this process. `stop` ends it.
final class TestBroker: Sendable {
  let server: MQTTBroker
  let port: UInt16

  /// - Parameter isPrivate: whether each loop has a table of open files of its own.
  init(
    loops: Int = 1, isPrivate: Bool = false, store: (any Store)? = nil,
    hooks: (any BrokerHooks)? = nil, _ adjust: (inout ServerOptions) -> Void = { _ in }
  ) throws {
    var options = ServerOptions()
    options.listen = [ListenEndpoint(host: "127.0.0.1", port: 0)]
    options.loops = loops
    options.privateDescriptors = isPrivate ? .on : .off
    options.systemIntervalMilliseconds = 0
    adjust(&options)
    let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    server = try MQTTBroker(options: options, store: store, hooks: hooks, logger: logger)
    try server.start()
    port = server.boundEndpoints[0].port
  }

  func stop() { server.stop(timeoutMilliseconds: 0) }

  /// A client with its CONNACK behind it.
  func client(
    _ id: String, version: ProtocolVersion = .v5, clean: Bool = true, expiry: UInt32? = nil,
    receiveBuffer: Int32 = 0
  ) throws -> Client {
    let client = try Client(port: port, version: version, receiveBuffer: receiveBuffer)
    let answer = try client.connect(id, clean: clean) { $0.sessionExpiryInterval = expiry }
    guard answer.reason == .success else { throw TestFailure("CONNACK \(answer.reason)") }
    return client
  }

  /// The counters of all loops.
  var counters: Counters {
    var sum = Counters()
    for board in server.broker.boards { sum.add(board.counters) }
    return sum
  }

  /// The loop that holds a client's session.
  func loop(of id: String) throws -> Int {
    guard let owner = server.broker.directory.find(Array(id.utf8).span) else {
      throw TestFailure("no session of \(id)")
    }
    return Int(owner.loop)
  }

  /// Waits until the counters, which loops show at the end of each turn, are as wanted.
  func wait(
    _ what: String, milliseconds: UInt64 = 5_000, until condition: (Counters) -> Bool
  ) throws {
    let end = DispatchTime.now() + .milliseconds(Int(milliseconds))
    while !condition(counters) {
      guard DispatchTime.now() < end else {
        throw TestFailure("waited in vain for: \(what); \(counters)")
      }
      sched_yield()
    }
  }

  /// Clients of which at least `each` are on each loop; the kernel spreads connections as it likes.
  func spread(_ prefix: String, each: Int = 1, expiry: UInt32? = nil) throws -> [[Client]] {
    let loops = server.broker.mailboxes.count
    var clients: [[Client]] = Array(repeating: [], count: loops)
    for number in 0..<(200 * each) where clients.contains(where: { $0.count < each }) {
      let id = "\(prefix)\(number)"
      let client = try client(id, expiry: expiry)
      let place = try loop(of: id)
      if clients[place].count < each { clients[place].append(client) }
    }
    guard !clients.contains(where: { $0.count < each }) else {
      throw TestFailure("200 connections missed a loop")
    }
    return clients
  }
}

/// Bytes of memory of this process.
func residentBytes() -> Int { Int(ProcessFacts.own.residentBytes ?? 0) }
