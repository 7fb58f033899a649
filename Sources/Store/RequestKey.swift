/// What bounds the keys of requests that a store remembers, so that one which comes again is not done
/// again.
public enum RequestKey {
  /// The most bytes of one. A longer one is not remembered.
  public static var maximumBytes: Int { 600 }
  /// The most that are remembered: 1,000 requests a second for a quarter of an hour. Those that would
  /// expire first make room.
  public static var maximumCount: Int { 1_000_000 }
}
