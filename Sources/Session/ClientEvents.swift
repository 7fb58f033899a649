import Packet
import Store
import Synchronization
import Util

/// What happened to a client.
public struct ClientEvent: Sendable {
  /// What happened.
  public enum What: Sendable {
    /// It has connected.
    case connected(HookedClient, sessionPresent: Bool)
    /// Its connection has ended.
    case disconnected(ConnectionEnd)
    /// It has subscribed, or was.
    case subscribed(StoredSubscription)
    /// It has unsubscribed, or was.
    case unsubscribed(filter: [UInt8])
  }

  /// The client id.
  public var clientID: [UInt8]
  /// Milliseconds since 1970.
  public var time: Int64
  /// What happened.
  public var what: What

  /// See the properties.
  public init(clientID: [UInt8], time: Int64, what: What) {
    self.clientID = clientID
    self.time = time
    self.what = what
  }
}

/// What happened to clients of late: a ring that loops write while anybody has watched lately, and that watchers read
/// at their own pace, each from a place of its own. What is older than the ring is long is gone.
public final class ClientEvents: Sendable {
  /// What a watcher reads.
  public enum Reading: Sendable {
    /// Events behind its place, none where there are none yet, and the place behind them.
    case events([ClientEvent], next: UInt64)
    /// Some behind its place are gone.
    case lost
  }

  private struct State {
    var ring: [ClientEvent] = []
    /// The place of the oldest in the ring; the first ever has 1.
    var oldest: UInt64 = 1
    /// Index of the oldest in `ring`.
    var head = 0
    var watchers = 0
    /// Millisecond of the monotonic clock at which the last watcher left.
    var leftAt: Int64 = 0
    /// Who wants to know of the next event.
    var waiting: [UInt64: @Sendable () -> Void] = [:]
    var nextWaiter: UInt64 = 1
  }

  private let capacity: Int
  private let keptMilliseconds: Int64
  private let state = Mutex(State())
  private let watched = Atomic<Bool>(false)

  /// Differs for each run of the broker, so that a place of an earlier one is told.
  public let epoch: UInt64

  /// A ring of `capacity` events, written on for some milliseconds after the last watcher has gone.
  public init(capacity: Int, keptMilliseconds: Int) {
    self.capacity = capacity
    self.keptMilliseconds = Int64(keptMilliseconds)
    epoch = .random(in: 1 ... .max)
  }

  /// Whether events are to be appended: a loop asks before it makes one.
  public var isWatched: Bool { watched.load(ordering: .relaxed) }

  /// Adds an event, and wakes those who wait.
  public func append(_ event: ClientEvent) {
    let wakes = state.withLock { state -> [@Sendable () -> Void] in
      if state.watchers == 0 && Int64(MonotonicClock.milliseconds) - state.leftAt > keptMilliseconds
      {
        // Nobody came back for it.
        watched.store(false, ordering: .relaxed)
        state.oldest += UInt64(state.ring.count)
        state.ring = []
        state.head = 0
        return []
      }
      if state.ring.count < capacity {
        state.ring.append(event)
      } else {
        state.ring[state.head] = event
        state.head = (state.head + 1) % capacity
        state.oldest += 1
      }
      let wakes = Array(state.waiting.values)
      state.waiting.removeAll(keepingCapacity: true)
      return wakes
    }
    for wake in wakes { wake() }
  }

  /// Begins to watch: gives the place behind all that has happened. `leave` ends it.
  public func enter() -> UInt64 {
    state.withLock { state in
      state.watchers += 1
      if !watched.load(ordering: .relaxed) {
        // Places of the time when nobody watched are not to be gone on from.
        state.oldest += 1
        watched.store(true, ordering: .relaxed)
      }
      return state.oldest + UInt64(state.ring.count) - 1
    }
  }

  /// Ends to watch.
  public func leave() {
    state.withLock { state in
      state.watchers -= 1
      state.leftAt = Int64(MonotonicClock.milliseconds)
    }
  }

  /// Reads up to `maximum` events behind a place.
  public func read(after place: UInt64, maximum: Int) -> Reading {
    state.withLock { state in
      let end = state.oldest + UInt64(state.ring.count)
      guard place + 1 >= state.oldest, place < end else { return .lost }
      let first = Int(place + 1 - state.oldest)
      let count = min(maximum, state.ring.count - first)
      var events: [ClientEvent] = []
      events.reserveCapacity(count)
      for index in first..<first + count {
        events.append(state.ring[(state.head + index) % max(1, state.ring.count)])
      }
      return .events(events, next: place + UInt64(count))
    }
  }

  /// Calls `wake` once, at once where there is something behind the place, else when there is. Gives a number to
  /// forget it with.
  public func whenMore(after place: UInt64, _ wake: @escaping @Sendable () -> Void) -> UInt64 {
    let number = state.withLock { state -> UInt64? in
      guard place + 1 >= state.oldest + UInt64(state.ring.count) else { return nil }
      let number = state.nextWaiter
      state.nextWaiter += 1
      state.waiting[number] = wake
      return number
    }
    if let number { return number }
    wake()
    return 0
  }

  /// Calls a waiter of `whenMore` no more, if it was not called.
  public func forget(_ number: UInt64) {
    state.withLock { _ = $0.waiting.removeValue(forKey: number) }
  }
}
