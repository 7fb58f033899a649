import Glibc

/// The limit on open files: each connection is one.
enum OpenFiles {
  /// Raises the soft limit to the hard one and returns it.
  ///
  /// The soft limit is 1,024 by custom, for programs that use select(2); this one does not.
  static func raiseLimit() -> Int {
    var limit = rlimit()
    // Safe: both calls get one initialized rlimit. RLIMIT_NOFILE is a valid resource, so that
    // getrlimit cannot fail; where setrlimit does, the limit stays as it is.
    _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    if limit.rlim_cur < limit.rlim_max {
      let soft = limit.rlim_cur
      limit.rlim_cur = limit.rlim_max
      if unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
        limit.rlim_cur = soft
      }
    }
    return Int(clamping: limit.rlim_cur)
  }
}
