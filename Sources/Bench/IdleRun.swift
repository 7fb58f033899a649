import Glibc
import Util

/// What a run does with idle clients, step by step.
struct IdleRun {
  let options: BenchOptions
  let loops: BenchLoops
  let broker: ProcessFacts?
  let progress: Progress

  private var callers: UInt64 { options.reaches || options.broadcasts ? 1 : 0 }

  /// Connects the clients, holds them, and reaches them as the options say.
  func run(_ result: inout BenchResult) {
    let begun = MonotonicClock.nanoseconds
    let memoryBefore = broker?.residentBytes
    let cpuBefore = broker?.cpuNanoseconds
    var timeline: [(seconds: Double, connected: UInt64)] = []
    let sum = loops.connect(progress) { sum in
      let seconds = Double(MonotonicClock.nanoseconds - begun) / 1e9
      if seconds >= Double(timeline.count + 1) {
        timeline.append((seconds: seconds, connected: clients(sum)))
      }
    }
    result.connectSeconds = Double(MonotonicClock.nanoseconds - begun) / 1e9
    result.connectProgress = timeline + [(result.connectSeconds, clients(sum))]
    if let before = cpuBefore, let after = broker?.cpuNanoseconds, sum.ready > 0 {
      result.brokerConnectMicroseconds =
        Double(after - min(before, after)) / 1e3 / Double(sum.ready)
    }
    progress.say("\(clients(sum)) clients are ready; holding them for \(options.holdSeconds) s")
    hold(&result)
    result.takeMemory(before: memoryBefore, after: broker?.residentBytes, clients: sum.ready)
    if options.reaches { reach(&result) }
    if options.broadcasts { broadcast(&result) }
    let end = loops.sum
    result.connected = clients(end)
    result.failed = result.clients - min(result.connected, result.clients)
    result.disconnected = end.lost
    result.complaint = loops.shared.complaint.first
    result.duplicates = loops.finish().duplicates
  }

  /// Idle clients that are ready: all but the one that publishes to them.
  private func clients(_ sum: BoardSum) -> UInt64 { sum.ready - min(sum.ready, callers) }

  private func hold(_ result: inout BenchResult) {
    let from = MonotonicClock.nanoseconds
    let cpuBefore = broker?.cpuNanoseconds
    pause(seconds: options.holdSeconds)
    guard let before = cpuBefore, let after = broker?.cpuNanoseconds else { return }
    let elapsed = Double(MonotonicClock.nanoseconds - from)
    if elapsed > 0 { result.brokerIdlePercent = Double(after - min(before, after)) * 100 / elapsed }
  }

  private func reach(_ result: inout BenchResult) {
    progress.say("sending each client a message")
    guard expect(step: 1) else { return }
    let begun = MonotonicClock.nanoseconds
    loops.post(.callEach)
    let sum = wait(step: 1, for: result.clients, "reached")
    let end = max(begun, sum.lastReached)
    result.reach = BenchResult.ReachResult(
      reached: sum.reached, seconds: Double(end - begun) / 1e9)
  }

  private func broadcast(_ result: inout BenchResult) {
    progress.say("subscribing all clients to one topic")
    let begun = MonotonicClock.nanoseconds
    let step = options.reaches ? 2 : 1
    loops.post(.subscribeAll)
    _ = wait(step: step, for: result.clients, "subscribed")
    let subscribed = MonotonicClock.nanoseconds
    progress.say("sending all clients one message")
    guard expect(step: step + 1) else { return }
    let cpuBefore = broker?.cpuNanoseconds
    let sentAt = MonotonicClock.nanoseconds
    loops.post(.callAll)
    let sum = wait(step: step + 1, for: result.clients, "reached")
    func milliseconds(_ time: UInt64) -> Double { Double(max(time, sentAt) - sentAt) / 1e6 }
    var outcome = BenchResult.BroadcastResult(
      reached: sum.reached, subscribeSeconds: Double(subscribed - begun) / 1e9,
      firstMilliseconds: milliseconds(sum.firstReached ?? 0),
      lastMilliseconds: milliseconds(sum.lastReached))
    if let before = cpuBefore, let after = broker?.cpuNanoseconds {
      outcome.brokerCPUSeconds = Double(after - min(before, after)) / 1e9
    }
    result.broadcast = outcome
  }

  /// Has every loop count who gets the next message. It must be so before the message is sent: a
  /// client whose loop does not expect it yet would seem to have got it twice, and then never.
  private func expect(step: Int) -> Bool {
    loops.post(.expect)
    return loops.wait(patience: options.patienceSeconds, progress: { UInt64($0.step) }) {
      $0.step >= step
    }
  }

  /// Waits until a step has reached all clients, or nothing more comes.
  private func wait(step: Int, for count: UInt64, _ what: String) -> BoardSum {
    _ = loops.wait(
      patience: options.patienceSeconds, progress: { $0.reached },
      each: { progress.counting($0.reached, of: count, what) }
    ) { ($0.step >= step && $0.reached >= count) || $0.lost > 0 }
    return loops.sum
  }

  private func pause(seconds: Double) {
    let end = MonotonicClock.nanoseconds + UInt64(seconds * 1e9)
    while MonotonicClock.nanoseconds < end { usleep(10_000) }
  }
}
