import CLinux
import Glibc
import Synchronization
import Util

/// What a handler made of the bytes it was given.
public struct Received {
  /// Bytes that were handled; the rest is kept and given again with what follows.
  public var consumed: Int
  /// Bytes that the first packet of the rest needs in all, as far as is known; at least one more
  /// than there are, unless the handler paused the connection.
  public var needed: Int

  /// `consumed` from 0 to what was given; `needed` counts from the first byte that is left, and
  /// means nothing when none is.
  public init(consumed: Int, needed: Int) {
    self.consumed = consumed
    self.needed = needed
  }
}

/// What a loop's events mean. All calls come on the loop's thread.
public protocol LoopHandler: AnyObject {
  /// What other threads send to this loop; its bytes must be its own.
  associatedtype Letter: Sendable

  /// A client was accepted, or a connection that `Loop.connect` began is there.
  func opened(_ slot: UInt32)
  /// Bytes arrived. They are the loop's and valid during the call only.
  func received(_ slot: UInt32, _ bytes: Span<UInt8>) -> Received
  /// The connection has ended and its slot is about to go. Not called after `finish` or `drop`.
  func closed(_ slot: UInt32, _ reason: CloseReason)
  /// The connection's timer fired.
  func timerFired(_ slot: UInt32)
  /// Output that the socket had not taken has now been written.
  func drained(_ slot: UInt32)
  /// A letter from another thread.
  func receive(_ letter: Letter)
  /// The time that `Loop.setAlarm` named has come. Handlers that set none need not have it.
  func alarmed()
  /// All events of this turn were handled: a last chance to add output. Gives the tick at which
  /// the handler wants to be called again at the latest; nil when it has no such wish.
  func turnEnds(now: UInt32) -> UInt32?
  /// The output of this turn was offered to the sockets; none may be added. Gives a tick as
  /// `turnEnds` does. Handlers that have nothing to do then need not have it.
  func flushed(now: UInt32) -> UInt32?
}

extension LoopHandler {
  /// Does nothing.
  public func alarmed() {}

  /// Does nothing, and wants nothing.
  public func flushed(now: UInt32) -> UInt32? { nil }
}

/// An event loop: one thread, one epoll, the connections it accepted and nothing shared.
///
/// Every method is for the loop's own thread, except what `Mailbox` offers.
@safe
public final class Loop<Handler: LoopHandler> {

  /// The connections, by slot. The loop adds and removes them; a handler writes its own fields.
  public let connections: Slab<Connection>
  /// Where other threads post letters for this loop.
  package let mailbox: Mailbox<Handler.Letter>
  let outputs: Slab<Output>
  /// Blocks of remainders and output.
  public let blocks: BytePool
  let epoll: Int32
  private let scratchMemory: ReservedMemory
  let scratch: UnsafeMutableRawPointer
  /// Bytes of the scratch buffer that hold memory.
  var scratchTouched = 0
  /// Bytes in blocks of remainders; the other blocks are output's.
  var remainderBytes = 0
  let ready: UnsafeMutablePointer<clinux_ready>
  var listeners: [Listener] = []
  var letters: [Handler.Letter] = []
  var timers: TimerWheel<Connection>
  /// Connections with output of this turn, each once.
  var dirty = ScratchArray<UInt32>()
  /// The bytes that the handler is being given: what it writes out of them need not be copied before
  /// it is done with them.
  var lentRange = 0..<0 as Range<UInt>
  /// Connections with output that lies in these bytes.
  var lentTo = ScratchArray<UInt32>()
  /// Connections whose remainder is to be handled again, with their generations.
  var resuming: [(slot: UInt32, generation: UInt32)] = []
  /// Connections whose handler asked to be told that their output is written.
  var drainedSlots: [(slot: UInt32, generation: UInt32)] = []
  var nextGeneration: UInt32 = 1
  /// Sockets that came through the passage before the letter about them; negative for one that
  /// found no room.
  var passageArrivals: [UInt64: Int32] = [:]
  /// The tick of this turn, since the start of the machine's clock.
  public internal(set) var now: UInt32
  var isRunning = true
  /// The timer of `setAlarm`, made with the first call; -1 before it.
  var alarm: Int32 = -1
  /// When accepting goes on after no descriptor was left; 0 while it is not held.
  var acceptHeldUntil: UInt32 = 0
  /// What this loop has done since it was made.
  public internal(set) var statistics = LoopStatistics()

  /// Epoll data of the mailbox; listeners have the numbers above it. Connections have a slot in
  /// the upper half, which is never 0.
  static var mailboxTag: UInt64 { 0 }
  /// Epoll data of the alarm: more than there can be listeners.
  static var alarmTag: UInt64 { 0xFFFF_FFFF }

  /// - Parameters:
  ///   - mailbox: made before the loops part their tables of open files.
  ///   - maximumConnections: at most 16,777,215.
  /// - Throws: `NetError` when epoll can't be made.
  public init(mailbox: Mailbox<Handler.Letter>, maximumConnections: Int) throws(NetError) {
    self.mailbox = mailbox
    now = TimerWheel<Connection>.presentTick
    connections = Slab(capacity: maximumConnections + 1)
    outputs = Slab(capacity: maximumConnections + 1)
    blocks = BytePool(spareChunks: Limits.spareChunks)
    timers = TimerWheel(now: now)
    scratchMemory = ReservedMemory(byteCount: Limits.readBytes)
    unsafe scratch = scratchMemory.base
    unsafe ready = .allocate(capacity: Limits.eventsPerTurn)
    epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    if epoll < 0 { throw NetError("make an epoll", code: errno) }
    let code = clinux_epoll_ctl(
      epoll, EPOLL_CTL_ADD, mailbox.descriptor, UInt32(CLINUX_EPOLLIN), Loop.mailboxTag)
    if code != 0 { throw NetError("watch an eventfd", code: code) }
  }

  deinit {
    for listener in listeners { close(listener.descriptor) }
    for slot in 1..<max(1, connections.limit) where connections[slot].generation != 0 {
      close(connections[slot].descriptor)
    }
    for descriptor in passageArrivals.values where descriptor >= 0 { close(descriptor) }
    if alarm >= 0 { close(alarm) }
    close(epoll)
    unsafe ready.deallocate()
  }

  /// Ends `run` after the present turn.
  public func stop() { isRunning = false }

  /// Takes events until `stop`.
  public func run(_ handler: Handler) {
    // The first turn comes at once: the handler may have wishes before anything happens.
    var wanted: UInt32? = now
    while isRunning {
      let count = unsafe clinux_epoll_wait(
        epoll, ready, Int32(Limits.eventsPerTurn), timeout(handlerWants: wanted))
      now = TimerWheel<Connection>.presentTick
      if count > 0 {
        for index in 0..<Int(count) { dispatch(unsafe ready[index], handler) }
      }
      turn(handler)
      wanted = handler.turnEnds(now: now)
      flushDirty(handler)
      if let tick = handler.flushed(now: now) { wanted = min(wanted ?? tick, tick) }
    }
  }

  private func turn(_ handler: Handler) {
    let records = now
    timers.advance(to: records, in: connections) { slot in
      if connections[slot].flags.contains(.isFinishing) {
        release(slot)
      } else {
        handler.timerFired(slot)
      }
    }
    if acceptHeldUntil != 0 && now >= acceptHeldUntil { resumeAccepting() }
    var index = 0
    while index < resuming.count {
      let (slot, generation) = resuming[index]
      index += 1
      if connections[slot].generation == generation { handleRemainder(slot, handler) }
    }
    resuming.removeAll(keepingCapacity: true)
    for (slot, generation) in drainedSlots where connections[slot].generation == generation {
      if !connections[slot].flags.contains(.isFinishing) { handler.drained(slot) }
    }
    drainedSlots.removeAll(keepingCapacity: true)
  }

  private func dispatch(_ event: clinux_ready, _ handler: Handler) {
    let slot = UInt32(truncatingIfNeeded: event.data >> 32)
    if slot == 0 {
      if event.data == Loop.mailboxTag {
        takeLetters(handler)
      } else if event.data == Loop.alarmTag {
        takeAlarm(handler)
      } else {
        accept(Int(event.data) - 1, handler)
      }
      return
    }
    let generation = UInt32(truncatingIfNeeded: event.data)
    // The slot may have been given to another connection earlier in this batch of events.
    guard connections[slot].generation == generation else { return }
    if event.events & UInt32(CLINUX_EPOLLOUT) != 0 {
      writable(slot, handler)
      guard connections[slot].generation == generation else { return }
    }
    if event.events & ~UInt32(CLINUX_EPOLLOUT) != 0 { readable(slot, event.events, handler) }
  }

  private func takeLetters(_ handler: Handler) {
    mailbox.take(&letters)
    for letter in letters { handler.receive(letter) }
    letters.removeAll(keepingCapacity: true)
  }

  /// Milliseconds to sleep: until the next timer, or for ever.
  private func timeout(handlerWants: UInt32?) -> Int32 {
    if !resuming.isEmpty || !drainedSlots.isEmpty || !dirty.isEmpty { return 0 }
    var ticks = timers.ticksToNext()
    func sooner(_ tick: UInt32) {
      let left = tick > now ? tick - now : 0
      ticks = min(ticks ?? left, left)
    }
    if let handlerWants { sooner(handlerWants) }
    if acceptHeldUntil != 0 { sooner(acceptHeldUntil) }
    guard let ticks else { return -1 }
    let length = TimerWheel<Connection>.tickMilliseconds
    // To the start of that tick: the present turn may have gone on for some ticks itself.
    let start = (UInt64(now) + UInt64(ticks) - 1) * length
    let present = MonotonicClock.milliseconds
    return start > present ? Int32(clamping: start - present) : 0
  }

  /// Sets the connection's timer to fire at `tick`.
  public func setTimer(_ slot: UInt32, at tick: UInt32) {
    timers.set(slot, at: tick, in: connections)
  }

  /// Stops the connection's timer.
  public func cancelTimer(_ slot: UInt32) {
    timers.cancel(slot, in: connections)
  }

  /// Whether `trim` would give memory back.
  public var hasSpare: Bool {
    blocks.hasSpare || connections.hasSpare || outputs.hasSpare
      || scratchTouched > Limits.quietScratchBytes
  }

  /// Gives memory that was needed for a busy time back to the system.
  public func trim() {
    blocks.trim()
    connections.trim()
    outputs.trim()
    if scratchTouched > Limits.quietScratchBytes {
      scratchMemory.giveBack(from: 0)
      scratchTouched = 0
    }
  }

  /// What the loop's memory is used for.
  public var memory: LoopMemory {
    LoopMemory(
      connections: connections.memory, outputs: outputs.memory, blocks: blocks.memory,
      remainderBytes: remainderBytes, scratchBytes: scratchTouched)
  }

  /// The other end's address, for logs.
  public func peerName(_ slot: UInt32) -> String {
    var text: InlineArray<64, CChar> = .init(repeating: 0)
    var span = text.mutableSpan
    return unsafe span.withUnsafeMutableBufferPointer { buffer in
      // The buffer is not empty, so it has an address.
      let start = buffer.baseAddress!
      guard unsafe clinux_peer_name(connections[slot].descriptor, start, 64) == 0 else {
        return "unknown"
      }
      return unsafe String(cString: start)
    }
  }
}

/// What the memory of a loop is used for.
public struct LoopMemory: BitwiseCopyable, Sendable {
  /// Records of connections.
  public var connections: PoolMemory
  /// Records of output that waits.
  public var outputs: PoolMemory
  /// Blocks of output and remainders.
  public var blocks: PoolMemory
  /// Bytes in blocks of remainders, which are part of `blocks`.
  public var remainderBytes: Int
  /// Bytes of the buffer that the loop reads into.
  public var scratchBytes: Int
}

/// Counters of one loop, written by it alone.
public struct LoopStatistics: BitwiseCopyable, Sendable {
  /// Bytes read from clients.
  public var bytesReceived: UInt64 = 0
  /// Bytes that sockets took. What a client that went away never read is among them.
  public var bytesSent: UInt64 = 0
  /// Bytes of output that were named where they had been read instead of copied.
  public var bytesLent: UInt64 = 0
  /// Clients accepted here; one that another loop hands over counts there.
  public var accepted: UInt64 = 0
  /// Clients refused because no descriptor or slot was left.
  public var refused: UInt64 = 0
}
