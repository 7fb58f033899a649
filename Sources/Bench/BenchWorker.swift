import Client
import Net
import Packet
import Util

/// A client of the load.
struct BenchClient: BitwiseCopyable {
  enum Phase: UInt8, BitwiseCopyable {
    case waiting, connecting, greeting, subscribing, ready, gone
  }

  var phase = Phase.waiting
  var role: Role
  var channel: UInt32
  /// Index of a publisher in `publishers`; of a subscriber, where its trackers begin.
  var index: UInt32
  var slot: UInt32 = 0
  /// Of an idle client, messages that it got. Of a holder, filters that it has subscribed to.
  var count: UInt32 = 0
}

/// What a publisher sends, and how far it is.
struct Publisher {
  let client: Int
  let channel: Int
  /// Number in its channel.
  let number: Int
  /// Some of its messages, one behind the other, to be patched and written at once.
  var blob: [UInt8]
  let messageBytes: Int
  let packetIDOffset: Int
  var nextPacketID: UInt16 = 1
  var sent: UInt64 = 0
  /// Messages that the server has not acknowledged.
  var inflight = 0
  /// The most of them that the server takes.
  var inflightLimit = BenchOptions.maximumWindow
}

/// A channel, as one loop sees it.
struct Channel {
  let plan: ChannelPlan
  /// Indices of its publishers, on its home loop.
  var publishers: [Int] = []
  var nextPublisher = 0
  var window: ClosedWindow
  /// Messages that may still be sent.
  var quota: UInt64 = 0
  /// Deliveries of this turn that the home loop does not know of.
  var news: UInt64 = 0
  /// Whether it is in the list of those to be looked at when the turn ends.
  var isListed = false
  /// Of the last look for a stall: what had come through, and when that last changed.
  var lastSeen: UInt64 = 0
  var lastChange: UInt32 = 0
}

/// What all loops of a run share.
final class BenchShared: Sendable {
  let options: BenchOptions
  let plan: FlowPlan
  let mailboxes: [Mailbox<BenchOrder>]
  let boards: [LoopBoard]
  let findings: [FindingsBox]
  let complaint = Complaint()

  init(_ options: BenchOptions, _ plan: FlowPlan) throws(NetError) {
    self.options = options
    self.plan = plan
    var mailboxes: [Mailbox<BenchOrder>] = []
    for _ in 0..<options.loops { mailboxes.append(Mailbox(wakeUp: try WakeUp())) }
    self.mailboxes = mailboxes
    boards = (0..<options.loops).map { _ in LoopBoard() }
    findings = (0..<options.loops).map { _ in FindingsBox() }
  }
}

/// One loop of the load generator.
final class BenchWorker: LoopHandler {
  /// Connections of one loop on their way at a time: enough to keep a server busy, few enough not
  /// to overflow its backlog.
  static var connectingLimit: Int { 256 }
  /// Bytes of prebuilt messages of one publisher: one write's worth.
  static var blobBytes: Int { 65_536 }
  /// Ticks without progress after which what is under way is given up: 2 s.
  static var stallTicks: UInt32 { 16 }

  let number: Int
  let shared: BenchShared
  let options: BenchOptions
  let loop: Loop<BenchWorker>
  let plans: [ClientPlan]
  var clients: [BenchClient] = []
  var publishers: [Publisher] = []
  var channels: [Channel] = []
  /// What each subscriber saw of each publisher of its channel.
  var trackers: [SequenceTracker] = []
  /// Channels to be looked at when the turn ends.
  var listed: [Int] = []
  var nextToConnect = 0
  var isConnecting = false
  var connecting = 0
  var isSending = false
  var isEnding = false
  var endsAt: UInt32 = 0
  var pacer: Pacer?
  /// Publishers of the paced flow take turns.
  var nextPaced = 0
  /// Acknowledgements of one read.
  var answers: [UInt8] = []
  var findings = LoopFindings()
  /// What is done with idle clients at present.
  var idle = IdleStep()

  // Counters for the board.
  var ready: UInt64 = 0
  var failed: UInt64 = 0
  var lost: UInt64 = 0
  var sent: UInt64 = 0
  var acknowledged: UInt64 = 0
  var delivered: UInt64 = 0
  var lastProgress: UInt64 = 0
  var nextStallCheck: UInt32 = 0

  init(_ number: Int, _ shared: BenchShared, _ loop: Loop<BenchWorker>) {
    self.number = number
    self.shared = shared
    self.loop = loop
    options = shared.options
    plans = shared.plan.loops[number]
    let isAcknowledged = options.qos != .atMostOnce
    channels = shared.plan.channels.map { plan in
      Channel(
        plan: plan,
        window: ClosedWindow(
          limit: shared.options.window * plan.publishers, fan: plan.fan,
          isAcknowledged: isAcknowledged))
    }
    clients.reserveCapacity(plans.count)
    for plan in plans { add(plan) }
  }

  private func add(_ plan: ClientPlan) {
    var client = BenchClient(role: plan.role, channel: UInt32(plan.channel), index: 0)
    switch plan.role {
    case .idle, .holder: break
    case .caller: idle.caller = clients.count
    case .subscriber:
      client.index = UInt32(trackers.count)
      let count = channels[plan.channel].plan.publishers
      trackers += Array(repeating: SequenceTracker(), count: options.hasStamps ? count : 0)
    case .publisher:
      client.index = UInt32(publishers.count)
      channels[plan.channel].publishers.append(publishers.count)
      publishers.append(makePublisher(plan, client: clients.count))
    }
    clients.append(client)
  }

  private func makePublisher(_ plan: ClientPlan, client: Int) -> Publisher {
    let message = OutgoingMessage(
      topic: Array(plan.topic.utf8), payload: Array(repeating: 0x78, count: options.payloadBytes),
      qos: options.qos)
    let (one, packetIDOffset) = Encoded.publish(message, options.version, packetID: 1)
    let count = options.rate == nil ? max(1, min(options.window, Self.blobBytes / one.count)) : 1
    var blob: [UInt8] = []
    blob.reserveCapacity(one.count * count)
    for _ in 0..<count { blob += one }
    return Publisher(
      client: client, channel: plan.channel, number: plan.publisher, blob: blob,
      messageBytes: one.count, packetIDOffset: packetIDOffset)
  }

  // MARK: Events of the loop

  func closed(_ slot: UInt32, _ reason: CloseReason) {
    let words =
      switch reason {
      case .peerClosed: "the server closed a connection"
      case .networkError(let code): "a connection failed: \(NetError.reason(code))"
      case .exhausted: "out of memory"
      }
    gone(Int(loop.connections[slot].owner), words)
  }

  /// A client has lost its connection, or never had one.
  func gone(_ index: Int, _ words: String) {
    guard !isEnding, clients[index].phase != .gone else { return }
    shared.complaint.note(words)
    if clients[index].phase == .ready { lost += 1 } else { failed += 1 }
    if clients[index].phase != .ready && clients[index].phase != .waiting { connecting -= 1 }
    clients[index].phase = .gone
    clients[index].slot = 0
  }

  func timerFired(_ slot: UInt32) {
    let index = Int(loop.connections[slot].owner)
    if clients[index].phase == .ready {
      write(slot, Encoded.ping())
      loop.setTimer(slot, at: loop.now + UInt32(options.keepAlive) * 8 - 1)
    } else {
      gone(index, "the server does not answer")
      loop.drop(slot)
    }
  }

  func drained(_ slot: UInt32) {}

  func receive(_ order: BenchOrder) {
    switch order {
    case .connect: isConnecting = true
    case .begin(let start, let quota): begin(start, quota)
    case .measure(let time):
      findings.latency = LatencyRecorder()
      findings.latency.countsFrom = time
    case .stopSending:
      isSending = false
      pacer = nil
    case .delivered(let channel, let count):
      channels[channel].window.deliver(count)
      list(channel)
    case .expect: expectOneMore()
    case .subscribeAll: beginSubscribeAll()
    case .callEach: if idle.caller != nil { idle.nextCall = 0 }
    case .callAll: if idle.caller != nil { call(FlowPlan.broadcastTopic(options.runName)) }
    case .finish: finish()
    }
  }

  func turnEnds(now: UInt32) -> UInt32? {
    if isConnecting { connectMore() }
    if idle.isUnderWay { goOnWithIdle() }
    settle()
    showCounters()
    if isEnding {
      if loop.isEmpty || now >= endsAt { loop.stop() }
      return now + 1
    }
    if isConnecting && nextToConnect < clients.count && connecting == 0 { return now + 1 }
    if isSending && pacer == nil {
      if now >= nextStallCheck { checkStalls(now) }
      return nextStallCheck
    }
    return nil
  }

  private func finish() {
    guard !isEnding else { return }
    isEnding = true
    endsAt = loop.now + 24
    findings.sent = sent
    findings.delivered = delivered
    for channel in channels where channel.plan.home == number {
      findings.expected += channel.window.sent * UInt64(channel.plan.fan)
    }
    shared.findings[number].give(findings)
    let goodbye = Encoded.disconnect(DisconnectPacket(), options.version)
    loop.forEachConnection { slot in
      if clients[Int(loop.connections[slot].owner)].phase == .ready { write(slot, goodbye) }
      loop.finish(slot)
    }
  }

  func write(_ slot: UInt32, _ bytes: [UInt8]) {
    loop.write(slot, header: bytes.span, packetIDOffset: 0, packetID: 0, body: Span())
  }

  /// Has a channel looked at when the turn ends.
  func list(_ channel: Int) {
    guard !channels[channel].isListed else { return }
    channels[channel].isListed = true
    listed.append(channel)
  }

  private func showCounters() {
    let board = shared.boards[number]
    board.ready.store(ready, ordering: .releasing)
    board.failed.store(failed, ordering: .releasing)
    board.lost.store(lost, ordering: .releasing)
    board.sent.store(sent, ordering: .releasing)
    board.acknowledged.store(acknowledged, ordering: .releasing)
    board.delivered.store(delivered, ordering: .releasing)
    board.lastProgress.store(lastProgress, ordering: .releasing)
    board.reached.store(idle.reached, ordering: .releasing)
    board.firstReached.store(idle.firstReached, ordering: .releasing)
    board.lastReached.store(idle.lastReached, ordering: .releasing)
    board.step.store(idle.step, ordering: .releasing)
    board.isIdle.store(!isSending, ordering: .releasing)
  }
}
