import Dispatch
import Synchronization
import Util

@testable import Net

/// What a handler heard.
enum Event: Equatable, Sendable {
  case opened(UInt32)
  case message(UInt32, count: Int, hash: Int)
  case closed(UInt32, isPeer: Bool)
  case timer(UInt32)
  case drained(UInt32)
  /// The loop broke a promise to the handler.
  case violation(String)
}

/// Events in order, for a thread that waits for some of them.
final class EventLog: Sendable {
  private struct State {
    var events: [Event] = []
    var condition: (@Sendable ([Event]) -> Bool)?
  }

  private let state = Mutex(State())
  private let changed = DispatchSemaphore(value: 0)

  func add(_ event: Event) {
    let isMet = state.withLock { state in
      state.events.append(event)
      guard let condition = state.condition, condition(state.events) else { return false }
      state.condition = nil
      return true
    }
    if isMet { changed.signal() }
  }

  var events: [Event] { state.withLock { $0.events } }

  /// Waits until the events are as wanted; one thread at a time.
  func wait(seconds: Int = 5, until condition: @escaping @Sendable ([Event]) -> Bool) throws {
    let isMet = state.withLock { state in
      if condition(state.events) { return true }
      state.condition = condition
      return false
    }
    if isMet { return }
    guard changed.wait(timeout: .now() + .seconds(seconds)) == .success else {
      throw TestFailure("waited in vain; the last events are \(events.suffix(8))")
    }
  }
}

/// A letter that is a piece of work for the loop's thread.
struct Order: Sendable {
  let run: @Sendable (FakeHandler) -> Void
}

/// A protocol of messages with four bytes of length in front of each.
final class FakeHandler: LoopHandler {
  let loop: Loop<FakeHandler>
  let log: EventLog
  var onMessage: (FakeHandler, UInt32, [UInt8]) -> Void = { _, _, _ in }
  /// Sees a message's body where it was read.
  var onBytes: ((FakeHandler, UInt32, Span<UInt8>) -> Void)?
  var onOpened: (FakeHandler, UInt32) -> Void = { _, _ in }
  var onDrained: (FakeHandler, UInt32) -> Void = { _, _ in }
  var onTimer: (FakeHandler, UInt32) -> Void = { _, _ in }
  var onAlarm: (FakeHandler) -> Void = { _ in }
  /// What `turnEnds` answers, from the present tick.
  var wish: (UInt32) -> UInt32? = { _ in nil }
  var open: Set<UInt32> = []
  /// How often the loop woke up.
  var turns = 0

  init(_ loop: Loop<FakeHandler>, _ log: EventLog) {
    self.loop = loop
    self.log = log
  }

  func opened(_ slot: UInt32) {
    open.insert(slot)
    log.add(.opened(slot))
    onOpened(self, slot)
  }

  func received(_ slot: UInt32, _ bytes: Span<UInt8>) -> Received {
    if loop.isPaused(slot) { log.add(.violation("bytes for a paused connection")) }
    if loop.isFinishing(slot) { log.add(.violation("bytes for a connection that ends")) }
    let generation = loop.connections[slot].generation
    var offset = 0
    while bytes.count - offset >= 4 {
      var length = 0
      for index in 0..<4 { length = length << 8 | Int(bytes[offset + index]) }
      guard bytes.count - offset >= 4 + length else {
        return Received(consumed: offset, needed: 4 + length)
      }
      let span = bytes.extracting((offset + 4)..<(offset + 4 + length))
      let body = span.array
      offset += 4 + length
      log.add(.message(slot, count: length, hash: hash(body)))
      onMessage(self, slot, body)
      onBytes?(self, slot, span)
      guard loop.connections[slot].generation == generation, !loop.isFinishing(slot) else {
        return Received(consumed: bytes.count, needed: 0)
      }
      if loop.isPaused(slot) { return Received(consumed: offset, needed: 0) }
    }
    return Received(consumed: offset, needed: 4)
  }

  func closed(_ slot: UInt32, _ reason: CloseReason) {
    open.remove(slot)
    if case .peerClosed = reason {
      log.add(.closed(slot, isPeer: true))
    } else {
      log.add(.closed(slot, isPeer: false))
    }
  }

  func timerFired(_ slot: UInt32) {
    log.add(.timer(slot))
    onTimer(self, slot)
  }

  func drained(_ slot: UInt32) {
    log.add(.drained(slot))
    onDrained(self, slot)
  }

  func receive(_ letter: Order) { letter.run(self) }

  func alarmed() { onAlarm(self) }

  func turnEnds(now: UInt32) -> UInt32? {
    turns += 1
    return wish(now)
  }

  /// Adds a message whose body lies in what is being read.
  func pass(_ slot: UInt32, _ body: Span<UInt8>) {
    let header = lengthBytes(body.count)
    loop.write(slot, header: header.span, packetIDOffset: 0, packetID: 0, body: body)
  }

  /// Adds bytes as one write.
  @discardableResult
  func write(_ slot: UInt32, _ bytes: [UInt8]) -> Bool {
    loop.write(slot, header: bytes.span, packetIDOffset: 0, packetID: 0, body: Span())
  }
}

/// Compares messages without keeping them, within one process.
func hash(_ bytes: [UInt8]) -> Int { bytes.hashValue }

private let pattern: [UInt8] = {
  var random = SplitMix(state: 1)
  return (0..<1_200_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
}()

/// A body of up to a million bytes; those of different seeds differ.
func body(_ count: Int, seed: Int = 0) -> [UInt8] {
  let start = seed * 127 % 200_000
  return Array(pattern[start..<(start + count)])
}

/// A message on the wire.
func frame(_ body: [UInt8]) -> [UInt8] { lengthBytes(body.count) + body }

/// The length in front of a message.
func lengthBytes(_ count: Int) -> [UInt8] {
  [
    UInt8(truncatingIfNeeded: count >> 24), UInt8(truncatingIfNeeded: count >> 16),
    UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count),
  ]
}
