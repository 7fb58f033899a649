import Crypto
import Session
import Synchronization
import Util

/// Answers that backends said may be used again for a time.
final class AnswerCache<Key: Hashable & Sendable, Answer: Sendable>: Sendable {
  private struct Kept {
    var answer: Answer
    /// Millisecond of the monotonic clock from which on it does not hold.
    var until: UInt64
  }

  private let table = Mutex(
    RecentlyUsed<Key, Kept>(
      maximumCount: HookLimits.cachedAnswers, maximumBytes: HookLimits.cachedBytes))

  /// The answer for a key, which is only made where there are answers at all: it may need a hash.
  func find(now: UInt64, _ key: () -> Key) -> Answer? {
    guard table.withLock({ $0.count > 0 }) else { return nil }
    let key = key()
    return table.withLock { table in
      guard let kept = table.value(key) else { return nil }
      if now < kept.until { return kept.answer }
      table.remove(key)
      return nil
    }
  }

  /// Keeps an answer for some seconds, a day at most; 0 keeps none.
  /// - Parameter bytes: what key and answer take beside the entry.
  func keep(_ answer: Answer, for key: Key, seconds: UInt32, bytes: Int, now: UInt64) {
    guard seconds > 0 else { return }
    let until = now + UInt64(min(seconds, HookLimits.cacheSeconds)) * 1000
    table.withLock {
      $0.set(key, Kept(answer: answer, until: until), bytes: bytes + HookLimits.cacheEntryBytes)
    }
  }
}

/// Of whom an answer to OnConnect is.
struct ConnectKey: Hashable, Sendable {
  var clientID: [UInt8]
  var userName: [UInt8]
  /// SHA-256 of the password, so that passwords do not stay in memory; nil where there was none.
  var password: [UInt8]?

  init(_ question: ConnectQuestion) {
    clientID = question.client.clientID
    userName = question.client.userName
    password = question.password.map { password in
      var hash = SHA256()
      hash.update(data: password)
      return Array(hash.finalize())
    }
  }

  var bytes: Int { clientID.count + userName.count + (password?.count ?? 0) }
}

/// Of whom and what an answer to OnSubscribe is.
struct SubscribeKey: Hashable, Sendable {
  struct Filter: Hashable, Sendable {
    var filter: [UInt8]
    var qos: UInt8
  }

  var clientID: [UInt8]
  var userName: [UInt8]
  var tenant: [UInt8]
  var filters: [Filter]

  init(_ question: SubscribeQuestion) {
    let identity = question.client.identity
    clientID = question.client.clientID
    let name = identity.map(\.userName) ?? []
    userName = name.isEmpty ? question.client.userName : name
    tenant = identity?.tenant ?? []
    filters = question.filters.map { Filter(filter: $0.filter, qos: $0.qos.rawValue) }
  }

  var bytes: Int {
    filters.reduce(clientID.count + userName.count + tenant.count) { $0 + $1.filter.count + 32 }
  }
}
