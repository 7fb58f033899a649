import Net
import Packet
import PubSub
import Session
import Util

/// What happens to a session when its client goes away, and when nobody waits for it any more.
extension Worker {
  /// The client's connection has ended, or is about to, and no longer names the session.
  func sessionLostConnection(
    _ session: UInt32, publishesWill: Bool, _ reason: ReasonCode, _ text: @autoclosure () -> String
  ) {
    let slot = sessions.records[session].connection
    guard slot != 0 else { return }
    if notesEnds { noteEnded(session, reason, text()) }
    if !rates.isEmpty { rates.removeValue(forKey: session) }
    leaveBroadcasts(session)
    counters.connected -= 1
    sessions.records[session].connection = 0
    sessions.connectionEnded(session)
    forgetAliases(session)
    keepRetainedStreams(session)
    pendingSubAcks[session]?.forgetClient()
    let expiry = sessions.expiryInterval(session)
    let record = sessions.records[session].lasting
    if record != 0 { sessions.lasting[record].flags.remove(.isLive) }
    keepReading(session)
    let extra = sessions.records[session].extras
    if extra != 0 && sessions.extras[extra].will != 0 && publishesWill {
      let delay = sessions.extras[extra].willDelay
      // The will goes out when its delay or the session ends, whichever comes first
      // [MQTT-3.1.3-9].
      if delay == 0 || expiry == 0 {
        publishWill(session)
      } else {
        sessions.extras[extra].willDue = Worker.due(loop.now, seconds: delay)
      }
    }
    settle(session)
  }

  /// A session is without its client: it ends, or waits for it.
  func settle(_ session: UInt32) {
    let expiry = sessions.expiryInterval(session)
    guard expiry != 0 else {
      endSession(session)
      return
    }
    if expiry != .max, let extra = sessions.makeExtras(session) {
      sessions.extras[extra].expiryDue = Worker.due(loop.now, seconds: expiry)
    }
    sessions.trimExtras(session)
    setShareMembership(session, isAway: true)
    tellPresence(session, isConnected: false)
    setParkTimer(session)
    setSessionTimer(session)
  }

  /// The tick that comes some seconds after another; as late as can be told where it is further.
  static func due(_ now: UInt32, seconds: UInt32) -> UInt32 {
    let (ticks, overflows) = seconds.multipliedReportingOverflow(by: 8)
    if overflows { return .max }
    let (sum, isLate) = now.addingReportingOverflow(ticks)
    // The present tick has begun already: one more, so that it is never too early.
    return isLate || sum == .max ? .max : sum + 1
  }

  func setSessionTimer(_ session: UInt32) {
    let extra = sessions.records[session].extras
    guard extra != 0 else { return }
    let extras = sessions.extras[extra]
    var next = UInt32.max
    for due in [extras.willDue, extras.expiryDue, extras.parkDue] where due != 0 {
      next = min(next, due)
    }
    if next != .max { sessionTimers.set(extra, at: next, in: sessions.extras) }
  }

  /// A will, the session's end or its parking is due.
  /// - Parameter extra: the extras of the session, which hold its timer.
  func sessionTimerFired(_ extra: UInt32) {
    let session = sessions.extras[extra].session
    guard sessions.records[session].connection == 0 else { return }
    if sessions.extras[extra].willDue != 0 && loop.now >= sessions.extras[extra].willDue {
      publishWill(session)
      tellPresence(session, isConnected: false)
    }
    if sessions.extras[extra].expiryDue != 0 && loop.now >= sessions.extras[extra].expiryDue {
      counters.expiredClients += 1
      endSession(session)
      return
    }
    if sessions.extras[extra].parkDue != 0 && loop.now >= sessions.extras[extra].parkDue {
      park(session)
      // It is gone, or stays for as long as it is away.
      guard sessions.records[session].extras == extra else { return }
    }
    setSessionTimer(session)
  }

  /// Publishes the will and forgets it.
  private func publishWill(_ session: UInt32) {
    let extra = sessions.records[session].extras
    let will = sessions.extras[extra].will
    let lifetime = sessions.extras[extra].willLifetime
    sessions.extras[extra].will = 0
    sessions.extras[extra].willDue = 0
    sessions.messages.withView(will) { message in
      var facts = message.facts
      if lifetime != 0 { facts.expiresAt = MessageFacts.expiry(after: lifetime, at: second) }
      _ = route(
        MessageView(
          facts: facts, topic: message.topic, properties: message.properties,
          payload: message.payload), from: 0, willOf: session)
    }
    sessions.messages.release(will)
  }

  /// Forgets a session: its will is published, its subscriptions go, and what it was given for
  /// others is given to them.
  func endSession(_ session: UInt32) {
    let extra = sessions.records[session].extras
    if extra != 0 && sessions.extras[extra].will != 0 { publishWill(session) }
    if extra != 0 { sessionTimers.cancel(extra, in: sessions.extras) }
    retainedStreams.removeValue(forKey: session)
    retainedReadings.removeValue(forKey: session)
    arrivals.removeValue(forKey: session)
    if !identities.isEmpty { identities.removeValue(forKey: session) }
    forgetSubscribing(session)
    endStored(session)
    leaveShares(session, redistributes: true)
    subscriptions.removeAll(&sessions.records[session].subscriptions)
    let entry = sessions.records[session].entry
    sessions.remove(session)
    broker.directory.release(entry)
  }
}
