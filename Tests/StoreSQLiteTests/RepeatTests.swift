import Store
import Testing

@testable import StoreSQLite

/// What is done again after it failed half-way.
@Suite struct RepeatTests {
  /// A query that an error left between two rows takes its parameters at the next use.
  @Test func queriesAreResetWithTheTransaction() throws {
    let bench = try Bench()
    try bench.commit { batch in
      for id in 1...3 as ClosedRange<StoredSessionID> { batch.create(id, "client-\(id)") }
    }
    let database = bench.database
    func find(from id: UInt64) throws -> Statement {
      try database.statement("SELECT id FROM session WHERE id >= ?1 ORDER BY id").bind(1, id)
    }
    try database.run("BEGIN IMMEDIATE")
    #expect(try find(from: 1).step())
    try database.rollBack()
    let again = try find(from: 3)
    #expect(try again.step() && again.unsigned(0) == 3)
    again.reset()
    #expect(database.isAutocommit)
  }
}
