import Glibc
import Net
import Packet
import Testing

@testable import Client

/// A server that plays back what a test says, on a blocking socket.
private final class ScriptedServer: Sendable {
  let listener: Int32
  let port: UInt16

  init() throws {
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = listener
    let code = unsafe withUnsafeMutablePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(listener, $0, size) == 0 && listen(listener, 4) == 0
          && getsockname(listener, $0, &size) == 0
      }
    }
    try #require(code)
    port = UInt16(bigEndian: address.sin_port)
  }

  deinit { close(listener) }

  /// Takes a client; reads and writes by turns, and then closes.
  func serve(_ script: [(expect: Int, answer: [UInt8])]) {
    let client = accept(listener, nil, nil)
    guard client >= 0 else { return }
    var limit = timeval(tv_sec: 5, tv_usec: 0)
    unsafe setsockopt(
      client, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    for (expected, answer) in script {
      var left = expected
      var part = [UInt8](repeating: 0, count: 4_096)
      while left > 0 {
        let room = min(left, part.count)
        let count = unsafe part.withUnsafeMutableBytes {
          unsafe recv(client, $0.baseAddress, room, 0)
        }
        guard count > 0 else { break }
        left -= count
      }
      _ = unsafe answer.withUnsafeBytes { unsafe send(client, $0.baseAddress, $0.count, 0) }
    }
    close(client)
  }
}

/// Notes what it hears, and ends the client after so many events.
private final class Listener: ClientDelegate {
  var events: [ClientEvent] = []
  let most: Int

  init(most: Int) { self.most = most }

  func handle(_ event: ClientEvent, _ client: ClientRunner) {
    events.append(event)
    if events.count == most { client.finish() }
  }

  func drained(_ client: ClientRunner) {}
}

@Suite(.serialized, .exclusive) struct ClientRunnerTests {
  private func runner(
    port: UInt16, addresses: [String] = ["127.0.0.1"], reconnects: Bool = false
  ) throws -> ClientRunner {
    var target = ClientTarget(addresses: addresses, port: port)
    target.reconnects = reconnects
    return try ClientRunner(
      ConnectPacket(version: .v3_1_1, clientID: Array("c".utf8)), to: target)
  }

  @Test func aClientConnectsAndLeaves() throws {
    let server = try ScriptedServer()
    let thread = try LoopThread(name: "server") {
      server.serve([(15, [0x20, 2, 0, 0]), (2, [])])
    }
    let listener = Listener(most: 1)
    #expect(try runner(port: server.port).run(listener) == .finished)
    #expect(listener.events == [.connected(sessionPresent: false)])
    thread.join()
  }

  @Test func nobodyListens() throws {
    let port: UInt16
    do { port = try ScriptedServer().port }
    let outcome = try runner(port: port).run(Listener(most: 1))
    #expect(outcome == .failed(NetError.reason(ECONNREFUSED)))
  }

  @Test func theNextAddressIsTried() throws {
    let server = try ScriptedServer()
    let thread = try LoopThread(name: "server") { server.serve([(15, [0x20, 2, 0, 0])]) }
    let client = try runner(port: server.port, addresses: ["127.0.0.9", "127.0.0.1"])
    #expect(client.run(Listener(most: 1)) == .finished)
    thread.join()
  }

  @Test func aLostConnectionIsMadeAgain() throws {
    let server = try ScriptedServer()
    let thread = try LoopThread(name: "server") {
      server.serve([(15, [0x20, 2, 0, 0])])
      server.serve([(15, [0x20, 2, 0, 0])])
    }
    let listener = Listener(most: 2)
    #expect(try runner(port: server.port, reconnects: true).run(listener) == .finished)
    #expect(listener.events.count == 2)
    thread.join()
  }

  @Test func aServerThatBreaksTheProtocolIsLeft() throws {
    let server = try ScriptedServer()
    let thread = try LoopThread(name: "server") { server.serve([(15, [0x20, 2, 9, 9])]) }
    let outcome = try runner(port: server.port).run(Listener(most: 1))
    #expect(outcome == .failed(ClientError.malformed(.connAckFlags).description))
    thread.join()
  }

  @Test func timeIsLimited() throws {
    let server = try ScriptedServer()
    let client = try runner(port: server.port)
    client.setTimeLimit(seconds: 0)
    #expect(client.run(Listener(most: 1)) == .timedOut)
  }
}
