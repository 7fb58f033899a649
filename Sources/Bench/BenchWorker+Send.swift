import Net
import Packet
import Util

extension BenchWorker {
  /// Begins to send: a closed loop at once, a paced flow at its first time.
  func begin(_ start: UInt64, _ quota: [UInt64]?) {
    var own = 0
    var all = 0
    for index in channels.indices {
      channels[index].quota = quota?[index] ?? .max
      channels[index].lastChange = loop.now
      all += channels[index].plan.publishers
      if channels[index].plan.home == number {
        own += channels[index].plan.publishers
        list(index)
      }
    }
    nextStallCheck = loop.now + Self.stallTicks / 2
    guard own > 0 else { return }
    isSending = true
    if let rate = options.rate {
      pacer = Pacer(start: start, rate: rate * Double(own) / Double(all))
      setAlarm()
    }
  }

  private func setAlarm() {
    guard let pacer else { return }
    do throws(NetError) {
      try loop.setAlarm(at: pacer.nextTime)
    } catch {
      shared.complaint.note("\(error)")
      isSending = false
    }
  }

  func alarmed() { pace() }

  /// Sends what is due.
  func pace() {
    guard isSending, var pacer else { return }
    let now = MonotonicClock.nanoseconds
    while pacer.nextTime <= now {
      guard let publisher = nextReady() else {
        // The server's receive maximum is reached, or nothing is left; an acknowledgement goes on.
        self.pacer = pacer
        if !isSending { self.pacer = nil }
        return
      }
      guard let due = pacer.take(now: now) else { break }
      send(publisher, 1, time: due)
    }
    self.pacer = pacer
    setAlarm()
  }

  /// The next publisher that may send one message; nil where none may. Ends a flow that is done.
  private func nextReady() -> Int? {
    var isDone = true
    for _ in publishers.indices {
      let index = nextPaced
      nextPaced = (nextPaced + 1) % publishers.count
      guard channels[publishers[index].channel].quota > 0,
        clients[publishers[index].client].phase == .ready
      else { continue }
      isDone = false
      if options.qos == .atMostOnce || publishers[index].inflight < publishers[index].inflightLimit
      {
        return index
      }
    }
    if isDone { isSending = false }
    return nil
  }

  /// Ends a turn: tells other loops what came, and fills the windows.
  func settle() {
    guard !listed.isEmpty else { return }
    var isBlocked = false
    for channel in listed {
      channels[channel].isListed = false
      let news = channels[channel].news
      channels[channel].news = 0
      let home = channels[channel].plan.home
      guard home == number else {
        if news > 0 {
          shared.mailboxes[home].post(.delivered(channel: channel, count: news))
        }
        continue
      }
      channels[channel].window.deliver(news)
      if isSending {
        if options.rate == nil { fill(channel) } else { isBlocked = true }
      }
    }
    listed.removeAll(keepingCapacity: true)
    if isBlocked, let pacer, pacer.nextTime <= MonotonicClock.nanoseconds { pace() }
    if isSending && options.rate == nil && isExhausted { isSending = false }
  }

  private var isExhausted: Bool {
    !channels.contains { $0.plan.home == number && $0.quota > 0 }
  }

  /// Sends as many messages of a channel as its window allows, shared out among its publishers.
  private func fill(_ channel: Int) {
    var credit = min(channels[channel].window.credit, channels[channel].quota)
    guard credit > 0 else { return }
    let members = channels[channel].publishers
    let share = max(1, credit / UInt64(members.count))
    let time = options.hasLatency ? MonotonicClock.nanoseconds : 0
    for _ in members.indices {
      guard credit > 0 else { return }
      let publisher = members[channels[channel].nextPublisher]
      channels[channel].nextPublisher = (channels[channel].nextPublisher + 1) % members.count
      guard clients[publishers[publisher].client].phase == .ready else { continue }
      var count = min(share, credit)
      if options.qos != .atMostOnce {
        let room = publishers[publisher].inflightLimit - publishers[publisher].inflight
        count = min(count, UInt64(max(0, room)))
      }
      guard count > 0 else { continue }
      send(publisher, Int(count), time: time)
      credit -= count
    }
  }

  /// Sends messages of one publisher.
  func send(_ index: Int, _ count: Int, time: UInt64) {
    let channel = publishers[index].channel
    let slot = clients[publishers[index].client].slot
    // Taken out and put back, so that it is patched in place.
    var blob: [UInt8] = []
    swap(&blob, &publishers[index].blob)
    var left = count
    while left > 0 {
      let part = min(left, blob.count / publishers[index].messageBytes)
      patch(&blob, index, part, time)
      loop.write(
        slot, header: blob.span.extracting(0..<part * publishers[index].messageBytes),
        packetIDOffset: 0, packetID: 0, body: Span())
      left -= part
    }
    swap(&blob, &publishers[index].blob)
    if options.qos != .atMostOnce { publishers[index].inflight += count }
    channels[channel].window.send(UInt64(count))
    channels[channel].quota -= UInt64(count)
    sent += UInt64(count)
  }

  /// Gives the first `count` messages of a blob their numbers.
  private func patch(_ blob: inout [UInt8], _ index: Int, _ count: Int, _ time: UInt64) {
    let size = publishers[index].messageBytes
    var sequence = publishers[index].sent
    var packetID = publishers[index].nextPacketID
    let number = publishers[index].number
    let idOffset = publishers[index].packetIDOffset
    let stampOffset = size - options.payloadBytes
    let hasStamps = options.hasStamps
    precondition(count * size <= blob.count && idOffset + 2 <= size)
    unsafe blob.withUnsafeMutableBytes { bytes in
      for message in 0..<count {
        // Safe: each message lies inside the blob, and its fields inside the message.
        let start = message * size
        if hasStamps {
          let word = Stamp(time: time, publisher: number, sequence: sequence).word
          unsafe bytes.storeBytes(
            of: time.bigEndian, toByteOffset: start + stampOffset, as: UInt64.self)
          unsafe bytes.storeBytes(
            of: word.bigEndian, toByteOffset: start + stampOffset + 8, as: UInt64.self)
        }
        sequence += 1
        if idOffset >= 0 {
          unsafe bytes.storeBytes(
            of: packetID.bigEndian, toByteOffset: start + idOffset, as: UInt16.self)
          packetID = packetID == .max ? 1 : packetID + 1
        }
      }
    }
    publishers[index].sent = sequence
    publishers[index].nextPacketID = packetID
  }

  /// Gives up messages that did not come back: a server may drop what it promised nothing about,
  /// and the loop must go on.
  func checkStalls(_ now: UInt32) {
    nextStallCheck = now + Self.stallTicks / 2
    for index in channels.indices where channels[index].plan.home == number {
      let through = channels[index].window.delivered + channels[index].window.acknowledged
      if through != channels[index].lastSeen {
        channels[index].lastSeen = through
        channels[index].lastChange = now
      } else if channels[index].window.outstanding > 0
        && now >= channels[index].lastChange + Self.stallTicks
      {
        channels[index].window.forgive()
        channels[index].lastChange = now
        findings.stalls += 1
        list(index)
      }
    }
    settle()
  }
}
