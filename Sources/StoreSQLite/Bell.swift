import Glibc

/// What wakes a thread that waits: a flag with a condition, on the clock that nobody sets.
@safe
final class Bell: @unchecked Sendable {
  // Allocated, because neither may move.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  /// Only under the mutex.
  private var hasRung = false

  init() {
    unsafe mutex = .allocate(capacity: 1)
    unsafe condition = .allocate(capacity: 1)
    unsafe pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(condition, &attributes)
    unsafe pthread_condattr_destroy(&attributes)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// Wakes the thread that waits, or the next that will.
  func ring() {
    unsafe pthread_mutex_lock(mutex)
    hasRung = true
    unsafe pthread_cond_signal(condition)
    unsafe pthread_mutex_unlock(mutex)
  }

  /// Waits until it rings, or for that long.
  func wait(milliseconds: Int) {
    var end = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &end)
    end.tv_sec += milliseconds / 1000
    end.tv_nsec += milliseconds % 1000 * 1_000_000
    if end.tv_nsec >= 1_000_000_000 {
      end.tv_nsec -= 1_000_000_000
      end.tv_sec += 1
    }
    unsafe pthread_mutex_lock(mutex)
    while !hasRung {
      if unsafe pthread_cond_timedwait(condition, mutex, &end) != 0 { break }
    }
    hasRung = false
    unsafe pthread_mutex_unlock(mutex)
  }
}
