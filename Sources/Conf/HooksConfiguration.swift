/// `hooks.`: the backends that are asked and told what clients do.
public struct HooksConfiguration: Sendable, Equatable {
  private var points: [HookPointConfiguration]
  /// `hooks.tls.ca-file`: certificates of those who sign backends'; empty for plain text.
  public var certificateAuthorityFile = ""
  /// `hooks.tls.certificate-file`: the broker's own certificate; empty for none.
  public var certificateFile = ""
  /// `hooks.tls.key-file`: its key; empty for none.
  public var keyFile = ""
  /// `hooks.token-file`: what backends are shown; empty for nothing.
  public var tokenFile = ""
  /// `hooks.breaker-failures`: calls that fail one after the other until an endpoint gets none.
  public var breakerFailures = 5
  /// `hooks.breaker-pause`: how long it gets none then.
  public var breakerPauseMilliseconds = 5000
  /// `hooks.health-interval`: time between two health checks of an endpoint; 0 for no checks.
  public var healthIntervalMilliseconds = 5000

  /// The defaults: no hook at all.
  public init() { points = HookName.allCases.map(HookPointConfiguration.init) }

  /// One hook.
  public subscript(name: HookName) -> HookPointConfiguration {
    get { points[name.index] }
    set { points[name.index] = newValue }
  }
}

/// The hooks, by their names in the configuration.
public enum HookName: String, Sendable, CaseIterable {
  case connect, subscribe, publish, delivered, unsubscribe, disconnect, offline

  /// Whether the backend is asked; else it is told.
  public var isQuestion: Bool {
    switch self {
    case .connect, .subscribe, .publish: true
    case .delivered, .unsubscribe, .disconnect, .offline: false
    }
  }

  /// Whether it is about messages, whose topics can be chosen.
  public var hasTopics: Bool {
    switch self {
    case .publish, .delivered, .offline: true
    case .connect, .subscribe, .unsubscribe, .disconnect: false
    }
  }

  /// When the backend is called, for the help.
  var occasion: String {
    switch self {
    case .connect: "asked when a client connects"
    case .subscribe: "asked when a client subscribes"
    case .publish: "asked when a client publishes"
    case .delivered: "told when a client has acknowledged a message with a key"
    case .unsubscribe: "told when a client has unsubscribed"
    case .disconnect: "told when a connection has ended"
    case .offline: "told when a message is kept for clients that are away"
    }
  }

  fileprivate var index: Int {
    switch self {
    case .connect: 0
    case .subscribe: 1
    case .publish: 2
    case .delivered: 3
    case .unsubscribe: 4
    case .disconnect: 5
    case .offline: 6
    }
  }
}

/// `hooks.NAME.`: one hook.
public struct HookPointConfiguration: Sendable, Equatable {
  /// `endpoints`: who is called, in turn; empty turns the hook off.
  public var endpoints: [EndpointAddress] = []
  /// `timeout`: how long a call may take with its retries.
  public var timeoutMilliseconds: Int
  /// `retries`: how often a call that failed is tried again.
  public var retries: Int
  /// `max-queued`: questions or notes that may wait.
  public var maximumQueued: Int
  /// `max-calls`: calls at a time; of questions only.
  public var maximumCalls = 64
  /// `topics`: filters of the topics it is about; of hooks about messages only.
  public var topics = ["#"]
  /// `on-failure`: what becomes of a question that nobody answers; of questions only.
  public var onFailure = HookFailureMode.refuse

  /// The defaults. A client waits for the answer to a question; nobody waits for a note, and a backend that is
  /// restarted should not miss any.
  init(_ name: HookName) {
    timeoutMilliseconds = name.isQuestion ? 5000 : 30_000
    retries = name.isQuestion ? 2 : 8
    maximumQueued = name.isQuestion ? 10_000 : 100_000
  }
}

/// `hooks.NAME.on-failure`: what becomes of a question that nobody answers.
public enum HookFailureMode: String, Sendable, CaseIterable {
  /// It is as if there were no hook.
  case allow
  /// The client is refused.
  case refuse
  /// The client waits for an answer.
  case wait
}
