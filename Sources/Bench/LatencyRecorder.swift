import Histogram

/// Latencies in nanoseconds, from 1 us to 1 hour with three digits.
struct LatencyRecorder: Sendable {
  static var unit: UInt64 { 1_000 }
  static var highest: UInt64 { 3_600_000_000_000 }

  private(set) var histogram = Histogram<UInt64>(
    lowestDiscernibleValue: LatencyRecorder.unit, highestTrackableValue: LatencyRecorder.highest,
    numberOfSignificantValueDigits: .three)
  /// Messages that were to be sent before this time belong to the warm-up.
  var countsFrom: UInt64 = .max

  /// Counts a message that was to be sent at `intended` and is here now.
  mutating func record(intended: UInt64, now: UInt64) {
    guard intended >= countsFrom else { return }
    let latency = now > intended ? now - intended : 0
    histogram.record(min(latency, LatencyRecorder.highest))
  }

  mutating func add(_ other: LatencyRecorder) { histogram.add(other.histogram) }

  /// The percentiles that reports show.
  var summary: LatencySummary? {
    guard histogram.totalCount > 0 else { return nil }
    func microseconds(_ percentile: Double) -> Double {
      Double(histogram.valueAtPercentile(percentile)) / 1_000
    }
    return LatencySummary(
      count: histogram.totalCount, mean: histogram.mean / 1_000, p50: microseconds(50),
      p90: microseconds(90), p99: microseconds(99), p999: microseconds(99.9),
      maximum: Double(histogram.max) / 1_000)
  }
}

/// Percentiles in microseconds.
public struct LatencySummary: Sendable, Equatable {
  /// Deliveries that were counted.
  public var count: UInt64
  /// The mean.
  public var mean: Double
  /// The median.
  public var p50: Double
  /// The value that 9 of 10 do not exceed.
  public var p90: Double
  /// The value that 99 of 100 do not exceed.
  public var p99: Double
  /// The value that 999 of 1,000 do not exceed.
  public var p999: Double
  /// The highest.
  public var maximum: Double
}
