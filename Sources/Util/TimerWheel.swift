/// The links of one timer inside the record that it belongs to: 12 bytes.
public struct TimerLinks: BitwiseCopyable, Sendable {
  fileprivate var next: UInt32 = 0
  fileprivate var previous: UInt32 = 0
  /// The tick at which the timer fires; 0 while it is not set.
  public fileprivate(set) var deadline: UInt32 = 0

  /// A timer that is not set.
  public init() {}

  /// Whether the timer is to fire.
  public var isSet: Bool { deadline != 0 }
}

/// A record that holds the links of its timer.
public protocol TimerOwner: BitwiseCopyable {
  /// Written by the wheel alone; a record starts with `TimerLinks()`.
  var timer: TimerLinks { get set }
}

/// One timer for each record of a slab: setting, changing and stopping one costs a few stores.
///
/// Time is cut into ticks of 125 ms, and a wheel of 4,096 buckets holds the timers of the next
/// 512 s; one that is set for later stays in its bucket for another round. Nothing is done for a
/// timer between the time it is set and the tick it fires, so an idle client costs nothing.
@safe
public struct TimerWheel<Record: TimerOwner>: ~Copyable {
  /// Length of a tick in milliseconds.
  public static var tickMilliseconds: UInt64 { 125 }

  static var bucketCount: Int { 4096 }

  /// The present tick, since the start of the machine's clock; never 0, which stands for "not set".
  public static var presentTick: UInt32 {
    UInt32(truncatingIfNeeded: MonotonicClock.milliseconds / tickMilliseconds + 1)
  }

  /// First timer of each bucket, and behind them that of the list which `advance` works on.
  private let heads: UnsafeMutablePointer<UInt32>
  /// One bit for each bucket that is not empty.
  private let occupied: UnsafeMutablePointer<UInt64>
  // Behind a pointer, so that `advance` does not hold the wheel for itself while its callbacks
  // set and stop timers.
  private let present: UnsafeMutablePointer<UInt32>

  /// The tick that was advanced to.
  private var current: UInt32 {
    get { unsafe present.pointee }
    nonmutating set { unsafe present.pointee = newValue }
  }

  /// - Parameter now: the tick to start from.
  public init(now: UInt32) {
    let buckets = TimerWheel.bucketCount
    unsafe heads = .allocate(capacity: buckets + 1)
    unsafe heads.initialize(repeating: 0, count: buckets + 1)
    unsafe occupied = .allocate(capacity: buckets / 64)
    unsafe occupied.initialize(repeating: 0, count: buckets / 64)
    unsafe present = .allocate(capacity: 1)
    unsafe present.initialize(to: now)
  }

  deinit {
    unsafe heads.deallocate()
    unsafe occupied.deallocate()
    unsafe present.deallocate()
  }

  private func bucket(_ tick: UInt32) -> Int { Int(tick) & (TimerWheel.bucketCount - 1) }

  /// Sets the timer of `slot` to fire at `deadline`, instead of when it would have fired.
  /// A deadline in the past fires with the next tick.
  public func set(_ slot: UInt32, at deadline: UInt32, in records: borrowing Slab<Record>) {
    cancel(slot, in: records)
    let tick = max(deadline, current &+ 1)
    let index = bucket(tick)
    let head = unsafe heads[index]
    records[slot].timer.deadline = tick
    records[slot].timer.next = head
    records[slot].timer.previous = 0
    if head != 0 { records[head].timer.previous = slot }
    unsafe heads[index] = slot
    unsafe occupied[index >> 6] |= 1 << UInt64(index & 63)
  }

  /// Stops the timer of `slot`, if it is set.
  public func cancel(_ slot: UInt32, in records: borrowing Slab<Record>) {
    let links = records[slot].timer
    guard links.isSet else { return }
    let index = bucket(links.deadline)
    if links.previous == 0 {
      if unsafe heads[index] == slot {
        unsafe heads[index] = links.next
        if links.next == 0 { unsafe occupied[index >> 6] &= ~(1 << UInt64(index & 63)) }
      } else {
        unsafe heads[TimerWheel.bucketCount] = links.next
      }
    } else {
      records[links.previous].timer.next = links.next
    }
    if links.next != 0 { records[links.next].timer.previous = links.previous }
    records[slot].timer = TimerLinks()
  }

  /// Moves to the tick `now`, and stops and names each timer that is due. The callback may set
  /// and stop timers and remove records, its own included.
  public func advance(
    to now: UInt32, in records: borrowing Slab<Record>, fire: (UInt32) -> Void
  ) {
    // After a pause longer than a round, each bucket is visited once.
    if now &- current > UInt32(TimerWheel.bucketCount) {
      current = now &- UInt32(TimerWheel.bucketCount)
    }
    while current != now {
      current &+= 1
      let index = bucket(current)
      guard unsafe heads[index] != 0 else { continue }
      // The bucket becomes a list of its own, so that what the callbacks set anew for this bucket
      // waits for a later round, and each timer is looked at once.
      unsafe heads[TimerWheel.bucketCount] = heads[index]
      unsafe heads[index] = 0
      unsafe occupied[index >> 6] &= ~(1 << UInt64(index & 63))
      while case let slot = unsafe heads[TimerWheel.bucketCount], slot != 0 {
        let deadline = records[slot].timer.deadline
        cancel(slot, in: records)
        if deadline <= now { fire(slot) } else { set(slot, at: deadline, in: records) }
      }
    }
  }

  /// Ticks until a bucket is due that is not empty; nil when no timer is set.
  public func ticksToNext() -> UInt32? {
    let words = TimerWheel.bucketCount / 64
    let start = bucket(current &+ 1)
    var word = start >> 6
    var bits = unsafe occupied[word] & (UInt64.max << UInt64(start & 63))
    for _ in 0...words {
      if bits != 0 {
        let index = word * 64 + bits.trailingZeroBitCount
        return UInt32((index - start + TimerWheel.bucketCount) & (TimerWheel.bucketCount - 1)) + 1
      }
      word = (word + 1) % words
      bits = unsafe occupied[word]
    }
    return nil
  }
}
