/// What hooks may take, beside what is configured, each with its reason.
enum HookLimits {
  /// Messages or notes of one call: a call's own cost is spread over them, and a backend that answers in its own time
  /// has not too many in hand.
  static let batchCount = 256
  /// Bytes of one call, though one message always goes: well below the 4 MiB that gRPC servers take unless told
  /// otherwise.
  static let batchBytes = 1 << 20
  /// Bytes of what waits at one point, though one always may: payloads wait with their questions.
  static let queuedBytes = 64 << 20
  /// Bytes of one answer: messages of a whole batch that were rewritten, or one of the largest size that is usual.
  static let answerBytes = 32 << 20
  /// Clients that one entry of OnOffline names: 256 bytes each at most by default, so that an entry fits a call.
  static let offlineClients = 1000
  /// Rules of an access list: each is looked at for each publish.
  static let accessRules = 1000
  /// Attributes of a client; the documents promise so.
  static let attributes = 64
  /// Bytes of an attribute, its name and its value together; the documents promise so.
  static let attributeBytes = 1024
  /// Bytes of a tenant's name: it stands with each client.
  static let tenantBytes = 256
  /// Bytes of a reason that a client is shown.
  static let reasonBytes = 256
  /// Answers that are kept, at each point that keeps any.
  static let cachedAnswers = 100_000
  /// Bytes of them, about.
  static let cachedBytes = 32 << 20
  /// Bytes that an entry of a cache takes beside its texts, about.
  static let cacheEntryBytes = 256
  /// Seconds for which an answer is kept at most.
  static let cacheSeconds: UInt32 = 86_400
  /// Identities that are looked through for an equal one: as many kinds of clients as a service may have.
  static let sharedIdentities = 1024
  /// Bytes of them, about.
  static let sharedIdentityBytes = 4 << 20
  /// The longest wait before the first retry.
  static let firstBackoffMilliseconds = 50
  /// The longest wait before any.
  static let longestBackoffMilliseconds = 2000
  /// How often it is looked whether an endpoint is there again, while something waits for one.
  static let lookAgainMilliseconds = 100
  /// The longest that a health check may take.
  static let healthTimeoutMilliseconds = 5000
  /// Log lines of hooks in a second; the rest are counted.
  static let logLinesPerSecond = 10
  /// Bytes of a token: it goes with each call.
  static let tokenBytes = 8192
}
