import Glibc
import Net
import Util

/// The threads of a load, and the means to talk to them.
final class BenchLoops {
  let shared: BenchShared
  private var threads: [LoopThread] = []

  /// Descriptors that are not clients': the standard ones and each loop's own.
  private static func reserved(_ options: BenchOptions) -> Int { 32 + 4 * options.loops }

  /// Starts the loops; they wait for orders.
  /// - Throws: `BenchFailure` where the system does not give what they need.
  init(_ options: BenchOptions) throws(BenchFailure) {
    let plan = FlowPlan(options)
    let room = openFileLimit() - BenchLoops.reserved(options)
    let most = plan.loops.map(\.count).max() ?? 0
    let all = plan.loops.reduce(0) { $0 + $1.count }
    guard most <= room else {
      throw BenchFailure(
        "one loop would have \(most) clients, and the limit of open files leaves \(max(0, room)): "
          + "raise it (`ulimit -n`), or set --loops or --processes higher")
    }
    do throws(NetError) {
      shared = try BenchShared(options, plan)
      for number in 0..<options.loops {
        let shared = shared
        // One table of open files for each loop where one for all would be too small.
        let isPrivate = all > room
        threads.append(
          try LoopThread(name: "bench-\(number)") {
            BenchLoops.run(number, shared, isPrivate: isPrivate)
          })
      }
    } catch {
      throw BenchFailure("\(error)")
    }
  }

  private static func run(_ number: Int, _ shared: BenchShared, isPrivate: Bool) {
    do throws(NetError) {
      if isPrivate { try partOpenFiles() }
      let loop = try Loop<BenchWorker>(
        mailbox: shared.mailboxes[number],
        maximumConnections: shared.plan.loops[number].count + 1)
      loop.run(BenchWorker(number, shared, loop))
    } catch {
      shared.complaint.note("\(error)")
      shared.boards[number].failed.store(
        UInt64(shared.plan.loops[number].count), ordering: .releasing)
    }
  }

  func post(_ order: BenchOrder) {
    for mailbox in shared.mailboxes { mailbox.post(order) }
  }

  var sum: BoardSum { LoopBoard.sum(shared.boards) }

  var clientCount: Int { shared.plan.loops.reduce(0) { $0 + $1.count } }

  /// Looks every millisecond or so until the counters are as wanted. False where that did not come
  /// within `seconds` of the last change of what `progress` gives.
  func wait(
    patience seconds: Double, progress: (BoardSum) -> UInt64, each: (BoardSum) -> Void = { _ in },
    until condition: (BoardSum) -> Bool
  ) -> Bool {
    var seen: UInt64? = nil
    var changed = MonotonicClock.nanoseconds
    while true {
      let sum = sum
      if condition(sum) { return true }
      let now = MonotonicClock.nanoseconds
      let present = progress(sum)
      if present != seen {
        seen = present
        changed = now
      } else if now > changed + UInt64(seconds * 1e9) {
        return false
      }
      each(sum)
      usleep(1_000)
    }
  }

  /// Connects all clients. Gives the counters when each of them is ready or has failed.
  func connect(_ progress: Progress, each: (BoardSum) -> Void = { _ in }) -> BoardSum {
    post(.connect)
    let count = UInt64(clientCount)
    _ = wait(
      patience: shared.options.patienceSeconds,
      progress: { $0.ready &+ $0.failed &+ $0.lost &+ $0.lastProgress },
      each: {
        progress.connecting($0.ready, of: count)
        each($0)
      }
    ) { $0.ready + $0.failed >= count }
    return sum
  }

  /// Ends the loops and gives what they found.
  func finish() -> LoopFindings {
    post(.finish)
    for thread in threads { thread.join() }
    var all = LoopFindings()
    for box in shared.findings {
      guard let one = box.value else { continue }
      all.latency.add(one.latency)
      all.reordered += one.reordered
      all.duplicates += one.duplicates
      all.foreign += one.foreign
      all.refused += one.refused
      all.stalls += one.stalls
      all.expected += one.expected
      all.sent += one.sent
      all.delivered += one.delivered
    }
    return all
  }
}

/// Why a load could not be run; one line for people.
public struct BenchFailure: Error, CustomStringConvertible, Sendable {
  /// What failed, and what to do about it.
  public let description: String

  init(_ description: String) { self.description = description }
}

/// Lines about what is going on, at most one a second.
public final class Progress {
  private let write: (String) -> Void
  private var next: UInt64 = 0
  private var last = BoardSum()
  private var lastTime: UInt64 = 0

  /// - Parameter write: takes a line with its end.
  public init(_ write: @escaping (String) -> Void) { self.write = write }

  private func isDue(_ now: UInt64) -> Bool {
    guard now >= next else { return false }
    defer { next = now + 1_000_000_000 }
    return next != 0
  }

  func connecting(_ count: UInt64, of all: UInt64) {
    if isDue(MonotonicClock.nanoseconds) { write("bench: \(count) of \(all) clients are ready\n") }
  }

  func counting(_ count: UInt64, of all: UInt64, _ what: String) {
    if isDue(MonotonicClock.nanoseconds) { write("bench: \(count) of \(all) clients \(what)\n") }
  }

  func running(_ sum: BoardSum, _ what: String) {
    let now = MonotonicClock.nanoseconds
    guard isDue(now) else { return }
    if lastTime != 0 && sum.delivered >= last.delivered {
      let seconds = Double(now - lastTime) / 1e9
      let rate = Double(sum.delivered - last.delivered) / seconds
      write("bench: \(what): \(UInt64(rate)) deliveries/s\n")
    }
    last = sum
    lastTime = now
  }

  func say(_ line: String) { write("bench: \(line)\n") }
}
