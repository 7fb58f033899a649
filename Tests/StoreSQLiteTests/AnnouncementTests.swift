import Glibc
import PubSub
import Store
import Testing
import Util

@testable import StoreSQLite

/// What is said of a store's filters and clients while the store goes on.
@Suite struct AnnouncementTests {
  private static let clients = ["stays", "goes", "comes-back", "new"]

  private func mayHave(_ bench: Bench, _ client: String) -> Bool {
    let bytes = client.bytes
    let hash = topicHash(bytes.span, seed: bench.engine.clients.seed)
    return bench.engine.clients.loops(forTopic: bytes.span, topicHash: hash) != 0
  }

  /// Sessions and subscriptions that come and go meanwhile are counted once, and nothing is taken
  /// away before it is there.
  @Test func changesMeanwhileAreCountedOnce() throws {
    let bench = try Bench()
    try bench.commit { batch in
      for (id, client) in [(1, "stays"), (2, "goes"), (3, "comes-back")] as [(UInt64, String)] {
        batch.create(id, client)
        batch.subscribe(id, client)
        batch.subscribe(id, "all")
      }
    }
    try bench.restart(whileAnnounced: { bench in
      try bench.commit { $0.orders.append(.end(2)) }
      try bench.commit { $0.orders.append(.end(3)) }
      try bench.commit { batch in
        batch.create(4, "comes-back")
        batch.subscribe(4, "comes-back")
        batch.create(5, "new")
        batch.subscribe(5, "new")
      }
      // What is rolled back was never there.
      let batch = bench.batch()
      batch.create(6, "goes")
      batch.subscribe(6, "goes")
      batch.orders.append(.end(1))
      try bench.rollBack([batch], sweeps: false, flushes: true)
    })
    bench.recorder.state.withLock {
      #expect($0.readers == ["stays": 1, "all": 1, "comes-back": 1, "new": 1])
      #expect($0.lostInVain.isEmpty)
    }
    #expect(AnnouncementTests.clients.map { mayHave(bench, $0) } == [true, false, true, true])
    // And each goes once more.
    try bench.commit { batch in
      for id in [1, 4, 5] as [UInt64] { batch.orders.append(.end(id)) }
    }
    bench.recorder.state.withLock { #expect($0.readers.isEmpty && $0.lostInVain.isEmpty) }
    #expect(bench.engine.clients.count == 0)
  }

  @Test func itEndsEarly() throws {
    let bench = try Bench()
    let recorder = Recorder()
    let announcement = try Announcement(
      path: bench.directory.file, clients: InterestIndex(seed: testSeed), listener: recorder,
      bell: Bell())
    announcement.start()
    announcement.stop()
    announcement.stop()
  }
}
