import CLinux
import GRPCNIOTransportHTTP2Posix
import Glibc
import NIOCore
import Util

extension BackendServer {
  /// Opens listening sockets that share a port: their descriptors, and the port that they have.
  func listen(
    _ endpoint: ListenEndpoint, _ count: Int
  ) throws(BackendServerError) -> (descriptors: [Int32], port: UInt16) {
    // A shared port could be another broker's that shares it too. The probe is bound and does not listen.
    if endpoint.port != 0 { close(try open(endpoint, endpoint.port, backlog: 0, 0).descriptor) }
    var port = endpoint.port
    var descriptors: [Int32] = []
    do throws(BackendServerError) {
      for _ in 0..<count {
        let one = try open(endpoint, port, backlog: backlog, 1)
        descriptors.append(one.descriptor)
        port = one.port
      }
    } catch {
      for descriptor in descriptors { close(descriptor) }
      throw error
    }
    return (descriptors, port)
  }

  private func open(
    _ endpoint: ListenEndpoint, _ port: UInt16, backlog: Int32, _ isShared: Int32
  ) throws(BackendServerError) -> (descriptor: Int32, port: UInt16) {
    var bound: UInt16 = 0
    // Safe: the host is a terminated string; one UInt16 is written.
    let descriptor = unsafe clinux_listen(endpoint.host, port, backlog, isShared, &bound)
    guard descriptor >= 0 else { throw BackendServer.listenError(endpoint, -descriptor) }
    return (descriptor, bound)
  }

  private static func listenError(
    _ endpoint: ListenEndpoint, _ code: Int32
  ) -> BackendServerError {
    // Safe: the text lasts until the next call of strerror by this thread.
    let reason = unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
    let text = "cannot serve gRPC on \(endpoint.text): \(reason)"
    return switch code {
    case EADDRINUSE:
      BackendServerError(
        .addressInUse,
        "\(text); end the program that has the port, or set grpc.listen to another one or to off")
    case EADDRNOTAVAIL:
      BackendServerError(
        .addressNotAvailable, "\(text); set grpc.listen to an address of this machine")
    case EACCES, EPERM:
      BackendServerError(
        .permission, "\(text); set grpc.listen to a port from 1024 on, or allow this one")
    default: BackendServerError(.system, text)
    }
  }
}

/// Connections that wait to be accepted: backends are few, and come at once when the broker starts.
private let backlog: Int32 = 1024

extension BackendOptions {
  /// How connections are secured. The files are tried here, so that the one which is wrong is named.
  func transportSecurity() throws(BackendServerError)
    -> HTTP2ServerTransport.Posix.TransportSecurity
  {
    guard let tls else { return .plaintext }
    for path in [tls.certificateFile, tls.keyFile] + (tls.clientAuthorityFile.map { [$0] } ?? []) {
      // Safe: a terminated string.
      guard unsafe access(path, R_OK) == 0 else {
        throw BackendServerError(.tls, "cannot read \(path), which the settings grpc.tls name")
      }
    }
    return .tls(
      certificateChain: [.file(path: tls.certificateFile, format: .pem)],
      privateKey: .file(path: tls.keyFile, format: .pem)
    ) { config in
      config.requireALPN = true
      guard let authority = tls.clientAuthorityFile else { return }
      config.clientCertificateVerification = .noHostnameVerification
      config.trustRoots = .certificates([.file(path: authority, format: .pem)])
    }
  }

  /// How connections are kept.
  var transportConfiguration: HTTP2ServerTransport.Posix.Config {
    .defaults { config in
      config.http2.targetWindowSize = BackendLimits.windowBytes
      config.http2.maxFrameSize = BackendLimits.frameBytes
      config.http2.maxConcurrentStreams = BackendLimits.callsPerConnection
      config.rpc.maxRequestPayloadSize = maximumMessageBytes
      // The transport would reset the stream, which says nothing of the reason.
      let refusal = MessageSizeGuard.Trailers(limit: maximumMessageBytes)
      let patience = TimeAmount.milliseconds(
        Int64(slowReaderMilliseconds + BackendLimits.statusMilliseconds))
      config.channelDebuggingCallbacks.onAcceptHTTP2Stream = { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(StalledStreamReset(patience: patience), position: .first)
          try pipeline.addHandler(
            MessageSizeGuard(limit: refusal.limit, trailers: refusal), position: .first)
        }
      }
      config.connection.keepalive.time = .seconds(BackendLimits.keepaliveSeconds)
      config.connection.keepalive.timeout = .seconds(BackendLimits.keepaliveTimeoutSeconds)
      config.connection.keepalive.clientBehavior.allowWithoutCalls = true
      config.connection.keepalive.clientBehavior.minPingIntervalWithoutCalls =
        .seconds(BackendLimits.clientKeepaliveSeconds)
    }
  }
}
