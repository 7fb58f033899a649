import Synchronization

/// What hooks did since they were started, and how the endpoints are.
public struct HookStatistics: Sendable, Equatable {
  /// What one hook did.
  public struct Point: Sendable, Equatable {
    /// Calls made, retries included.
    public var calls = 0
    /// Calls that failed, or whose answer was not to be used.
    public var failures = 0
    /// Calls that repeated one that failed.
    public var retries = 0
    /// Questions that `on-failure` decided.
    public var unanswered = 0
    /// Notes that nobody was told.
    public var dropped = 0
    /// Questions that an earlier answer decided.
    public var cacheHits = 0
    /// Questions or notes that wait.
    public var queued = 0

    /// Nothing yet.
    public init() {}
  }

  /// Of each hook that is configured, by its name in the configuration.
  public var points: [String: Point] = [:]
  /// Endpoints that get no calls at present because calls to them failed.
  public var openBreakers = 0
  /// Endpoints that the last health check did not find well.
  public var unhealthyEndpoints = 0

  /// Nothing yet.
  public init() {}
}

/// Counts what one hook does, from any thread.
final class HookCounters: Sendable {
  private let point = Mutex(HookStatistics.Point())

  func add(_ field: WritableKeyPath<HookStatistics.Point, Int>, _ count: Int = 1) {
    point.withLock { $0[keyPath: field] += count }
  }

  var snapshot: HookStatistics.Point { point.withLock { $0 } }
}
