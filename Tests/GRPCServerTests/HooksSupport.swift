import Logging
import Packet
import Session
import Synchronization
import Testing

@testable import GRPCServer

/// A runner for a test, which ends it.
func withRunner(
  _ options: HookOptions, _ body: (HookRunner) async throws -> Void
) async throws {
  let runner = try HookRunner(
    options: options, logger: Logger(label: "hooks") { _ in SwiftLogNoOpLogHandler() })
  runner.start()
  do {
    try await body(runner)
  } catch {
    await runner.stop(within: .zero)
    throw error
  }
  await runner.stop(within: .zero)
}

/// Options without health checks, which are a test's own business.
func hookOptions(_ change: (inout HookOptions) -> Void) -> HookOptions {
  var options = HookOptions()
  options.healthIntervalMilliseconds = 0
  change(&options)
  return options
}

extension HookPointOptions {
  init(_ endpoints: HookEndpoint..., change: (inout HookPointOptions) -> Void = { _ in }) {
    self.init()
    self.endpoints = endpoints
    // So long that only a test that waits for it sees it.
    timeoutMilliseconds = 60_000
    change(&self)
  }
}

extension HookRunner {
  func connect(_ question: ConnectQuestion) async -> ConnectVerdict {
    await withCheckedContinuation { continuation in
      connect(question) { continuation.resume(returning: $0) }
    }
  }

  func subscribe(_ question: SubscribeQuestion) async -> [SubscribeVerdict.Filter] {
    await withCheckedContinuation { continuation in
      subscribe(question) { continuation.resume(returning: $0.filters) }
    }
  }

  func publish(_ question: PublishQuestion) async -> [PublishVerdict] {
    await withCheckedContinuation { continuation in
      publish(question) { continuation.resume(returning: $0) }
    }
  }
}

extension HookedClient {
  init(_ id: String, user: String = "") {
    self.init(clientID: Array(id.utf8), userName: Array(user.utf8), version: 5)
  }
}

extension ConnectQuestion {
  init(_ id: String, user: String = "", password: String? = nil) {
    self.init(
      client: HookedClient(id, user: user), password: password.map { Array($0.utf8) },
      cleanStart: true, keepAlive: 0, will: nil, userProperties: [])
  }
}

extension PublishQuestion {
  init(_ id: String, _ topics: String...) {
    self.init(
      client: HookedClient(id),
      messages: topics.map { OutsideMessage(topic: Array($0.utf8), payload: [1]) })
  }
}

extension ConnectVerdict {
  var isAllowed: Bool { if case .allow = self { true } else { false } }

  /// The reason code of a refusal.
  var refusal: ReasonCode? { if case .refuse(let reason, _) = self { reason } else { nil } }
}

extension PublishVerdict {
  /// The verdict in a word.
  var word: String {
    switch self {
    case .allow: "allow"
    case .refuse(let reason): "refuse \(reason.rawValue)"
    case .drop: "drop"
    case .rewrite(let message): "rewrite \(String(decoding: message.topic, as: UTF8.self))"
    }
  }
}

/// Keeps those who pass it until it is opened.
final class Gate: Sendable {
  private let open = Atomic<Bool>(false)

  func release() { open.store(true, ordering: .relaxed) }

  var isOpen: Bool { open.load(ordering: .relaxed) }

  func pass() async throws {
    while !isOpen { try await Task.sleep(for: .milliseconds(1)) }
  }
}

/// Counts up to what a test waits for.
final class Tally: Sendable {
  private let count = Atomic<Int>(0)

  var value: Int { count.load(ordering: .relaxed) }

  /// The count before.
  func add() -> Int { count.add(1, ordering: .relaxed).oldValue }
}

struct NeverHappened: Error {}

/// Waits until something is so; the bound only ends a test that would hang.
func until(_ condition: () -> Bool) async throws {
  for _ in 0..<20_000 {
    if condition() { return }
    try await Task.sleep(for: .milliseconds(3))
  }
  throw NeverHappened()
}
