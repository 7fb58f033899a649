import Store
import Testing

@testable import StoreSQLite

/// Topics that are near each other in the order of bytes, and those that wildcards don't match.
private let topics = [
  "a", "a/", "a/b", "a/b/", "a/b/c", "a!", "a-b", "a0", "a0/b", "a/!", "a/0", "aa", "ab/c", "b",
  "b/b",
  "/", "//", "/a", "/a/b", "$s", "$s/a", "$s/a/b", "ä/b", "\u{10FFFF}", "a/\u{10FFFF}/b",
]

private let filters =
  topics + [
    "#", "+", "+/+", "+/#", "a/#", "a/+", "a/+/", "a/+/c", "a/b/#", "a!/#", "a0/#", "aa/#", "b/+",
    "/#",
    "/+", "//#", "+/b", "+/b/#", "$s/#", "$s/+", "$s/a/#", "none/#", "none", "ä/+", "a/+/b",
    "\u{10FFFF}/#",
  ]

extension Bench {
  /// What is found for a filter, page by page, and in how many pages.
  fileprivate func find(
    _ filter: String, maximumBytes: Int = 1 << 20
  ) throws -> (samples: [Sample], pages: Int) {
    var samples: [Sample] = []
    var after: [UInt8]?
    var pages = 0
    while true {
      let page = try commit {
        $0.orders.append(
          .findRetained(
            RetainedQuery(
              asker: .nobody, tag: UInt32(pages), filter: filter.bytes, after: after,
              maximumBytes: maximumBytes)))
      }.retained[0]
      #expect(page.tag == UInt32(pages))
      samples += page.messages.samples
      pages += 1
      guard let next = page.next else { return (samples, pages) }
      try #require(after?.lexicographicallyPrecedes(next) ?? true, "a page that does not go on")
      after = next
    }
  }

  /// The numbers of what is refused.
  @discardableResult
  fileprivate func retain(_ samples: Sample...) throws -> [UInt64] {
    try commit { batch in
      for (number, sample) in samples.enumerated() {
        batch.publish(sample, pending: UInt64(number))
      }
    }.refused
  }
}

@Suite struct RetainedTests {
  private func sample(
    _ topic: String, _ payload: [UInt8], qos: UInt8 = 1, expiresAt: UInt32 = 0
  ) -> Sample {
    Sample(topic, payload, qos: qos, retain: true, expiresAt: expiresAt)
  }

  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func randomAgainstNaiveMatch(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let bench = try Bench()
    var model: [String: Sample] = [:]
    for step in 0..<60 {
      let place: Comment = "seed \(seed), step \(step)"
      for _ in 0..<6 {
        guard let topic = topics.randomElement(using: &random) else { return }
        if random.chance(3) {
          try bench.retain(sample(topic, []))
          model[topic] = nil
        } else {
          var message = sample(
            topic, [UInt8(step)], qos: UInt8(random.below(3)),
            expiresAt: random.chance(3) ? bench.now + UInt32(random.below(20)) : 0)
          message.properties = random.bytes(random.below(10))
          try bench.retain(message)
          model[topic] = message
        }
      }
      bench.now += UInt32(random.below(3))
      if random.chance(5) { try bench.sweep() }
      if random.chance(10) { try bench.restart() }
      for filter in filters where random.chance(2) {
        let expected = model.values.filter {
          ($0.facts.expiresAt == 0 || $0.facts.expiresAt > bench.now)
            && Naive.matches(filter, String(decoding: $0.topic, as: UTF8.self))
        }.sorted { $0.topic.lexicographicallyPrecedes($1.topic) }
        let found = try bench.find(filter, maximumBytes: random.chance(2) ? 1 : 300)
        try #require(found.samples == expected, "\(filter), \(place)")
      }
    }
  }

  @Test func pagesGoOnWhereTheLastEnded() throws {
    let bench = try Bench()
    for number in 0..<20 { try bench.retain(sample("t/\(number)", [UInt8(number)])) }
    let single = try bench.find("t/#", maximumBytes: 1)
    #expect(single.samples.count == 20 && single.pages == 20)
    let all = try bench.find("t/+")
    #expect(all.samples == single.samples && all.pages == 1)
    #expect(try bench.find("none/#") == ([], 1))
    #expect(try bench.find("t/7").samples == [sample("t/7", [7])])
  }

  /// A question that finds little looks at so many topics only before others have their turn.
  @Test func longWalksArePaged() throws {
    let bench = try Bench()
    try bench.commit { batch in
      for number in 0..<3 * StoreConstants.retainedVisits {
        batch.publish(sample("t/\(number)/no", [1], qos: 0))
      }
      batch.publish(sample("t/x/yes", [1], qos: 0))
    }
    let found = try bench.find("t/+/yes")
    #expect(found.samples.count == 1 && found.pages == 4)
  }

  @Test func limitsOfMessages() throws {
    var limits = StoreLimits()
    limits.maximumRetainedMessages = 2
    let bench = try Bench(limits: limits)
    try bench.commit { batch in
      batch.create(1, "client")
      batch.subscribe(1, "#")
    }
    #expect(try bench.retain(sample("a", [1]), sample("b", [1]), sample("c", [1])) == [2])
    // One that is refused is not in the log either; one that takes another's place is not refused.
    #expect(try bench.readAll(1).count == 2)
    #expect(try bench.retain(sample("a", [2]), sample("d", [])) == [])
    #expect(try bench.retain(sample("b", []), sample("c", [3])) == [])
    #expect(try bench.find("#").samples == [sample("a", [2]), sample("c", [3])])
    #expect(try bench.retain(sample("b", [])) == [])
    #expect(bench.engine.totals.retained == 2)
  }

  @Test func limitsOfBytes() throws {
    var limits = StoreLimits()
    limits.maximumRetainedBytes = 10
    let bench = try Bench(limits: limits)
    #expect(try bench.retain(sample("abc", [1, 2, 3]), sample("abcd", [])) == [])
    #expect(try bench.retain(sample("defg", [1]), sample("def", [1])) == [0])
    #expect(bench.engine.totals.retainedBytes == 10)
    // Larger by one is too much; smaller makes room.
    #expect(try bench.retain(sample("abc", [1, 2, 3, 4])) == [0])
    #expect(try bench.find("#").samples == [sample("abc", [1, 2, 3]), sample("def", [1])])
    #expect(try bench.retain(sample("abc", [1]), sample("g", [1])) == [])
    #expect(try bench.retain(sample("def", [1, 2])) == [0])
    #expect(bench.engine.totals.retainedBytes == 10)
  }

  @Test func expiryMakesRoom() throws {
    var limits = StoreLimits()
    limits.maximumRetainedMessages = 1
    let bench = try Bench(limits: limits)
    try bench.retain(sample("a", [1], expiresAt: bench.now + 10))
    bench.now += 9
    #expect(try bench.find("#").samples.count == 1)
    bench.now += 1
    #expect(try bench.find("#").samples.isEmpty)
    try bench.sweep()
    let totals = bench.engine.totals
    #expect(totals.retained == 0 && totals.retainedBytes == 0)
    #expect(try bench.retain(sample("b", [1])) == [])
  }

  /// What was rolled back was neither set, nor replaced, nor cleared.
  @Test func rollback() throws {
    let bench = try Bench()
    try bench.retain(sample("a", [1]), sample("b", [1]))
    let batch = bench.batch()
    for message in [sample("a", [2]), sample("b", []), sample("c", [1])] { batch.publish(message) }
    try bench.rollBack([batch], sweeps: true, flushes: true)
    #expect(try bench.find("#").samples == [sample("a", [1]), sample("b", [1])])
    #expect(bench.engine.totals.retained == 2 && bench.engine.totals.retainedBytes == 4)
  }
}
