import Conf
import Glibc
import Logging

/// The signals that end the broker, taken one by one by a thread that waits for them: no handler
/// runs, so that nothing here has to be safe within one.
enum Signals {
  /// Blocks SIGTERM and SIGINT, and ignores SIGPIPE and SIGHUP.
  ///
  /// Call it before the first thread starts: a thread inherits the mask, and a signal would end the
  /// process in any thread that does not block it.
  static func prepare() {
    // A write to a closed socket is an error to handle, and a terminal that closes is no reason to
    // stop.
    signal(SIGPIPE, SIG_IGN)
    signal(SIGHUP, SIG_IGN)
    var set = ending
    // Safe: the set is initialized.
    _ = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
  }

  /// Waits for SIGTERM or SIGINT and returns its number.
  static func wait() -> Int32 {
    var set = ending
    var number: Int32 = 0
    // Safe: both are initialized; sigwait fails only where the set holds an invalid signal.
    while unsafe sigwait(&set, &number) != 0 {}
    return number
  }

  /// Ends the process at once when a second signal comes, or when a graceful stop has had its time
  /// and one second for its last writes.
  static func endProcess(afterMilliseconds timeout: Int, logger: Logger) {
    detach {
      var set = ending
      var limit = timespec()
      limit.tv_sec = 1 + timeout / 1000
      limit.tv_nsec = timeout % 1000 * 1_000_000
      // Safe: set and limit are initialized. No other signal has a handler that could interrupt.
      let number = unsafe sigtimedwait(&set, nil, &limit)
      if number > 0 {
        logger.warning("ending at once", metadata: ["signal": "\(name(number))"])
        // The statuses that a shell gives to a process that a signal ended.
        _exit(128 + number)
      }
      logger.error("did not stop within shutdown.timeout")
      _exit(ExitStatus.software.rawValue)
    }
  }

  /// The usual name of a signal that `wait` returns.
  static func name(_ number: Int32) -> String {
    switch number {
    case SIGTERM: "SIGTERM"
    case SIGINT: "SIGINT"
    default: "\(number)"
    }
  }

  private static var ending: sigset_t {
    var set = sigset_t()
    // Safe: sigemptyset initializes the set.
    _ = unsafe sigemptyset(&set)
    _ = unsafe sigaddset(&set, SIGTERM)
    _ = unsafe sigaddset(&set, SIGINT)
    return set
  }
}

/// A body to be run by a thread of its own.
private final class ThreadBody: Sendable {
  let run: @Sendable () -> Void

  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Runs a body on a thread that nobody joins; without one, where the system has none to give, the
/// process stops as gracefully but can be ended early by SIGKILL only.
private func detach(_ run: @escaping @Sendable () -> Void) {
  var thread = pthread_t()
  // Safe: the thread takes over the one reference that is handed to it.
  let body = unsafe Unmanaged.passRetained(ThreadBody(run))
  let status = unsafe pthread_create(
    &thread, nil,
    { argument in
      guard let argument = unsafe argument else { return nil }
      let body = unsafe Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue()
      body.run()
      return nil
    }, body.toOpaque())
  if status == 0 { pthread_detach(thread) } else { unsafe body.release() }
}
