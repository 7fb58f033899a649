import BifrostAPI
import GRPCCore
import GRPCServer
import Logging
import MQTTServer
import Session
import StoreSQLite
import Testing
import Util

/// Tests of streams that are MQTT clients within a broker, with a broker.
@Suite("Subscriber")
struct SubscriberTests {
  typealias Request = Bifrost_V1_SubscribeRequest
  typealias Response = Bifrost_V1_SubscribeResponse

  /// A stream as a test sees it.
  struct Stream {
    var messages: RPCAsyncSequence<Response, any Error>.AsyncIterator
    var waiting: [Bifrost_V1_Delivery] = []
    let say: AsyncStream<Request>.Continuation

    /// The next delivery.
    mutating func next() async throws -> Bifrost_V1_Delivery {
      while waiting.isEmpty {
        guard let response = try await messages.next() else { throw EndOfStream() }
        waiting = response.deliveries.deliveries
      }
      return waiting.removeFirst()
    }

    func acknowledge(_ ids: UInt64...) {
      say.yield(.with { $0.acknowledge.ids = ids })
    }
  }

  struct EndOfStream: Error {}

  /// Runs a broker with a store in a directory of its own, and a server of backends before it.
  private func serveBroker(
    _ options: BackendOptions = testOptions(), _ body: (Served) async throws -> Void
  ) async throws {
    let directory = try TestDirectory()
    let store = try SQLiteStore(directory: directory.path, sync: .normal, limits: StoreLimits())
    var serverOptions = ServerOptions()
    serverOptions.listen = [ListenEndpoint(host: "127.0.0.1", port: 0)]
    serverOptions.loops = 2
    serverOptions.systemIntervalMilliseconds = 0
    let broker = try MQTTBroker(options: serverOptions, store: store, logger: quiet)
    try broker.start()
    defer { broker.stop(timeoutMilliseconds: 1000) }
    try await serve(broker, options, body)
  }

  /// Opens a stream, and ends it when `body` is done.
  private func stream<Value: Sendable>(
    _ served: Served, _ open: Request.Open,
    _ body: @escaping @Sendable (inout Stream, Response) async throws -> Value
  ) async throws -> Value {
    let (requests, say) = AsyncStream.makeStream(of: Request.self)
    say.yield(.with { $0.open = open })
    return try await served.subscriber.subscribe(
      requestProducer: { writer in
        for await request in requests { try await writer.write(request) }
      },
      onResponse: { response in
        defer { say.finish() }
        var stream = Stream(messages: response.messages.makeAsyncIterator(), say: say)
        guard let first = try await stream.messages.next() else { throw EndOfStream() }
        return try await body(&stream, first)
      })
  }

  private func open(
    _ name: String = "", window: UInt32 = 0, _ filters: String...
  ) -> Request.Open {
    .with {
      $0.name = name
      $0.window = window
      $0.filters = filters.map { text in .with { $0.filter = text } }
    }
  }

  @Test("a stream without a name gets what is published from then on")
  func anonymous() async throws {
    try await serveBroker { served in
      try await stream(served, open("", "a/+", "b")) { stream, first in
        #expect(first.response == .opened(.init()))
        let sent = message("a/1", "one") {
          $0.contentType = "text/plain"
          $0.key = "k"
          $0.userProperties = [.with { ($0.name, $0.value) = ("n", "v") }]
        }
        let result = try await served.publisher.publish(publish(sent))
        #expect(result.results.first?.online == 1)
        let delivery = try await stream.next()
        #expect(delivery.id != 0 && !delivery.redelivered)
        var expected = sent
        expected.qos = .atLeastOnce
        #expect(delivery.message == expected)
        stream.acknowledge(delivery.id)
        _ = try await served.publisher.publish(publish(message("b") { $0.qos = .atMostOnce }))
        let second = try await stream.next()
        #expect(second.id == 0 && second.message.topic == "b")
      }
    }
  }

  @Test("no more than the window is sent without acknowledgement")
  func window() async throws {
    try await serveBroker { served in
      try await stream(served, open("", window: 2, "a/#")) { stream, _ in
        for index in 0..<4 {
          _ = try await served.publisher.publish(publish(message("a/\(index)")))
        }
        let first = try await stream.next()
        let second = try await stream.next()
        #expect([first, second].map(\.message.topic) == ["a/0", "a/1"])
        #expect(stream.waiting.isEmpty)
        stream.acknowledge(first.id, second.id)
        #expect(try await stream.next().message.topic == "a/2")
        #expect(try await stream.next().message.topic == "a/3")
      }
    }
  }

  @Test("a cursor goes on where it was left, and what was not acknowledged comes again")
  func cursor() async throws {
    try await serveBroker { served in
      try await stream(served, open("jobs", window: 2, "work/#")) { stream, first in
        #expect(first.opened.resumed == false)
        for index in 0..<3 {
          _ = try await served.publisher.publish(publish(message("work/\(index)")))
        }
        let delivery = try await stream.next()
        #expect(delivery.message.topic == "work/0")
        #expect(try await stream.next().message.topic == "work/1")
        stream.acknowledge(delivery.id)
        // That there is room for the third shows that the broker has the acknowledgement.
        #expect(try await stream.next().message.topic == "work/2")
      }
      // The stream may still be known to the loop that counts.
      let away = try await served.publisher.publish(publish(message("work/away")))
      #expect(away.results.first.map { $0.online + $0.stored } == 1)
      try await stream(served, open("jobs", "work/#")) { stream, first in
        #expect(first.opened.resumed)
        var topics: Set<String> = []
        while topics.count < 3 {
          let delivery = try await stream.next()
          topics.insert(delivery.message.topic)
          stream.acknowledge(delivery.id)
        }
        #expect(topics == ["work/1", "work/2", "work/away"])
      }
    }
  }

  @Test("streams of one name share its messages")
  func shared() async throws {
    try await serveBroker { served in
      let order = open("share", "s/#")
      try await stream(served, order) { one, _ in
        let seen = try await stream(served, order) { two, first in
          #expect(first.opened.resumed)
          for index in 0..<10 {
            _ = try await served.publisher.publish(publish(message("s/\(index)")))
          }
          var topics: [String] = []
          for _ in 0..<5 { topics.append(try await two.next().message.topic) }
          return topics
        }
        var topics = Set(seen)
        while topics.count < 10 { topics.insert(try await one.next().message.topic) }
        #expect(topics.count == 10)
      }
    }
  }

  @Test("a cursor's filters become those of the last stream")
  func filters() async throws {
    try await serveBroker { served in
      try await stream(served, open("f", "a", "b")) { _, _ in }
      try await stream(served, open("f", "b", "c")) { _, first in #expect(first.opened.resumed) }
      var owed: [String: UInt64] = [:]
      for topic in ["a", "b", "c"] {
        let result = try await served.publisher.publish(publish(message(topic))).results[0]
        // The stream may still be known to the loop that counts.
        owed[topic] = result.online + result.stored
      }
      #expect(owed == ["a": 0, "b": 1, "c": 1])
    }
  }

  @Test("a cursor is deleted with what waits for it, unless it is read")
  func delete() async throws {
    try await serveBroker { served in
      await expectRefusal(.notFound, "CURSOR_NOT_FOUND") {
        try await served.subscriber.deleteCursor(.with { $0.name = "d" })
      }
      try await stream(served, open("d", "x")) { _, _ in
        await expectRefusal(.failedPrecondition, "CURSOR_IN_USE") {
          try await served.subscriber.deleteCursor(.with { $0.name = "d" })
        }
      }
      _ = try await served.publisher.publish(publish(message("x")))
      var isDeleted = false
      for _ in 0..<100 where !isDeleted {
        // The stream's end is a moment behind its client's.
        isDeleted =
          await refusal {
            try await served.subscriber.deleteCursor(.with { $0.name = "d" })
          }.code == nil
      }
      #expect(isDeleted)
      try await stream(served, open("d", "x")) { _, first in #expect(!first.opened.resumed) }
    }
  }

  @Test("what is wrong with a stream is said", arguments: [0, 1, 2, 3, 4, 5, 6])
  func wrong(number: Int) async throws {
    let wrong = [
      open("", []), open("a/b", "f"), open("", "a/#/b"), open("", "$share/g/f"),
      open("", window: 65_536, "f"), open(String(repeating: "n", count: 129), "f"), open("n", ""),
    ]
    try await serveBroker { served in
      await expectRefusal(.invalidArgument, "FIELD_INVALID") {
        try await stream(served, wrong[number]) { _, _ in }
      }
    }
  }

  @Test("the first request opens, others acknowledge what is out")
  func requests() async throws {
    try await serveBroker { served in
      await expectRefusal(.invalidArgument, "FIELD_INVALID") {
        try await served.subscriber.subscribe(
          requestProducer: { try await $0.write(.with { $0.acknowledge.ids = [1] }) },
          onResponse: { response in for try await _ in response.messages {} })
      }
      await expectRefusal(.invalidArgument, "FIELD_INVALID") {
        try await stream(served, open("", "f")) { stream, _ in
          stream.acknowledge(77)
          _ = try await stream.next()
        }
      }
    }
  }

  @Test("a backend that does not read ends, and says why")
  func slowReader() async throws {
    let options = testOptions { $0.slowReaderMilliseconds = 300 }
    try await serveBroker(options) { served in
      await expectRefusal(.resourceExhausted, "SLOW_READER") {
        try await stream(served, open("", window: 1000, "a")) { stream, _ in
          let large = String(repeating: "x", count: 100_000)
          for _ in 0..<100 { _ = try await served.publisher.publish(publish(message("a", large))) }
          try await Task.sleep(for: .seconds(2))
          while true { _ = try await stream.next() }
        }
      }
    }
  }

  private func open(_ name: String, _ filters: [String]) -> Request.Open {
    .with { $0.name = name }
  }
}
