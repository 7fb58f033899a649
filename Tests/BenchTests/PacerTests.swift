import Testing

@testable import Bench

@Suite struct PacerTests {
  @Test func timesDoNotDrift() {
    var pacer = Pacer(start: 1_000, rate: 3)
    var last: UInt64 = 0
    for _ in 0..<3_000_000 { last = pacer.take(now: .max) ?? 0 }
    // The last of them is due a third of a second before the millionth second is over.
    #expect(last == 1_000 + UInt64(2_999_999 * 1e9 / 3))
  }

  @Test func nothingIsSentEarly() {
    var pacer = Pacer(start: 1_000, rate: 1_000)
    let due = [999, 1_000, 1_000_999, 1_001_000].map { pacer.take(now: $0) }
    #expect(due == [nil, 1_000, nil, 1_001_000])
  }

  @Test func whatWasMissedKeepsItsTime() {
    var pacer = Pacer(start: 0, rate: 1_000)
    _ = pacer.take(now: 0)
    let due = [pacer.take(now: 3_500_000), pacer.take(now: 3_500_000), pacer.take(now: 3_500_000)]
    #expect(due == [1_000_000, 2_000_000, 3_000_000])
    let early = pacer.take(now: 3_500_000)
    #expect(early == nil)
    #expect(pacer.nextTime == 4_000_000)
  }

  /// A server that answers in 1 ms and stands still for one second of ten. Counted from when they
  /// were sent, all but one message would have taken 1 ms, because the sender was held up as well;
  /// in truth a tenth of them came late, by half a second on average.
  @Test func aStallCountsForAllThatWereDue() throws {
    let millisecond: UInt64 = 1_000_000
    var pacer = Pacer(start: 0, rate: 1_000)
    var honest = LatencyRecorder()
    var naive = LatencyRecorder()
    honest.countsFrom = 0
    naive.countsFrom = 0
    var now: UInt64 = 0
    while pacer.sent < 10_000 {
      now = max(now, pacer.nextTime)
      guard let due = pacer.take(now: now) else { break }
      let stalls = due == 5_000 * millisecond
      let sentAt = now
      // The sender is held up together with the server: nothing leaves meanwhile.
      if stalls { now += 1_000 * millisecond }
      let arrives = now + millisecond
      honest.record(intended: due, now: arrives)
      naive.record(intended: sentAt, now: arrives)
    }
    let truth = try #require(honest.summary)
    let wrong = try #require(naive.summary)
    #expect(wrong.p99 < 1_100)
    #expect(truth.p50 < 1_100)
    #expect(truth.p99 > 850_000 && truth.p99 < 950_000)
    #expect(truth.maximum > 990_000)
    #expect(truth.count == 10_000)
  }
}

@Suite struct LatencyRecorderTests {
  @Test func percentilesAreThoseOfTheValues() throws {
    var recorder = LatencyRecorder()
    recorder.countsFrom = 0
    for value in 1...1_000 { recorder.record(intended: 0, now: UInt64(value) * 1_000_000) }
    let summary = try #require(recorder.summary)
    for (value, expected) in [
      (summary.p50, 500.0), (summary.p90, 900), (summary.p99, 990), (summary.p999, 999),
      (summary.maximum, 1_000), (summary.mean, 500.5),
    ] {
      #expect((value / 1_000 - expected).magnitude <= expected / 500)
    }
  }

  @Test func warmUpIsLeftOut() {
    var recorder = LatencyRecorder()
    recorder.record(intended: 1, now: 2)
    #expect(recorder.summary == nil)
    recorder.countsFrom = 100
    recorder.record(intended: 99, now: 200)
    #expect(recorder.summary == nil)
    recorder.record(intended: 100, now: 200)
    #expect(recorder.summary?.count == 1)
  }

  @Test func valuesOutOfRangeAreKeptAtItsEnds() throws {
    var recorder = LatencyRecorder()
    recorder.countsFrom = 0
    recorder.record(intended: 10, now: 5)
    recorder.record(intended: 0, now: .max)
    #expect(try #require(recorder.summary).count == 2)
  }

  @Test func recordersAdd() throws {
    var one = LatencyRecorder()
    one.countsFrom = 0
    one.record(intended: 0, now: 1_000_000)
    var other = one
    other.record(intended: 0, now: 9_000_000)
    one.add(other)
    let summary = try #require(one.summary)
    #expect(summary.count == 3)
    #expect(summary.maximum > 8_900)
  }
}
