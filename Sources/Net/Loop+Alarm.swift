import CLinux
import Glibc
import Util

extension Loop {
  /// Asks for `alarmed` at a time of `MonotonicClock.nanoseconds`, instead of the one asked for
  /// before; a time that has passed comes with the next turn. Timers of connections are cut into
  /// ticks of 125 ms; this one is as exact as the system's clock, and there is one for the loop.
  ///
  /// - Throws: `NetError` when no descriptor is left for it.
  public func setAlarm(at nanoseconds: UInt64) throws(NetError) {
    if alarm < 0 {
      let descriptor = clinux_timer()
      if descriptor < 0 { throw NetError("make a timer", code: -descriptor) }
      let code = clinux_epoll_ctl(
        epoll, EPOLL_CTL_ADD, descriptor, UInt32(CLINUX_EPOLLIN), Loop.alarmTag)
      if code != 0 {
        close(descriptor)
        throw NetError("watch a timer", code: code)
      }
      alarm = descriptor
    }
    // Zero would stop the timer. Setting it fails for a time out of range only.
    let code = clinux_timer_set(alarm, max(1, nanoseconds))
    precondition(code == 0, "an alarm out of range")
  }

  func takeAlarm(_ handler: Handler) {
    var count: UInt64 = 0
    // Safe: eight bytes are what a timer gives. It gives none where it was set anew meanwhile.
    guard unsafe read(alarm, &count, 8) == 8 else { return }
    handler.alarmed()
  }
}
