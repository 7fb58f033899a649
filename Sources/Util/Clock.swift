import Glibc

/// Time that never jumps: it counts from an arbitrary start and ignores changes of the wall clock.
public enum MonotonicClock {
  /// Milliseconds since an arbitrary start.
  public static var milliseconds: UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
  }

  /// Nanoseconds since an arbitrary start.
  public static var nanoseconds: UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

/// The time of day, which may jump.
public enum WallClock {
  /// The second since 1970.
  public static var second: UInt32 { UInt32(clamping: time(nil)) }

  /// Milliseconds since 1970.
  public static var milliseconds: Int64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
  }
}
