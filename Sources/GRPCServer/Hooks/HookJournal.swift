import Logging
import Synchronization
import Util

/// Log lines of hooks, at a bounded rate: a backend that fails must not fill a disk.
final class HookJournal: Sendable {
  private struct Window {
    var second: UInt64 = 0
    var written = 0
    var suppressed = 0
  }

  private let logger: Logger
  private let window = Mutex(Window())

  init(_ logger: Logger) { self.logger = logger }

  /// Says what went wrong with a call, a question or a note.
  func warn(_ text: @autoclosure () -> String) {
    guard logger.logLevel <= .warning else { return }
    let second = MonotonicClock.milliseconds / 1000
    let (isWritten, suppressed) = window.withLock { window -> (Bool, Int) in
      var suppressed = 0
      if window.second != second {
        suppressed = window.suppressed
        window = Window(second: second)
      }
      window.written += 1
      let isWritten = window.written <= HookLimits.logLinesPerSecond
      if !isWritten { window.suppressed += 1 }
      return (isWritten, suppressed)
    }
    if suppressed > 0 { logger.warning("hooks: \(suppressed) lines were left out") }
    if isWritten { logger.warning("hooks: \(text())") }
  }

  /// Says that an endpoint comes or goes, which pauses and intervals bound already.
  func turn(_ text: String) { logger.notice("hooks: \(text)") }
}
