import BifrostAPI
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCServer
import Testing

@Suite("Tokens and TLS")
struct SecurityTests {
  private let tokens = [
    BackendToken(name: "pushes", token: "only-for-tests-0001", scopes: [.publish]),
    BackendToken(name: "reads", token: "only-for-tests-0002", scopes: [.read]),
    BackendToken(name: "steers", token: "only-for-tests-0003", scopes: [.admin]),
  ]

  private func bearer(_ token: String) -> Metadata { ["authorization": "Bearer \(token)"] }

  @Test("each call needs a token with its scope; health and reflection need none")
  func scopes() async throws {
    let gateway = FakeGateway()
    gateway.state.withLock { $0.clients["dev"] = description("dev") }
    try await serve(gateway, testOptions { $0.tokens = tokens }) { served in
      let request = publish(message("a"))
      await expectRefusal(.unauthenticated, "TOKEN_MISSING") {
        try await served.publisher.publish(request)
      }
      for wrong in ["only-for-tests-0009", ""] {
        await expectRefusal(.unauthenticated, "TOKEN_INVALID") {
          try await served.publisher.publish(request, metadata: bearer(wrong))
        }
      }
      await expectRefusal(.unauthenticated, "TOKEN_INVALID") {
        let basic: Metadata = ["authorization": "Basic only-for-tests-0001"]
        return try await served.publisher.publish(request, metadata: basic)
      }
      await expectRefusal(.permissionDenied, "SCOPE_MISSING") {
        try await served.publisher.publish(request, metadata: bearer("only-for-tests-0002"))
      }
      _ = try await served.publisher.publish(request, metadata: bearer("only-for-tests-0001"))
      let client = Bifrost_V1_GetRequest.with { $0.clientID = "dev" }
      _ = try await served.clients.get(client, metadata: bearer("only-for-tests-0002"))
      await expectRefusal(.permissionDenied, "SCOPE_MISSING") {
        try await served.clients.get(client, metadata: bearer("only-for-tests-0003"))
      }
      let end = Bifrost_V1_DisconnectRequest.with { $0.clientID = "dev" }
      await expectRefusal(.permissionDenied, "SCOPE_MISSING") {
        try await served.clients.disconnect(end, metadata: bearer("only-for-tests-0002"))
      }
      _ = try await served.clients.disconnect(end, metadata: bearer("only-for-tests-0003"))
      #expect(try await served.health.check(.init()).status == .serving)
    }
  }

  @Test("a token's idempotency keys do not meet another's")
  func keys() async throws {
    let gateway = FakeGateway()
    let both = [
      BackendToken(name: "one", token: "only-for-tests-0001", scopes: [.publish]),
      BackendToken(name: "two", token: "only-for-tests-0002", scopes: [.publish]),
    ]
    try await serve(gateway, testOptions { $0.tokens = both }) { served in
      let request = publish(message("a"), key: "k")
      for token in ["only-for-tests-0001", "only-for-tests-0002"] {
        let response = try await served.publisher.publish(request, metadata: bearer(token))
        #expect(!response.isDuplicate)
      }
    }
    let keys = gateway.state.withLock { $0.published.map(\.key) }
    #expect(keys == [Array("one k".utf8), Array("two k".utf8)])
  }

  private func files(_ files: TestFiles, mutual: Bool) throws -> BackendTLS {
    BackendTLS(
      certificateFile: try files.path("server.pem", TestCertificates.server),
      keyFile: try files.path("server.key", TestCertificates.serverKey),
      clientAuthorityFile: mutual
        ? try files.path("authority.pem", TestCertificates.authority) : nil)
  }

  private func bytes(_ pem: String) -> TLSConfig.CertificateSource {
    .bytes(Array(pem.utf8), format: .pem)
  }

  private func security(
    _ certificate: String? = nil, _ key: String? = nil
  ) -> HTTP2ClientTransport.Posix.TransportSecurity {
    .tls { config in
      config.trustRoots = .certificates([bytes(TestCertificates.authority)])
      config.serverCertificateVerification = .noHostnameVerification
      if let certificate, let key {
        config.certificateChain = [bytes(certificate)]
        config.privateKey = .bytes(Array(key.utf8), format: .pem)
      }
    }
  }

  @Test("TLS")
  func tls() async throws {
    let directory = try TestFiles()
    let options = testOptions { $0.tls = try? files(directory, mutual: false) }
    try await serve(FakeGateway(), options, security: security()) { served in
      let response = try await served.publisher.publish(publish(message("a")))
      #expect(response.results.count == 1)
    }
  }

  @Test("mutual TLS takes backends of its authority, and no others")
  func mutual() async throws {
    let directory = try TestFiles()
    let options = testOptions { $0.tls = try? files(directory, mutual: true) }
    let known = security(TestCertificates.client, TestCertificates.clientKey)
    try await serve(FakeGateway(), options, security: known) { served in
      let response = try await served.publisher.publish(publish(message("a")))
      #expect(response.results.count == 1)
    }
    for other in [security(), security(TestCertificates.intruder, TestCertificates.intruderKey)] {
      try await serve(FakeGateway(), options, security: other) { served in
        var options = CallOptions.defaults
        options.timeout = .seconds(2)
        let limited = options
        let found = await refusal {
          try await served.publisher.publish(publish(message("a")), options: limited)
        }
        #expect(found.code != nil)
      }
    }
  }

  @Test("files that are not there are named")
  func missing() async throws {
    let options = testOptions {
      $0.tls = BackendTLS(certificateFile: "/nonexistent/c", keyFile: "/nonexistent/k")
    }
    let server = BackendServer(options: options, gateway: FakeGateway(), logger: quiet)
    do throws(BackendServerError) {
      try await server.start()
      Issue.record("it started")
    } catch {
      #expect(error.kind == .tls)
      #expect(error.message.contains("/nonexistent/c"))
    }
  }

  @Test("files that are no certificates do not serve")
  func garbage() async throws {
    let directory = try TestFiles()
    let path = try directory.path("garbage", "nothing")
    let options = testOptions { $0.tls = BackendTLS(certificateFile: path, keyFile: path) }
    let server = BackendServer(options: options, gateway: FakeGateway(), logger: quiet)
    await #expect(throws: BackendServerError.self) { try await server.start() }
    #expect(server.boundEndpoints.isEmpty)
  }
}
