import Foundation
import Store
import Testing

@testable import StoreSQLite

@Suite struct CheckpointTests {
  /// The write-ahead log is copied into the file once it is long enough, and used anew.
  @Test func theWriteAheadLogIsCopied() async throws {
    let directory = try TemporaryDirectory()
    let store = try SQLiteStore(directory: directory.path, sync: .normal, limits: StoreLimits())
    let recorder = Recorder()
    store.start(recorder)
    let payload = [UInt8](repeating: 7, count: 1 << 20)
    let count = 3 * StoreConstants.checkpointPages * 4096 / payload.count
    for number in 0..<count {
      let batch = StoreBatch(loop: 0, ticket: UInt64(number + 1))
      batch.publish(Sample("\(number)", payload, retain: true), appends: false)
      store.submit(batch)
      while store.pendingBytes > 2 << 20 { try await Task.sleep(for: .milliseconds(1)) }
    }
    func size(_ suffix: String) throws -> Int {
      let facts = try FileManager.default.attributesOfItem(atPath: directory.file + suffix)
      return try #require(facts[.size] as? Int)
    }
    // Before the end, which copies it as well.
    #expect(try size("") > StoreConstants.checkpointPages * 4096)
    #expect(try size("-wal") < 2 * StoreConstants.checkpointPages * 4096)
    store.stop()
    recorder.state.withLock { #expect($0.states.isEmpty) }
  }
}
