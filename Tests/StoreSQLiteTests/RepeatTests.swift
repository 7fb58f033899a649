import PubSub
import Store
import Testing

@testable import StoreSQLite

/// What is done again after it failed half-way.
@Suite struct RepeatTests {
  /// A start that can't read all filters or clients goes on where it stopped: each is told once.
  @Test(arguments: ["session", "filter"])
  func startingHalfWay(table: String) throws {
    let bench = try Bench()
    for id in 1...6 as ClosedRange<StoredSessionID> {
      try bench.commit { batch in
        batch.create(id, "client-\(id)")
        batch.subscribe(id, "a/\(id)")
      }
    }
    // A view in the table's place, in which a row can't be read.
    let column = table == "session" ? "client" : "text"
    func hide(behind row: Int) throws {
      try bench.database.run("ALTER TABLE \(table) RENAME TO hidden")
      try bench.database.run(
        """
        CREATE VIEW \(table) AS SELECT id, \(table == "session" ? "0" : "readers") AS readers,
          CASE WHEN id = \(row) THEN abs(-9223372036854775807 - 1) ELSE \(column) END AS \(column)
        FROM hidden
        """)
    }
    func show() throws {
      try bench.database.run("DROP VIEW \(table)")
      try bench.database.run("ALTER TABLE hidden RENAME TO \(table)")
    }
    let recorder = Recorder()
    let clients = InterestIndex(seed: testSeed)
    let engine = Engine(
      bench.database, limits: StoreLimits(), seed: testSeed, clients: clients, listener: recorder)
    for row in [2, 4, 6] {
      try hide(behind: row)
      #expect(throws: DatabaseError.self) { try engine.announce() }
      try show()
    }
    for _ in 0..<2 { try engine.announce() }
    #expect(clients.count == 6)
    recorder.state.withLock { state in
      #expect(state.readers.count == 6 && state.readers.values.allSatisfy { $0 == 1 })
    }
  }

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
