import Net
import Packet
import Session
import Store
import Util

/// Single clients: what they are, and how they are sent away.
extension MQTTBroker {
  /// See `Gateway`.
  public func describe(
    _ client: [UInt8], done: @escaping @Sendable (Steered<ClientDescription>) -> Void
  ) {
    steer(client, done: done) { worker, session in done(.done(worker.describe(session))) }
  }

  /// See `Gateway`. The reason is logged with the client; one of MQTT 5 is shown it.
  public func disconnect(
    _ client: [UInt8], reason: ReasonCode, text: [UInt8], discardsWill: Bool,
    done: @escaping @Sendable (Steered<Void>) -> Void
  ) {
    steer(client, done: done) { worker, session in
      done(
        worker.disconnect(
          session: session, reason: reason, text: text, discardsWill: discardsWill)
          ? .done(()) : .noClient)
    }
  }

  /// See `Gateway`. Its will is published, as when a session ends otherwise; where the session was stored,
  /// the store has forgotten it by then.
  public func endSession(_ client: [UInt8], done: @escaping @Sendable (Steered<Void>) -> Void) {
    steer(client, done: done) { $0.endSession($1, done: done) }
  }
}

extension Worker {
  func describe(_ session: UInt32) -> ClientDescription {
    let record = sessions.records[session]
    var list: [StoredSubscription] = []
    list.reserveCapacity(Int(record.subscriptions.count))
    subscriptions.forEach(in: record.subscriptions) { subscription, filter in
      list.append(
        StoredSubscription(
          filter: filter.array, options: subscription.options,
          identifier: subscription.identifier))
    }
    let counts = sessions.outboundCounts(session)
    return ClientDescription(
      client: hookedClient(session), isConnected: record.connection != 0,
      isStored: sessions.isStored(session), expiryInterval: sessions.expiryInterval(session),
      keepAlive: record.keepAlive, subscriptions: list.reversed(), inFlight: counts.inFlight,
      queued: counts.waiting)
  }

  /// False where it has no connection.
  func disconnect(
    session: UInt32, reason: ReasonCode, text: [UInt8], discardsWill: Bool
  ) -> Bool {
    let slot = sessions.records[session].connection
    guard slot != 0 else { return false }
    if discardsWill { sessions.discardWill(session) }
    disconnect(
      slot, reason,
      text.isEmpty ? "closed by an administrator" : String(decoding: text, as: UTF8.self))
    return true
  }

  func endSession(_ session: UInt32, done: @escaping @Sendable (Steered<Void>) -> Void) {
    let isStored = sessions.isStored(session)
    if isStored, let stored, stored.store.isFailing {
      return done(.unavailable(Worker.storeUnavailable))
    }
    let generation = sessions.records[session].generation
    let slot = sessions.records[session].connection
    if slot != 0 { disconnect(slot, .administrativeAction, "its session was ended") }
    // One that was to end with its connection has.
    if sessions.isCurrent(session, generation) { endSession(session) }
    guard isStored, let stored else { return done(.done(())) }
    stored.wait(.errand { _ in done(.done(())) })
  }
}
