import NIOCore
import NIOPosix

/// Runs tasks on the thread of an event loop: what a call does then stays on the thread that reads its requests
/// and writes its answers, and no other has to be woken on the way.
final class LoopExecutor: TaskExecutor {
  /// One for each processor, up to the most. They last as long as the process.
  static let all: [LoopExecutor] = (0..<min(System.coreCount, BackendLimits.loops)).map { _ in
    LoopExecutor()
  }

  /// A group of the one loop, for the server on it.
  let group: MultiThreadedEventLoopGroup
  private let loop: any EventLoop

  private init() {
    group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    loop = group.next()
  }

  func enqueue(_ job: consuming ExecutorJob) {
    // Not at once: a job that is enqueued by another would run within it.
    let job = UnownedJob(job)
    // Safe: the job is run once, and this executor lasts as long as the process.
    loop.execute { [self] in unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
  }
}
