import BifrostAPI
import GRPCNIOTransportHTTP2Posix
import Logging
import Packet
import Session
import Testing

@testable import GRPCServer

/// Connections to backends: TLS, tokens, health, and answers that hold for a time.
struct HooksSecurityTests {
  private func security(
    _ certificate: String, _ key: String, asksForCertificate: Bool
  ) -> HTTP2ServerTransport.Posix.TransportSecurity {
    .tls(
      certificateChain: [.bytes(Array(certificate.utf8), format: .pem)],
      privateKey: .bytes(Array(key.utf8), format: .pem)
    ) { tls in
      guard asksForCertificate else { return }
      tls.clientCertificateVerification = .noHostnameVerification
      tls.trustRoots = .certificates([
        .bytes(Array(TestCertificates.authority.utf8), format: .pem)
      ])
    }
  }

  @Test(arguments: [false, true], ["127.0.0.1", "localhost"])
  func connectionsAreSecured(isMutual: Bool, host: String) async throws {
    let files = try TestFiles()
    let backend = try await FakeBackend(
      security: security(
        TestCertificates.server, TestCertificates.serverKey, asksForCertificate: isMutual))
    var tls = HookTLS(
      certificateAuthorityFile: try files.path("ca.pem", TestCertificates.authority))
    if isMutual {
      tls.certificateFile = try files.path("broker.pem", TestCertificates.client)
      tls.keyFile = try files.path("broker.key", TestCertificates.clientKey)
    }
    let options = hookOptions {
      $0.tls = tls
      $0.connect = HookPointOptions(HookEndpoint(host: host, port: backend.address.port))
    }
    try await withRunner(options) { runner in
      #expect(await runner.connect(ConnectQuestion("c")).isAllowed)
    }
    await backend.stop()
  }

  @Test func aBackendThatIsAnotherIsNotAsked() async throws {
    let files = try TestFiles()
    let backend = try await FakeBackend(
      security: security(
        TestCertificates.elsewhere, TestCertificates.elsewhereKey, asksForCertificate: false))
    let tls = HookTLS(
      certificateAuthorityFile: try files.path("ca.pem", TestCertificates.authority))
    let options = hookOptions {
      $0.tls = tls
      $0.connect = HookPointOptions(backend.address) { $0.retries = 0 }
    }
    try await withRunner(options) { runner in
      #expect(await runner.connect(ConnectQuestion("c")).refusal == .serverBusy)
    }
    #expect(backend.service.connects.isEmpty)
    await backend.stop()
  }

  @Test func callsBearTheToken() async throws {
    let files = try TestFiles()
    let backend = try await FakeBackend()
    let path = try files.path("token", "abc.DEF-1\n")
    let options = hookOptions {
      $0.tokenFile = path
      $0.connect = HookPointOptions(backend.address)
    }
    try await withRunner(options) { runner in
      #expect(await runner.connect(ConnectQuestion("c")).isAllowed)
    }
    #expect(backend.service.authorizations == ["Bearer abc.DEF-1"])
    await backend.stop()
  }

  @Test func whatCanNotBeRunIsSaidAtTheStart() throws {
    let files = try TestFiles()
    let endpoint = HookEndpoint(host: "127.0.0.1", port: 1)
    let token = try files.path("token", "two words")
    let garbage = try files.path("ca.pem", "no certificate")
    let wrong: [(inout HookOptions) -> Void] = [
      { $0.tokenFile = "/nonexistent/token" },
      { $0.tokenFile = token },
      { $0.tls = HookTLS(certificateAuthorityFile: "/nonexistent/ca.pem") },
      { $0.tls = HookTLS(certificateAuthorityFile: garbage) },
      { $0.tls = HookTLS(certificateAuthorityFile: garbage, certificateFile: garbage) },
      { $0.publish.topics = ["a/#/b"] },
      { $0.publish.topics = ["$share/g/a"] },
    ]
    for change in wrong {
      var options = HookOptions()
      options.connect = HookPointOptions(endpoint)
      change(&options)
      #expect(throws: HookError.self) {
        try HookRunner(options: options, logger: Logger(label: "hooks"))
      }
    }
  }

  @Test func anEndpointThatDoesNotServeGetsNoCalls() async throws {
    let health = FakeHealth(.notServing)
    let backends = [try await FakeBackend(health: health), try await FakeBackend()]
    let options = hookOptions {
      $0.healthIntervalMilliseconds = 10
      // A call that is slow because the machine is must not be tried again, at the other endpoint.
      $0.connect = HookPointOptions(backends[0].address, backends[1].address) {
        $0.timeoutMilliseconds = 60_000
        $0.retries = 0
      }
    }
    try await withRunner(options) { runner in
      try await until { runner.statistics.unhealthyEndpoints == 1 }
      // Without a health service an endpoint is taken to be well; on a machine that is too slow for a health
      // check it is not reached, and then nothing can be said.
      for _ in 0..<10 {
        let isKnown = runner.statistics.unhealthyEndpoints == 1
        let before = backends[0].service.connects.count
        #expect(await runner.connect(ConnectQuestion("c")).isAllowed)
        guard isKnown, runner.statistics.unhealthyEndpoints == 1 else { continue }
        #expect(backends[0].service.connects.count == before)
      }
      health.set(.serving)
      try await until { runner.statistics.unhealthyEndpoints == 0 }
      let before = backends[0].service.connects.count
      while backends[0].service.connects.count == before {
        #expect(await runner.connect(ConnectQuestion("c")).isAllowed)
      }
    }
    for backend in backends { await backend.stop() }
  }

  @Test func anEndpointThatIsNotReachedIsTheLastChoice() async throws {
    let backend = try await FakeBackend()
    let dead = try FakeBackend.dead()
    let options = hookOptions {
      $0.healthIntervalMilliseconds = 10
      $0.connect = HookPointOptions(dead, backend.address)
    }
    try await withRunner(options) { runner in
      try await until { runner.statistics.unhealthyEndpoints == 1 }
      for _ in 0..<10 { #expect(await runner.connect(ConnectQuestion("c")).isAllowed) }
      #expect(runner.statistics.points["connect"]?.failures == 0)
    }
    await backend.stop()
  }

  @Test func answersToConnectHoldForTheirTime() async throws {
    let backend = try await FakeBackend(
      FakeHooks(connect: { request in
        .with {
          $0.allow = .with { $0.userName = "u" }
          $0.cacheSeconds = 600
        }
      }))
    try await withRunner(
      hookOptions { $0.connect = HookPointOptions(backend.address) }
    ) { runner in
      for _ in 0..<3 {
        #expect(await runner.connect(ConnectQuestion("c", user: "a", password: "p")).isAllowed)
      }
      #expect(backend.service.connects.count == 1)
      #expect(runner.statistics.points["connect"]?.cacheHits == 2)
      // Another password, none, another name, another id: each is asked about.
      #expect(await runner.connect(ConnectQuestion("c", user: "a", password: "q")).isAllowed)
      #expect(await runner.connect(ConnectQuestion("c", user: "a")).isAllowed)
      #expect(await runner.connect(ConnectQuestion("c", user: "b", password: "p")).isAllowed)
      #expect(await runner.connect(ConnectQuestion("d", user: "a", password: "p")).isAllowed)
      #expect(backend.service.connects.count == 5)
      // An id that the broker chooses is another one each time.
      for _ in 0..<2 { #expect(await runner.connect(ConnectQuestion("")).isAllowed) }
      #expect(backend.service.connects.count == 7)
    }
    await backend.stop()
  }

  @Test func answersToSubscribeHoldForTheirTime() async throws {
    let backend = try await FakeBackend(
      FakeHooks(subscribe: { request in
        .with {
          $0.verdicts = request.filters.map { _ in .with { $0.refuseCode = 0x87 } }
          $0.cacheSeconds = request.client.clientID == "kept" ? 600 : 0
        }
      }))
    func question(_ id: String, _ filter: String) -> SubscribeQuestion {
      SubscribeQuestion(
        client: HookedClient(id), filters: [(filter: Array(filter.utf8), qos: .atLeastOnce)])
    }
    try await withRunner(
      hookOptions { $0.subscribe = HookPointOptions(backend.address) }
    ) { runner in
      for _ in 0..<2 {
        #expect(await runner.subscribe(question("kept", "a")) == [.refuse(.notAuthorized)])
      }
      #expect(backend.service.subscribes.count == 1)
      #expect(await runner.subscribe(question("kept", "b")) == [.refuse(.notAuthorized)])
      #expect(backend.service.subscribes.count == 2)
      for _ in 0..<2 {
        #expect(await runner.subscribe(question("other", "a")) == [.refuse(.notAuthorized)])
      }
      #expect(backend.service.subscribes.count == 4)
    }
    await backend.stop()
  }
}
