import Net
import Packet
import PubSub
import Session
import Store
import Util

/// Retained messages that a session is still to get from the store: one filter after the other, a page
/// at a time, as fast as its client takes them.
struct RetainedReading {
  struct Request {
    var filter: [UInt8]
    var options: SubscriptionOptions
    var identifier: UInt32
    /// The page that is sent, or waits for that.
    var page: LogSegment?
    /// The offset of the page's next message.
    var offset = 0
    /// The topic behind which the next page begins; nil where none follows.
    var next: [UInt8]?
    /// The number of the question that the store is to answer; 0 where none is on the way.
    var tag: UInt32 = 0
    /// Whether the first page has been asked for.
    var hasBegun = false
    /// Whether the first page is being asked for.
    var isBeginning = false
    /// Whether the SUBSCRIBE is not answered yet: nothing is sent before.
    var awaitsSubAck = false

    /// Whether all of its messages were sent.
    var isDone: Bool { hasBegun && tag == 0 && page == nil && next == nil }
  }

  /// In the order of their SUBSCRIBE packets.
  var requests: [Request] = []

  /// Bytes of pages that wait to be sent.
  var heldBytes: Int {
    requests.reduce(0) { $0 + ($1.page.map { $0.records.byteCount } ?? 0) }
  }

  /// Whether the store is being asked for the first page of a filter.
  var isBeginning: Bool { requests.contains { $0.isBeginning } }
}

/// Retained messages of the store on their way to new subscribers.
extension Worker {
  /// Adds a filter whose retained messages are to be sent.
  /// - Parameter awaitsSubAck: whether the store is asked at once, but nothing is sent before
  ///   `startReading`.
  func readRetained(
    _ session: UInt32, _ filter: Span<UInt8>, _ options: SubscriptionOptions, identifier: UInt32,
    awaitsSubAck: Bool = false
  ) {
    guard let stored, stored.store.mayHaveRetained else { return }
    var reading = retainedReadings.removeValue(forKey: session) ?? RetainedReading()
    let text = filter.array
    // A filter that was not looked up yet stands here once, however often its client subscribes: a few
    // bytes from a client that does not read can't make us send any number of messages.
    reading.requests.removeAll { !$0.hasBegun && $0.filter == text }
    var request = RetainedReading.Request(
      filter: text, options: options, identifier: identifier)
    if awaitsSubAck {
      request.awaitsSubAck = true
      ask(session, &request)
    }
    reading.requests.append(request)
    retainedReadings[session] = reading
    sessions.records[session].flags.insert(.streamsRetained)
  }

  /// The SUBSCRIBE of a session was answered: what is retained for it may be sent.
  func startReading(_ session: UInt32) {
    guard retainedReadings[session] != nil else { return }
    for place in 0..<(retainedReadings[session]?.requests.count ?? 0) {
      retainedReadings[session]?.requests[place].awaitsSubAck = false
    }
  }

  /// The client has gone before it had all its retained messages: a session that goes on still gets those
  /// of QoS 1 and 2 when it is back.
  func keepReading(_ session: UInt32) {
    guard var reading = retainedReadings.removeValue(forKey: session),
      sessions.records[session].flags.contains(.isPersistent)
    else { return }
    reading.requests.removeAll { $0.options.qos == .atMostOnce }
    guard !reading.requests.isEmpty else { return }
    for place in reading.requests.indices {
      // Its subscription is stored, or will be, whether its client hears of that or not.
      reading.requests[place].awaitsSubAck = false
    }
    retainedReadings[session] = reading
    sessions.records[session].flags.insert(.streamsRetained)
  }

  /// A subscription has ended: what was retained for it need not be sent any more.
  func forgetReading(_ session: UInt32, _ filter: Span<UInt8>) {
    guard retainedReadings[session] != nil else { return }
    let text = filter.array
    retainedReadings[session]?.requests.removeAll { $0.filter == text }
  }

  /// Sends what there is, as far as the client takes it. True when there is no more to come.
  func pumpReading(_ session: UInt32) -> Bool {
    guard var reading = retainedReadings.removeValue(forKey: session) else { return true }
    let slot = sessions.records[session].connection
    guard slot != 0 else {
      retainedReadings[session] = reading
      return false
    }
    while var request = reading.requests.first, !request.awaitsSubAck {
      guard send(&request, session, slot) else {
        reading.requests[0] = request
        askNext(session, &reading)
        retainedReadings[session] = reading
        awaitRoom(slot)
        return false
      }
      reading.requests[0] = request
      if request.isDone {
        reading.requests.removeFirst()
      } else {
        break
      }
    }
    if reading.requests.isEmpty { return true }
    askNext(session, &reading)
    retainedReadings[session] = reading
    return false
  }

  /// Sends the page in hand. False where the client takes no more at present.
  private func send(
    _ request: inout RetainedReading.Request, _ session: UInt32, _ slot: UInt32
  ) -> Bool {
    guard let page = request.page else { return true }
    while request.offset < page.records.byteCount {
      guard loop.pendingOutput(slot) <= Limits.outputHighWater,
        request.options.qos == .atMostOnce || sessions.maySendNow(session)
      else { return false }
      page.records.withMessage(at: request.offset) { message in
        let view = MessageView(message, expiresAt: localSecond(message.facts.expiresAt))
        if !view.facts.isExpired(at: second) {
          sendRetained(view, session, slot, request.options, request.identifier)
        }
      }
      request.offset = page.records.offset(after: request.offset)
    }
    request.page = nil
    return true
  }

  /// Asks the store for the pages that there is room for: the rest of the first filter, and the
  /// beginnings of others. These are asked for at once where that is possible, because a message that is
  /// published later comes to the client without them.
  private func askNext(_ session: UInt32, _ reading: inout RetainedReading) {
    for place in reading.requests.indices.prefix(Limits.retainedAsks) {
      let request = reading.requests[place]
      guard request.hasBegun else {
        guard reading.heldBytes < Limits.retainedPageBytes else { return }
        ask(session, &reading.requests[place])
        continue
      }
      guard request.next != nil else { continue }
      // Its next page comes when it is the first and has sent this one; others wait for its end.
      if request.tag == 0 && request.page == nil && place == 0 {
        ask(session, &reading.requests[place])
      }
      return
    }
  }

  private func ask(_ session: UInt32, _ request: inout RetainedReading.Request) {
    lastRetainedTag = lastRetainedTag == .max ? 1 : lastRetainedTag + 1
    request.tag = lastRetainedTag
    // A client that sends a PINGREQ behind its SUBSCRIBE finds what is retained before the answer,
    // unless that is much.
    request.isBeginning = !request.hasBegun
    request.hasBegun = true
    let slot = sessions.records[session].connection
    if slot != 0 && request.isBeginning { hold(slot, .retained) }
    stored?.add(
      .findRetained(
        RetainedQuery(
          asker: Asker(slot: session, generation: sessions.records[session].generation),
          tag: request.tag, filter: request.filter, after: request.next,
          maximumBytes: Limits.retainedPageBytes)), bytes: request.filter.count)
  }

  /// A page of retained messages.
  func take(_ page: RetainedPage) {
    let session = page.asker.slot
    guard sessions.isCurrent(session, page.asker.generation) else { return }
    let place = retainedReadings[session]?.requests.firstIndex { $0.tag == page.tag }
    if let place {
      retainedReadings[session]?.requests[place].tag = 0
      retainedReadings[session]?.requests[place].isBeginning = false
      retainedReadings[session]?.requests[place].page = page.messages
      retainedReadings[session]?.requests[place].offset = 0
      retainedReadings[session]?.requests[place].next = page.next
    }
    if sessions.records[session].flags.contains(.streamsRetained) { pumpRetained(session) }
    let slot = sessions.records[session].connection
    if slot != 0 && retainedReadings[session]?.isBeginning != true { release(slot, .retained) }
  }
}
