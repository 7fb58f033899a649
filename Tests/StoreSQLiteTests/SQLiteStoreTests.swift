import Foundation
import Store
import Synchronization
import Testing
import Util

@testable import StoreSQLite

/// A store with a listener that writes down what it is told.
private final class Fixture {
  let directory: TemporaryDirectory
  private(set) var recorder = Recorder()
  private var opened: SQLiteStore?
  private var ticket: UInt64 = 0

  init() throws {
    directory = try TemporaryDirectory()
    try open()
  }

  private func open() throws {
    opened = try SQLiteStore(directory: directory.path, sync: .normal, limits: StoreLimits())
  }

  var store: SQLiteStore {
    guard let opened else { preconditionFailure("the store is closed") }
    return opened
  }

  /// Ends the store, and opens it anew, with a listener that has heard nothing.
  func reopen() throws {
    opened?.stop()
    opened = nil
    recorder = Recorder()
    ticket = 0
    try open()
  }

  deinit { opened?.stop() }

  func start() { store.start(recorder) }

  func submit(loop: Int = 0, _ fill: (StoreBatch) -> Void) {
    ticket += 1
    let batch = StoreBatch(loop: loop, ticket: ticket)
    fill(batch)
    store.submit(batch)
  }

  /// Waits until a loop was told what `find` looks for.
  func wait<Found>(
    loop: Int = 0, _ find: (StoreEvent) -> Found?
  ) async throws -> Found {
    for _ in 0..<2000 {
      if let found = recorder.events(of: loop).lazy.compactMap(find).first { return found }
      try await Task.sleep(for: .milliseconds(5))
    }
    throw TimeLimit()
  }

  func waitUntilCommitted(loop: Int = 0) async throws {
    let last = ticket
    try await wait(loop: loop) { event -> Void? in
      if case .committed(let ticket) = event, ticket >= last { () } else { nil }
    }
  }

  /// Waits until all filters and clients are known.
  func waitUntilKnown() async throws {
    for _ in 0..<2000 {
      if recorder.state.withLock({ $0.knowsReaders }) { return }
      try await Task.sleep(for: .milliseconds(5))
    }
    throw TimeLimit()
  }

  func waitFor(_ state: StoreState.Kind, count: Int) async throws {
    for _ in 0..<2000 {
      let states = recorder.state.withLock { $0.states }
      if states.count >= count && states[count - 1].kind == state { return }
      try await Task.sleep(for: .milliseconds(5))
    }
    throw TimeLimit()
  }

  struct TimeLimit: Error {}
}

extension StoreState {
  fileprivate enum Kind { case working, failing }

  fileprivate var kind: Kind { self == .working ? .working : .failing }
}

extension Recorder {
  /// The tickets that a loop was told of, in order.
  fileprivate func tickets(of loop: Int) -> [UInt64] {
    events(of: loop).compactMap { if case .committed(let ticket) = $0 { ticket } else { nil } }
  }
}

@Suite struct SQLiteStoreTests {
  /// Loops on threads of their own hand in batches at once: each is answered in its order, and
  /// reads what it wrote.
  @Test func loopsAtOnce() throws {
    let fixture = try Fixture()
    let store = fixture.store
    fixture.start()
    let rounds = 200 as UInt64
    let ids = (0..<4).map { _ in store.makeSessionID() }
    DispatchQueue.concurrentPerform(iterations: 4) { loop in
      for ticket in 1...rounds {
        let batch = StoreBatch(loop: loop, ticket: ticket)
        if ticket == 1 {
          batch.create(ids[loop], "client-\(loop)")
          batch.subscribe(ids[loop], "\(loop)")
        }
        batch.publish(Sample("\(loop)", [UInt8(ticket)]))
        if ticket % 20 == 0 { batch.read(ids[loop]) }
        store.submit(batch)
      }
    }
    store.stop()
    for loop in 0..<4 {
      let tickets = fixture.recorder.tickets(of: loop)
      #expect(tickets == Array(1...rounds), "loop \(loop)")
      var committed = 0 as UInt64
      for event in fixture.recorder.events(of: loop) {
        switch event {
        case .committed(let ticket): committed = ticket
        case .page(let page):
          // The answer to a batch comes before the batch's ticket.
          let payloads = page.items.map { Sample($0.place).payload[0] }
          #expect(payloads == (1...UInt8(committed + 1)).map { $0 } && page.isAtEnd)
        default: break
        }
      }
    }
    // All topics have one byte, so one loop was told of all messages.
    let told = fixture.recorder.events(of: 1).reduce(0) { sum, event in
      if case .segment(let segment) = event { sum + Int(segment.span) } else { sum }
    }
    #expect(told == 800)
    let statistics = store.statistics
    #expect(
      statistics.appended == 800 && statistics.messages == 800 && statistics.sessions == 4
        && statistics.failures == 0 && statistics.commits > 0 && store.pendingBytes == 0)
  }

  @Test func whatWasSubmittedIsCommittedBeforeTheEnd() async throws {
    let fixture = try Fixture()
    fixture.start()
    let id = fixture.store.makeSessionID()
    fixture.submit {
      $0.create(id, "client")
      $0.subscribe(id, "a")
    }
    for number in 0..<100 { fixture.submit { $0.publish(Sample("a", [UInt8(number)])) } }
    fixture.store.stop()
    #expect(fixture.recorder.tickets(of: 0).last == 101 && fixture.store.pendingBytes == 0)
    try fixture.reopen()
    fixture.submit { batch in
      batch.load("client")
      batch.read(id)
    }
    fixture.start()
    let session = try await fixture.wait { event -> StoredSession?? in
      if case .session(let answer) = event { answer.session } else { nil }
    }
    #expect(session?.id == id)
    let page = try await fixture.wait { if case .page(let page) = $0 { page } else { nil } }
    #expect(page.items.map { Sample($0.place).payload } == (0..<100).map { [UInt8($0)] })
  }

  @Test func numbersOfSessionsAreNeverUsedAgain() throws {
    let fixture = try Fixture()
    var last: StoredSessionID = 0
    for _ in 0..<3 {
      // A store that is opened and not started is closed all the same.
      try fixture.reopen()
      for _ in 0..<100 {
        let id = fixture.store.makeSessionID()
        #expect(id > last && id <= UInt64(Int64.max))
        last = id
      }
    }
  }

  @Test func knowsItsClients() async throws {
    let fixture = try Fixture()
    func mayHave(_ client: String) -> Bool {
      let bytes = client.bytes
      return fixture.store.mayHaveSession(of: bytes.span)
    }
    // Until it has looked, it may have any.
    #expect(mayHave("one") && mayHave("other"))
    fixture.start()
    let id = fixture.store.makeSessionID()
    fixture.submit {
      $0.create(id, "one")
      $0.subscribe(id, "a/+")
    }
    try await fixture.waitUntilCommitted()
    try await fixture.waitUntilKnown()
    #expect(mayHave("one") && !mayHave("other"))
    try fixture.reopen()
    fixture.start()
    fixture.submit { $0.subscribe(id, "b") }
    try await fixture.waitUntilCommitted()
    try await fixture.waitUntilKnown()
    #expect(mayHave("one") && !mayHave("other"))
    fixture.recorder.state.withLock {
      #expect($0.knowsReaders && $0.readers == ["a/+": 1, "b": 1])
    }
    fixture.submit { $0.orders.append(.end(id)) }
    try await fixture.waitUntilCommitted()
    #expect(!mayHave("one"))
    fixture.recorder.state.withLock { #expect($0.readers.isEmpty && $0.lostInVain.isEmpty) }
  }

  /// The loop that hands out a group's messages knows that the group is stored before anybody hears
  /// of a transaction that made it so; otherwise loops are told in order.
  @Test func watchersAreToldFirst() async throws {
    let fixture = try Fixture()
    let asker = Asker(slot: 7, generation: 9)
    fixture.submit(loop: 2) { $0.orders.append(.watch(filter: "$share/g/a".bytes, asker)) }
    fixture.start()
    try await fixture.waitUntilCommitted(loop: 2)
    func order() -> [Int] {
      fixture.recorder.state.withLock { state in
        defer { state.order = [] }
        return state.order
      }
    }
    #expect(order() == [2])
    fixture.submit {
      $0.create(1, "client")
      $0.subscribe(1, "b")
    }
    // What loop 1 is told of.
    fixture.submit(loop: 1) { $0.publish(Sample("b")) }
    try await fixture.waitUntilCommitted(loop: 1)
    #expect(order() == [0, 1])
    // Loop 2 is told of the beginning, and of the end.
    fixture.submit { $0.subscribe(1, "$share/g/a") }
    try await fixture.waitUntilCommitted()
    #expect(order() == [2, 0])
    fixture.submit { $0.orders.append(.end(1)) }
    try await fixture.waitUntilCommitted()
    #expect(order() == [2, 0])
    let images = fixture.recorder.events(of: 2).compactMap { event -> StoredGroup?? in
      if case .group(asker, let image) = event { .some(image) } else { nil }
    }
    #expect(images == [nil, StoredGroup(id: 1, cursor: 1, pending: []), nil])
  }

  /// Sessions that were connected when the store was closed are due in time.
  @Test func sessionsThatAreDue() async throws {
    let fixture = try Fixture()
    fixture.start()
    let presence = SessionPresence(version: 5, isConnected: true, expiryInterval: 0)
    fixture.submit {
      $0.orders.append(.create(1, client: "client".bytes, presence, SessionProgress()))
    }
    try fixture.reopen()
    fixture.start()
    let clients = try await fixture.wait { if case .due(let list) = $0 { list } else { nil } }
    #expect(clients == ["client".bytes])
  }

  /// While the disk refuses, nothing is answered; once it works, all is, and nothing twice.
  @Test func writingFailsAndWorksAgain() async throws {
    let fixture = try Fixture()
    let store = fixture.store
    fixture.start()
    fixture.submit {
      $0.create(1, "client")
      $0.subscribe(1, "a")
    }
    try await fixture.waitUntilCommitted()
    try refuse(fixture.directory, true)
    for number in 0..<10 { fixture.submit { $0.publish(Sample("a", [UInt8(number)])) } }
    fixture.submit { $0.subscribe(1, "b") }
    try await fixture.waitFor(.failing, count: 1)
    #expect(store.isFailing && store.pendingBytes > 0 && store.statistics.failures > 0)
    #expect(fixture.recorder.tickets(of: 0) == [1])
    try refuse(fixture.directory, false)
    try await fixture.waitFor(.working, count: 2)
    fixture.submit { $0.read(1) }
    try await fixture.waitUntilCommitted()
    #expect(!store.isFailing && store.pendingBytes == 0)
    #expect(fixture.recorder.tickets(of: 0) == Array(1...13))
    let page = try await fixture.wait { if case .page(let page) = $0 { page } else { nil } }
    #expect(page.items.map { Sample($0.place).payload } == (0..<10).map { [UInt8($0)] })
    #expect(store.statistics.appended == 10)
    fixture.recorder.state.withLock { #expect($0.readers == ["a": 1, "b": 1]) }
  }

  /// A store that can't be written ends all the same, and what it did not acknowledge is not there.
  @Test func endsWhileWritingFails() async throws {
    let fixture = try Fixture()
    fixture.start()
    fixture.submit {
      $0.create(1, "client")
      $0.subscribe(1, "a")
    }
    try await fixture.waitUntilCommitted()
    try refuse(fixture.directory, true)
    fixture.submit { $0.publish(Sample("a")) }
    try await fixture.waitFor(.failing, count: 1)
    fixture.store.stop()
    #expect(fixture.recorder.tickets(of: 0) == [1])
    try refuse(fixture.directory, false)
    try fixture.reopen()
    fixture.start()
    fixture.submit { $0.read(1) }
    let page = try await fixture.wait { if case .page(let page) = $0 { page } else { nil } }
    #expect(page.items.isEmpty && page.isAtEnd && fixture.store.statistics.messages == 0)
  }

  /// Lets each attempt to write the log fail, or not any more: in the same way as a full disk does,
  /// in the middle of a transaction.
  private func refuse(_ directory: TemporaryDirectory, _ refuses: Bool) throws {
    let database = try Database(path: directory.file, mode: .write)
    database.setBusyTimeout(milliseconds: 5000)
    try database.run(
      refuses
        ? "CREATE TRIGGER refuse BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'refused'); END"
        : "DROP TRIGGER refuse")
  }
}
