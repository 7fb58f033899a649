import BifrostAPI
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Session
import Util

extension HookBackend {
  /// The calls of the service.
  var hooks: Bifrost_V1_Hooks.Client<HTTP2ClientTransport.Posix> {
    Bifrost_V1_Hooks.Client(wrapping: client)
  }
}

/// Asks who clients are, and keeps answers that say so.
func askConnect(
  _ backend: HookBackend, _ questions: [ConnectQuestion], _ options: CallOptions,
  _ identities: IdentityMaker, _ cache: AnswerCache<ConnectKey, ConnectVerdict>
) async throws -> [HookReply<ConnectVerdict>] {
  var replies: [HookReply<ConnectVerdict>] = []
  for question in questions {
    let answer = try await backend.hooks.onConnect(
      Bifrost_V1_OnConnectRequest(question), metadata: backend.metadata, options: options)
    let reply = answer.verdict(for: question.client, identities)
    // An id that the broker is to choose is another one each time.
    if case .answer(let verdict) = reply, answer.cacheSeconds > 0, !question.client.clientID.isEmpty
    {
      let key = ConnectKey(question)
      cache.keep(
        verdict, for: key, seconds: answer.cacheSeconds, bytes: key.bytes + verdict.cachedBytes,
        now: MonotonicClock.milliseconds)
    }
    replies.append(reply)
  }
  return replies
}

extension ConnectVerdict {
  /// Bytes that the verdict takes while it is kept, about.
  fileprivate var cachedBytes: Int {
    switch self {
    case .allow(let identity): IdentityMaker.bytes(identity)
    case .refuse(_, let text): text.utf8.count
    }
  }
}

/// Asks what clients may subscribe to, and keeps answers that say so.
func askSubscribe(
  _ backend: HookBackend, _ questions: [SubscribeQuestion], _ options: CallOptions,
  _ cache: AnswerCache<SubscribeKey, SubscribeVerdict>
) async throws -> [HookReply<SubscribeVerdict>] {
  var replies: [HookReply<SubscribeVerdict>] = []
  for question in questions {
    let answer = try await backend.hooks.onSubscribe(
      Bifrost_V1_OnSubscribeRequest(question), metadata: backend.metadata, options: options)
    let reply = answer.verdict(for: question)
    if case .answer(let verdict) = reply, answer.cacheSeconds > 0 {
      let key = SubscribeKey(question)
      cache.keep(
        verdict, for: key, seconds: answer.cacheSeconds,
        bytes: key.bytes + 2 * verdict.filters.count, now: MonotonicClock.milliseconds)
    }
    replies.append(reply)
  }
  return replies
}

/// Asks what becomes of messages.
func askPublish(
  _ backend: HookBackend, _ questions: [PublishQuestion], _ options: CallOptions
) async throws -> [HookReply<[PublishVerdict]>] {
  let answer = try await backend.hooks.onPublish(
    Bifrost_V1_OnPublishRequest(questions), metadata: backend.metadata, options: options)
  // None where their number is wrong, which is an answer that can't be used.
  return answer.verdicts(for: questions)
    ?? questions.map { _ in
      .unusable(
        "an answer has \(answer.verdicts.count) verdicts, which is not the number of messages")
    }
}
