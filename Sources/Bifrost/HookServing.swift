import Conf
import GRPCServer
import Logging

/// The hooks, for the main thread, which waits where they are asynchronous.
final class HookServing: Sendable {
  /// Whom the broker's loops ask and tell.
  let runner: HookRunner

  /// Begins to call backends; nil where the configuration names none.
  init?(_ values: HooksConfiguration, _ logger: Logger) throws(HookError) {
    let runner = try HookRunner(options: HookOptions(values), logger: logger)
    guard !runner.points.isEmpty else { return nil }
    self.runner = runner
    runner.start()
  }

  /// Tells what is still to be told, and ends; returns after a number of milliseconds at the latest.
  func stop(timeoutMilliseconds: Int) {
    let runner = runner
    Blocking.wait { await runner.stop(within: .milliseconds(timeoutMilliseconds)) }
  }
}
