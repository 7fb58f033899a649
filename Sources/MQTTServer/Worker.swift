import Net
import Packet
import PubSub
import Session
import Store
import Util

/// Where a connection is in its protocol (`Connection.phase`).
enum Phase {
  static let awaitsConnect: UInt8 = 0
  static let connected: UInt8 = 1
  /// On its way to the loop of its session.
  static let departing: UInt8 = 2
  /// Its CONNECT was taken, and its session is being read from the store or written there.
  static let arriving: UInt8 = 3
}

/// Why a connection is not read at present (`Connection.traits`).
struct Hold: OptionSet {
  let rawValue: UInt8
  /// It does not take what it is sent.
  static let output = Hold(rawValue: 1)
  /// A loop that it publishes to is behind.
  static let pressure = Hold(rawValue: 2)
  /// Its SUBACK waits for another loop.
  static let subAck = Hold(rawValue: 4)
  /// It waits to be handed over.
  static let departure = Hold(rawValue: 8)
  /// Its CONNECT waits for the store.
  static let arrival = Hold(rawValue: 16)
  /// Retained messages that it subscribed to are being looked up: they come before the answers to what
  /// it sends next.
  static let retained = Hold(rawValue: 32)
  /// Somebody outside is asked about the packet that comes next.
  static let hook = Hold(rawValue: 64)
  /// It has published as much as it may in this second.
  static let rate = Hold(rawValue: 128)
}

/// The broker's part that one loop runs: its connections, their sessions, and what those subscribe
/// to. Everything here is for the loop's thread alone.
@safe
final class Worker: LoopHandler {
  let broker: Broker
  let options: ServerOptions
  /// The number of the loop.
  let number: Int
  let loop: Loop<Worker>
  let sessions: SessionTable
  let subscriptions: SubscriptionTable
  let shares = ShareGroups()
  var sessionTimers: TimerWheel<SessionExtras>
  var counters = Counters()
  let templates = TemplateCache()
  /// The broker's, which lives longer than any worker. Counted references of all loops to one object
  /// would have them write to one cache line with each publish.
  private let interest: Unmanaged<InterestIndex>?
  let journal: Journal
  /// Who is asked and told what clients do; nil for nobody.
  let hooks: (any BrokerHooks)?
  let hookPoints: HookPoints
  /// Whether messages of clients may be refused or changed by others than the broker.
  let judgesPublishes: Bool
  /// The topics of messages about which somebody is asked.
  let askedTopics: TopicSieve
  /// Whether acknowledgements of some messages are to be told.
  let tellsDelivered: Bool
  /// Whether it is to be told that some messages are kept for clients which are away.
  let tellsOffline: Bool

  /// Scratch of one publish.
  var matched = MatchedFilters()
  var hits = ScratchArray<Hit>()
  var hitIdentifiers = ScratchArray<HitIdentifier>()
  var identifierList: [UInt32] = []
  /// Forwarded properties of a publish whose block holds others too.
  var propertyScratch: [UInt8] = []

  /// Publishes of this turn for each other loop.
  var outboxes: [PublishBatch?]
  var outboxesInUse: UInt64 = 0
  /// Whether a loop that this one publishes to is behind, as far as is known in this turn.
  var isPressed = false
  /// Connections held back because a loop is behind, with their generations.
  var pressed: [(slot: UInt32, generation: UInt32)] = []
  var departures: [Departure] = []
  /// Scratch of walks over a session's shared subscriptions.
  var memberships: [(name: [UInt8], filter: [UInt8], options: UInt8, identifier: UInt32)] = []
  var retainedStreams: [UInt32: RetainedStreams] = [:]
  /// Nodes of the index of retained messages that were looked at in this turn.
  var retainedVisits = 0
  /// Sessions whose filters there was no time to look up in this turn.
  var lateRetained: [(session: UInt32, generation: UInt32)] = []
  var pendingSubAcks: [UInt32: PendingSubAck] = [:]
  /// What the store has of the shared subscriptions whose home is here, by the group.
  var groupLogs: [UInt32: GroupLog] = [:]
  /// Messages of shared subscriptions in the log that sessions here hold.
  var handed: [HandedKey: Handed] = [:]
  /// What homes of groups are to be told of that, by loop.
  var credits: [UInt8: [ShareCredit]] = [:]
  /// How often a session here has left a shared subscription, or got less of it; most never did.
  var shareEpochs: [UInt32: UInt32] = [:]
  /// Loops for which publishes were gathered that the store must know of first.
  var outboxesAfterStore: UInt64 = 0
  /// How often a connection was handed over, while it waits for its CONNECT to be handled.
  var hops: [UInt32: UInt8] = [:]
  /// This loop's end of the store; nil where nothing outlives the process.
  let stored: StoreClient?
  /// Sessions of which the store is to be told at the end of the turn.
  var dirtySessions: [(session: UInt32, generation: UInt32)] = []
  /// Scratch of one message of the log: the stored sessions and the groups that it is for.
  var loggedHits = ScratchArray<LoggedHit>()
  var loggedGroups: [UInt32] = []
  /// Connections whose CONNECT waits for the store, by the session.
  var arrivals: [UInt32: Arrival] = [:]
  /// Retained messages that are read from the store.
  var retainedReadings: [UInt32: RetainedReading] = [:]
  /// Of the last question for retained messages.
  var lastRetainedTag: UInt32 = 0
  /// What is told to whom the message goes that is being routed; nil for one of a client.
  var receiptPart: ReceiptPart?
  /// Whether the store was handed something that a receipt is to wait for.
  var isKept = false
  /// Who clients are, where a hook said so, by session.
  var identities: [UInt32: Identity] = [:]
  /// Who clients are that were let in and have no session yet, by slot.
  var admitted: [UInt32: Identity] = [:]
  /// What somebody is asked, by the connection that waits for it.
  var questions: [UInt32: Question] = [:]
  var lastQuestion: UInt64 = 0
  /// Whether somebody is to be asked about the PUBLISH that was looked at, and perhaps about those that follow it.
  var wantsToAsk = false
  /// Messages in the present second of clients whose rate is bounded, by session.
  var rates: [UInt32: (second: UInt32, count: Int)] = [:]
  /// Connections that are not read until the second is over.
  var slowed: [(slot: UInt32, generation: UInt32, second: UInt32)] = []
  /// Connections that did not come through a listener but from a server of this process, by slot.
  var trusted: Set<UInt32> = []
  /// What is under way here for servers of this process.
  var outside = OutsideWork()
  var stopDeadline: UInt32 = 0
  /// When the pools give back what they keep; 0 while they keep nothing.
  var trimDue: UInt32 = 0
  /// The tick of the last look at the loop's memory.
  var housekeptAt: UInt32 = 0
  var system: SystemTopics?

  init(_ number: Int, _ broker: Broker, _ loop: Loop<Worker>) {
    self.number = number
    self.broker = broker
    self.loop = loop
    options = broker.options
    sessions = SessionTable(capacity: Limits.sessionsPerLoop, limits: broker.options.session)
    subscriptions = SubscriptionTable(
      seed: broker.seed, interest: broker.interest, loop: number)
    unsafe interest = broker.interest.map { unsafe Unmanaged.passUnretained($0) }
    sessionTimers = TimerWheel(now: loop.now)
    stored = broker.durable.map { StoreClient($0, loop: number) }
    outboxes = Array(repeating: nil, count: broker.options.loops)
    journal = Journal(broker.logger)
    hooks = broker.hooks
    hookPoints = broker.hooks?.points ?? []
    askedTopics = TopicSieve(
      hookPoints.contains(.publish) ? broker.hooks?.publishTopics ?? [] : [])
    judgesPublishes = !hookPoints.isDisjoint(with: [.connect, .publish])
    tellsDelivered = hookPoints.contains(.delivered)
    tellsOffline = hookPoints.contains(.offline)
    if number == 0 && options.systemIntervalMilliseconds > 0 { system = SystemTopics(broker) }
    showMemory()
  }

  /// The second of the monotonic clock, for message expiry.
  var second: UInt32 { loop.now / 8 }

  /// Ticks that `milliseconds` take, rounded up.
  static func ticks(milliseconds: Int) -> UInt32 {
    let length = Int(TimerWheel<Connection>.tickMilliseconds)
    return UInt32(clamping: (milliseconds + length - 1) / length)
  }

  /// The other loops that may have subscribers of a topic, as a set of bits.
  func interestedLoops(_ topic: Span<UInt8>, _ hash: UInt32) -> UInt64 {
    guard let interest = unsafe interest else { return 0 }
    let loops = unsafe interest._withUnsafeGuaranteedRef {
      $0.loops(forTopic: topic, topicHash: hash)
    }
    return loops & ~(1 << UInt64(number))
  }

  // MARK: Events of the loop

  func opened(_ slot: UInt32) {
    broker.connectionCount.add(1, ordering: .relaxed)
    loop.setTimer(
      slot, at: loop.now + Worker.ticks(milliseconds: options.connectTimeoutMilliseconds) + 1)
  }

  func received(_ slot: UInt32, _ bytes: Span<UInt8>) -> Received {
    let generation = loop.connections[slot].generation
    var offset = 0
    while true {
      let start = offset
      let phase = loop.connections[slot].phase
      let version = ProtocolVersion(rawValue: loop.connections[slot].dialect) ?? .v5
      if phase == Phase.awaitsConnect && offset < bytes.count
        && bytes[offset] >> 4 != PacketType.connect.rawValue
      {
        // Anything but a CONNECT first [MQTT-3.1.0-1].
        refuse(slot, "the first packet is not a CONNECT")
        return Received(consumed: bytes.count, needed: 0)
      }
      if phase == Phase.connected, let ack = Acknowledgement.short(bytes, at: offset) {
        // Three of the four packets of a QoS 2 message, in each direction.
        counters.messagesReceived += 1
        acknowledged(slot, loop.connections[slot].owner, ack, version)
        offset += 4
        if mayGoOn(slot, generation) { continue }
        return Received(consumed: isAlive(slot, generation) ? offset : bytes.count, needed: 0)
      }
      do throws(DecodeError) {
        let frame = try decodeFrame(
          bytes, from: offset, maximumPacketSize: options.maximumPacketSize, version: version)
        switch frame {
        case .incomplete(let needed):
          return Received(consumed: offset, needed: needed)
        case .packet(let header):
          let packet = bytes.extracting(offset..<offset + header.totalLength)
          counters.messagesReceived += 1
          if phase == Phase.connected {
            try handle(slot, packet, header, version)
            if wantsToAsk {
              wantsToAsk = false
              askAboutPublish(slot, bytes, from: offset, version)
              return Received(consumed: offset, needed: 0)
            }
          } else if handleConnect(slot, packet, header, rest: bytes, from: offset) {
            return Received(consumed: bytes.count, needed: 0)
          }
          offset += header.totalLength
        }
      } catch {
        fault(slot, error, version)
        return Received(consumed: bytes.count, needed: 0)
      }
      if mayGoOn(slot, generation) { continue }
      guard isAlive(slot, generation) else { return Received(consumed: bytes.count, needed: 0) }
      // What somebody is asked about is handled anew.
      return Received(consumed: awaitsAnswer(slot) ? start : offset, needed: 0)
    }
  }

  /// Whether a connection is still the one it was, and not ending.
  func isAlive(_ slot: UInt32, _ generation: UInt32) -> Bool {
    loop.connections[slot].generation == generation && !loop.isFinishing(slot)
  }

  /// Whether the next packet of a connection may be handled now, after one was.
  private func mayGoOn(_ slot: UInt32, _ generation: UInt32) -> Bool {
    guard isAlive(slot, generation) else { return false }
    if loop.pendingOutput(slot) > options.maximumOutputBytes && loop.isBacklogged(slot) {
      // It sends and does not read: its answers must not pile up.
      hold(slot, .output)
    }
    return !loop.isPaused(slot)
  }

  /// The one switch over packet types, for a client that is connected.
  private func handle(
    _ slot: UInt32, _ packet: Span<UInt8>, _ header: FixedHeader, _ version: ProtocolVersion
  ) throws(DecodeError) {
    let session = loop.connections[slot].owner
    switch header.type {
    case .publish: try handlePublish(slot, session, packet, header, version)
    case .pubAck, .pubRec, .pubRel, .pubComp:
      try handleAcknowledgement(slot, session, packet, header, version)
    case .subscribe: try handleSubscribe(slot, session, packet, header, version)
    case .unsubscribe: try handleUnsubscribe(slot, session, packet, header, version)
    case .pingReq:
      send(slot, count: encodedPingCount) { encodePingResp(into: &$0) }
    case .disconnect: try handleDisconnect(slot, session, packet, header, version)
    case .auth: try handleAuth(slot, packet, header, version)
    case .connect:
      // A second CONNECT [MQTT-3.1.0-2].
      disconnect(slot, .protocolError, "a second CONNECT")
    case .connAck, .subAck, .unsubAck, .pingResp:
      disconnect(slot, .protocolError, "a packet that only servers send")
    }
  }

  func closed(_ slot: UInt32, _ reason: CloseReason) {
    connectionGone(slot)
    let session = loop.connections[slot].owner
    guard session != 0 else { return }
    if case .exhausted = reason { journal.note(self, slot, "closed: out of memory") }
    sessionLostConnection(
      session, publishesWill: true, .unspecifiedError, Worker.text(of: reason))
  }

  private static func text(of reason: CloseReason) -> String {
    switch reason {
    case .peerClosed: "the client closed the connection without a goodbye"
    case .networkError(let code): "network error \(code)"
    case .exhausted: "out of memory"
    }
  }

  func timerFired(_ slot: UInt32) {
    let connection = loop.connections[slot]
    guard connection.phase == Phase.connected else {
      if connection.phase == Phase.arriving {
        refuseArrival(slot, "the store does not answer")
      } else if awaitsAnswer(slot) {
        refuseArrival(slot, "whoever says whether it may connect does not answer")
      } else {
        refuse(slot, "no CONNECT within the time for it")
      }
      return
    }
    let allowed = keepAliveTicks(connection.owner)
    let due = connection.lastReceived + allowed
    if loop.isPaused(slot) && connection.traits != Hold.output.rawValue {
      // What it sends is not read at present, which is not its fault.
      loop.setTimer(slot, at: loop.now + allowed)
    } else if loop.now >= due {
      // [MQTT-3.1.2-22]
      disconnect(slot, .keepAliveTimeout, "keep alive timed out")
    } else {
      loop.setTimer(slot, at: due)
    }
  }

  /// One and a half times the keep alive, in ticks of an eighth of a second, and one for rounding.
  func keepAliveTicks(_ session: UInt32) -> UInt32 {
    UInt32(sessions.records[session].keepAlive) * 12 + 1
  }

  func drained(_ slot: UInt32) {
    release(slot, .output)
    let session = loop.connections[slot].owner
    if session != 0 { pump(session) }
  }

  func receive(_ letter: Letter) {
    switch letter {
    case .publishes(let batch):
      take(batch)
    case .adopt(let adoption): adopt(adoption)
    case .shareJoin(let join): takeShareJoin(join)
    case .shareJoined(let session, let generation): shareJoined(session, generation)
    case .shareLeave(let name, let filter, let loop, let session):
      takeShareLeave(name, filter, loop: loop, session: session)
    case .redistribute(let message): redistribute(message)
    case .shareReturned(let part): takeReturn(part)
    case .shareCredits(let list, let loop): takeCredits(list, loop: loop)
    case .store(let events): take(events)
    case .storeFails:
      refuseArrivals()
      refuseOutside()
    case .perform(let work): work(self)
    case .stop(let deadline): beginStop(deadline)
    }
  }

  /// Serves the subscribers here of what another loop published.
  private func take(_ batch: PublishBatch) {
    unsafe batch.withBytes { bytes in
      unsafe loop.lending(bytes) {
        batch.forEach { envelope, message, part in
          if let part {
            let dropped = counters.publishesDropped
            if deliver(message, envelope.topicHash) {
              note(message, for: part, dropped: counters.publishesDropped - dropped)
            }
            part.receipt.leave()
          } else if let member = envelope.member {
            deliverToMember(member, message)
          } else {
            deliver(message, envelope.topicHash)
          }
        }
      }
    }
    broker.pressures[number].subtract(batch.count)
    broker.giveBack(batch)
  }

  func turnEnds(now: UInt32) -> UInt32? {
    sessionTimers.advance(to: now, in: sessions.extras) { sessionTimerFired($0) }
    var next = sessionTimers.ticksToNext().map { now + $0 }
    func sooner(_ tick: UInt32) { next = min(next ?? tick, tick) }
    if system != nil { sooner(publishSystemTopics()) }
    if pumpLateRetained() { sooner(now) }
    if !departures.isEmpty {
      retryDepartures()
      if !departures.isEmpty { sooner(now + 1) }
    }
    if !pressed.isEmpty {
      releasePressed()
      if !pressed.isEmpty { sooner(now + 1) }
    }
    if !slowed.isEmpty {
      releaseSlowed()
      if !slowed.isEmpty { sooner(now + 1) }
    }
    if outside.isBusy, let tick = workForOutside() { sooner(tick) }
    if stopDeadline != 0 {
      if loop.isEmpty || now >= stopDeadline { loop.stop() } else { sooner(now + 1) }
    }
    submitToStore()
    postCredits()
    postOutboxes()
    // What the credits were good for.
    submitToStore()
    showCounters()
    return next
  }

  func flushed(now: UInt32) -> UInt32? { keepHouse() }

  func showCounters() {
    let statistics = loop.statistics
    counters.bytesReceived = statistics.bytesReceived
    counters.bytesSent = statistics.bytesSent
    counters.sockets = statistics.accepted
    counters.unaccepted = statistics.refused
    counters.sessions = UInt64(sessions.count)
    counters.subscriptions = UInt64(subscriptions.count)
    counters.queuedMessages = UInt64(sessions.messages.count)
    counters.queuedBytes = UInt64(sessions.messages.usedBytes)
    broker.boards[number].show(counters)
  }

  // MARK: Holding connections back

  /// Stops reading a connection, for one more reason.
  func hold(_ slot: UInt32, _ reason: Hold) {
    loop.connections[slot].traits |= reason.rawValue
    loop.pause(slot)
  }

  /// Takes a reason away; without any, the connection is read again.
  func release(_ slot: UInt32, _ reason: Hold) {
    guard loop.connections[slot].traits & reason.rawValue != 0 else { return }
    loop.connections[slot].traits &= ~reason.rawValue
    if loop.connections[slot].traits == 0 { loop.resume(slot) }
  }

  private func releasePressed() {
    pressed.removeAll { slot, generation in
      guard loop.connections[slot].generation == generation else { return true }
      guard !broker.isPressed else { return false }
      release(slot, .pressure)
      return true
    }
  }
}
