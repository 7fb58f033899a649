import Conf
import GRPCServer

extension HookOptions {
  /// The options of hooks that are configured so.
  init(_ values: HooksConfiguration) {
    self.init()
    connect = HookPointOptions(values[.connect])
    subscribe = HookPointOptions(values[.subscribe])
    publish = HookPointOptions(values[.publish])
    delivered = HookPointOptions(values[.delivered])
    unsubscribe = HookPointOptions(values[.unsubscribe])
    disconnect = HookPointOptions(values[.disconnect])
    offline = HookPointOptions(values[.offline])
    if !values.certificateAuthorityFile.isEmpty {
      tls = HookTLS(
        certificateAuthorityFile: values.certificateAuthorityFile,
        certificateFile: values.certificateFile, keyFile: values.keyFile)
    }
    tokenFile = values.tokenFile
    breakerFailures = values.breakerFailures
    breakerPauseMilliseconds = values.breakerPauseMilliseconds
    healthIntervalMilliseconds = values.healthIntervalMilliseconds
  }
}

extension HookPointOptions {
  /// The options of a hook that is configured so.
  fileprivate init(_ values: HookPointConfiguration) {
    self.init()
    endpoints = values.endpoints.map { HookEndpoint(host: $0.host, port: Int($0.port)) }
    timeoutMilliseconds = values.timeoutMilliseconds
    retries = values.retries
    maximumQueued = values.maximumQueued
    maximumCalls = values.maximumCalls
    topics = values.topics
    onFailure =
      switch values.onFailure {
      case .allow: .allow
      case .refuse: .refuse
      case .wait: .wait
      }
  }
}
