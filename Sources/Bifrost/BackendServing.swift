import Conf
import GRPCServer
import Logging
import MQTTServer
import Session
import Util

/// The server of backends, for the main thread, which waits where the server is asynchronous.
final class BackendServing: Sendable {
  private let server: BackendServer

  /// Starts to serve backends; nil where the configuration turns that off.
  init?(
    _ configuration: LoadedConfiguration, _ gateway: any Gateway, _ logger: Logger
  ) throws(BackendServerError) {
    guard !configuration.values.grpcListen.isEmpty else { return nil }
    let server = BackendServer(
      options: BackendOptions(configuration), gateway: gateway, logger: logger)
    self.server = server
    let outcome = Blocking.wait { () -> BackendServerError? in
      do throws(BackendServerError) { try await server.start() } catch { return error }
      return nil
    }
    if let outcome { throw outcome }
    for endpoint in server.boundEndpoints {
      logger.info("grpc: listening on \(endpoint.text)")
    }
  }

  /// Stops to serve; returns after a number of milliseconds at the latest.
  func stop(timeoutMilliseconds: Int) {
    // Half of the time: the broker needs the other to say goodbye to devices.
    let server = server
    Blocking.wait { await server.stop(timeoutMilliseconds: timeoutMilliseconds / 2) }
  }
}

extension BackendOptions {
  /// The options of a server that is configured so.
  init(_ configuration: LoadedConfiguration) {
    let values = configuration.values
    self.init()
    listen = values.grpcListen.map { ListenEndpoint(host: $0.host, port: $0.port) }
    if !values.grpcCertificateFile.isEmpty {
      let authority = values.grpcClientAuthorityFile
      tls = BackendTLS(
        certificateFile: values.grpcCertificateFile, keyFile: values.grpcKeyFile,
        clientAuthorityFile: authority.isEmpty ? nil : authority)
    }
    tokens = configuration.backendTokens.map { entry in
      BackendToken(
        name: entry.name, token: entry.token,
        scopes: Set(entry.scopes.map { GRPCServer.BackendScope($0) }))
    }
    maximumMessageBytes = values.maximumMessageBytes
    maximumCalls = values.maximumCalls
    slowReaderMilliseconds = values.slowReaderTimeoutMilliseconds
    broadcastRate = values.broadcastRate
  }
}

extension GRPCServer.BackendScope {
  fileprivate init(_ scope: Conf.BackendScope) {
    self =
      switch scope {
      case .publish: .publish
      case .read: .read
      case .admin: .admin
      }
  }
}

extension ExitStatus {
  /// The status for a server of backends that could not start.
  init(_ kind: BackendServerError.Kind) {
    self =
      switch kind {
      case .addressInUse, .addressNotAvailable: .unavailable
      case .permission: .permission
      case .tls: .configuration
      case .system: .system
      }
  }
}
