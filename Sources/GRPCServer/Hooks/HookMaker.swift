import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Session

/// The counters of all hooks, by their names.
struct HookCounterSet: Sendable {
  private(set) var points: [String: HookCounters] = [:]

  /// The counters of a hook, made where there are none.
  mutating func make(_ name: String) -> HookCounters {
    let counters = HookCounters()
    points[name] = counters
    return counters
  }

  func add(_ name: String, _ field: WritableKeyPath<HookStatistics.Point, Int>) {
    points[name]?.add(field)
  }
}

/// Makes hooks, and for each address that they name one endpoint.
struct HookMaker {
  private let options: HookOptions
  private let journal: HookJournal
  private let security: HTTP2ClientTransport.Posix.TransportSecurity
  private let metadata: Metadata
  private var backendsByAddress: [HookEndpoint: HookBackend] = [:]
  private(set) var points: HookPoints = []
  private(set) var counters = HookCounterSet()

  init(_ options: HookOptions, _ journal: HookJournal) throws(HookError) {
    self.options = options
    self.journal = journal
    if let tls = options.tls {
      security = try tls.transportSecurity()
    } else {
      security = .plaintext
    }
    metadata =
      options.tokenFile.isEmpty
      ? [:] : ["authorization": "Bearer \(try hookToken(options.tokenFile))"]
  }

  var backends: [HookBackend] { Array(backendsByAddress.values) }

  /// A hook that is asked; nil where it has no endpoints.
  mutating func question<Question: Sendable, Verdict: Sendable>(
    _ name: String, _ point: HookPointOptions, point bit: HookPoints, batchCount: Int = 1,
    call: @escaping HookCaller.Call<Question, Verdict>,
    unanswered: @escaping @Sendable (Question) -> Verdict
  ) throws(HookError) -> QuestionHook<Question, Verdict>? {
    guard let caller = try caller(name, point, bit) else { return nil }
    return QuestionHook(
      caller, options: point, batchCount: batchCount, call: call, unanswered: unanswered)
  }

  /// A hook that is told; nil where it has no endpoints.
  mutating func note<Note: Sendable>(
    _ name: String, _ point: HookPointOptions, point bit: HookPoints,
    call: @escaping @Sendable (HookBackend, [Note], CallOptions) async throws -> Void
  ) throws(HookError) -> NoteHook<Note>? {
    guard let caller = try caller(name, point, bit) else { return nil }
    return NoteHook(caller, options: point, call: call)
  }

  private mutating func caller(
    _ name: String, _ point: HookPointOptions, _ bit: HookPoints
  ) throws(HookError) -> HookCaller? {
    guard !point.endpoints.isEmpty else { return nil }
    points.insert(bit)
    var backends: [HookBackend] = []
    for address in point.endpoints { backends.append(try backend(address)) }
    return HookCaller(
      name: name, route: HookRoute(backends),
      timeoutMilliseconds: max(1, point.timeoutMilliseconds),
      retries: max(0, point.retries), counters: counters.make(name), journal: journal)
  }

  private mutating func backend(_ address: HookEndpoint) throws(HookError) -> HookBackend {
    if let backend = backendsByAddress[address] { return backend }
    let backend = try HookBackend(
      address, options: options, security: security, metadata: metadata, journal: journal)
    backendsByAddress[address] = backend
    return backend
  }
}
