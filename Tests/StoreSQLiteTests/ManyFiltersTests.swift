import Store
import Testing

@testable import StoreSQLite

@Suite struct ManyFiltersTests {
  /// More filters with wildcards match one message than two bytes count.
  @Test func manyFiltersMatchOneMessage() throws {
    let bench = try Bench()
    let filters = 66_000
    try bench.commit { $0.create(1, "client") }
    // As 17 levels have it, each of them with or without a wildcard; written at once, for the time.
    try bench.database.run(
      """
      WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < \(filters)),
        level(v, l, text) AS (
          SELECT v, 1, iif(v & 1, '+', 'a') FROM n
          UNION ALL SELECT v, l + 1, text || '/' || iif((v >> l) & 1, '+', 'a') FROM level WHERE l < 17)
      INSERT INTO filter SELECT v, CAST(text AS BLOB), 1, 1, 1 FROM level WHERE l = 17
      """)
    try bench.database.run("INSERT INTO subscription SELECT 1, id, 1, 0, 0 FROM filter")
    try bench.restart()
    let topic = Array(repeating: "a", count: 17).joined(separator: "/")
    try bench.commit { $0.publish(Sample(topic)) }
    #expect(try bench.number("SELECT count(*) FROM entry") == filters)
    // Read back from the file.
    for state in bench.engine.states.values { bench.engine.uncache(state) }
    let state = try #require(try bench.engine.state(of: 1))
    #expect(state.filters.count == filters && state.counts == [UInt32(filters)])
    let record = try #require(state.place(of: 1))
    #expect(Sample(record) == Sample(topic))
    try bench.commit { $0.orders.append(.release(sequence: 1, count: UInt32(filters))) }
    #expect(try bench.logRows == 0)
  }
}
