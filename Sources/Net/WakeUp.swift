import CLinux
import Glibc

/// A counter that wakes a loop. It is made before loops part their tables of open files, so that
/// its number means the same in each of them.
public final class WakeUp: Sendable {
  let number: Int32

  /// - Throws: `NetError` when no descriptor is left.
  public init() throws(NetError) {
    number = clinux_eventfd()
    if number < 0 { throw NetError("make an eventfd", code: -number) }
  }

  deinit { close(number) }

  /// Makes the descriptor readable. It can't fail: the counter would have to reach 2^64.
  func signal() {
    var one: UInt64 = 1
    _ = unsafe write(number, &one, 8)
  }

  /// Makes the descriptor unreadable again.
  func clear() {
    var count: UInt64 = 0
    _ = unsafe read(number, &count, 8)
  }
}
