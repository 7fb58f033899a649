import BifrostAPI
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCServer
import Session
import Testing
import Util

@Suite("Limits, deadlines and the end")
struct ServerLimitTests {
  @Test("a deadline that passes ends the call, and gives its wait up")
  func deadline() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.isPressed = true }
    try await serve(gateway) { served in
      var options = CallOptions.defaults
      options.timeout = .milliseconds(200)
      let limited = options
      let found = await refusal {
        try await served.publisher.publish(publish(message("a")), options: limited)
      }
      #expect(found.code == .deadlineExceeded)
      // The call is over, not only given up by its caller: nothing is published later. The server's clock
      // for it began when it came.
      try await Task.sleep(for: .seconds(1))
      gateway.state.withLock { $0.isPressed = false }
      try await Task.sleep(for: .milliseconds(100))
      #expect(gateway.state.withLock { $0.published.isEmpty })
    }
  }

  @Test("a message beyond the limit is refused, and the connection goes on")
  func messageSize() async throws {
    try await serve(FakeGateway(), testOptions { $0.maximumMessageBytes = 100_000 }) { served in
      let large = String(repeating: "x", count: 200_000)
      let found = await refusal {
        try await served.publisher.publish(publish(message("a", large)))
      }
      #expect(found.code == .resourceExhausted && found.reason == "MESSAGE_TOO_LARGE")
      let streamed = await refusal {
        try await served.publisher.publishStream(
          requestProducer: { writer in
            try await writer.write(.with { $0.publishes = [publish(message("a"))] })
            try await writer.write(.with { $0.publishes = [publish(message("a", large))] })
          },
          onResponse: { response in for try await _ in response.messages {} })
      }
      #expect(streamed.code == .resourceExhausted && streamed.reason == "MESSAGE_TOO_LARGE")
      let fits = String(repeating: "x", count: 99_000)
      _ = try await served.publisher.publish(publish(message("a", fits)))
    }
  }

  @Test("a call too many is refused, and there is room when one ends")
  func calls() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.holdsPublishes = true }
    try await serve(gateway, testOptions { $0.maximumCalls = 2 }) { served in
      let request = publish(message("a"))
      async let first = served.publisher.publish(request)
      async let second = served.publisher.publish(request)
      try await eventually("both are under way") {
        gateway.state.withLock { $0.held.count == 2 }
      }
      await expectRefusal(.resourceExhausted, "TOO_MANY_CALLS") {
        try await served.publisher.publish(request)
      }
      gateway.release()
      _ = try await (first, second)
      var isTaken = false
      for _ in 0..<100 where !isTaken {
        isTaken = await refusal { try await served.publisher.publish(request) }.code == nil
      }
      #expect(isTaken)
    }
  }

  @Test("a thousand calls at a time")
  func manyCalls() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.holdsPublishes = true }
    try await serve(gateway) { served in
      // Over several connections: what HTTP/2 checks in debug builds takes time in the square of its streams.
      try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<10 {
          group.addTask { try await hundredCalls(served.server) }
        }
        try await eventually("all are under way") {
          gateway.state.withLock { $0.held.count == 1000 }
        }
        gateway.release()
        var sum = 0
        for try await count in group { sum += count }
        #expect(sum == 1000)
      }
    }
  }

  private func hundredCalls(_ server: BackendServer) async throws -> Int {
    let port = try #require(server.boundEndpoints.first).port
    let transport = try HTTP2ClientTransport.Posix(
      target: .ipv4(address: "127.0.0.1", port: Int(port)), transportSecurity: .plaintext)
    return try await withGRPCClient(transport: transport) { client in
      let publisher = Bifrost_V1_Publisher.Client(wrapping: client)
      return try await withThrowingTaskGroup(of: Int.self) { group in
        for index in 0..<100 {
          group.addTask {
            try await publisher.publish(publish(message("a/\(index)"))).results.count
          }
        }
        return try await group.reduce(0, +)
      }
    }
  }

  @Test("a call that its caller gives up is ended")
  func cancelled() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.isPressed = true }
    try await serve(gateway) { served in
      let call = Task { try await served.publisher.publish(publish(message("a"))) }
      try await Task.sleep(for: .milliseconds(100))
      call.cancel()
      _ = await call.result
      try await Task.sleep(for: .seconds(1))
      gateway.state.withLock { $0.isPressed = false }
      try await Task.sleep(for: .milliseconds(50))
      #expect(gateway.state.withLock { $0.published.isEmpty })
    }
  }

  @Test("when the server stops, streams end with a reason and calls with one answer go on")
  func stop() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.holdsPublishes = true }
    try await serve(gateway) { served in
      async let last = served.publisher.publish(publish(message("a")))
      let begun = Answered()
      let watch = Task {
        await refusal {
          try await served.clients.watch(.init()) { response in
            for try await _ in response.messages { begun.note() }
          }
        }
      }
      let health = Task {
        try await served.health.watch(.init()) { response in
          var found: [Grpc_Health_V1_HealthCheckResponse.ServingStatus] = []
          do {
            for try await answer in response.messages {
              found.append(answer.status)
              begun.note()
            }
          } catch {}
          return found
        }
      }
      try await eventually("all are under way") {
        begun.count == 2 && gateway.state.withLock { $0.held.count == 1 }
      }
      let stopping = Task { await served.server.stop(timeoutMilliseconds: 5000) }
      let end = await watch.value
      #expect(end.code == .unavailable && end.reason == "SHUTTING_DOWN")
      #expect(try await health.value == [.serving, .notServing])
      gateway.release()
      #expect(try await last.results.count == 1)
      await stopping.value
    }
  }

  @Test("a stop does not wait for ever")
  func stopInTime() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.holdsPublishes = true }
    try await serve(gateway) { served in
      let call = Task {
        await refusal { try await served.publisher.publish(publish(message("a"))) }
      }
      try await eventually("it is under way") { gateway.state.withLock { $0.held.count == 1 } }
      await served.server.stop(timeoutMilliseconds: 100)
      #expect(await call.value.code == .unavailable)
    }
  }

  @Test("an address in use is said to be")
  func addressInUse() async throws {
    try await serve(FakeGateway()) { served in
      _ = try await served.health.check(.init())
      let options = testOptions { $0.listen = served.server.boundEndpoints }
      let second = BackendServer(options: options, gateway: FakeGateway(), logger: quiet)
      do throws(BackendServerError) {
        try await second.start()
        Issue.record("it started")
      } catch {
        #expect(error.kind == .addressInUse)
        #expect(error.message.contains("grpc.listen"))
      }
    }
  }

  @Test("several addresses are served")
  func addresses() async throws {
    let local = ListenEndpoint(host: "127.0.0.1", port: 0)
    try await serve(FakeGateway(), testOptions { $0.listen = [local, local] }) { served in
      _ = try await served.health.check(.init())
      #expect(Set(served.server.boundEndpoints.map(\.port)).count == 2)
    }
  }
}

@Suite("Health and reflection")
struct HealthTests {
  @Test("health of services")
  func health() async throws {
    try await serve(FakeGateway()) { served in
      for name in ["", "bifrost.v1.Publisher", "bifrost.v1.Clients", "bifrost.v1.Subscriber"] {
        #expect(try await served.health.check(.with { $0.service = name }).status == .serving)
      }
      await expectRefusal(.notFound, "SERVICE_UNKNOWN") {
        try await served.health.check(.with { $0.service = "x" })
      }
      let first = try await served.health.watch(.with { $0.service = "x" }) { response in
        var messages = response.messages.makeAsyncIterator()
        return try await messages.next()?.status
      }
      #expect(first == .serviceUnknown)
    }
  }

  @Test("services, files and symbols")
  func reflection() async throws {
    typealias Request = Grpc_Reflection_V1_ServerReflectionRequest
    try await serve(FakeGateway()) { served in
      let reflection = Grpc_Reflection_V1_ServerReflection.Client(wrapping: served.client)
      let answers = try await reflection.serverReflectionInfo(
        requestProducer: { writer in
          for question: Request.OneOf_MessageRequest in [
            .listServices(""), .fileByFilename("bifrost/v1/publisher.proto"),
            .fileContainingSymbol("bifrost.v1.Publisher.Publish"),
            .fileContainingSymbol("bifrost.v1.SubscribeRequest.Open"),
            .fileContainingSymbol("bifrost.v1.Nothing"), .fileByFilename("nothing.proto"),
            .allExtensionNumbersOfType("bifrost.v1.Message"),
            .fileContainingExtension(.init()),
          ] {
            try await writer.write(.with { $0.messageRequest = question })
          }
          try await writer.write(Request())
        },
        onResponse: { response in
          try await response.messages.reduce(into: []) { $0.append($1) }
        })
      try #require(answers.count == 9)
      #expect(answers[0].listServicesResponse.service.map(\.name).contains("bifrost.v1.Subscriber"))
      // The file and what it imports.
      #expect(answers[1].fileDescriptorResponse.fileDescriptorProto.count == 2)
      #expect(answers[2].fileDescriptorResponse == answers[1].fileDescriptorResponse)
      #expect(answers[3].fileDescriptorResponse.fileDescriptorProto.count == 2)
      #expect(answers[4].errorResponse.errorCode == 5 && answers[5].errorResponse.errorCode == 5)
      #expect(answers[6].allExtensionNumbersResponse.baseTypeName == "bifrost.v1.Message")
      #expect(answers[7].errorResponse.errorCode == 5 && answers[8].errorResponse.errorCode == 3)
    }
  }
}
