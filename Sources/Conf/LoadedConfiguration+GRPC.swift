extension LoadedConfiguration {
  /// What is wrong with values of `grpc.` that are each right by themselves.
  func grpcProblems() -> [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    let hasCertificate = !values.grpcCertificateFile.isEmpty
    if hasCertificate, values.grpcKeyFile.isEmpty {
      problems.append(
        problem(
          "grpc.tls.certificate-file", "needs the key of the certificate: set grpc.tls.key-file"))
    }
    if !hasCertificate, !values.grpcKeyFile.isEmpty {
      problems.append(
        problem("grpc.tls.key-file", "needs its certificate: set grpc.tls.certificate-file"))
    }
    if !hasCertificate, !values.grpcClientAuthorityFile.isEmpty {
      problems.append(
        problem(
          "grpc.tls.client-ca-file",
          "needs TLS: set grpc.tls.certificate-file and grpc.tls.key-file"))
    }
    if let open = values.grpcListen.first(where: { !$0.isLoopback }),
      values.grpcTokensFile.isEmpty, values.grpcClientAuthorityFile.isEmpty
    {
      problems.append(
        problem(
          "grpc.listen",
          "\(open) can be reached by other machines, and nothing tells backends from others; set "
            + "grpc.tokens-file or grpc.tls.client-ca-file, or use a loopback address"))
    }
    return problems
  }

  private func problem(_ key: String, _ message: String) -> ConfigurationProblem {
    ConfigurationProblem(key: key, source: self[key]?.source ?? .builtIn, message)
  }
}

extension BrokerConfiguration {
  /// What may be a mistake in values of `grpc.`.
  var grpcWarnings: [String] {
    guard let open = grpcListen.first(where: { !$0.isLoopback }), grpcCertificateFile.isEmpty else {
      return []
    }
    return [
      "grpc.listen: tokens and messages go to \(open) unencrypted; set grpc.tls.certificate-file "
        + "unless something before the broker encrypts"
    ]
  }
}
