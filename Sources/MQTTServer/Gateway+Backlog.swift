import Net
import Packet
import Session
import Store
import Util

/// What waits for a client, read without taking it: first what is in memory, then what the log has behind.
extension MQTTBroker {
  /// See `Gateway`. Numbers beyond `Limits.backlogMessages` and `Limits.backlogBytes` are taken for these.
  public func backlog(
    _ client: [UInt8], after place: BacklogPlace, maximumMessages: Int, maximumBytes: Int,
    done: @escaping @Sendable (Steered<BacklogPage>) -> Void
  ) {
    let messages = min(max(maximumMessages, 1), Limits.backlogMessages)
    let bytes = min(max(maximumBytes, 1), Limits.backlogBytes)
    steer(client, done: done) { worker, session in
      worker.readBacklog(
        session, from: place, maximumMessages: messages, maximumBytes: bytes, done: done)
    }
  }
}

/// A page of a backlog, while the store reads it.
struct BacklogRequest: Sendable {
  let client: [UInt8]
  let done: @Sendable (Steered<BacklogPage>) -> Void
}

extension Worker {
  /// Stands for all that is in memory in `BacklogPlace.inMemory`; else it is a place of
  /// `SessionTable.forEachOutbound`.
  private static var endOfMemory: Int { .max }

  func readBacklog(
    _ session: UInt32, from start: BacklogPlace, maximumMessages: Int, maximumBytes: Int,
    done: @escaping @Sendable (Steered<BacklogPage>) -> Void
  ) {
    var place = start
    let client = broker.directory.clientID(sessions.records[session].entry)
    if place.inMemory != Worker.endOfMemory {
      var entries: [BacklogPage.Entry] = []
      var bytes = 0
      let next = sessions.forEachOutbound(session, from: place.inMemory) { delivery, isInFlight in
        // Of one that the client has, or that is sent but once, no more than the identifier is kept.
        guard delivery.message != 0 else { return true }
        guard entries.count < maximumMessages && bytes < maximumBytes else { return false }
        sessions.messages.withView(delivery.message) { message in
          guard isInFlight || !message.facts.isExpired(at: second) else { return }
          bytes += message.byteCount
          entries.append(
            entry(
              message, qos: delivery.qos, retain: delivery.retain,
              isInFlight: isInFlight))
        }
        return true
      }
      if let next {
        place.inMemory = next
        return done(.done(BacklogPage(entries: entries, next: place)))
      }
      let record = sessions.records[session].lasting
      guard sessions.isStored(session), !sessions.lasting[record].flags.contains(.isLive) else {
        return done(.done(BacklogPage(entries: entries, next: nil)))
      }
      place = BacklogPlace()
      place.inMemory = Worker.endOfMemory
      place.sequence = sessions.lasting[record].cursor
      if !entries.isEmpty { return done(.done(BacklogPage(entries: entries, next: place))) }
    }
    guard sessions.isStored(session) else {
      return done(.done(BacklogPage(entries: [], next: nil)))
    }
    readLog(
      session, BacklogRequest(client: client, done: done), after: place.sequence,
      maximumMessages: maximumMessages, maximumBytes: maximumBytes)
  }

  /// Asks the store. The session's own reading goes on beside it: the cursor stays what it is.
  private func readLog(
    _ session: UInt32, _ request: BacklogRequest, after sequence: UInt64, maximumMessages: Int,
    maximumBytes: Int
  ) {
    guard let stored, !stored.store.isFailing else {
      return request.done(.unavailable(Worker.storeUnavailable))
    }
    guard outside.backlogs.count < Limits.outsideReads else {
      return request.done(.unavailable("too many backlogs are read at a time"))
    }
    outside.lastBacklogTag = outside.lastBacklogTag == .max ? 1 : outside.lastBacklogTag + 1
    outside.backlogs[outside.lastBacklogTag] = request
    stored.add(
      .read(
        LogQuery(
          // No session has this slot: it tells the answer from what sessions read.
          asker: Asker(slot: 0, generation: outside.lastBacklogTag),
          session: sessions.storedID(session), after: sequence, epoch: 0,
          maximumMessages: maximumMessages, maximumBytes: maximumBytes)))
  }

  /// The store has read a page of a backlog.
  func takeBacklog(_ page: LogPage) {
    guard let request = outside.backlogs.removeValue(forKey: page.asker.generation) else { return }
    var entries: [BacklogPage.Entry] = []
    for item in page.items {
      guard let qos = QoS(rawValue: item.qos), qos != .atMostOnce else { continue }
      item.place.segment.records.withMessage(at: item.place.offset) { message in
        let view = MessageView(message, expiresAt: localSecond(message.facts.expiresAt))
        guard !view.facts.isExpired(at: second) else { return }
        entries.append(
          entry(view, qos: qos, retain: item.retain, isInFlight: false))
      }
    }
    var next: BacklogPlace?
    if !page.isAtEnd {
      next = BacklogPlace()
      next?.inMemory = Worker.endOfMemory
      next?.sequence = page.through
    }
    request.done(.done(BacklogPage(entries: entries, next: next)))
  }

  private func entry(
    _ message: borrowing MessageView, qos: QoS, retain: Bool, isInFlight: Bool
  ) -> BacklogPage.Entry {
    var copy = outside(message)
    copy.qos = qos
    copy.retain = retain
    return BacklogPage.Entry(message: copy, isInFlight: isInFlight)
  }
}
