import BifrostAPI
import GRPCCore
import Packet
import Session
import Store
import Testing

@Suite("Clients")
struct ClientsTests {
  private func gateway(_ names: String...) -> FakeGateway {
    let gateway = FakeGateway()
    gateway.state.withLock { state in
      for name in names { state.clients[name] = description(name) }
    }
    return gateway
  }

  @Test("a client and its session")
  func get() async throws {
    try await serve(gateway("dev")) { served in
      let session = try await served.clients.get(.with { $0.clientID = "dev" }).session
      #expect(session.client.clientID == "dev" && session.client.tenant == "acme")
      #expect(session.client.attributes == ["a": "b"] && session.client.peer == "192.0.2.7:1")
      #expect(session.connected && session.isStored && session.expirySeconds == 60)
      #expect(session.keepAliveSeconds == 30 && session.inFlight == 3 && session.queued == 4)
      #expect(session.subscriptions.map(\.filter) == ["a/+"])
      #expect(session.subscriptions.first?.qos == .atLeastOnce)
      #expect(session.subscriptions.first?.identifier == 7)
    }
  }

  @Test("nobody of that name, no name, and a broker that can't")
  func refusals() async throws {
    let gateway = gateway("dev")
    try await serve(gateway) { served in
      let clients = served.clients
      await expectRefusal(.notFound, "CLIENT_NOT_FOUND") {
        try await clients.get(.with { $0.clientID = "other" })
      }
      await expectRefusal(.invalidArgument, "FIELD_INVALID") { try await clients.get(.init()) }
      await expectRefusal(.notFound, "CLIENT_NOT_FOUND") {
        try await clients.disconnect(.with { $0.clientID = "other" })
      }
      await expectRefusal(.invalidArgument, "FIELD_INVALID") {
        try await clients.disconnect(.with { ($0.clientID, $0.reasonCode) = ("dev", 3) })
      }
      await expectRefusal(.invalidArgument, "FIELD_INVALID") {
        try await clients.subscribe(.with { $0.clientID = "dev" })
      }
      await expectRefusal(.invalidArgument, "FIELD_INVALID") {
        try await clients.unsubscribe(
          .with { ($0.clientID, $0.filters) = ("dev", ["a", "b/#/c"]) })
      }
      gateway.state.withLock { $0.isUnavailable = true }
      await expectRefusal(.unavailable, "NOT_AT_PRESENT") {
        try await clients.deleteSession(.with { $0.clientID = "dev" })
      }
    }
  }

  @Test("a client is steered")
  func steer() async throws {
    let gateway = gateway("dev")
    try await serve(gateway) { served in
      _ = try await served.clients.disconnect(.with { $0.clientID = "dev" })
      _ = try await served.clients.disconnect(
        .with {
          $0.clientID = "dev"
          $0.reason = "moved"
          $0.reasonCode = 157
          $0.discardsWill = true
        })
      let codes = try await served.clients.subscribe(
        .with {
          $0.clientID = "dev"
          $0.subscriptions = [
            .with { $0.filter = "a/#" },
            .with {
              $0.filter = "b"
              $0.qos = .exactlyOnce
              $0.noLocal = true
              $0.retainAsPublished = true
              $0.identifier = 9
            },
          ]
        })
      #expect(codes.reasonCodes == [1, 2])
      let gone = try await served.clients.unsubscribe(
        .with { ($0.clientID, $0.filters) = ("dev", ["a/#"]) })
      #expect(gone.reasonCodes == [17])
      _ = try await served.clients.deleteSession(.with { $0.clientID = "dev" })
    }
    let (steered, subscriptions) = gateway.state.withLock { ($0.steered, $0.subscriptions) }
    #expect(
      steered == [
        "disconnect 152  false dev", "disconnect 157 moved true dev", "subscribe dev",
        "unsubscribe dev", "end dev",
      ])
    #expect(
      subscriptions == [
        StoredSubscription(filter: Array("a/#".utf8), options: 1, identifier: 0),
        StoredSubscription(filter: Array("b".utf8), options: 2 | 4 | 8, identifier: 9),
      ])
  }

  @Test("a list comes in pages, and goes on from a cursor")
  func list() async throws {
    try await serve(gateway("a1", "a2", "a3", "a4", "a5", "b1")) { served in
      @Sendable func list(_ request: Bifrost_V1_ListRequest) async throws -> ([String], String) {
        try await served.clients.list(request) { response in
          var (names, cursor) = ([String](), "")
          for try await page in response.messages {
            names += page.clients.map(\.client.clientID)
            cursor = page.cursor
          }
          return (names, cursor)
        }
      }
      #expect(try await list(.init()).0 == ["a1", "a2", "a3", "a4", "a5", "b1"])
      let first = try await list(.with { ($0.clientIDPrefix, $0.limit) = ("a", 3) })
      #expect(first.0 == ["a1", "a2", "a3"] && !first.1.isEmpty)
      let second = try await list(.with { ($0.clientIDPrefix, $0.cursor) = ("a", first.1) })
      #expect(second.0 == ["a4", "a5"] && second.1.isEmpty)
      await expectRefusal(.invalidArgument, "FIELD_INVALID") {
        try await list(.with { $0.cursor = "zz" })
      }
    }
  }

  @Test("a backlog comes in pages, with or without payloads")
  func backlog() async throws {
    let gateway = gateway("dev")
    gateway.state.withLock { state in
      state.backlog = (0..<5).map { index in
        BacklogPage.Entry(
          message: OutsideMessage(topic: Array("t/\(index)".utf8), payload: [1, 2]),
          isInFlight: index == 0)
      }
    }
    try await serve(gateway) { served in
      @Sendable func read(
        _ limit: UInt32, omits: Bool
      ) async throws -> [Bifrost_V1_WaitingMessage] {
        let request = Bifrost_V1_ReadBacklogRequest.with {
          ($0.clientID, $0.limit, $0.omitsPayloads) = ("dev", limit, omits)
        }
        return try await served.clients.readBacklog(request) { response in
          try await response.messages.reduce(into: []) { $0 += $1.messages }
        }
      }
      let all = try await read(0, omits: false)
      #expect(all.map(\.message.topic) == ["t/0", "t/1", "t/2", "t/3", "t/4"])
      #expect(all.map(\.inFlight) == [true, false, false, false, false])
      #expect(all.allSatisfy { $0.message.payload.count == 2 })
      let some = try await read(3, omits: true)
      #expect(some.count == 3 && some.allSatisfy { $0.message.payload.isEmpty })
    }
  }
}

@Suite("Watching clients")
struct WatchTests {
  private func append(_ gateway: FakeGateway, _ name: String) {
    gateway.events.append(
      ClientEvent(
        clientID: Array(name.utf8), time: 5,
        what: .connected(HookedClient(clientID: Array(name.utf8), version: 5), sessionPresent: true)
      ))
  }

  @Test("events come as they happen, and go on from a token")
  func resume() async throws {
    let gateway = FakeGateway()
    try await serve(gateway) { served in
      let token = try await served.clients.watch(.init()) { response in
        var messages = response.messages.makeAsyncIterator()
        let started = try await messages.next()
        #expect(started?.started != nil && started?.event == .started(.init()))
        append(gateway, "one")
        let one = try await messages.next()
        #expect(one?.clientID == "one" && one?.connected.sessionPresent == true)
        #expect(one?.timeMilliseconds == 5)
        return one?.resumeToken ?? ""
      }
      append(gateway, "two")
      append(gateway, "three")
      let names = try await served.clients.watch(
        .with { ($0.resumeToken, $0.clientIDPrefix) = (token, "th") }
      ) { response in
        var names: [String] = []
        for try await event in response.messages {
          if case .connected = event.event {
            names.append(event.clientID)
            break
          }
        }
        return names
      }
      #expect(names == ["three"])
    }
  }

  @Test("tokens that are no good")
  func tokens() async throws {
    let gateway = FakeGateway()
    try await serve(gateway) { served in
      @Sendable func watch(_ token: String) async throws {
        try await served.clients.watch(.with { $0.resumeToken = token }) { response in
          for try await _ in response.messages {}
        }
      }
      await expectRefusal(.invalidArgument, "FIELD_INVALID") { try await watch("x") }
      let other = String(repeating: "0", count: 32)
      await expectRefusal(.outOfRange, "RESUME_TOKEN_EXPIRED") { try await watch(other) }
      let token = try await served.clients.watch(.init()) { response in
        var messages = response.messages.makeAsyncIterator()
        return try await messages.next()?.resumeToken ?? ""
      }
      // The ring of the test has room for eight.
      for index in 0..<9 { append(gateway, "c\(index)") }
      await expectRefusal(.outOfRange, "RESUME_TOKEN_EXPIRED") { try await watch(token) }
    }
  }

  @Test("what disconnections and subscriptions say")
  func kinds() async throws {
    let gateway = FakeGateway()
    try await serve(gateway) { served in
      try await served.clients.watch(.init()) { response in
        var messages = response.messages.makeAsyncIterator()
        _ = try await messages.next()
        let subscription = StoredSubscription(filter: Array("f".utf8), options: 1, identifier: 0)
        for what: ClientEvent.What in [
          .disconnected(ConnectionEnd(text: "gone", reason: .keepAliveTimeout, time: 1)),
          .subscribed(subscription), .unsubscribed(filter: Array("f".utf8)),
        ] {
          gateway.events.append(ClientEvent(clientID: [0x63], time: 1, what: what))
        }
        let end = try await messages.next()
        #expect(end?.disconnected.reason == "gone" && end?.disconnected.reasonCode == 0x8D)
        #expect(try await messages.next()?.subscribed.filter == "f")
        #expect(try await messages.next()?.unsubscribed == "f")
      }
    }
  }
}
