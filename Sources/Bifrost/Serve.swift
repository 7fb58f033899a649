import Conf
import Glibc
import Logging
import MQTTServer

/// Runs the broker until a signal asks it to stop, and says how the process is to end.
func serve(_ configuration: LoadedConfiguration) -> ExitStatus {
  let values = configuration.values
  let logger = makeLogger(level: values.logLevel, format: values.logFormat)
  let timeout = values.shutdownTimeoutMilliseconds
  let openFiles = OpenFiles.raiseLimit()
  Heap.keepLargeBlocksApart()
  let broker: MQTTBroker
  do throws(ServerError) {
    broker = try MQTTBroker(options: ServerOptions(values), logger: logger)
    try broker.start()
  } catch {
    StandardError.write("bifrost: \(error.message)\n")
    return ExitStatus(error.kind)
  }
  for endpoint in broker.boundEndpoints {
    logger.info("listening on \(endpoint.text)")
  }
  logger.debug("limits", metadata: ["open-files": "\(openFiles)", "loops": "\(values.loops)"])
  let signal = Signals.wait()
  logger.notice("stopping", metadata: ["signal": "\(Signals.name(signal))"])
  Signals.endProcess(afterMilliseconds: timeout, logger: logger)
  broker.stop(timeoutMilliseconds: timeout)
  logger.notice("stopped")
  return .success
}

extension ListenEndpoint {
  /// The endpoint as the configuration writes it: an IPv6 address in brackets.
  fileprivate var text: String {
    host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}

extension ExitStatus {
  /// The status for a broker that could not start.
  init(_ kind: ServerError.Kind) {
    self =
      switch kind {
      case .addressInUse, .addressNotAvailable: .unavailable
      case .permission: .permission
      case .openFiles, .system: .system
      }
  }
}
