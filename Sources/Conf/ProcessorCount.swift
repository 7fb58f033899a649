import FoundationEssentials

extension ConfigurationSources {
  /// The cores that this process may run on, at least 1: the mask that `taskset` and container
  /// runtimes set counts, not the machine.
  public static var availableProcessors: Int {
    // It asks sched_getaffinity(2), which Glibc's module does not declare.
    max(1, ProcessInfo.processInfo.activeProcessorCount)
  }
}
