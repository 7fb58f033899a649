import CLinux
import Glibc
import Synchronization
import Util

/// A plain thread, outside Swift's cooperative pool.
public final class LoopThread: Sendable {
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private let thread: pthread_t

  /// - Parameter name: shown by `top -H`; up to 15 bytes.
  /// - Throws: `NetError` when the system gives no thread.
  public init(name: String, _ run: @escaping @Sendable () -> Void) throws(NetError) {
    var thread = pthread_t()
    let body = unsafe Unmanaged.passRetained(Body(run))
    let code = unsafe clinux_thread_start(
      &thread, name, Limits.stackBytes,
      { argument in
        // The argument is the body retained above, handed over once.
        unsafe Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, body.toOpaque())
    if code != 0 {
      unsafe body.release()
      throw NetError("start a thread", code: code)
    }
    self.thread = thread
  }

  /// Waits until the thread has ended; to be called once.
  public func join() {
    pthread_join(thread, nil)
  }
}

/// Gives the calling thread a table of open files of its own.
///
/// The kernel then takes no shared lock and no reference count in each system call, and the limit
/// on open files counts for this thread alone. Files opened before are copies of the old table's.
/// - Throws: `NetError` when the system refuses.
public func partOpenFiles() throws(NetError) {
  let code = clinux_unshare_files()
  if code != 0 { throw NetError("part the table of open files", code: code) }
}

/// How many files a process, or a thread with a table of its own, may have open.
public func openFileLimit() -> Int {
  var limit = rlimit()
  guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
    return 1024
  }
  return Int(clamping: limit.rlim_cur)
}
