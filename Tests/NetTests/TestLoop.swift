import Dispatch
import Synchronization

@testable import Net

/// A value that one thread gives and another waits for.
final class Promise<Value: Sendable>: Sendable {
  private let value = Mutex<Value?>(nil)
  private let isSet = DispatchSemaphore(value: 0)

  func give(_ value: Value) {
    self.value.withLock { $0 = value }
    isSet.signal()
  }

  func wait(seconds: Int = 5) throws -> Value {
    guard isSet.wait(timeout: .now() + .seconds(seconds)) == .success,
      let value = value.withLock({ $0 })
    else { throw TestFailure("no answer from the loop") }
    return value
  }
}

/// What leads to a loop; made before any loop parts its table of open files.
struct Ways: Sendable {
  let mailbox: Mailbox<Order>
  let passage: Passage

  init() throws {
    mailbox = Mailbox(wakeUp: try WakeUp())
    passage = try Passage()
  }
}

/// A loop on a thread of its own, with a fake handler. `stop` ends it.
final class TestLoop: Sendable {
  let log = EventLog()
  let mailbox: Mailbox<Order>
  let passage: Passage
  let port: UInt16
  private let thread: LoopThread

  init(isPrivate: Bool = false, maximumConnections: Int = 1000, ways: Ways? = nil) throws {
    let ways = try ways ?? Ways()
    let mailbox = ways.mailbox
    self.mailbox = mailbox
    passage = ways.passage
    let started = Promise<Result<UInt16, NetError>>()
    let log = log
    thread = try LoopThread(name: "test-loop") {
      let loop: Loop<FakeHandler>
      let port: UInt16
      do throws(NetError) {
        if isPrivate { try partOpenFiles() }
        loop = try Loop(mailbox: mailbox, maximumConnections: maximumConnections)
        port = try loop.listen(on: "127.0.0.1", port: 0, sharing: .none)
      } catch {
        started.give(.failure(error))
        return
      }
      let handler = FakeHandler(loop, log)
      started.give(.success(port))
      loop.run(handler)
    }
    port = try started.wait().get()
  }

  /// Runs on the loop's thread, in a turn of its own, and gives what comes out.
  func perform<Value: Sendable>(
    _ body: @escaping @Sendable (FakeHandler) -> Value
  ) throws -> Value {
    let promise = Promise<Value>()
    mailbox.post(Order { promise.give(body($0)) })
    return try promise.wait()
  }

  /// Asks again and again, a turn each, until it is so.
  func wait(
    _ what: String, seconds: UInt64 = 5, until condition: @escaping @Sendable (FakeHandler) -> Bool
  ) throws {
    let start = DispatchTime.now()
    while try !perform(condition) {
      guard DispatchTime.now() < start + .seconds(Int(seconds)) else {
        throw TestFailure("waited in vain for: \(what)")
      }
    }
  }

  /// Connects a client and gives its slot.
  func connect(receiveBuffer: Int32 = 0) throws -> (peer: Peer, slot: UInt32) {
    let before = log.events.count
    let peer = try Peer(port: port, receiveBuffer: receiveBuffer)
    try log.wait { events in
      events.dropFirst(before).contains { if case .opened = $0 { true } else { false } }
    }
    for case .opened(let slot) in log.events.dropFirst(before) { return (peer, slot) }
    throw TestFailure("no connection")
  }

  /// Messages that came, in order.
  var messages: [(count: Int, hash: Int)] {
    log.events.compactMap {
      if case .message(_, let count, let hash) = $0 { (count, hash) } else { nil }
    }
  }

  var violations: [Event] {
    log.events.filter { if case .violation = $0 { true } else { false } }
  }

  /// Ends the thread and waits for it.
  func stop() {
    mailbox.post(Order { $0.loop.stop() })
    thread.join()
  }
}
