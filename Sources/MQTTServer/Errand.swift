import Net
import Packet
import Session
import Store
import Util

/// Something that is to be done with a client's session, on the loop that has it.
///
/// Between the look-up in the directory and the loop the session may end or move; then it is looked up anew.
/// One that is parked is read from the store first.
struct Errand: Sendable {
  /// Why it can't be done.
  enum Failure: Sendable {
    case noClient
    case unavailable(String)
  }

  let client: [UInt8]
  /// Whether it changes subscriptions: then it waits until others that the session asked for are stored.
  var changesSubscriptions = false
  /// How often it has gone to a loop.
  var attempts = 0
  /// Whether the store was asked, and has no session of the client.
  var isMissing = false
  let work: @Sendable (Worker, UInt32) -> Void
  let fail: @Sendable (Failure) -> Void
}

/// What waits for a session.
struct WaitingErrands {
  var generation: UInt32
  var errands: [Errand]
}

extension Broker {
  /// Sends something to where it can be done.
  func send(_ errand: Errand) {
    var errand = errand
    guard errand.attempts < Limits.errandAttempts else {
      return errand.fail(.unavailable("its session moves from loop to loop"))
    }
    errand.attempts += 1
    let client = errand.client.span
    let target: Int
    if let owner = directory.find(client) {
      target = Int(owner.loop)
    } else if mayBeStored(errand) {
      // Any loop may have it; this one, so that two that come at once meet there.
      target = Int(hashBytes(client, seed: seed) % UInt64(mailboxes.count))
    } else {
      return errand.fail(.noClient)
    }
    mailboxes[target].post(.perform { [errand] in $0.run(errand) })
  }

  /// Whether the store may have a session of a client that is not in memory.
  func mayBeStored(_ errand: Errand) -> Bool {
    guard let durable, !errand.isMissing else { return false }
    return durable.mayHaveSession(of: errand.client.span)
  }
}

extension Worker {
  /// Does something with a session of this loop, or sends it on.
  func run(_ errand: Errand) {
    var errand = errand
    if broker.directory.find(errand.client.span) == nil, broker.mayBeStored(errand) {
      guard let stored, !stored.store.isFailing, outside.errandCount < Limits.waitingErrands
      else { return errand.fail(.unavailable(busyReason)) }
      // One for which there is no memory is not read again and again.
      guard errand.attempts < Limits.errandAttempts else { return broker.send(errand) }
      errand.attempts += 1
      attend([errand.client])
      guard broker.directory.find(errand.client.span) != nil else {
        return errand.fail(.unavailable("no room for its session"))
      }
    }
    guard let owner = broker.directory.find(errand.client.span), Int(owner.loop) == number else {
      return broker.send(errand)
    }
    if mustWait(errand, owner.slot) {
      keepWaiting(errand, owner.slot)
    } else {
      errand.work(self, owner.slot)
    }
  }

  /// Why nothing can wait here.
  private var busyReason: String {
    stored?.store.isFailing ?? true
      ? Worker.storeUnavailable : "too much was asked for of sessions that are to be read"
  }

  private func mustWait(_ errand: Errand, _ session: UInt32) -> Bool {
    if isArriving(session) { return true }
    guard errand.changesSubscriptions else { return false }
    let slot = sessions.records[session].connection
    return outside.subscribing[session] != nil
      || (slot != 0 && loop.connections[slot].traits & Hold.subAck.rawValue != 0)
  }

  private func keepWaiting(_ errand: Errand, _ session: UInt32) {
    guard outside.errandCount < Limits.waitingErrands,
      stored.map({ !$0.store.isFailing }) ?? true
    else { return errand.fail(.unavailable(busyReason)) }
    let generation = sessions.records[session].generation
    if outside.errands[session]?.generation != generation {
      // Those of an earlier session in the slot are looked up anew.
      if let former = outside.errands.removeValue(forKey: session) { resume(former) }
      outside.errands[session] = WaitingErrands(generation: generation, errands: [])
    }
    outside.errands[session]?.errands.append(errand)
    outside.errandCount += 1
  }

  /// Goes on with what waits for sessions that are there now, or gone.
  func retryErrands() {
    let ready = outside.errands.filter { session, waiting in
      guard sessions.isCurrent(session, waiting.generation), let first = waiting.errands.first
      else { return true }
      return !mustWait(first, session)
    }
    for session in ready.keys {
      if let waiting = outside.errands.removeValue(forKey: session) { resume(waiting) }
    }
  }

  private func resume(_ waiting: WaitingErrands) {
    outside.errandCount -= waiting.errands.count
    for errand in waiting.errands { run(errand) }
  }

  /// The store has answered for a session: that there is none is noted for who waits for it.
  func noteMissing(_ answer: SessionAnswer) {
    let session = answer.asker.slot
    guard answer.session == nil, let waiting = outside.errands[session],
      waiting.generation == answer.asker.generation
    else { return }
    for place in waiting.errands.indices {
      outside.errands[session]?.errands[place].isMissing = true
    }
  }
}

extension MQTTBroker {
  /// Does something with the session of a client, on its loop.
  func steer<Value: Sendable>(
    _ client: [UInt8], changesSubscriptions: Bool = false,
    done: @escaping @Sendable (Steered<Value>) -> Void,
    _ work: @escaping @Sendable (Worker, UInt32) -> Void
  ) {
    broker.send(
      Errand(
        client: client, changesSubscriptions: changesSubscriptions, work: work,
        fail: { failure in
          switch failure {
          case .noClient: done(.noClient)
          case .unavailable(let reason): done(.unavailable(reason))
          }
        }))
  }
}
