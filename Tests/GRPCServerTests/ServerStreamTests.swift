import BifrostAPI
import GRPCCore
import Session
import Testing

@Suite("Publish streams")
struct PublishStreamTests {
  private func request(
    _ topics: [String], wantsResults: Bool = false
  ) -> Bifrost_V1_PublishStreamRequest {
    .with {
      $0.publishes = topics.map { publish(message($0)) }
      $0.wantsResults = wantsResults
    }
  }

  @Test("requests go to one loop in order, and are answered in order")
  func order() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.holdsPublishes = true }
    try await serve(gateway) { served in
      let responses = try await served.publisher.publishStream(
        requestProducer: { writer in
          for index in 0..<10 {
            try await writer.write(request(["a/\(index)", "b/\(index)"], wantsResults: index == 9))
          }
          try await eventually("all are read") { gateway.state.withLock { $0.held.count == 10 } }
          // The last first.
          gateway.release()
        },
        onResponse: { response in
          try await response.messages.reduce(into: []) { $0.append($1) }
        })
      #expect(responses.map(\.requests) == Array(1...10))
      #expect(responses.map(\.publishes) == (1...10).map { $0 * 2 })
      #expect(responses.dropLast().allSatisfy { $0.results.isEmpty && $0.refused.isEmpty })
      #expect(responses.last?.results.map { $0.results.count } == [1, 1])
    }
    let published = gateway.state.withLock { $0.published }
    #expect(Set(published.map(\.loop)).count == 1)
    #expect(published.map { $0.messages.count } == Array(repeating: 2, count: 10))
    #expect(published.first?.messages.first?.topic == Array("a/0".utf8))
  }

  @Test("what was refused is named by its place")
  func refused() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock {
      $0.outcome = { message in
        message.topic == Array("no".utf8)
          ? PublishOutcome(refusal: .quotaExceeded) : PublishOutcome()
      }
    }
    try await serve(gateway) { served in
      let responses = try await served.publisher.publishStream(
        requestProducer: { writer in
          try await writer.write(request(["yes", "no", "yes", "no"]))
          try await writer.write(request([]))
        },
        onResponse: { response in
          try await response.messages.reduce(into: []) { $0.append($1) }
        })
      #expect(responses.map(\.refused) == [[1, 3], []])
      #expect(responses.map(\.publishes) == [4, 4])
    }
  }

  @Test("no more is read while too much waits, and no answer is lost")
  func window() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.holdsPublishes = true }
    try await serve(gateway) { served in
      let count = try await served.publisher.publishStream(
        requestProducer: { writer in
          for index in 0..<200 {
            try await writer.write(request(["a/\(index)"]))
            if index == 100 {
              try await eventually("the window is full") {
                gateway.state.withLock { $0.held.count == 64 }
              }
              gateway.release()
            }
          }
        },
        onResponse: { response in
          try await response.messages.reduce(into: 0) { count, _ in count += 1 }
        })
      #expect(count == 200)
    }
  }

  @Test("a publish that is wrong ends the stream, after answers to those before")
  func wrong() async throws {
    let gateway = FakeGateway()
    try await serve(gateway) { served in
      do {
        _ = try await served.publisher.publishStream(
          requestProducer: { writer in
            try await writer.write(request(["a"]))
            try await writer.write(request(["a", "#"]))
          },
          onResponse: { response in
            var count = 0
            do {
              for try await _ in response.messages { count += 1 }
            } catch {
              #expect(count == 1)
              throw error
            }
          })
        Issue.record("it was taken")
      } catch let error as RPCError {
        #expect(error.code == .invalidArgument)
        let info = try error.unpackGoogleRPCStatus()?.details.first?.errorInfo
        #expect(info?.metadata["field"] == "publishes[1].message.topic")
      }
    }
    #expect(gateway.state.withLock { $0.published.count } == 1)
  }

  @Test("keys in one request: each is done once")
  func keys() async throws {
    let gateway = FakeGateway()
    try await serve(gateway) { served in
      let responses = try await served.publisher.publishStream(
        requestProducer: { writer in
          try await writer.write(
            .with {
              $0.publishes = [
                publish(message("a")), publish(message("b")), publish(message("c"), key: "k"),
                publish(message("d"), key: "k"), publish(message("e")),
              ]
              $0.wantsResults = true
            })
        },
        onResponse: { response in
          try await response.messages.reduce(into: []) { $0.append($1) }
        })
      #expect(responses.first?.results.map(\.isDuplicate) == [false, false, false, true, false])
      #expect(responses.first?.results.allSatisfy { $0.results.count == 1 } == true)
    }
    let published = gateway.state.withLock { $0.published }
    #expect(published.map { $0.messages.count } == [2, 1, 1])
    #expect(published.map(\.key) == [[], Array(" k".utf8), []])
  }

  /// Asks for more results than the windows and buffers between server and client hold: 2 MB.
  private func writeMuch(to writer: RPCWriter<Bifrost_V1_PublishStreamRequest>) async throws {
    let many = request(Array(repeating: "a", count: 1000), wantsResults: true)
    for _ in 0..<200 { try await writer.write(many) }
  }

  @Test("a stream that is never read again does not hold up the stop")
  func neverRead() async throws {
    let gateway = FakeGateway()
    let options = testOptions { $0.slowReaderMilliseconds = 200 }
    try await serve(gateway, options) { served in
      let call = Task {
        try await served.publisher.publishStream(
          requestProducer: { writer in
            try await writeMuch(to: writer)
          },
          onResponse: { _ in try await Task.sleep(for: .seconds(600)) })
      }
      try await eventually("it has begun") { gateway.state.withLock { !$0.published.isEmpty } }
      let stopped = Answered()
      let stop = Task {
        await served.server.stop(timeoutMilliseconds: 600_000)
        stopped.note()
      }
      try await eventually("it is stopped") { stopped.count == 1 }
      call.cancel()
      _ = await call.result
      await stop.value
    }
  }

  @Test("a stream whose answers nobody reads ends, and says why")
  func slowReader() async throws {
    let gateway = FakeGateway()
    let options = testOptions { $0.slowReaderMilliseconds = 300 }
    try await serve(gateway, options) { served in
      let found = await refusal {
        try await served.publisher.publishStream(
          requestProducer: { writer in
            try await writeMuch(to: writer)
          },
          onResponse: { response in
            try await Task.sleep(for: .seconds(2))
            for try await _ in response.messages {}
          })
      }
      #expect(found.code == .resourceExhausted)
      #expect(found.reason == "SLOW_READER")
    }
  }
}
