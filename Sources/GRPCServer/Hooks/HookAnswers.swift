import BifrostAPI
import Packet
import Session
import Util

/// The reason code of a refusal.
/// - Parameter isAllowed: whether the packet that the client gets may carry it.
/// - Returns: not authorized where none was said, unspecified error where the packet can't carry it: it stays refused;
///   nil where it is no refusal.
private func refusal(_ code: UInt32, _ isAllowed: (ReasonCode) -> Bool) -> ReasonCode? {
  if code == 0 { return .notAuthorized }
  guard let byte = UInt8(exactly: code) else { return nil }
  let reason = ReasonCode(rawValue: byte)
  guard reason.isError else { return nil }
  return isAllowed(reason) ? reason : .unspecifiedError
}

/// A text that a client is shown: cut where it is too long or has U+0000 in it.
private func shown(_ text: String) -> String {
  var result = ""
  var bytes = 0
  for scalar in text.unicodeScalars {
    bytes += UTF8.width(scalar)
    if scalar.value == 0 || bytes > HookLimits.reasonBytes { break }
    result.unicodeScalars.append(scalar)
  }
  return result
}

extension Bifrost_V1_OnConnectResponse {
  /// What is made of the answer.
  func verdict(for client: HookedClient, _ identities: IdentityMaker) -> HookReply<ConnectVerdict> {
    switch verdict {
    case .allow(let allow):
      switch identities.make(allow, for: client) {
      case .answer(let identity): return .answer(.allow(identity))
      case .unusable(let reason): return .unusable(reason)
      }
    case .refuse(let refuse):
      guard let reason = refusal(refuse.reasonCode, \.isAllowedInConnAck) else {
        return .unusable("a refusal has the reason code \(refuse.reasonCode)")
      }
      return .answer(.refuse(reason, shown(refuse.reason)))
    case nil: return .unusable("an answer has no verdict")
    }
  }
}

extension Bifrost_V1_OnSubscribeResponse {
  /// What is made of the answer.
  func verdict(for question: SubscribeQuestion) -> HookReply<SubscribeVerdict> {
    guard verdicts.count == question.filters.count else {
      return .unusable(
        "an answer has \(verdicts.count) verdicts for \(question.filters.count) filters")
    }
    var filters: [SubscribeVerdict.Filter] = []
    for (verdict, asked) in zip(verdicts, question.filters) {
      if verdict.refuseCode != 0 {
        guard let reason = refusal(verdict.refuseCode, \.isAllowedInSubAck) else {
          return .unusable("a filter is refused with the reason code \(verdict.refuseCode)")
        }
        filters.append(.refuse(reason))
      } else if verdict.maxQos == .unspecified {
        filters.append(.allow(asked.qos))
      } else {
        do throws(MessageProblem) {
          filters.append(.allow(min(asked.qos, try QoS(verdict.maxQos, field: "max_qos"))))
        } catch {
          return .unusable("\(error)")
        }
      }
    }
    return .answer(SubscribeVerdict(filters: filters))
  }
}

extension Bifrost_V1_OnPublishResponse {
  /// What is made of the answer, for each question; nil where the number of verdicts is not that of the messages.
  func verdicts(for questions: [PublishQuestion]) -> [HookReply<[PublishVerdict]>]? {
    guard verdicts.count == questions.reduce(0, { $0 + $1.messages.count }) else { return nil }
    var rest = verdicts[...]
    return questions.map { question in
      defer { rest = rest.dropFirst(question.messages.count) }
      var result: [PublishVerdict] = []
      for (verdict, message) in zip(rest, question.messages) {
        switch verdict.verdict(for: message) {
        case .answer(let verdict): result.append(verdict)
        case .unusable(let reason): return .unusable(reason)
        }
      }
      return .answer(result)
    }
  }
}

extension Bifrost_V1_PublishVerdict {
  fileprivate func verdict(for message: OutsideMessage) -> HookReply<PublishVerdict> {
    switch action {
    case .allow: return .answer(.allow)
    case .drop: return .answer(.drop)
    case .refuse:
      guard let reason = refusal(reasonCode, \.isAllowedInPubAck) else {
        return .unusable("a message is refused with the reason code \(reasonCode)")
      }
      return .answer(.refuse(reason))
    case .rewrite:
      guard hasRewritten else {
        return .unusable("a message is to be rewritten, and none is there")
      }
      do throws(MessageProblem) {
        var rewritten = try OutsideMessage(self.rewritten)
        rewritten.qos = message.qos
        return .answer(.rewrite(rewritten))
      } catch {
        return .unusable("a rewritten message can't be published: \(error)")
      }
    case .unspecified: return .unusable("a verdict has no action")
    case .UNRECOGNIZED(let value): return .unusable("a verdict has the unknown action \(value)")
    }
  }
}
