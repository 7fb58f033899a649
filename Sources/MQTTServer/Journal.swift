import Logging
import Util

/// Log lines about clients, at a bounded rate: a client that misbehaves must not fill a disk.
final class Journal {
  private let logger: Logger
  private var window: UInt32 = 0
  private var written = 0
  private var suppressed = 0

  init(_ logger: Logger) { self.logger = logger }

  /// Says what happened to a client, with its address and its id if it has one.
  func note(_ worker: Worker, _ slot: UInt32, _ text: @autoclosure () -> String) {
    guard admits(worker.second) else { return }
    var metadata: Logger.Metadata = ["peer": "\(worker.loop.peerName(slot))"]
    let session = worker.loop.connections[slot].owner
    if session != 0 { metadata["client"] = "\(worker.clientName(session))" }
    logger.warning("client: \(text())", metadata: metadata)
  }

  /// Says what happened to a session.
  func note(_ worker: Worker, session: UInt32, _ text: @autoclosure () -> String) {
    guard admits(worker.second) else { return }
    logger.warning("client: \(text())", metadata: ["client": "\(worker.clientName(session))"])
  }

  /// Says what happened to the broker because of what clients do.
  func note(_ worker: Worker, _ text: @autoclosure () -> String) {
    guard admits(worker.second) else { return }
    logger.error("\(text())")
  }

  private func admits(_ second: UInt32) -> Bool {
    guard logger.logLevel <= .warning else { return false }
    if second != window {
      if suppressed > 0 { logger.warning("\(suppressed) lines about clients were left out") }
      window = second
      written = 0
      suppressed = 0
    }
    written += 1
    if written > Limits.logLinesPerSecond { suppressed += 1 }
    return written <= Limits.logLinesPerSecond
  }
}
