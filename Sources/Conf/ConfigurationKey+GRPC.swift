extension ConfigurationKey {
  /// What is set for backends that call the broker.
  static let grpc = [
    ConfigurationKey(
      "grpc.listen", .listen(\.grpcListen, canBeOff: true), default: "127.0.0.1:5051",
      "IP addresses and ports to serve backends on over gRPC; off turns it off"),
    ConfigurationKey(
      "grpc.tls.certificate-file", .optionalFile(\.grpcCertificateFile), default: "",
      "PEM file with the certificate of the gRPC server and those that certify it; none for no TLS"),
    ConfigurationKey(
      "grpc.tls.key-file", .optionalFile(\.grpcKeyFile), default: "",
      "PEM file with the private key of the certificate"),
    ConfigurationKey(
      "grpc.tls.client-ca-file", .optionalFile(\.grpcClientAuthorityFile), default: "",
      "PEM file with the certificates that backends' certificates have to be signed by"),
    ConfigurationKey(
      "grpc.tokens-file", .optionalFile(\.grpcTokensFile), default: "",
      "YAML file with the tokens of backends and what each may do"),
    ConfigurationKey(
      "grpc.max-message-bytes", .size(\.maximumMessageBytes, 4096...maximumMessageSize),
      default: "4MiB", "Largest message accepted from a backend"),
    ConfigurationKey(
      "grpc.max-calls", .integer(\.maximumCalls, 1...1_000_000), default: "20000",
      "Calls of backends at a time, streams included"),
    ConfigurationKey(
      "grpc.slow-reader-timeout",
      .duration(\.slowReaderTimeoutMilliseconds, 100...3_600_000, step: 1), default: "30s",
      "Time after which a stream ends whose backend does not read what was sent"),
    ConfigurationKey(
      "grpc.broadcast-rate", .integer(\.broadcastRate, 1...100_000_000), default: "50000",
      "Clients that a broadcast is sent to each second, at most"),
    ConfigurationKey(
      "grpc.watch-events", .integer(\.watchEvents, 1...100_000_000), default: "100000",
      "Events of clients that are kept for backends which watch them"),
    ConfigurationKey(
      "grpc.watch-keep", .duration(\.watchKeepMilliseconds, 0...86_400_000, step: 1),
      default: "5m", "Time that events are kept on once no backend watches"),
  ]

  /// One message is one allocation and is copied on its way: more is no message of a push service.
  private static let maximumMessageSize = 256 << 20
}
