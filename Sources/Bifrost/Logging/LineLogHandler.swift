import Conf
import Logging

/// Writes each event of the log as one line to standard error.
struct LineLogHandler: LogHandler {
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]
  var metadataProvider: Logger.MetadataProvider?
  private let format: LogFormat
  private let write: @Sendable (String) -> Void

  /// A handler for events from a level on; `write` gets each line with its end of line.
  init(
    level: Logger.Level, format: LogFormat,
    write: @escaping @Sendable (String) -> Void = StandardError.write
  ) {
    logLevel = level
    self.format = format
    self.write = write
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var all = metadata
    // What the call itself names wins over what its context does, and that over the logger's.
    if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
    if let given = event.metadata { all.merge(given) { $1 } }
    let line = LogLine(
      time: Timestamp.now(), level: event.level.rawValue, message: event.message.description,
      fields: all.map { ($0.key, $0.value.description) }.sorted { $0.0 < $1.0 })
    write(format == .json ? line.json : line.text)
  }
}

/// The broker's logger.
func makeLogger(level: LogLevel, format: LogFormat) -> Logger {
  Logger(label: "bifrost") { _ in
    LineLogHandler(level: Logger.Level(level), format: format)
  }
}

extension Logger.Level {
  init(_ level: LogLevel) {
    self =
      switch level {
      case .trace: .trace
      case .debug: .debug
      case .info: .info
      case .notice: .notice
      case .warning: .warning
      case .error: .error
      case .critical: .critical
      }
  }
}
