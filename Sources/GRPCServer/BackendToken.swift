import Crypto
import GRPCCore

/// What a caller may do.
public enum BackendScope: Sendable, Hashable, CaseIterable {
  /// Publish.
  case publish
  /// Read messages, and look at clients.
  case read
  /// Steer clients.
  case admin

  /// The word that configuration and errors have for it.
  public var word: String {
    switch self {
    case .publish: "publish"
    case .read: "read"
    case .admin: "admin"
    }
  }
}

/// A token that a backend calls with.
public struct BackendToken: Sendable {
  /// The name of its bearer.
  public let name: String
  /// What its bearer may do.
  public let scopes: Set<BackendScope>
  /// The token itself is not kept, so that no dump of our memory has it.
  let digest: SHA256.Digest

  /// See the properties.
  public init(name: String, token: String, scopes: Set<BackendScope>) {
    self.name = name
    self.scopes = scopes
    digest = SHA256.hash(data: Array(token.utf8))
  }
}

/// Who calls.
struct Caller: Sendable {
  /// The name of its token; empty where none is needed.
  var name: String
}

/// Who may call what.
struct TokenTable: Sendable {
  /// By digest: that two of them are compared byte by byte tells nothing of a token.
  private let tokens: [SHA256.Digest: BackendToken]

  init(_ tokens: [BackendToken]) {
    self.tokens = Dictionary(
      tokens.map { ($0.digest, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The caller whose token stands in the metadata of a call, if it may do what needs the scope.
  func caller(_ metadata: Metadata, needs scope: BackendScope) throws(Refusal) -> Caller {
    if tokens.isEmpty { return Caller(name: "") }
    var values = metadata[stringValues: "authorization"].makeIterator()
    guard let value = values.next() else {
      throw Refusal(
        .unauthenticated, "TOKEN_MISSING", "send a token: authorization: Bearer TOKEN")
    }
    let parts = value.split(separator: " ", maxSplits: 1)
    guard parts.count == 2, parts[0].lowercased() == "bearer",
      let token = tokens[SHA256.hash(data: Array(parts[1].utf8))]
    else { throw Refusal(.unauthenticated, "TOKEN_INVALID", "the token is not known") }
    guard token.scopes.contains(scope) else {
      throw Refusal(
        .permissionDenied, "SCOPE_MISSING", "the token has not the scope \(scope.word)",
        ["scope": scope.word])
    }
    return Caller(name: token.name)
  }
}
