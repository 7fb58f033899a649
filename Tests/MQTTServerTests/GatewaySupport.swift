import Dispatch
import Glibc
import Packet
import Session
import Store
import StoreSQLite
import Synchronization
import Testing

@testable import MQTTServer

/// What a closure was called with, for a thread that waits for it.
final class Answer<Value: Sendable>: Sendable {
  private let value = Mutex<Value?>(nil)
  private let given = DispatchSemaphore(value: 0)

  func give(_ value: Value) {
    self.value.withLock { $0 = value }
    given.signal()
  }

  func wait(seconds: Int = 20) throws -> Value {
    guard given.wait(timeout: .now() + .seconds(seconds)) == .success,
      let value = value.withLock({ $0 })
    else { throw TestFailure("no answer") }
    return value
  }
}

/// A directory of its own, removed with the value.
final class StoreDirectory: Sendable {
  let path: String

  init() throws {
    path = "/tmp/bifrost-gateway-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    guard unsafe mkdir(path, 0o700) == 0 else { throw TestFailure("mkdir: \(errno)") }
  }

  func open() throws -> SQLiteStore {
    try SQLiteStore(directory: path, sync: .normal, limits: StoreLimits())
  }

  deinit {
    for name in ["bifrost.db", "bifrost.db-wal", "bifrost.db-shm", "bifrost.lock"] {
      _ = unsafe unlink("\(path)/\(name)")
    }
    _ = unsafe rmdir(path)
  }
}

extension Steered {
  /// What was done, where it was.
  var value: Value? { if case .done(let value) = self { value } else { nil } }
  var isNoClient: Bool { if case .noClient = self { true } else { false } }
  var isUnavailable: Bool { if case .unavailable = self { true } else { false } }
}

extension TestBroker {
  /// Asks something and waits for the answer.
  func ask<Value: Sendable>(
    _ question: (MQTTBroker, @escaping @Sendable (Steered<Value>) -> Void) -> Void
  ) throws -> Steered<Value> {
    let answer = Answer<Steered<Value>>()
    question(server) { answer.give($0) }
    return try answer.wait()
  }

  func describe(_ id: String) throws -> Steered<ClientDescription> {
    try ask { $0.describe(Array(id.utf8), done: $1) }
  }

  func subscribe(
    _ id: String, _ filters: String..., qos: QoS = .atLeastOnce
  ) throws -> Steered<[UInt8]> {
    let list = filters.map {
      StoredSubscription(filter: Array($0.utf8), options: qos.rawValue, identifier: 0)
    }
    return try subscribe(id, list)
  }

  func subscribe(_ id: String, _ list: [StoredSubscription]) throws -> Steered<[UInt8]> {
    try ask { $0.subscribe(Array(id.utf8), list, done: $1) }
  }

  func page(_ query: ClientQuery) throws -> Steered<ClientPage> {
    try ask { $0.list(query, done: $1) }
  }

  func page(
    _ id: String, after place: BacklogPlace = BacklogPlace(), messages: Int = 1000,
    bytes: Int = 1 << 20
  ) throws -> Steered<BacklogPage> {
    try ask {
      $0.backlog(
        Array(id.utf8), after: place, maximumMessages: messages, maximumBytes: bytes, done: $1)
    }
  }

  func unsubscribe(_ id: String, _ filters: String...) throws -> Steered<[UInt8]> {
    try ask { $0.unsubscribe(Array(id.utf8), filters.map { Array($0.utf8) }, done: $1) }
  }

  func endSession(_ id: String) throws -> Steered<Void> {
    try ask { $0.endSession(Array(id.utf8), done: $1) }
  }

  func disconnect(
    _ id: String, _ reason: ReasonCode = .administrativeAction, _ text: String = "",
    discardsWill: Bool = false
  ) throws -> Steered<Void> {
    try ask {
      $0.disconnect(
        Array(id.utf8), reason: reason, text: Array(text.utf8), discardsWill: discardsWill,
        done: $1)
    }
  }

  /// All pages of a list.
  func list(
    _ adjust: (inout ClientQuery) -> Void = { _ in }
  ) throws -> [ClientPage.Entry] {
    var query = ClientQuery()
    adjust(&query)
    var entries: [ClientPage.Entry] = []
    while true {
      let answer = try page(query)
      guard let page = answer.value else { throw TestFailure("no page of a list: \(answer)") }
      guard page.entries.count <= query.maximum else { throw TestFailure("a page is too large") }
      entries += page.entries
      guard let next = page.next else { return entries }
      query.cursor = next
    }
  }

  /// All pages of a backlog.
  func backlog(
    _ id: String, messages: Int = 1000, bytes: Int = 1 << 20
  ) throws -> [BacklogPage.Entry] {
    var entries: [BacklogPage.Entry] = []
    var place = BacklogPlace()
    while true {
      let answer = try page(id, after: place, messages: messages, bytes: bytes)
      guard let page = answer.value else { throw TestFailure("no page of a backlog: \(answer)") }
      guard page.entries.count <= messages else { throw TestFailure("a page is too large") }
      entries += page.entries
      guard let next = page.next else { return entries }
      place = next
    }
  }

  /// Makes a session and lets its client go, and waits until it has left memory.
  func park(_ id: String, _ filters: String...) throws {
    let client = try client(id, clean: false, expiry: 3600)
    for filter in filters { try client.subscribe(filter) }
    let before = counters.parked
    try client.disconnect()
    try wait("\(id) to be parked") { $0.parked > before }
  }
}

/// A broker with a store, whose absent sessions leave memory at once unless `parks` says otherwise.
func withStored(
  loops: Int = 2, parks: Bool = true, _ adjust: (inout ServerOptions) -> Void = { _ in },
  _ body: (TestBroker) throws -> Void
) throws {
  let directory = try StoreDirectory()
  let store = try SQLiteStore(directory: directory.path, sync: .normal, limits: StoreLimits())
  let broker = try TestBroker(loops: loops, store: store) {
    if parks { $0.parkAfterMilliseconds = 1 }
    adjust(&$0)
  }
  defer { broker.stop() }
  try body(broker)
}
