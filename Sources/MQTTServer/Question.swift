import Net
import Packet
import Session
import Util

/// Something that somebody outside is asked about a connection, and what was answered.
///
/// The packet that it is about is not consumed: the connection is not read until there is an answer, and then the
/// packet is handled anew. So nothing has to be kept of it, a connection that ends meanwhile takes all with it, and no
/// other connection waits.
struct Question {
  enum Verdict {
    case connect(ConnectVerdict)
    case subscribe(SubscribeVerdict)
    case publish([PublishVerdict])
  }

  /// Tells it from an earlier one about the same slot.
  var number: UInt64
  /// Nil until there is one.
  var verdict: Verdict?
  /// How many of several verdicts were followed.
  var followed = 0
}

extension Worker {
  /// Begins to ask: the connection is not read until `answer`. Gives what names the question.
  func beginQuestion(_ slot: UInt32) -> (Reply, UInt64) {
    lastQuestion += 1
    questions[slot] = Question(number: lastQuestion)
    hold(slot, .hook)
    // It is handled once more, and counted then.
    counters.messagesReceived -= 1
    return (reply(slot), lastQuestion)
  }

  /// What takes an answer, on any thread, to the loop that has asked.
  func answerer<Answer: Sendable>(
    _ slot: UInt32, _ verdict: @escaping @Sendable (Answer) -> Question.Verdict
  ) -> @Sendable (Answer) -> Void {
    let (reply, question) = beginQuestion(slot)
    let mailbox = broker.mailboxes[number]
    return { answer in
      mailbox.post(.perform { $0.answer(reply, question, verdict(answer)) })
    }
  }

  /// An answer has come.
  private func answer(_ reply: Reply, _ number: UInt64, _ verdict: Question.Verdict) {
    guard isAlive(reply.slot, reply.generation), questions[reply.slot]?.number == number else {
      return
    }
    questions[reply.slot]?.verdict = verdict
    release(reply.slot, .hook)
  }

  /// Whether the packet that was handled last waits for an answer.
  func awaitsAnswer(_ slot: UInt32) -> Bool {
    loop.connections[slot].traits & Hold.hook.rawValue != 0
  }

  /// A connection has gone: nothing is waited for any more.
  func forgetQuestions(_ slot: UInt32) {
    if !questions.isEmpty { questions.removeValue(forKey: slot) }
    if !admitted.isEmpty { admitted.removeValue(forKey: slot) }
  }
}
