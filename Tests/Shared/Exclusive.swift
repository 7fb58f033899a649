import Glibc
import Testing

/// Lets one test at a time run, of all test targets of the process that use it.
///
/// A loop with a table of open files of its own copies what is open when it starts: a socket of
/// another test would stay open in it although its owner has closed it.
struct Exclusive: SuiteTrait, TestTrait, TestScoping {
  var isRecursive: Bool { true }

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    // Descriptors of two openings conflict with each other, also within a process.
    let file = unsafe open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
    try #require(file >= 0)
    while flock(file, LOCK_EX | LOCK_NB) != 0 {
      // The holder may need a thread of the pool to go on, so this one must not block.
      try await Task.sleep(for: .milliseconds(2))
    }
    defer {
      // A loop that is still running may have a copy, which would keep the lock.
      flock(file, LOCK_UN)
      close(file)
    }
    try await function()
  }
}

extension Trait where Self == Exclusive {
  static var exclusive: Exclusive { Exclusive() }
}
