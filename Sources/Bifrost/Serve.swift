import Conf
import GRPCServer
import Glibc
import Logging
import MQTTServer
import Store
import StoreSQLite
import Util

/// Runs the broker until a signal asks it to stop, and says how the process is to end.
func serve(_ configuration: LoadedConfiguration) -> ExitStatus {
  let values = configuration.values
  let logger = makeLogger(level: values.logLevel, format: values.logFormat)
  let timeout = values.shutdownTimeoutMilliseconds
  let openFiles = OpenFiles.raiseLimit()
  Heap.keepLargeBlocksApart()
  let store: (any Store)?
  do throws(StoreOpenError) {
    store = try openStore(values)
  } catch {
    StandardError.write("bifrost: \(error.message)\n")
    return ExitStatus(error.kind)
  }
  let hooks: HookServing?
  do throws(HookError) {
    hooks = try HookServing(values.hooks, logger)
  } catch {
    StandardError.write("bifrost: \(error)\n")
    return .configuration
  }
  let broker: MQTTBroker
  do throws(ServerError) {
    broker = try MQTTBroker(
      options: ServerOptions(values), store: store, hooks: hooks?.runner, logger: logger)
    try broker.start()
  } catch {
    StandardError.write("bifrost: \(error.message)\n")
    return ExitStatus(error.kind)
  }
  for endpoint in broker.boundEndpoints {
    logger.info("listening on \(endpoint.text)")
  }
  for warning in configuration.warnings { logger.warning("\(warning)") }
  let backends: BackendServing?
  do throws(BackendServerError) {
    backends = try BackendServing(configuration, broker, logger)
  } catch {
    broker.stop(timeoutMilliseconds: 0)
    StandardError.write("bifrost: \(error.message)\n")
    return ExitStatus(error.kind)
  }
  logger.debug("limits", metadata: ["open-files": "\(openFiles)", "loops": "\(values.loops)"])
  let signal = Signals.wait()
  logger.notice("stopping", metadata: ["signal": "\(Signals.name(signal))"])
  Signals.endProcess(afterMilliseconds: timeout, logger: logger)
  // Backends first: what they have under way needs the broker.
  let begun = MonotonicClock.milliseconds
  backends?.stop(timeoutMilliseconds: timeout)
  let taken = Int(MonotonicClock.milliseconds - begun)
  broker.stop(timeoutMilliseconds: max(0, timeout - taken))
  // Last: how connections ended is still to be told.
  let left = timeout - Int(MonotonicClock.milliseconds - begun)
  hooks?.stop(timeoutMilliseconds: max(0, left / 2))
  logger.notice("stopped")
  return .success
}

/// The store that the configuration names; nil where nothing outlives the process.
private func openStore(
  _ values: BrokerConfiguration
) throws(StoreOpenError) -> (any Store)? {
  switch values.store {
  case .memory: nil
  case .sqlite:
    try SQLiteStore(
      directory: values.dataDirectory, sync: values.storeSync == .full ? .full : .normal,
      limits: StoreLimits(values))
  }
}

extension StoreLimits {
  fileprivate init(_ values: BrokerConfiguration) {
    self.init()
    maximumMessages = values.maximumStoredMessages
    maximumBytes = values.maximumStoredBytes
    maximumSessionMessages = values.maximumSessionMessages
    maximumSessionBytes = values.maximumSessionBytes
    maximumAge = UInt32(clamping: values.maximumStoredAgeMilliseconds / 1000)
    maximumRetainedMessages = values.maximumRetainedMessages
    maximumRetainedBytes = values.maximumRetainedBytes
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

  /// The status for a store that could not be opened.
  init(_ kind: StoreOpenError.Kind) {
    self =
      switch kind {
      case .locked: .unavailable
      case .permission: .permission
      case .version, .corrupt: .data
      case .system: .system
      }
  }
}
